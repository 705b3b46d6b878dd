"""dYdX's quirks, each on a payload in the documented format."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from tests.exchanges.dydx import samples
from tests.exchanges.dydx.parsers import BTC, REST

from fundingarb.domain.order import FillKind, OrderSide, OrderState
from fundingarb.errors import BadMessage
from fundingarb.exchanges.parse import decode
from fundingarb_dydx import ledger, margin, schema
from fundingarb_dydx import messages as m

D = Decimal


def parse(endpoint: str, message: Any) -> Any:
    return REST[endpoint][0](json.dumps(message).encode())


def listed(*markets: samples.Json) -> list[str]:
    answer = {"markets": {market["ticker"]: market for market in markets}}
    instruments, _ = parse("GET /v4/perpetualMarkets", answer)
    return [instrument.symbol for instrument in instruments]


def market(**changes: Any) -> samples.Json:
    return {**samples.market("A-USD", "7"), **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "FINAL_SETTLEMENT"},
        {"status": "CANCEL_ONLY"},
        {"marketType": "ISOLATED"},
        {"ticker": "A,RAYDIUM,4K3DYJZVZP8EMZWUXBBCJEVWSKKK59S5ICNLY3QRKX6R-USD"},
        {"ticker": "A-EUR"},
        {"tickSize": "0"},
        {"tickSize": "0.5"},  # not what the chain counts in
        {"maintenanceMarginFraction": "0.5"},
        {"stepBaseQuantums": None},
    ],
)
def test_only_active_cross_markets_that_can_be_understood_are_listed(changes: samples.Json) -> None:
    assert listed(samples.market("B-USD", "8"), market(**changes)) == ["B-USDT"]


def test_btc_usd_is_btc_usdt_and_settles_in_usdc_every_hour() -> None:
    assert (BTC.exchange_id, BTC.symbol, BTC.base, BTC.settle) == ("BTC-USD", "BTC-USDT", "BTC", "USDC")
    assert (BTC.tick, BTC.lot, BTC.min_quantity, BTC.funding_interval) == (
        D(1),
        D("0.0001"),
        D("0.0001"),
        timedelta(hours=1),
    )


def test_a_rate_is_that_of_the_coming_full_hour() -> None:
    _, rates = parse("GET /v4/perpetualMarkets", samples.MARKETS)
    rate = rates[0]
    assert (rate.rate, rate.interval) == (D("0.0000125"), timedelta(hours=1))
    assert rate.next_settlement == datetime(2023, 11, 14, 23, tzinfo=timezone.utc)
    assert (rate.mark, rate.index) == (D("43000.43"), D("43000.43")), (
        "the oracle price is what payments go by"
    )
    exact = datetime(2023, 11, 14, 22, tzinfo=timezone.utc)
    assert m.next_hour(exact) == exact + timedelta(hours=1), "what is settled this very moment is not to come"


def test_a_market_without_an_oracle_price_has_no_mark() -> None:
    """New markets have none yet; the recorded answers have such ones."""
    answer = {"markets": {"BTC-USD": samples.market("BTC-USD", "0", oraclePrice=None)}}
    _, (rate,) = parse("GET /v4/perpetualMarkets", answer)
    assert (rate.mark, rate.index) == (None, None)


def test_settled_rates_belong_to_the_full_hour() -> None:
    rows = parse("GET /v4/historicalFunding", samples.SETTLED)
    assert [(row.settled_at.hour, row.settled_at.minute, row.rate) for row in rows] == [
        (21, 0, D("-0.00002")),
        (22, 0, D("0.0000125")),
    ]


@pytest.mark.parametrize(
    ("bids", "asks", "left"),
    [
        ((("100", "1"),), (("101", "1"),), ("100", "101")),
        ((("102", "1"), ("100", "1")), (("101", "3"),), ("100", "101")),
        ((("102", "3"),), (("101", "1"), ("103", "1")), ("102", "103")),
        ((("102", "1"),), (("101", "1"),), (None, None)),
    ],
)
def test_a_crossed_book_is_uncrossed(bids: Any, asks: Any, left: Any) -> None:
    answer = {
        name: [{"price": price, "size": size} for price, size in side]
        for name, side in (("bids", bids), ("asks", asks))
    }
    book = parse("GET /v4/orderbooks", answer)
    assert (book.bid, book.ask) == tuple(None if price is None else D(price) for price in left)


def report(**changes: Any) -> Any:
    (found,) = parse("GET /v4/orders", [{**samples.ORDER, **changes}])
    return found


def test_an_order_of_ours() -> None:
    found = report()
    assert (found.client_id, found.symbol, found.side) == (samples.NAME, "BTC-USDT", OrderSide.SELL)
    assert (found.quantity, found.filled, found.price) == (D("0.01"), D("0.004"), D(43000))
    assert (found.state, found.average_price) == (OrderState.OPEN, None)
    assert report(clientMetadata="0").client_id is None, "a person's, by chance under our number"


@pytest.mark.parametrize(
    ("status", "last_block", "state"),
    [
        ("BEST_EFFORT_OPENED", "1000", OrderState.OPEN),
        ("BEST_EFFORT_CANCELED", "1000", OrderState.OPEN),
        ("BEST_EFFORT_CANCELED", "999", OrderState.CANCELLED),
        ("BEST_EFFORT_OPENED", "999", OrderState.CANCELLED),
        ("FILLED", "1000", OrderState.FILLED),
        ("CANCELED", "1000", OrderState.CANCELLED),
        ("OPEN", None, OrderState.OPEN),
        ("UNTRIGGERED", None, OrderState.OPEN),
    ],
)
def test_best_effort_is_not_over_before_the_last_block_has_passed(
    status: str, last_block: str | None, state: OrderState
) -> None:
    """The chain is at block 1000, which may still have the order."""
    assert report(status=status, goodTilBlock=last_block, orderFlags="0").state is state


def test_an_unknown_status_is_not_guessed() -> None:
    with pytest.raises(BadMessage, match="MAYBE"):
        report(status="MAYBE")


def held(**changes: Any) -> Any:
    answer = json.loads(json.dumps(samples.SUBACCOUNT))
    answer["subaccount"] |= changes
    return parse("GET /v4/addresses", answer)


def test_positions_with_margin_and_liquidation_price() -> None:
    """(e - s p - M) / (|s| MMF - s), each other price standing still."""
    (short, long), _ = held()
    assert (short.symbol, short.quantity, short.entry_price) == ("BTC-USDT", D("-0.25"), D(43100))
    assert (long.symbol, long.quantity, long.mark) == ("ETH-USDT", D(2), D("2300.5"))
    assert short.maintenance_margin == D("0.25") * D("43000.43") * D("0.012")
    equity, others = D("13851.3925"), 2 * D("2300.5") * D("0.012")
    price = short.liquidation_price
    assert price is not None
    assert price > D("43000.43"), "a short is liquidated above"
    left = equity - D("0.25") * (price - D("43000.43"))
    assert abs(left - (D("0.25") * price * D("0.012") + others)) < D("1e-20")
    assert long.liquidation_price is None, "not even at a price of nothing"


def test_the_documented_liquidation_price() -> None:
    """3 ETH short at 3000 with 1000 USDC and 5 % maintenance, then long: the examples of dYdX's documentation."""
    short = margin.liquidation_price(D(1000), D(-3), D(3000), D("0.05"), D(0))
    long = margin.liquidation_price(D(1000), D(3), D(3000), D("0.05"), D(0))
    assert short is not None
    assert long is not None
    assert short == D(10000) / D("3.15")
    assert long == D(-8000) / D("-2.85")


