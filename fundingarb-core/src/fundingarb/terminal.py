"""Tables for a terminal."""

from __future__ import annotations

from datetime import datetime

from rich.table import Table

from fundingarb.domain.market import RateBook


def rates_table(rates: RateBook, exchanges: list[str], now: datetime, limit: int | None = None) -> Table:
    """Rates per exchange (per interval, with the interval), next settlement and the best spread, widest first."""
    table = Table(title="Funding rates", title_justify="left", expand=True, header_style="bold")
    table.add_column("symbol", no_wrap=True)
    for exchange in exchanges:
        table.add_column(f"{exchange}", justify="right")
    table.add_column("spread 8h", justify="right")
    table.add_column("annual", justify="right")
    table.add_column("long / short")
    table.add_column("next settlement", justify="right")
    for symbol, spread in by_spread(rates)[:limit]:
        best = rates.best(symbol)
        cells = [_rate(rates, exchange, symbol) for exchange in exchanges]
        if best is None:
            table.add_row(symbol, *cells, "", "", "", "")
            continue
        names = [rates.instrument(row).exchange for row in best]
        due = min(rates.next_settlement[row] for row in best)
        left = max(int(due - now.timestamp()), 0)
        table.add_row(
            symbol,
            *cells,
            f"{spread * 8:.4%}",
            f"{spread * 8760:.1%}",
            f"{names[0]} / {names[1]}",
            f"{left // 3600:d}:{left // 60 % 60:02d}:{left % 60:02d}",
        )
    return table


def by_spread(rates: RateBook) -> list[tuple[str, float]]:
    """Symbols with their best spread per hour, widest first; those on one exchange only come last."""
    rows = []
    for symbol in rates.symbols:
        best = rates.best(symbol)
        rows.append((symbol, rates.spread(*best) if best else float("-inf")))
    return sorted(rows, key=lambda row: -row[1])


def _rate(rates: RateBook, exchange: str, symbol: str) -> str:
    value = rates.get(exchange, symbol)
    if value is None:
        return "-"
    hours = value.interval.total_seconds() / 3600
    return f"{value.rate:.4%} /{hours:g}h"
