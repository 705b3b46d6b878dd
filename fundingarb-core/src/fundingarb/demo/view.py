"""The demo in a terminal: rates, hedges, money, and what the bot is waiting for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fundingarb.demo.report import Books
from fundingarb.domain.events import Alert, Severity
from fundingarb.domain.figures import money
from fundingarb.domain.hedge import Hedge, Mode
from fundingarb.domain.order import ZERO
from fundingarb.domain.pnl import HedgePnl, unrealized
from fundingarb.engine.bot import Bot
from fundingarb.terminal import rates_table

STYLES = {Severity.INFO: "green", Severity.WARNING: "yellow", Severity.CRITICAL: "bold red"}

COLUMNS: tuple[Callable[[HedgePnl], Decimal], ...] = (
    lambda pnl: pnl.funding,
    lambda pnl: pnl.fees,
    lambda pnl: pnl.price,
    lambda pnl: pnl.realized,
)


@dataclass
class DemoView:
    """Draws one frame from the bot and its books; ``alerts`` keeps the newest few."""

    bot: Bot
    exchanges: list[str]
    books: Books | None = None
    alerts: deque[Alert] = field(default_factory=lambda: deque(maxlen=6))

    def frame(self) -> RenderableType:
        now = self.bot.clock.now()
        return Group(
            self._headline(now),
            rates_table(self.bot.rates, self.exchanges, now, limit=10),
            self._hedges(now),
            self._messages(),
        )

    def _headline(self, now: datetime) -> RenderableType:
        status = self.bot.status()
        line = Text.assemble(
            ("fundingarb demo ", "bold"),
            ("[SIMULATION] ", "bold yellow"),
            f"{now:%Y-%m-%d %H:%M:%S} UTC  x{self.bot.clock.speed:g}  ",
            (status.state, "bold green" if status.state == "RUNNING" else "bold red"),
        )
        for service in self.bot.parts.services.values():
            if service.url:
                line.append(f"  {service.url}", "underline")
        line.append(f"\nwaiting for {status.waiting_for}", "italic")
        return Panel(line, padding=(0, 1))

    def _hedges(self, now: datetime) -> RenderableType:
        table = Table(title="Hedges", title_justify="left", expand=True, header_style="bold")
        table.add_column("symbol", no_wrap=True)
        for name in ("long", "short", "status"):
            table.add_column(name)
        for name in ("size", "spread 8h", "funding", "fees", "price", "net"):
            table.add_column(name, justify="right")
        shown = list(self.books.hedges[-8:]) if self.books else []
        known = {hedge.id for hedge in shown}
        shown += [hedge for hedge in self.bot.live_hedges() if hedge.id not in known]
        for hedge in shown:
            current = self.bot.state.hedges.get(hedge.id, hedge)
            pnl = self.books.pnl.get(str(hedge.id)) if self.books else None
            table.add_row(*self._row(current, pnl))
        if self.books and self.books.hedges:
            rows = list(self.books.pnl.values())
            total = [sum((amount(pnl) for pnl in rows), ZERO) for amount in COLUMNS]
            table.add_section()
            table.add_row("total", "", "", "", "", "", *(money(amount) for amount in total))
        return table

    def _row(self, hedge: Hedge, pnl: HedgePnl | None) -> list[str]:
        intent = hedge.intent
        if pnl is None:
            return [
                hedge.symbol,
                intent.long.account,
                intent.short.account,
                hedge.status.value,
                "",
                "",
                "",
                "",
                "",
                "",
            ]
        size = money((pnl.long.entry_price or Decimal(0)) * pnl.long.quantity)
        price, net = money(pnl.price), money(pnl.realized)
        if intent.mode is not Mode.DONE:
            marks = [
                self.bot.markets.mark(leg.instrument.exchange, hedge.symbol)
                for leg in (intent.long, intent.short)
            ]
            open_pnl = unrealized(hedge, pnl, marks[0], marks[1])
            if open_pnl is not None:
                price, net = f"{money(pnl.price + open_pnl)}*", f"{money(pnl.realized + open_pnl)}*"
        spread = f"{intent.entry_spread:.4%}"
        return [hedge.symbol, intent.long.account, intent.short.account, hedge.status.value, size, spread,
                _funding(pnl), money(pnl.fees), price, net]  # fmt: skip

    def _messages(self) -> RenderableType:
        lines = Text()
        for alert in self.alerts:
            lines.append(f"{alert.at:%H:%M:%S} ", "dim")
            lines.append(f"{alert.severity.value:8} ", STYLES[alert.severity])
            lines.append(f"{alert.title}: {' | '.join(alert.lines)}\n")
        return Panel(lines, title="Alerts", title_align="left", padding=(0, 1))


def _funding(pnl: HedgePnl) -> str:
    """What is booked, and how many settlements are missing from it."""
    return f"{money(pnl.funding)} ({pnl.missing} missing)" if pnl.missing else money(pnl.funding)