@pytest.mark.parametrize(("side", "size"), [("SHORT", "-0.25"), ("SHORT", "0.25"), ("LONG", "0.25")])
def test_the_side_signs_a_position(side: str, size: str) -> None:
    assert margin.signed_size(side, size) == (D("-0.25") if side == "SHORT" else D("0.25"))


def test_the_wallet_has_what_positions_cost() -> None:
    """The chain's USDC less the cost of the short (a credit) and plus that of the long."""
    _, balance = held()
    assert balance.currency == "USDC"
    assert balance.wallet == D("20000.5") - D("0.25") * 43100 + 2 * D(2400)
    assert (balance.equity, balance.available) == (D("13851.3925"), D("13544.370"))
    assert held(freeCollateral="-5")[1].available == 0


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("LIMIT", FillKind.TRADE),
        ("LIQUIDATION", FillKind.TRADE),
        ("LIQUIDATED", FillKind.LIQUIDATION),
        ("DELEVERAGED", FillKind.LIQUIDATION),
        ("OFFSETTING", FillKind.ADL),
    ],
)
def test_who_closed_a_position(kind: str, found: FillKind) -> None:
    (fill,) = parse("GET /v4/fills", {"fills": [{**samples.FILL, "type": kind}]})
    assert fill.kind is found


