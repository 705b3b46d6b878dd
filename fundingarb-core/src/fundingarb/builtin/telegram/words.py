"""What the bot says of itself when it is asked: values in, lines out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from fundingarb.domain.control import Accepted, OpenLeg, Subject
from fundingarb.domain.figures import money, price
from fundingarb.domain.hedge import Hedge
from fundingarb.ports import BotStatus
from fundingarb.ports.rows import HedgeView, LegView, MarketRow, SpreadRow, Summary, Vitals

MOST_SPREADS = 10
MOST_HEDGES = 12

HELP = (
    "/status  how the bot is",
    "/positions  open hedges, leg by leg",
    "/rates [SYMBOL]  the widest spreads, or one symbol on every exchange",
    "/pnl  what all hedges have brought",
    "/pause  no new hedges; open ones are looked after",
    "/kill  close everything and stop (asks first)",
    "/help  this",
    "Going on after /pause or /kill, live trading and settings are not possible from here: use the dashboard or the "
    "fundingarb command.",
)


def status_lines(status: BotStatus, vitals: Vitals, ignored: Mapping[str, int], waiting: int) -> list[str]:
    """``ignored`` are messages that did nothing, by reason; ``waiting`` alerts that nobody has acknowledged."""
    lines = [f"{vitals.state} on {status.network}, since {_when(status.started_at)}"]
    if vitals.error:
        lines.append(f"Error: {vitals.error}")
    if vitals.entries_off:
        lines.append(f"Entries off: {vitals.entries_off}")
    lines.append(f"Waiting for: {status.waiting_for}")
    lines.append(f"Last scan: {'never' if status.last_scan is None else _when(status.last_scan)}")
    lines.append(f"Orders under way: {status.pending_orders}")
    if vitals.unhedged_usd:
        lines.append(f"UNHEDGED: {money(vitals.unhedged_usd)} for {vitals.unhedged_seconds:.0f} s")
    for account in status.accounts:
        equity = (
            "unknown"
            if account.balance is None
            else f"{account.balance.equity:,.2f} {account.balance.currency}"
        )
        halted = f", HALTED: {account.halted}" if account.halted else ""
        lines.append(f"{account.account} ({account.exchange}): {equity}{halted}")
    down = sorted(name for name, connected in status.streams.items() if not connected)
    lines.append(f"Streams: {len(status.streams) - len(down)} of {len(status.streams)} connected")
    lines += [f"Stream down: {name}" for name in down]
    if vitals.database:
        lines.append(f"Database: {vitals.database}")
    if waiting:
        lines.append(f"CRITICAL alerts not acknowledged: {waiting}")
    if ignored:
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(ignored.items()))
        lines.append(f"Messages to this bot that did nothing: {told}")
    return lines


def position_lines(views: Sequence[HedgeView]) -> list[str]:
    if not views:
        return ["No open hedge"]
    lines: list[str] = []
    for view in views[:MOST_HEDGES]:
        size = "" if view.size_usd is None else f" {money(view.size_usd)}"
        lines.append(f"{view.number}: {view.symbol} {view.status.value}{size}")
        lines += [_leg(leg) for leg in view.legs]
        now = "unknown" if view.spread_8h is None else f"{view.spread_8h:.4%}"
        lines.append(f"Spread per 8 h: {now} (at entry {view.entry_spread_8h:.4%})")
        lines.append(f"Funding {money(view.funding)} | Fees {money(view.fees)} | Price {money(view.price)}")
        lines.append(f"Unrealized {_known(view.unrealized)} | Net {_known(view.net)}")
        if view.unhedged:
            lines.append(f"UNHEDGED: {view.unhedged} for {view.unhedged_seconds:.0f} s")
        if view.missing:
            lines.append(f"Settlements missing in the ledger: {view.missing}")
        lines.append("")
    if len(views) > MOST_HEDGES:
        lines.append(f"and {len(views) - MOST_HEDGES} more; see the dashboard")
    return lines


def _leg(leg: LegView) -> str:
    away = "" if leg.liquidation_distance is None else f", {leg.liquidation_distance:.1%} to liquidation"
    return f"{leg.side.value} {leg.filled} on {leg.account} @ {price(leg.entry)}{away}"


def spread_lines(spreads: Iterable[SpreadRow]) -> list[str]:
    best = sorted(spreads, key=lambda row: -row.spread_8h)
    if not best:
        return ["No rates on two exchanges yet"]
    lines = ["Widest spreads per 8 h (short, long)"]
    lines += [
        f"{row.symbol} {row.spread_8h:.4%}: short {row.short_exchange}, long {row.long_exchange}"
        for row in best[:MOST_SPREADS]
    ]
    return lines


def symbol_lines(symbol: str, rows: Iterable[MarketRow]) -> list[str]:
    found = sorted((row for row in rows if row.symbol == symbol), key=lambda row: row.exchange)
    if not found:
        return [f"No rates of {symbol}; symbols look like BTC-USDT"]
    lines = [f"{symbol}: funding rate, per 8 h, next settlement"]
    for row in found:
        rate = "unknown" if row.rate is None else f"{row.rate:.4%}"
        equal = "unknown" if row.rate_8h is None else f"{row.rate_8h:.4%}"
        at = "" if row.next_settlement is None else f", {row.next_settlement:%H:%M} UTC"
        lines.append(
            f"{row.exchange}: {rate} per {row.interval_hours:g} h, {equal}{at}{' (stale)' if row.stale else ''}"
        )
    return lines


def pnl_lines(summary: Summary) -> list[str]:
    rate = "none yet" if summary.win_rate is None else f"{summary.win_rate:.0%} of {summary.trades}"
    average = ""
    if summary.average_duration is not None:
        average = f", {summary.average_duration.total_seconds() / 3600:.1f} h on average"
    return [
        f"Realized: {money(summary.realized)}",
        f"Unrealized: {_known(summary.unrealized)}",
        f"Net: {_known(summary.net)}",
        f"Funding: {money(summary.funding)}",
        f"Price: {money(summary.price)}",
        f"Fees: {money(summary.fees)}",
        f"Won: {rate}",
        f"Open hedges: {summary.open}, closed: {summary.trades}{average}",
    ]


def kill_question(
    hedges: Sequence[Hedge] | None, status: BotStatus | None, accepted: Sequence[Accepted]
) -> list[str]:
    """What a kill closes; None is what could not be asked."""
    lines = ["🔴 KILL: cancel every order, close every position on every account, stop trading?"]
    if hedges is None:
        lines.append(
            "The trading loop does not answer: what is open is not known. The kill is stored all the same."
        )
    else:
        lines += [
            f"{hedge.symbol}: {hedge.long.filled} long on {hedge.intent.long.account}, "
            f"{hedge.short.filled} short on {hedge.intent.short.account}"
            for hedge in hedges
        ] or ["No hedge of this bot is open"]
    for foreign in accepted:
        if foreign.subject is Subject.POSITION and foreign.quantity:
            lines.append(f"NOT OF THIS BOT: {foreign.account} {foreign.name} {foreign.quantity}")
        if foreign.subject is Subject.ORDER:
            lines.append(f"NOT OF THIS BOT: {foreign.account} order {foreign.name}")
    for account in status.accounts if status is not None else ():
        if account.halted:
            lines.append(f"{account.account} does not match: {account.halted}; it is closed too")
    lines.append("Going on afterwards takes a person at the machine (fundingarb resume).")
    return lines


class KillProgress:
    """The legs of a kill from its beginning until each is flat."""

    def __init__(self) -> None:
        self._legs: dict[tuple[str, str], str] = {}

    def note(self, hedges: Sequence[Hedge]) -> dict[tuple[str, str], str]:
        """These are live; what their legs hold, by account and symbol."""
        held: dict[tuple[str, str], str] = {}
        for hedge in hedges:
            for leg in (hedge.long, hedge.short):
                if leg.filled or not leg.idle:
                    where = leg.plan.account, hedge.symbol
                    held[where] = f"{leg.filled} {leg.plan.side.value}"
        for where, what in held.items():
            self._legs.setdefault(where, what)
        return held

    def lines(self, hedges: Sequence[Hedge], open_legs: Sequence[OpenLeg], flat: bool) -> list[str]:
        """How far it is, with the hedges that are live now and what the kill switch names."""
        held = self.note(hedges)
        named = {(leg.account, leg.symbol): leg for leg in open_legs}
        lines = ["🔴 KILL: flat, no order and no position is left" if flat else "🔴 KILL: closing everything"]
        for where, what in self._legs.items():
            name = f"{where[0]} {where[1]} {what}"
            if flat:
                lines.append(f"✅ {name}: flat")
            elif where in held or where in named:
                reason = named[where].reason if where in named else "closing"
                left = "" if held.get(where, what) == what else f"{held[where]} left, "
                lines.append(f"⏳ {name}: {left}{reason}")
            else:
                lines.append(f"☑️ {name}: closed; the account is looked at again")
        lines += [f"⏳ {leg}" for where, leg in named.items() if where not in self._legs and not flat]
        if flat:
            lines.append("Nothing is opened until a person runs fundingarb resume at the machine.")
        return lines


def _known(amount: Decimal | None) -> str:
    return "unknown" if amount is None else money(amount)


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
