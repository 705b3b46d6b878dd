"""Binance's quirks, each on a payload in the documented format."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.exchanges.binance import samples
from tests.exchanges.binance.parsers import AT, BTC, KNOWN, REST

from fundingarb.domain.order import FillKind, OrderSide, OrderState
from fundingarb.errors import BadMessage
from fundingarb.exchanges.parse import decode
from fundingarb.ports import KeyPermissions
from fundingarb_binance import messages as m
from fundingarb_binance import schema


def listed(*contracts: samples.Json) -> list[str]:
    info = decode(schema.ExchangeInfo, json.dumps({"symbols": contracts}).encode(), "info")
    return [instrument.exchange_id for instrument in m.instruments(info, {})]


def parse(endpoint: str, message: Any) -> Any:
    return REST[endpoint][0](json.dumps(message).encode())


@pytest.mark.parametrize(
    "changes",
    [
        {"contractType": "CURRENT_QUARTER"},
        {"contractType": "TRADIFI_PERPETUAL"},
        {"quoteAsset": "USDC", "marginAsset": "USDC"},
        {"quoteAsset": "BUSD", "marginAsset": "BUSD"},
        {"status": "SETTLING"},
        {"status": "PENDING_TRADING"},
    ],
)
def test_only_usdt_perpetuals_in_trading_are_listed(changes: samples.Json) -> None:
    assert listed(samples.contract("AUSDT", "A"), samples.contract("BUSDT", "B", **changes)) == ["AUSDT"]


def test_one_contract_that_cannot_be_understood_is_left_out() -> None:
    broken = samples.contract("BUSDT", "B", filters=[])
    odd = samples.contract("CUSDT", "C", baseAsset=None)
    info = decode(
        schema.ExchangeInfo,
        json.dumps({"symbols": [broken, odd, samples.contract("AUSDT", "A")]}).encode(),
        "info",
    )
    reasons: list[str] = []
    assert [i.exchange_id for i in m.instruments(info, {}, lambda why, raw: reasons.append(why))] == ["AUSDT"]
    assert len(reasons) == 2


def test_intervals_default_to_eight_hours_and_units_are_base_units() -> None:
    pepe = KNOWN.by_id("1000PEPEUSDT")
    assert pepe is not None
    assert (pepe.symbol, pepe.funding_interval) == ("PEPE-USDT", timedelta(hours=4))
    assert (pepe.tick, pepe.lot, pepe.min_quantity) == (Decimal("1e-10"), Decimal(1000), Decimal(1000))
    assert BTC.funding_interval == timedelta(hours=8)
    assert BTC.delists_at is None
    assert (BTC.tick, BTC.lot, BTC.min_notional) == (Decimal("0.10"), Decimal("0.001"), Decimal(100))


def test_a_delivery_date_in_sight_is_a_delisting() -> None:
    info = {"symbols": [samples.contract("AUSDT", "A", deliveryDate=1800000000000)]}
    (found,) = m.instruments(decode(schema.ExchangeInfo, json.dumps(info).encode(), "info"), {})
    assert found.delists_at == datetime(2027, 1, 15, 8, tzinfo=timezone.utc)


def test_the_last_funding_rate_is_the_next_one() -> None:
    rate = parse("GET /fapi/v1/premiumIndex", samples.PREMIUM)
    assert rate.rate == Decimal("-0.00012345")
    assert rate.next_settlement == datetime(2023, 11, 15, tzinfo=timezone.utc)
    assert (rate.mark, rate.index) == (Decimal("43000.10000000"), Decimal("42990.05000000"))


@pytest.mark.parametrize("bad", ["", "NaN", "1.0", "-7"])
def test_impossible_rates(bad: str) -> None:
    with pytest.raises(BadMessage):
        parse("GET /fapi/v1/premiumIndex", {**samples.PREMIUM, "lastFundingRate": bad})


def test_one_bad_rate_spoils_no_other() -> None:
    rows = decode(
        list[msgspec.Raw],
        json.dumps(
            [{**samples.PREMIUM, "symbol": "ETHUSDT", "lastFundingRate": ""}, {"odd": 1}, samples.PREMIUM]
        ).encode(),
        "rates",
    )
    rates = m.funding_rates(rows, KNOWN, {"BTCUSDT", "ETHUSDT"}, AT)
    assert [rate.instrument.symbol for rate in rates] == ["BTC-USDT"]


def test_settled_rates_come_oldest_first_and_on_the_hour() -> None:
    rates = parse("GET /fapi/v1/fundingRate", samples.SETTLED)
    assert [rate.rate for rate in rates] == [Decimal("-0.00005"), Decimal("0.0001")]
    assert rates[1].settled_at == datetime(2023, 11, 14, 16, tzinfo=timezone.utc)


def test_books_leave_out_empty_levels() -> None:
    book = parse("GET /fapi/v1/depth", samples.DEPTH)
    assert book.bids == ((Decimal("43000.10"), Decimal("1.500")), (Decimal("42999.90"), Decimal("2.000")))
    assert book.ask == Decimal("43000.20")


def test_multiplier_contracts_are_converted_everywhere() -> None:
    pepe = KNOWN.by_id("1000PEPEUSDT")
    assert pepe is not None
    order = {**samples.ORDER, "symbol": "1000PEPEUSDT", "price": "0.0123", "avgPrice": "0.0122", "origQty": "50",
             "executedQty": "20"}  # fmt: skip
    report = m.order_report(decode(schema.Order, json.dumps(order).encode(), "order"), "x", pepe)
    assert (report.symbol, report.quantity, report.filled) == ("PEPE-USDT", Decimal(50_000), Decimal(20_000))
    assert (report.price, report.average_price) == (Decimal("0.0000123"), Decimal("0.0000122"))
    trade = {**samples.TRADE, "symbol": "1000PEPEUSDT", "price": "0.0123", "qty": "20"}
    fill = m.fill(decode(schema.UserTrade, json.dumps(trade).encode(), "trade"), "x", pepe, None)
    assert (fill.quantity, fill.price) == (Decimal(20_000), Decimal("0.0000123"))
    position = {**samples.POSITION, "symbol": "1000PEPEUSDT", "positionAmt": "-20", "entryPrice": "0.0123"}
    held = m.position(decode(schema.Position, json.dumps(position).encode(), "position"), "x", KNOWN)
    assert (held.symbol, held.quantity, held.entry_price) == (
        "PEPE-USDT",
        Decimal(-20_000),
        Decimal("0.0000123"),
    )


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("NEW", OrderState.OPEN),
        ("PARTIALLY_FILLED", OrderState.OPEN),
        ("FILLED", OrderState.FILLED),
        ("CANCELED", OrderState.CANCELLED),
        ("EXPIRED", OrderState.CANCELLED),
        ("EXPIRED_IN_MATCH", OrderState.CANCELLED),
        ("REJECTED", OrderState.REFUSED),
    ],
)
def test_order_states(status: str, state: OrderState) -> None:
    report = parse("GET /fapi/v1/order", {**samples.ORDER, "status": status})
    assert report.state is state
    assert report.filled == Decimal("0.004")  # an expired order may be partly filled


def test_an_undocumented_state_is_not_guessed() -> None:
    with pytest.raises(BadMessage, match="HALF_FILLED"):
        parse("GET /fapi/v1/order", {**samples.ORDER, "status": "HALF_FILLED"})


def test_an_order_without_a_fill_has_no_average_price() -> None:
    report = parse("GET /fapi/v1/order", {**samples.ORDER, "avgPrice": "0.00000", "executedQty": "0"})
    assert report.average_price is None


def test_short_positions_are_negative_and_foreign_ones_keep_their_own_name() -> None:
    foreign = {**samples.POSITION, "symbol": "BTCUSDC"}
    ours, theirs = parse("GET /fapi/v3/positionRisk", [samples.POSITION, foreign])
    assert (ours.symbol, ours.quantity, ours.adl_rank) == (
        "BTC-USDT",
        Decimal("-0.250"),
        3,
    )  # adl 2 of 0 to 4
    assert ours.maintenance_margin == Decimal("43.1")
    assert ours.liquidation_price == Decimal("51000.5")
    assert theirs.symbol == "BTCUSDC"


def test_the_balance_is_the_usdt_wallet() -> None:
    balance = parse("GET /fapi/v3/account", samples.ACCOUNT)
    assert balance.wallet == Decimal("1000.12345678")
    assert (balance.equity, balance.available) == (Decimal("975.12345678"), Decimal(500))
    empty = parse("GET /fapi/v3/account", {"assets": []})
    assert (empty.wallet, empty.available) == (Decimal(0), Decimal(0))


def test_commission_is_positive_when_paid() -> None:
    """Captured answers have it positive (ccxt#18864), though one old documentation sample has a minus."""
    (fill,) = parse("GET /fapi/v1/userTrades", [samples.TRADE])
    assert (fill.fee, fill.realized_pnl) == (Decimal("0.07819010"), Decimal("-0.91539999"))
    assert (fill.side, fill.maker, fill.trade_id) == (OrderSide.SELL, True, "698759")


def test_funding_paid_is_negative_and_belongs_to_its_settlement() -> None:
    (paid,) = parse("GET /fapi/v1/income", [samples.INCOME])
    assert paid.amount == Decimal("-0.37500000")
    assert paid.settlement == datetime(2023, 11, 15, tzinfo=timezone.utc)
    assert (paid.currency, paid.ledger_id) == ("USDT", "9689322392")


@pytest.mark.parametrize(
    ("client_id", "kind"),
    [
        ("faabcdefghijklmnopl1", FillKind.TRADE),
        ("autoclose-1700000000000000000", FillKind.LIQUIDATION),
        ("adl_autoclose", FillKind.ADL),
        ("settlement_autoclose-1700000000", FillKind.LIQUIDATION),
        ("", FillKind.TRADE),
    ],
)
def test_the_exchange_names_the_orders_it_makes_itself(client_id: str, kind: FillKind) -> None:
    assert m.kind_of(client_id) is kind


def test_key_permissions() -> None:
    assert parse("GET /sapi/v1/account/apiRestrictions", samples.RESTRICTIONS) == KeyPermissions(
        True, False, True
    )
    assert parse("GET /sapi/v1/account/apiRestrictions", {}) == KeyPermissions(None, None, None)