def test_a_rebate_is_a_negative_fee() -> None:
    (fill,) = parse("GET /v4/fills", {"fills": [samples.FILL]})
    assert (fill.fee, fill.maker, fill.side) == (D("-1.077500"), True, OrderSide.SELL)
    tier = parse("GET user_fee_tier", samples.FEES)
    assert (tier.maker, tier.taker) == (D("-0.00011"), D("0.0005"))


@pytest.mark.parametrize("written", ["2023-11-14T22:00:03.120Z", "2023-11-14T22:37:41.000Z"])
def test_a_payment_belongs_to_the_hour_before_it_was_written(written: str) -> None:
    (paid,) = parse(
        "GET /v4/fundingPayments", {"fundingPayments": [{**samples.PAYMENT, "createdAt": written}]}
    )
    assert paid.settlement == datetime(2023, 11, 14, 22, tzinfo=timezone.utc)
    assert (paid.amount, paid.currency, paid.ledger_id) == (D("0.134375"), "USDC", "BTC-USD:63040000")


def test_transfers_out_are_negative() -> None:
    assert parse("GET /v4/transfers", {"transfers": [samples.TRANSFER]}) == [D("-10.5")]
    back = {
        **samples.TRANSFER,
        "sender": samples.TRANSFER["recipient"],
        "recipient": samples.TRANSFER["sender"],
    }
    assert parse("GET /v4/transfers", {"transfers": [back]}) == [D("10.5")]


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2023-11-14", "2023-11-14T22:00:00", "0001-01-01T00:00:00Z"]
)
def test_times_are_utc_and_whole(text: str) -> None:
    with pytest.raises(BadMessage):
        m.time_of(text, "time")


# what closing fills brought


def fills(*rows: tuple[str, str, str]) -> list[schema.Fill]:
    body = [
        {**samples.FILL, "id": str(number), "side": side, "size": size, "price": price,
         "createdAt": f"2023-11-14T22:{number:02d}:00.000Z"}
        for number, (side, size, price) in enumerate(rows)
    ]  # fmt: skip
    return decode(schema.Fills, json.dumps({"fills": body}).encode(), "fills").fills


def results(*rows: tuple[str, str, str]) -> list[Decimal]:
    found, given = ledger.Results(), fills(*rows)
    found.take("BTC-USD", given)
    return [found.of("BTC-USD", row.id) for row in given]


def cash_of(rows: Iterable[tuple[str, str, str]]) -> Decimal:
    return sum(((1 if side == "SELL" else -1) * D(size) * D(price) for side, size, price in rows), D(0))


def test_closing_brings_the_difference_to_the_average_cost() -> None:
    """The indexer averages over all opening fills, also later ones: that would not add up to the cash (30)."""
    rows = (("BUY", "1", "100"), ("SELL", "0.5", "110"), ("BUY", "1", "120"), ("SELL", "1.5", "130"))
    brought = results(*rows)
    assert brought[:3] == [0, 5, 0]
    assert sum(brought) == cash_of(rows) == 30


@pytest.mark.parametrize(("opens", "closes"), [("BUY", "SELL"), ("SELL", "BUY")])
def test_results_of_a_closed_position_are_its_cash_exactly(opens: str, closes: str) -> None:
    """No average price has enough digits for three thirds: what one part rounds away comes back with the last."""
    rows = (
        (opens, "2804000000", "0.000017812716"), (opens, "3000000", "0.0000178123"),
        (closes, "7000000", "0.000017913"), (closes, "1300000000", "0.00001791"),
        (closes, "1500000000", "0.000017905001"),
    )  # fmt: skip
    brought = results(*rows)
    assert sum(brought) == cash_of(rows)
    average = D("49946.85566400") + D("53.4369")
    assert brought[2] == (1 if closes == "SELL" else -1) * (
        D("7000000") * D("0.000017913") - (average * 7 / 2807).quantize(ledger.CENT)
    )


def test_a_fill_that_turns_a_position_closes_and_opens() -> None:
    assert results(("SELL", "1", "100"), ("BUY", "3", "90"), ("SELL", "2", "95")) == [0, 10, 10]


def test_results_go_on_where_they_stopped() -> None:
    found, rows = ledger.Results(), fills(("BUY", "1", "100"), ("BUY", "1", "110"), ("SELL", "1", "120"))
    begin = m.time_of(rows[0].createdAt, "t")
    assert not found.covers("BTC-USD", rows[:2], begin)
    found.take("BTC-USD", rows[:2])
    assert found.covers("BTC-USD", rows, begin), "everything since then is there"
    assert not found.covers("BTC-USD", rows[2:], begin + timedelta(minutes=2)), (
        "there may be something in between"
    )
    found.take("BTC-USD", rows[1:])
    assert found.of("BTC-USD", "2") == 15


