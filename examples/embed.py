"""A bot of your own: fundingarb embedded in a program, with a strategy and an alert sink written here.

Start the offline exchanges first, then this:

    fundingarb localnet --exchange binance --exchange bybit --ready-file ready.json --speed 60
    python examples/embed.py ready.json
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

import anyio

from fundingarb import (
    Alert,
    Extras,
    FundingSpread,
    MarketView,
    Proposals,
    load_config,
    open_bot,
    read_ready_file,
)


@dataclass(frozen=True)
class OnlyWide:
    """The builtin strategy, but only plans whose spread is at least three times the threshold."""

    inner: FundingSpread

    def evaluate(self, view: MarketView, symbols: Collection[str], now: datetime) -> Proposals:
        proposals = self.inner.evaluate(view, symbols, now)
        wide = [p for p in proposals.plans if p.entry_spread >= 3 * self.inner.rules.threshold(p.notional)]
        return replace(proposals, plans=tuple(wide))


class Console:
    """Prints alerts."""

    async def send(self, alert: Alert) -> None:
        print(
            f"{alert.at:%H:%M:%S} {alert.severity.value} {alert.title}: {', '.join(alert.lines)}", flush=True
        )


async def main(ready_file: str = "ready.json") -> None:
    around = read_ready_file(Path(ready_file))
    symbols = {"trading": {"symbols": ["BTC-USDT", "PEPE-USDT", "WIF-USDT", "ORDI-USDT"]}}
    config = load_config(None, {"database": {"url": "sqlite:///embed.db"}, **symbols})
    extras = Extras(
        OnlyWide(FundingSpread(config.entry_rules())), alert_sinks={"console": Console()}, services=False
    )
    async with open_bot(config, around, extras=extras) as bot:
        await bot.run()


if __name__ == "__main__":
    anyio.run(partial(main, *sys.argv[1:2]))
