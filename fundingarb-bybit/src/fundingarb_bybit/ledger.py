"""Reading Bybit's transaction log to the last page: windows of seven days, pages by cursor."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import Any, Protocol

from fundingarb.exchanges.parse import to_ms
from fundingarb_bybit.messages import SETTLE
from fundingarb_bybit.schema import LedgerRow, Page

PAGE = 50
WINDOW = timedelta(days=7) - timedelta(milliseconds=1)


class ReadPage(Protocol):
    def __call__(self, params: dict[str, Any]) -> Awaitable[Page[LedgerRow]]: ...


async def rows_since(
    read: ReadPage, since: datetime, until: datetime, kind: str | None = None
) -> list[LedgerRow]:
    """Every USDT row on linear contracts from ``since`` to ``until``, oldest first, of one type or of all.

    ``id`` is not unique (a trade and a settlement may share one), so rows are told apart by all that names them.
    """
    found: dict[tuple[str, str, str, str, str], LedgerRow] = {}
    start = since
    while start <= until:
        end = min(start + WINDOW, until)
        cursor = ""
        while True:
            params: dict[str, Any] = {
                "accountType": "UNIFIED",
                "category": "linear",
                "currency": SETTLE,
                "startTime": to_ms(start),
                "endTime": to_ms(end),
                "limit": PAGE,
            }
            if kind is not None:
                params["type"] = kind
            if cursor:
                params["cursor"] = cursor
            page = await read(params)
            for row in page.rows:
                found[row.type, row.symbol, row.side, row.tradeId or row.id, row.transactionTime] = row
            if not page.nextPageCursor or page.nextPageCursor == cursor or not page.rows:
                break
            cursor = page.nextPageCursor
        start = end + timedelta(milliseconds=1)
    # Bybit sends the newest first: turned around, rows of one millisecond keep the order in which they happened.
    oldest_first = list(found.values())[::-1]
    return sorted(oldest_first, key=lambda row: int(row.transactionTime))
