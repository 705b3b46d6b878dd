"""Recorded messages of Hyperliquid are understood by the example's decoders."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fundingarb import BadMessage, FillKind
from fundingarb.exchanges.symbols import InstrumentMap
from fundingarb_hyperliquid import errors, messages, schema

NOW = datetime(2026, 3, 2, 7, 30, tzinfo=timezone.utc)


def recorded(wire_dir: Path, name: str) -> Any:
    return json.loads((wire_dir / "hyperliquid" / f"{name}.json").read_text())


def understood(kind: Any, message: Any) -> Any:
    return msgspec.json.decode(json.dumps(message).encode(), type=kind)


def test_assets_become_instruments(wire_dir: Path) -> None:
    answer = recorded(wire_dir, "jkorf-endpoints-ExchangeData-GetExchangeInfoAndTickers")["response"]
    meta, contexts = understood(tuple[schema.Meta, list[schema.Context]], answer)
    known = messages.instruments(meta, contexts)
    assert known[0].symbol == "BTC-USDT"
    assert known[0].lot == Decimal("0.00001")
    rate = messages.funding_rate(known[0], contexts[0], NOW)
    assert (rate.rate, rate.mark, rate.next_settlement.hour) == (Decimal("0.0000125"), Decimal("14.3161"), 8)


def test_books(wire_dir: Path) -> None:
    for name in ("nautilus-http_l2_book_btc", "nautilus-http_l2_book_snapshot", "nautilus-ws_book_data"):
        book = understood(schema.Book, recorded(wire_dir, name))
        assert all(Decimal(level.sz) > 0 for side in book.levels for level in side)


def test_an_account(wire_dir: Path) -> None:
    state = understood(
        schema.Account, recorded(wire_dir, "jkorf-endpoints-Account-GetAccountInfo")["response"]
    )
    (held,) = (messages.position(row.position, "a", InstrumentMap()) for row in state.asset_positions)
    assert (held.symbol, held.quantity, held.mark) == ("HYPE", Decimal("2.0"), Decimal("37.826"))
    balance = messages.balance(state, "a")
    assert balance.wallet == Decimal("83.307638") + Decimal("0.006")


def test_an_answer_without_its_margin_is_refused(wire_dir: Path) -> None:
    cut = recorded(wire_dir, "nautilus-http_clearinghouse_state_negative_total_raw_usd")
    with pytest.raises(msgspec.ValidationError, match="marginSummary"):
        understood(schema.Account, cut)


def test_fills(wire_dir: Path) -> None:
    known = {name: instrument(name) for name in ("ARB", "JUP", "BTC")}
    rows = understood(list[schema.UserFill], recorded(wire_dir, "nautilus-http_user_fills_dust_conversion"))
    fills = [messages.fill(row, "a", known[row.coin]) for row in rows if row.coin in known]
    assert [fill.kind for fill in fills] == [FillKind.TRADE] * len(fills)
    assert fills[1].realized_pnl == Decimal("0.7106")
    frame = recorded(wire_dir, "nautilus-ws_user_fill_liquidation")
    (row,) = understood(list[schema.UserFill], frame["data"]["fills"])
    fill = messages.fill(row, "a", known["BTC"])
    assert (fill.kind, fill.fee) == (FillKind.LIQUIDATION, Decimal("0.009997"))


def instrument(name: str) -> Any:
    meta = schema.Meta([schema.Asset(name, 1)])
    (one,) = messages.instruments(meta, [schema.Context("0", "1", "1")])
    return one


def test_funding(wire_dir: Path) -> None:
    answer = recorded(wire_dir, "jkorf-endpoints-Account-GetFundingHistory")["response"]
    (row,) = understood(list[schema.Funding], answer)
    payment = messages.payment(row, "a", "HYPE-USDT")
    assert (payment.amount, payment.settlement.minute) == (Decimal("-0.044263"), 0)
    history = understood(list[schema.Settled], recorded(wire_dir, "nautilus-http_funding_history"))
    assert [row.funding_rate for row in history] == ["0.0000125", "-0.0000081", "0.0000033"]


def test_every_documented_error_has_a_meaning(wire_dir: Path) -> None:
    """Those of orders and cancels; spot, withdrawals and other order types are not used."""
    for sentence in recorded(wire_dir, "ccxt-exceptions-map")["exceptions"]["broad"]:
        body = json.dumps({"status": "ok", "response": {"data": {"statuses": [{"error": sentence}]}}})
        code, text = errors.extract(body.encode())
        assert text == sentence
        unused = ("TP/SL", "spot balance", "withdrawal", "token transfer", "TWAP")
        assert (code == "undocumented") == any(word in sentence for word in unused), sentence


def test_names_of_orders_are_numbers_and_back() -> None:
    name = "fatestabcdefghijle007"
    assert messages.client_id(messages.cloid(name)) == name
    assert len(messages.cloid("z" * 21)) == 34
    assert messages.client_id(None) is None


def test_a_status_that_is_not_documented() -> None:
    with pytest.raises(BadMessage, match="levitating"):
        messages.state("levitating")