def test_results_start_anew_for_what_is_older_than_what_is_known() -> None:
    """A reading of one market began with its newest position; a wider one then brings an older position too."""
    found = ledger.Results()
    rows = fills(("SELL", "1", "100"), ("BUY", "1", "90"), ("BUY", "2", "95"), ("SELL", "2", "97"))
    begin = m.time_of(rows[0].createdAt, "t")
    found.take("BTC-USD", rows[2:3])
    assert found.covers("BTC-USD", rows[2:], begin + timedelta(minutes=1))
    assert not found.covers("BTC-USD", rows, begin)
    found.restart("BTC-USD")
    found.take("BTC-USD", rows)
    assert [found.of("BTC-USD", row.id) for row in rows] == [0, 10, 0, 4]


def test_where_a_position_began() -> None:
    def position(created: str, closed: str | None) -> schema.Position:
        body = {**samples.POSITION, "createdAt": created, "closedAt": closed}
        return decode(schema.Position, json.dumps(body).encode(), "position")

    rows = [
        position("2023-11-14T20:00:00.000Z", "2023-11-14T21:00:00.000Z"),
        position("2023-11-14T21:00:00.000Z", None),
    ]
    at = m.time_of("2023-11-14T22:00:00.000Z", "t")
    opened = ledger.opened_at(rows, "BTC-USD", at)
    assert opened is not None
    assert opened.hour == 21
    assert ledger.opened_at(rows, "ETH-USD", at) is None
    turned = m.time_of("2023-11-14T21:00:00.000Z", "t")
    older = ledger.opened_at(rows, "BTC-USD", turned)
    assert older is not None
    assert older.hour == 20, "the fill that turned it closed the older one"


class Listed:
    """The indexer's fills of one subaccount, minutes past 22:00, newest first; ``paged``: it knows ``page``."""

    def __init__(self, minutes: Sequence[int], *, paged: bool = True) -> None:
        self.rows = [
            {**samples.FILL, "id": str(number), "createdAt": f"2023-11-14T22:{minute:02d}:00.000Z"}
            for number, minute in enumerate(minutes)
        ]
        self.paged = paged
        self.asked: list[dict[str, Any]] = []

    async def read(self, params: dict[str, Any]) -> list[schema.Fill]:
        self.asked.append(params)
        left = [row for row in self.rows if row["createdAt"] <= params.get("createdBeforeOrAt", "9999")]
        begin = (params.get("page", 1) - 1) * params["limit"] if self.paged else 0
        body = {"fills": left[begin : begin + params["limit"]]}
        return decode(schema.Fills, json.dumps(body).encode(), "fills").fills

    async def since(self, minute: int) -> list[str]:
        since = m.time_of(f"2023-11-14T22:{minute:02d}:00.000Z", "t")
        found = await ledger.rows_since(
            self.read, since, "createdBeforeOrAt", lambda row: row.createdAt, lambda row: row.id
        )
        return [row.id for row in found]


@pytest.mark.anyio
async def test_lists_are_read_to_the_last_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages end in the middle of a moment; what two of them have is taken once."""
    monkeypatch.setattr(ledger, "PAGE", 3)
    fills = Listed([40, 30, 30, 20, 10, 5])
    assert await fills.since(8) == ["4", "3", "2", "1", "0"]
    assert len(fills.asked) > 1


@pytest.mark.anyio
@pytest.mark.parametrize("of_one_moment", [3, 4, 6, 7, 11])
async def test_more_rows_of_one_moment_than_a_page_has_are_all_read(
    monkeypatch: pytest.MonkeyPatch, of_one_moment: int
) -> None:
    """All fills of a block have its time."""
    monkeypatch.setattr(ledger, "PAGE", 3)
    fills = Listed([40, *[30] * of_one_moment, 20, 10])
    assert sorted(map(int, await fills.since(8))) == list(range(of_one_moment + 3))


@pytest.mark.anyio
async def test_rows_that_an_indexer_keeps_to_itself_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "PAGE", 3)
    with pytest.raises(BadMessage, match="no more than 3 rows of 2023-11-14T22:30"):
        await Listed([40, *[30] * 4, 20, 10], paged=False).since(8)
