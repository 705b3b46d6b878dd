"""Bybit's quirks, each on a payload in the documented format."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.exchanges.bybit import samples
from tests.exchanges.bybit.parsers import AT, BTC, KNOWN, REST

from fundingarb.domain.order import FillKind, OrderSide, OrderState
from fundingarb.errors import BadMessage
from fundingarb.exchanges.parse import decode
from fundingarb.ports import KeyPermissions
from fundingarb_bybit import ledger, schema
from fundingarb_bybit import messages as m


def parse(endpoint: str, message: Any) -> Any:
    return REST[endpoint][0](json.dumps(message).encode())


def listed(*contracts: samples.Json) -> list[str]:
    return [
        instrument.exchange_id
        for instrument in parse("GET /v5/market/instruments-info", samples.page(*contracts))
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"contractType": "LinearFutures"},
        {"status": "PreLaunch", "isPreListing": True},
        {"status": "Delivering"},
        {"settleCoin": "USDC", "quoteCoin": "USDC"},
        {"isPreListing": True},
    ],
)
def test_only_usdt_perpetuals_in_trading_are_listed(changes: samples.Json) -> None:
    assert listed(samples.contract("AUSDT", "A"), samples.contract("BUSDT", "B", **changes)) == ["AUSDT"]


def test_one_contract_that_cannot_be_understood_is_left_out() -> None:
    broken = samples.contract("BUSDT", "B", priceFilter={"tickSize": "0"})
    odd = samples.contract("CUSDT", "C", fundingInterval=None)
    assert listed(broken, odd, samples.contract("AUSDT", "A")) == ["AUSDT"]


def test_intervals_are_minutes_and_units_are_base_units() -> None:
    pepe = KNOWN.by_id("1000PEPEUSDT")
    assert pepe is not None
    assert (pepe.symbol, pepe.funding_interval) == ("PEPE-USDT", timedelta(hours=4))
    assert (pepe.tick, pepe.lot) == (Decimal("1e-10"), Decimal(100_000))
    assert BTC.funding_interval == timedelta(hours=8)
    assert BTC.delists_at is None


def test_a_delivery_time_is_a_delisting() -> None:
    (found,) = parse(
        "GET /v5/market/instruments-info",
        samples.page(samples.contract("AUSDT", "A", deliveryTime="1800000000000")),
    )
    assert found.delists_at == datetime(2027, 1, 15, 8, tzinfo=timezone.utc)


def test_the_tickers_own_interval_counts() -> None:
    """The list of instruments lags behind a change; the ticker says it at once."""
    (rate,) = parse("GET /v5/market/tickers", samples.page(samples.TICKER))
    assert rate.interval == timedelta(hours=4)
    assert rate.rate == Decimal("-0.000212")
    assert rate.next_settlement == datetime(2023, 11, 15, tzinfo=timezone.utc)
    (rate,) = parse("GET /v5/market/tickers", samples.page({**samples.TICKER, "fundingIntervalHour": ""}))
    assert rate.interval == timedelta(hours=8)


@pytest.mark.parametrize(
    "change",
    [{"fundingRate": ""}, {"fundingRate": "2"}, {"nextFundingTime": "0"}, {"fundingIntervalHour": "99"}],
)
def test_impossible_rates(change: samples.Json) -> None:
    with pytest.raises(BadMessage):
        parse("GET /v5/market/tickers", samples.page({**samples.TICKER, **change}))


def test_one_bad_rate_spoils_no_other() -> None:
    rows = decode(
        list[msgspec.Raw], json.dumps([{"symbol": "ETHUSDT"}, {"odd": 1}, samples.TICKER]).encode(), "rates"
    )
    rates = m.funding_rates(rows, KNOWN, {"BTCUSDT", "ETHUSDT"}, AT)
    assert [rate.instrument.symbol for rate in rates] == ["BTC-USDT"]


def test_settled_rates_come_oldest_first() -> None:
    rates = parse("GET /v5/market/funding/history", samples.SETTLED)
    assert [rate.rate for rate in rates] == [Decimal("-0.0002"), Decimal("0.0001")]


def test_the_sign_of_funding_is_the_ledgers() -> None:
    """``change`` is what the wallet changed by. Documented: funding positive is received, negative is paid, and
    change = cashFlow + funding - fee. (execution/list has the opposite sign, which is why it is not read.)"""
    paid, trade = parse(
        "GET /v5/account/transaction-log", samples.page(samples.FUNDING_ROW, samples.TRADE_ROW)
    )
    assert paid.amount == Decimal("-0.003676")
    assert paid.settlement == datetime(2023, 11, 15, tzinfo=timezone.utc)
    received = {**samples.FUNDING_ROW, "funding": "0.5", "change": "0.5", "side": "Sell"}
    (row,) = parse("GET /v5/account/transaction-log", samples.page(received))
    assert row.amount == Decimal("0.5")
    assert trade.realized_pnl - trade.fee == Decimal("1.2309128")


@pytest.mark.parametrize(
    ("fee", "change"),
    [
        ("0.0190872", "1.2309128"),
        ("-0.01", "1.26"),  # a rebate
        ("0.0190872", "1.2245090"),  # taxed: extra fees are in the change but not in the fee
    ],
)
def test_result_less_fee_is_the_change_of_the_wallet(fee: str, change: str) -> None:
    (fill,) = parse(
        "GET /v5/account/transaction-log", samples.page({**samples.TRADE_ROW, "fee": fee, "change": change})
    )
    assert fill.realized_pnl == Decimal("1.25")
    assert fill.realized_pnl - fill.fee == Decimal(change)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("TRADE", FillKind.TRADE),
        ("LIQUIDATION", FillKind.LIQUIDATION),
        ("ADL", FillKind.ADL),
        ("DELIVERY", FillKind.LIQUIDATION),
    ],
)
def test_what_the_exchange_closes_by_itself(kind: str, expected: FillKind) -> None:
    (fill,) = parse("GET /v5/account/transaction-log", samples.page({**samples.TRADE_ROW, "type": kind}))
    assert fill.kind is expected


def test_rows_that_are_no_executions_are_no_fills() -> None:
    transfer = {**samples.TRADE_ROW, "type": "TRANSFER_IN", "qty": "", "tradePrice": "", "symbol": ""}
    interest = {**samples.TRADE_ROW, "type": "INTEREST"}
    assert parse("GET /v5/account/transaction-log", samples.page(transfer, interest)) == [None, None]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("New", OrderState.OPEN),
        ("PartiallyFilled", OrderState.OPEN),
        ("Untriggered", OrderState.OPEN),
        ("Filled", OrderState.FILLED),
        ("Cancelled", OrderState.CANCELLED),
        ("PartiallyFilledCanceled", OrderState.CANCELLED),
        ("Deactivated", OrderState.CANCELLED),
        ("Rejected", OrderState.REFUSED),
    ],
)
def test_order_states(status: str, state: OrderState) -> None:
    (report,) = parse("GET /v5/order/realtime", samples.page({**samples.ORDER, "orderStatus": status}))
    assert report.state is state
    assert report.filled == Decimal("0.004")  # a cancelled order may be partly filled


def test_why_an_order_ended() -> None:
    row = {**samples.ORDER, "orderStatus": "Cancelled", "rejectReason": "EC_PostOnlyWillTakeLiquidity"}
    (report,) = parse("GET /v5/order/realtime", samples.page(row))
    assert report.reason == "EC_PostOnlyWillTakeLiquidity"
    (fine,) = parse("GET /v5/order/realtime", samples.page(samples.ORDER))
    assert fine.reason == ""


def test_an_undocumented_state_is_not_guessed() -> None:
    with pytest.raises(BadMessage, match="HalfFilled"):
        parse("GET /v5/order/realtime", samples.page({**samples.ORDER, "orderStatus": "HalfFilled"}))


def test_an_acknowledged_order_is_open_until_the_exchange_says_more() -> None:
    report = parse("POST /v5/order/create", samples.CREATED)
    assert (report.state, report.filled) == (OrderState.OPEN, Decimal(0))
    with pytest.raises(BadMessage, match="without an order id"):
        parse("POST /v5/order/create", samples.answer({"orderId": "", "orderLinkId": "x"}))


def test_short_positions_are_negative() -> None:
    short, flat = parse(
        "GET /v5/position/list",
        samples.page(
            samples.POSITION,
            {
                **samples.POSITION,
                "side": "",
                "size": "0",
                "avgPrice": "0",
                "liqPrice": "",
                "adlRankIndicator": 0,
            },
        ),
    )
    assert (short.quantity, short.entry_price, short.leverage) == (
        Decimal("-0.25"),
        Decimal("43000.4"),
        Decimal(5),
    )
    assert (short.adl_rank, short.maintenance_margin) == (2, Decimal(53))
    assert flat.quantity == 0
    assert (flat.liquidation_price, flat.adl_rank) == (None, None)


def test_foreign_contracts_keep_their_own_name() -> None:
    (row,) = parse("GET /v5/position/list", samples.page({**samples.POSITION, "symbol": "BTC-29MAR24"}))
    assert row.symbol == "BTC-29MAR24"


def test_multiplier_contracts_are_converted() -> None:
    order = {
        **samples.ORDER,
        "symbol": "1000PEPEUSDT",
        "price": "0.0123",
        "avgPrice": "0.0122",
        "qty": "500",
        "cumExecQty": "200",
    }
    (report,) = parse("GET /v5/order/realtime", samples.page(order))
    assert (report.symbol, report.quantity, report.filled) == (
        "PEPE-USDT",
        Decimal(500_000),
        Decimal(200_000),
    )
    assert (report.price, report.average_price) == (Decimal("0.0000123"), Decimal("0.0000122"))


def test_the_balance_counts_margin_in_use() -> None:
    balance = parse("GET /v5/account/wallet-balance", samples.WALLET)
    assert (balance.wallet, balance.equity) == (Decimal("1000.12"), Decimal("975.12"))
    assert (balance.available, balance.maintenance_margin) == (Decimal("500.25"), Decimal("53.1"))


def test_isolated_accounts_have_no_account_wide_figure() -> None:
    wallet = json.loads(json.dumps(samples.WALLET))
    wallet["result"]["list"][0]["totalAvailableBalance"] = ""
    balance = parse("GET /v5/account/wallet-balance", wallet)
    assert balance.available == Decimal("1000.12") - Decimal(2150) - Decimal(10)


def test_an_account_that_never_held_usdt() -> None:
    assert parse("GET /v5/account/wallet-balance", samples.page({"coin": []})).wallet == 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, KeyPermissions(True, False, True, False)),
        ({"readOnly": 1}, KeyPermissions(False, False, True, False)),
        (
            {"permissions": {"ContractTrade": [], "Derivatives": []}},
            KeyPermissions(False, False, True, False),
        ),
        (
            {"permissions": {"ContractTrade": ["Order"], "Wallet": ["AccountTransfer", "Withdraw"]}},
            KeyPermissions(True, True, True, True),
        ),
        ({"ips": ["*"]}, KeyPermissions(True, False, False, False)),
    ],
)
def test_key_permissions(change: samples.Json, expected: KeyPermissions) -> None:
    assert parse("GET /v5/user/query-api", samples.answer({**samples.KEY, **change})) == expected


def test_sides_are_ours() -> None:
    assert m.side_of("Buy") is OrderSide.BUY
    with pytest.raises(BadMessage):
        m.side_of("None")


class Log:
    """transaction-log as documented: windows of seven days, pages by cursor, newest first, ids that repeat."""

    def __init__(self, times: list[int], page: int) -> None:
        self.rows = [
            msgspec.convert(
                {**samples.TRADE_ROW, "transactionTime": str(t), "tradeId": f"t{n}", "id": f"i{n // 2}"},
                schema.LedgerRow,
            )
            for n, t in enumerate(sorted(times))
        ]
        self.page = page

    async def read(self, params: dict[str, Any]) -> schema.Page[schema.LedgerRow]:
        assert params["endTime"] - params["startTime"] <= 7 * 86_400_000
        found = [r for r in self.rows if params["startTime"] <= int(r.transactionTime) <= params["endTime"]][
            ::-1
        ]
        first = int(params.get("cursor", "0"))
        rest = first + self.page < len(found)
        return schema.Page(found[first : first + self.page], str(first + self.page) if rest else "")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "days", [[], [0], [0.5] * 7, [0, 1, 6.99999, 7, 7.1, 8, 20, 20, 29.9], list(range(30))]
)
async def test_the_ledger_is_read_to_the_last_row(days: list[float]) -> None:
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    base = int(start.timestamp() * 1000)
    log = Log([base + round(day * 86_400_000) for day in days], 2)
    found = await ledger.rows_since(log.read, start, start + timedelta(days=30))
    assert [row.tradeId for row in found] == [row.tradeId for row in log.rows]
