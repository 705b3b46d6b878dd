"""Lists are read to the last page, and bills from where they are kept."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from fundingarb.exchanges.parse import to_ms
from fundingarb_okx.ledger import ARCHIVE, RECENT, bills_since
from fundingarb_okx.schema import Bill

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 2, tzinfo=timezone.utc)


def bill(number: int, at: datetime, kind: str = "2") -> Bill:
    return Bill(billId=str(number), type=kind, subType="1", ts=str(to_ms(at)), ccy="USDT")


class Server:
    """Serves bills as OKX does: newest first, a hundred at most, before the bill named by ``after``."""

    def __init__(self, recent: list[Bill], archive: list[Bill]) -> None:
        self.bills = {RECENT: recent, ARCHIVE: archive}
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def read(self, endpoint: str, params: dict[str, Any]) -> list[Bill]:
        self.asked.append((endpoint, params))
        rows = [row for row in self.bills[endpoint] if int(row.ts) >= params["begin"]]
        rows = [row for row in rows if int(row.billId) < int(params.get("after", 10**9))]
        return sorted(rows, key=lambda row: -int(row.billId))[: params["limit"]]


async def test_every_page_oldest_first() -> None:
    since = NOW - timedelta(hours=1)
    bills = [bill(number, since + timedelta(milliseconds=number // 3)) for number in range(250)]
    server = Server(bills, [])
    found = await bills_since(server.read, since, NOW, "2", "BTC-USDT-SWAP")
    assert [row.billId for row in found] == [str(number) for number in range(250)]
    assert [endpoint for endpoint, _ in server.asked] == [RECENT] * 3
    first = server.asked[0][1]
    assert first == {
        "instType": "SWAP", "ccy": "USDT", "begin": to_ms(since), "type": "2", "instId": "BTC-USDT-SWAP",
        "limit": 100,
    }  # fmt: skip
    assert server.asked[1][1]["after"] == "150"


async def test_a_full_last_page_is_followed_by_an_empty_one() -> None:
    since = NOW - timedelta(hours=1)
    server = Server([bill(number, since) for number in range(100)], [])
    assert len(await bills_since(server.read, since, NOW)) == 100
    assert len(server.asked) == 2


async def test_what_is_older_than_a_week_comes_from_the_archive() -> None:
    since = NOW - timedelta(days=20)
    old = [bill(number, since + timedelta(days=number)) for number in range(20)]
    server = Server(old[14:], old[:18])  # the archive may lag behind
    found = await bills_since(server.read, since, NOW)
    assert [row.billId for row in found] == [str(number) for number in range(20)]
    assert {endpoint for endpoint, _ in server.asked} == {ARCHIVE, RECENT}


async def test_a_server_that_repeats_a_page_is_not_asked_for_ever() -> None:
    rows = [bill(number, NOW) for number in range(100)]

    async def read(endpoint: str, params: dict[str, Any]) -> list[Bill]:
        return rows

    assert len(await bills_since(read, NOW, NOW)) == 100
