"""Fees that were not charged in USDT are booked at the mark, and say so when they cannot be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.exchanges.binance import samples

from fundingarb.errors import BadMessage, ExchangeError
from fundingarb.exchanges.parse import decode
from fundingarb.ports import AccountCredentials, OpenContext, Secret
from fundingarb.testing import FakeClock
from fundingarb_binance import schema
from fundingarb_binance.adapter import BinanceAdapter
from fundingarb_binance.settings import BinanceSettings

pytestmark = pytest.mark.anyio

KNOWN = samples.known()
BTC = next(each for each in KNOWN if each.symbol == "BTC-USDT")
IN_BNB = {**samples.TRADE, "commission": "0.0001", "commissionAsset": "BNB"}


@pytest.fixture
async def adapter() -> AsyncIterator[BinanceAdapter]:
    credentials = AccountCredentials("binance", {"api_key": Secret("k"), "api_secret": Secret("s")})
    endpoints = {"fapi": "http://127.0.0.1:9", "stream": "ws://127.0.0.1:9"}
    context = OpenContext("binance", FakeClock(), "localnet", credentials, endpoints=endpoints)
    async with BinanceAdapter(BinanceSettings.model_validate({}), context) as opened:
        opened.note_order("25851813", "faours")
        yield opened


def answering(adapter: BinanceAdapter, monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[Any]:
    """Let every read be answered with ``answer``; what was asked for."""
    asked: list[Any] = []

    async def read(endpoint: str, kind: Any, params: Any = None) -> Any:
        asked.append(params)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(adapter, "read", read)
    return asked


def trade(row: dict[str, Any]) -> schema.UserTrade:
    return decode(schema.UserTrade, msgspec.json.encode(row), "trade")


async def test_a_fee_in_bnb_is_booked_at_the_mark(
    adapter: BinanceAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answering(adapter, monkeypatch, schema.PremiumIndex("BNBUSDT", "0.0001", 1, markPrice="600.5"))
    fill = await adapter._fill(trade(IN_BNB), BTC)
    assert asked == [{"symbol": "BNBUSDT"}]
    assert (fill.fee, fill.client_id) == (Decimal("0.06005"), "faours")


async def test_a_fee_in_usdt_is_the_ledgers_own_figure(
    adapter: BinanceAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answering(adapter, monkeypatch, ExchangeError("nothing is to be asked for"))
    fill = await adapter._fill(trade(samples.TRADE), BTC)
    assert (asked, fill.fee) == ([], Decimal("0.07819010"))


async def test_a_fee_without_a_mark_names_what_to_do(
    adapter: BinanceAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(adapter, monkeypatch, ExchangeError("Invalid symbol.", code="-1121"))
    with pytest.raises(ExchangeError, match=r"fee in BNB.*have fees charged in USDT"):
        await adapter._fill(trade(IN_BNB), BTC)
    answering(adapter, monkeypatch, schema.PremiumIndex("BNBUSDT", "0.0001", 1, markPrice="NaN"))
    with pytest.raises(BadMessage, match="BNB markPrice"):
        await adapter._fill(trade(IN_BNB), BTC)
