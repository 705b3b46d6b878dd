"""Reading Binance's ledgers to the last page: trades per symbol, income rows by time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

from fundingarb.exchanges.parse import to_ms
from fundingarb_binance.schema import Income, UserTrade

PAGE = 1000
WINDOW = timedelta(days=7) - timedelta(milliseconds=1)
"""The longest span between startTime and endTime that userTrades takes."""

Params = dict[str, Any]


class ReadTrades(Protocol):
    def __call__(self, params: Params) -> Awaitable[list[UserTrade]]: ...


class ReadIncome(Protocol):
    def __call__(self, params: Params) -> Awaitable[list[Income]]: ...


async def trades_since(read: ReadTrades, exchange_id: str, since: datetime, now: datetime) -> list[UserTrade]:
    """Every trade of one symbol from ``since`` on, oldest first.

    The first page that holds something is found by time (seven days at most per request); what follows it is read by
    trade id, which knows no such limit.
    """
    found: dict[int, UserTrade] = {}
    start = since
    while not found and start <= now:
        end = start + WINDOW
        params: Params = {"symbol": exchange_id, "startTime": to_ms(start), "limit": PAGE}
        if end < now:
            params["endTime"] = to_ms(end)
        page = await read(params)
        found.update({trade.id: trade for trade in page})
        start = end + timedelta(milliseconds=1)
        if page and (len(page) == PAGE or end < now):
            await _trades_after(read, exchange_id, found)
    return sorted(found.values(), key=lambda trade: (trade.time, trade.id))


async def _trades_after(read: ReadTrades, exchange_id: str, found: dict[int, UserTrade]) -> None:
    while True:
        page = await read({"symbol": exchange_id, "fromId": max(found) + 1, "limit": PAGE})
        fresh = [trade for trade in page if trade.id not in found]
        found.update({trade.id: trade for trade in fresh})
        if len(page) < PAGE or not fresh:
            return


async def income_since(
    read: ReadIncome, since: datetime, income_type: str | None, now: Callable[[], datetime]
) -> list[Income]:
    """Every income row from ``since`` on, oldest first, of one type or of all.

    Pages by time; rows of the last millisecond of a page are asked for again, because a settlement posts many in one.
    """
    found: dict[tuple[str, str, str, str], Income] = {}
    start, page_number = to_ms(since), 1
    while True:
        params: Params = {"startTime": start, "endTime": to_ms(now()) + 1, "limit": PAGE}
        if income_type is not None:
            params["incomeType"] = income_type
        if page_number > 1:
            params["page"] = page_number
        page = await read(params)
        for row in page:
            found[row.incomeType, str(row.tranId), row.symbol, str(row.tradeId or "")] = row
        if len(page) < PAGE:
            return sorted(found.values(), key=lambda row: row.time)
        last = max(row.time for row in page)
        start, page_number = (start, page_number + 1) if last == start else (last, 1)
