"""Reading OKX's lists to the last page: whatever goes back by an id, and the bills of seven days and three months."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from fundingarb.exchanges.parse import moment, to_ms
from fundingarb_okx.messages import SETTLE
from fundingarb_okx.schema import Bill

T = TypeVar("T")

PAGE = 100
RECENT, ARCHIVE = "privateGetAccountBills", "privateGetAccountBillsArchive"
KEPT = timedelta(days=6, hours=12)
"""How far back the recent bills are relied on: they go back seven days."""


async def pages(
    read: Callable[[dict[str, Any]], Awaitable[list[T]]],
    params: Mapping[str, Any],
    key: Callable[[T], str],
    enough: Callable[[T], bool] = lambda row: False,
) -> list[T]:
    """Every row, newest first, of a list whose pages go back from ``after``, a ``key`` that no two rows share.

    Reading stops early after a page with a row that is ``enough``.
    """
    found: dict[str, T] = {}
    last = ""
    while True:
        page = await read({**params, "limit": PAGE, **({"after": last} if last else {})})
        fresh = [row for row in page if key(row) not in found]
        found.update({key(row): row for row in fresh})
        if len(page) < PAGE or not fresh or any(map(enough, fresh)):
            return list(found.values())
        last = key(page[-1])


class ReadBills(Protocol):
    def __call__(self, endpoint: str, params: dict[str, Any]) -> Awaitable[list[Bill]]: ...


async def bills_since(
    read: ReadBills, since: datetime, now: datetime, kind: str | None = None, exchange_id: str | None = None
) -> list[Bill]:
    """Every USDT bill of swaps from ``since`` on, oldest first, of one type or of all, of one instrument or of all."""
    params: dict[str, Any] = {"instType": "SWAP", "ccy": SETTLE, "begin": to_ms(since)}
    if kind is not None:
        params["type"] = kind
    if exchange_id is not None:
        params["instId"] = exchange_id

    async def rows(endpoint: str) -> list[Bill]:
        return await pages(lambda query: read(endpoint, query), params, lambda bill: bill.billId)

    older = [] if since > now - KEPT else await rows(ARCHIVE)
    # OKX sends the newest first: turned around, bills of one millisecond keep the order in which they happened.
    oldest_first = [*older[::-1], *(await rows(RECENT))[::-1]]
    known = {bill.billId: bill for bill in oldest_first}
    return sorted(known.values(), key=lambda bill: moment(bill.ts, "ts"))
