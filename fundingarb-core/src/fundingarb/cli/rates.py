"""``fundingarb rates``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fundingarb.cli.run import CONFIG, READY_FILE, SETTINGS, given, load_surroundings


@click.command("rates")
@CONFIG
@SETTINGS
@READY_FILE
@click.option(
    "--symbol", "symbols", multiple=True, help="Only this symbol (repeatable); default: those configured."
)
@click.option("--once", is_flag=True, help="Print one table and end.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and end.")
def rates_command(
    config_file: Path | None, ready_file: Path | None, symbols: tuple[str, ...], once: bool, as_json: bool
) -> None:
    """Watch funding rates and spreads.

    Rates per interval as each exchange announces them, their 8-hour spread, and when they are settled next. Needs no
    keys: on network mainnet it reads the exchanges' public data.
    """
    import anyio

    from fundingarb.cli.logs import configure_logging

    configure_logging("ERROR")
    anyio.run(_watch, config_file, ready_file, symbols, once or as_json, as_json)


async def _watch(
    config_file: Path | None, ready_file: Path | None, symbols: tuple[str, ...], once: bool, as_json: bool
) -> None:
    import json

    import anyio
    from rich.console import Console
    from rich.live import Live

    from fundingarb.app import Surroundings, load_config, open_market_data
    from fundingarb.terminal import rates_table

    overrides: dict[str, Any] = {**given(), **({"trading.symbols": list(symbols)} if symbols else {})}
    config = load_config(config_file, overrides)
    around = load_surroundings(config, ready_file) if config.network == "localnet" else Surroundings()
    async with open_market_data(config, around) as markets:
        exchanges = sorted({exchange for exchange, _ in markets.instruments})
        await markets.heard_all(exchanges, within=15.0)
        if as_json:
            click.echo(json.dumps(document(markets.book), indent=2))
            return
        console = Console()
        if once or not console.is_terminal:
            console.print(rates_table(markets.book, exchanges, around.clock.now()))
            return
        with Live(console=console, refresh_per_second=4, screen=True) as live:
            while True:
                live.update(rates_table(markets.book, exchanges, around.clock.now()))
                await anyio.sleep(0.25)


def document(book: Any) -> list[dict[str, Any]]:
    """Every symbol: rates by exchange, best spread; decimals as strings, times ISO UTC."""
    from fundingarb.demo.report import moment, text

    rows = []
    for symbol in book.symbols:
        best = book.best(symbol)
        rates = [book.value(row) for row in book.rows(symbol)]
        rows.append(
            {
                "symbol": symbol,
                "rates": {
                    rate.instrument.exchange: {
                        "rate": text(rate.rate),
                        "interval_hours": rate.interval.total_seconds() / 3600,
                        "rate_8h": text(rate.eight_hour),
                        "annual": text(rate.annual, 6),
                        "next_settlement": moment(rate.next_settlement),
                        "mark": None if rate.mark is None else text(rate.mark),
                    }
                    for rate in rates
                    if rate is not None
                },
                "best": None
                if best is None
                else {
                    "long": book.instrument(best[0]).exchange,
                    "short": book.instrument(best[1]).exchange,
                    "spread_8h": repr(book.spread(*best) * 8),
                },
            }
        )
    return rows
