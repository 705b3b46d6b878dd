"""Ledgers are read to the last row, whatever the pages and windows."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from fundingarb.exchanges.parse import to_ms
from fundingarb_binance import ledger
from fundingarb_binance.schema import Income, UserTrade

pytestmark = pytest.mark.anyio

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
DAY = 86_400_000


class Exchange:
    """userTrades and income as documented: windows of at most seven days, at most ``page`` rows, oldest first."""

    def __init__(self, times: list[int], page: int) -> None:
        base = to_ms(START)
        ordered = sorted(times)
        self.page = page
        self.trades = [
            UserTrade(
                "BTCUSDT", n, n, "BUY", Decimal(1), Decimal(1), Decimal(0), Decimal(0), "USDT", base + t
            )
            for n, t in enumerate(ordered, 1)
        ]
        self.rows = [
            Income("FUNDING_FEE", Decimal(n), "USDT", base + t, n, f"S{n % 3}")
            for n, t in enumerate(ordered, 1)
        ]
        self.requests = 0

    async def read_trades(self, params: dict[str, Any]) -> list[UserTrade]:
        self.requests += 1
        if "fromId" in params:
            assert not {"startTime", "endTime"} & set(params)
            return [t for t in self.trades if t.id >= params["fromId"]][: self.page]
        start, end = params["startTime"], params.get("endTime", params["startTime"] + 7 * DAY)
        assert end - start <= 7 * DAY
        return [t for t in self.trades if start <= t.time <= end][: self.page]

    async def read_income(self, params: dict[str, Any]) -> list[Income]:
        self.requests += 1
        found = [r for r in self.rows if params["startTime"] <= r.time <= params["endTime"]]
        first = (params.get("page", 1) - 1) * self.page
        return found[first : first + self.page]


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(ledger, "PAGE", 3)
    return 3


async def test_every_trade_is_read_once(small_pages: int) -> None:
    for times_, since in (
        ([], 0),
        ([0], 0),
        ([DAY * n for n in range(40)], 3),
        ([5] * 9 + [30 * DAY] * 7, 0),
    ):
        exchange = Exchange(list(times_), small_pages)
        begin = START + timedelta(days=since)
        found = await ledger.trades_since(exchange.read_trades, "BTCUSDT", begin, START + timedelta(days=41))
        assert found == [trade for trade in exchange.trades if trade.time >= to_ms(begin)]


async def test_every_income_row_is_read_once(small_pages: int) -> None:
    """Also when more rows than a page share one millisecond, as at a settlement."""
    for times_ in ([], [0], [7] * 11, [1, 2, 3, 3, 3, 3, 3, 4], list(range(20)), [0, 0, 0, 9, 9, 9]):
        exchange = Exchange(list(times_), small_pages)
        now = START + timedelta(days=1)
        found = await ledger.income_since(exchange.read_income, START, "FUNDING_FEE", lambda now=now: now)  # type: ignore[misc]
        assert sorted(row.tranId for row in found) == [row.tranId for row in exchange.rows]
        assert [row.time for row in found] == sorted(row.time for row in found)
