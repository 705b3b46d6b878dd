"""What OKX says, made ours: contracts become base units, signs become ours, what was charged is told from what was
predicted."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.exchanges import wire
from tests.exchanges.okx import samples
from tests.exchanges.okx.parsers import AT, BTC, KNOWN, LISTED, SENT

from fundingarb.domain.order import FillKind, OrderSide, OrderState
from fundingarb.errors import BadMessage, ExchangeError
from fundingarb.exchanges import values
from fundingarb.exchanges.parse import decode
from fundingarb.exchanges.values import Units
from fundingarb.ports import KeyPermissions
from fundingarb_okx import messages as m
from fundingarb_okx import schema as s


def one(kind: Any, row: Any, **changes: Any) -> Any:
    return decode(kind, json.dumps({**row, **changes}).encode(), "row")


def raw(*rows: Any) -> list[msgspec.Raw]:
    return [msgspec.Raw(json.dumps(row).encode()) for row in rows]


def instrument(symbol: str) -> Any:
    return KNOWN.get(symbol)


class TestContracts:
    @pytest.mark.skipif(not wire.files("okx"), reason=wire.ABSENT.kwargs["reason"])
    def test_a_recorded_position_is_in_base_units(self) -> None:
        """The exchange's own value in USD, recorded beside the contracts, says how much it was."""
        (path,) = (each for each in wire.files("okx") if each.stem == "ccxt-docsamples-rest")
        recorded = [
            each["sample"] for each in json.loads(path.read_text()) if each["method"] == "parse_position"
        ]
        (row,) = (each for each in recorded if "pos" in each)
        found = m.position(one(s.Position, row), "x", KNOWN)
        assert found.quantity * Decimal(row["last"]) == pytest.approx(
            Decimal(row["notionalUsd"]), rel=Decimal("0.01")
        )

    def test_sizes_are_base_units(self) -> None:
        assert (BTC.lot, BTC.min_quantity, BTC.tick) == (Decimal("0.001"), Decimal("0.001"), Decimal("0.1"))
        assert BTC.max_quantity == 120, "market orders may be smaller than limit orders: 12,000 contracts"
        assert (BTC.multiplier, BTC.min_notional) == (Decimal(1), Decimal(0))
        pepe = instrument("PEPE-USDT")
        assert (pepe.lot, pepe.multiplier) == (1_000_000, 1)
        assert KNOWN.units(pepe) == Units(Decimal(10_000_000), Decimal(1))

    def test_a_contract_multiplier_counts(self) -> None:
        """ctVal 100 x ctMult 10 of 1000SATS, which is a thousand SATS."""
        sats = instrument("SATS-USDT")
        assert sats.exchange_id == "1000SATS-USDT-SWAP"
        assert (sats.multiplier, sats.lot) == (1000, 1_000_000)
        assert sats.tick == Decimal("0.0000000001")
        assert KNOWN.units(sats) == Units(Decimal(1_000_000), Decimal(1000))

    def test_intervals_lie_between_two_settlements(self) -> None:
        hours = {each.symbol: each.funding_interval / timedelta(hours=1) for each in KNOWN}
        assert hours == {"BTC-USDT": 4, "ETH-USDT": 8, "PEPE-USDT": 4, "SATS-USDT": 1}
        (found,) = m.contracts(raw(samples.contract("BTC")), {})
        assert found.instrument.funding_interval == timedelta(hours=8)

    @pytest.mark.parametrize(
        "changes",
        [
            {"state": "suspend"},
            {"state": "preopen"},
            {"ctType": "inverse", "settleCcy": "BTC", "ctValCcy": "USD"},
            {"instFamily": "BTC-USD_UM", "instId": "BTC-USD_UM-SWAP"},
            {"settleCcy": "USDC", "instFamily": "BTC-USDC"},
            {"ruleType": "pre_market"},
            {"ctValCcy": "USDT"},
        ],
    )
    def test_others_are_left_out(self, changes: samples.Json) -> None:
        assert m.contracts(raw(samples.contract("BTC", **changes)), {}) == []

    @pytest.mark.parametrize(
        "changes", [{"ctVal": "0"}, {"ctVal": ""}, {"lotSz": "NaN"}, {"tickSz": "-1"}, {"ctMult": "x"}]
    )
    def test_an_entry_that_cannot_be_understood_spoils_no_other(self, changes: samples.Json) -> None:
        said: list[str] = []
        rows = raw(samples.contract("BTC", **changes), samples.contract("ETH"))
        found = m.contracts(rows, {}, lambda reason, body: said.append(reason))
        assert [each.instrument.symbol for each in found] == ["ETH-USDT"]
        assert len(said) == 1

    def test_a_delisting_is_announced_by_an_expiry(self) -> None:
        (found,) = m.contracts(raw(samples.contract("BTC", expTime="1700000000000")), {})
        assert found.instrument.delists_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)

    def test_what_is_not_listed_has_plain_units(self) -> None:
        assert KNOWN.units(None) == Units()


class TestRates:
    def test_the_rate_is_for_the_coming_settlement(self) -> None:
        row = one(s.Funding, samples.funding())
        rate = m.funding_rate(row, LISTED, {"BTC-USDT-SWAP": "43000.43"}, {"BTC-USDT": "42990.92"}, AT)
        assert (rate.rate, rate.interval) == (Decimal("-0.000212"), timedelta(hours=4))
        assert rate.next_settlement == datetime(2023, 11, 15, tzinfo=timezone.utc)
        assert (rate.mark, rate.index) == (Decimal("43000.43"), Decimal("42990.92"))
        assert rate.predicted is None

    def test_a_predicted_rate_is_told_apart(self) -> None:
        row = one(s.Funding, samples.funding(method="next_period", nextFundingRate="0.0002608"))
        rate = m.funding_rate(row, LISTED, {}, {}, AT)
        assert (rate.rate, rate.predicted) == (Decimal("-0.000212"), Decimal("0.0002608"))

    def test_prices_of_a_thousand_fold_symbol(self) -> None:
        sats = instrument("SATS-USDT")
        row = one(s.Funding, samples.funding("1000SATS-USDT-SWAP"))
        marks, indexes = {"1000SATS-USDT-SWAP": "0.5"}, {"1000SATS-USDT": "0.4"}
        rate = m.funding_rate(row, KNOWN.listed(sats), marks, indexes, AT)
        assert (rate.mark, rate.index) == (Decimal("0.0005"), Decimal("0.0004"))

    @pytest.mark.parametrize(
        "changes",
        [{"fundingRate": ""}, {"fundingRate": "NaN"}, {"fundingTime": ""}, {"nextFundingTime": "1700006400000"},
         {"nextFundingTime": "1600000000000"}, {"nextFundingTime": "1900000000000"}],
    )  # fmt: skip
    def test_values_that_cannot_be(self, changes: samples.Json) -> None:
        with pytest.raises(BadMessage):
            m.funding_rate(one(s.Funding, samples.funding(**changes)), LISTED, {}, {}, AT)

    def test_settled_rates_are_the_realised_ones(self) -> None:
        rows = decode(s.Answer[s.SettledFunding], json.dumps(samples.SETTLED).encode(), "settled").data
        assert [rate.rate for rate in m.settled(rows, "BTC-USDT")] == [Decimal("-0.0002"), Decimal("0.0001")]


class TestOrders:
    def test_contracts_become_base_units(self) -> None:
        report = m.order_report(one(s.Order, samples.ORDER), "main", KNOWN)
        assert (report.symbol, report.client_id, report.state) == (
            "BTC-USDT",
            "faabcdefghijklmnopl1",
            OrderState.OPEN,
        )
        assert (report.quantity, report.filled) == (Decimal("0.01"), Decimal("0.004"))
        assert (report.price, report.average_price) == (Decimal("43000.4"), Decimal("43000.45"))
        assert (report.side, report.reduce_only) == (OrderSide.SELL, True)

    @pytest.mark.parametrize(
        ("state", "expected"),
        [("live", OrderState.OPEN), ("filled", OrderState.FILLED), ("canceled", OrderState.CANCELLED),
         ("mmp_canceled", OrderState.CANCELLED)],
    )  # fmt: skip
    def test_states(self, state: str, expected: OrderState) -> None:
        assert m.order_report(one(s.Order, samples.ORDER, state=state), "main", KNOWN).state is expected

    def test_why_it_was_cancelled(self) -> None:
        order = one(
            s.Order, samples.ORDER, state="canceled", cancelSource="31", cancelSourceReason="post-only"
        )
        assert m.order_report(order, "main", KNOWN).reason == "cancel source 31: post-only"

    def test_a_state_nobody_documented(self) -> None:
        with pytest.raises(BadMessage, match="order state"):
            m.order_report(one(s.Order, samples.ORDER, state="effective"), "main", KNOWN)

    def test_an_order_of_something_else_keeps_its_name(self) -> None:
        report = m.order_report(one(s.Order, samples.ORDER, instId="BTC-USD-SWAP", clOrdId=""), "main", KNOWN)
        assert (report.symbol, report.client_id, report.quantity) == ("BTC-USD-SWAP", None, Decimal(1))

    def test_what_was_taken_in_is_open(self) -> None:
        rows = decode(s.Answer[s.Placed], json.dumps(samples.PLACED).encode(), "placed").data
        report = m.created(rows, SENT, "main", AT)
        assert (report.state, report.exchange_order_id) == (OrderState.OPEN, "312269865356374016")

    @pytest.mark.parametrize("changes", [{"ordId": ""}, {"sCode": "51149"}])
    def test_an_answer_without_an_order(self, changes: samples.Json) -> None:
        with pytest.raises(BadMessage):
            m.created([one(s.Placed, samples.PLACED["data"][0], **changes)], SENT, "main", AT)

    def test_books_are_in_base_units(self) -> None:
        depth = decode(s.Answer[s.Depth], json.dumps(samples.DEPTH).encode(), "depth").data[0]
        rows = [[(level[0], level[1]) for level in side] for side in (depth.bids, depth.asks)]
        book = values.order_book(BTC, rows[0], rows[1], AT, units=KNOWN.units(BTC))
        assert book.asks == ((Decimal("43000.5"), Decimal("0.7")), (Decimal("43000.9"), Decimal(2)))
        assert book.bids == ((Decimal("43000.4"), Decimal("1.5")),)
        assert depth.number == 7


class TestAccount:
    def test_a_position(self) -> None:
        held = m.position(one(s.Position, samples.POSITION), "main", KNOWN)
        assert (held.symbol, held.quantity, held.entry_price) == (
            "BTC-USDT",
            Decimal("-0.25"),
            Decimal("43000.4"),
        )
        assert (held.mark, held.liquidation_price) == (Decimal(43100), Decimal("51000.5"))
        assert (held.leverage, held.maintenance_margin, held.unrealized_pnl) == (
            Decimal(3),
            Decimal(53),
            Decimal("-24.9"),
        )
        assert held.adl_rank == 2

    @pytest.mark.parametrize(("adl", "rank"), [("", None), ("0", 1), ("1", 1), ("5", 5)])
    def test_adl_ranks(self, adl: str, rank: int | None) -> None:
        assert m.position(one(s.Position, samples.POSITION, adl=adl), "main", KNOWN).adl_rank == rank

    def test_a_short_in_long_short_mode_has_no_sign(self) -> None:
        held = m.position(one(s.Position, samples.POSITION, pos="25", posSide="short"), "main", KNOWN)
        assert held.quantity == Decimal("-0.25")

    def test_the_balance_of_futures_mode(self) -> None:
        rows = decode(s.Answer[s.Wallet], json.dumps(samples.WALLET).encode(), "wallet").data
        found = m.balance(rows, "main")
        assert (found.wallet, found.equity, found.available) == (
            Decimal("1000.12"), Decimal("975.12"), Decimal("500.25"),
        )  # fmt: skip
        assert found.maintenance_margin == Decimal("53.1")

    def test_the_balance_of_multi_currency_mode(self) -> None:
        coin = {**samples.COIN, "mmr": "", "availEq": ""}
        found = m.balance([one(s.Wallet, {"details": [coin], "availEq": "480", "mmr": "54"})], "main")
        assert (found.available, found.maintenance_margin) == (Decimal(480), Decimal(54))

    def test_an_account_without_usdt(self) -> None:
        assert m.balance([one(s.Wallet, {"details": []})], "main").wallet == 0

    def test_fees_are_negative_when_charged(self) -> None:
        fees = one(s.Fees, samples.FEES)
        grouped, usdt = m.fee_tier(fees, "4"), m.fee_tier(fees, "")
        assert (grouped.maker, grouped.taker) == (Decimal("-0.00005"), Decimal("0.0006")), (
            "a rebate for makers"
        )
        assert (usdt.maker, usdt.taker) == (Decimal("0.0002"), Decimal("0.0005"))
        assert m.fee_tier(fees, "99") == usdt

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, KeyPermissions(True, False, True, True)),
            ({"ip": ""}, KeyPermissions(True, False, False, True)),
            ({"perm": "read_only"}, KeyPermissions(False, False, True, False)),
            ({"perm": "read_only,withdraw,trade"}, KeyPermissions(True, True, True, True)),
            ({"perm": ""}, KeyPermissions(None, None, True, None)),
        ],
    )
    def test_permissions(self, changes: samples.Json, expected: KeyPermissions) -> None:
        assert m.permissions(one(s.AccountConfig, samples.CONFIG, **changes)) == expected

    def test_spot_mode_has_no_swaps(self) -> None:
        with pytest.raises(ExchangeError, match="switch it to Futures mode"):
            m.check_account_mode(one(s.AccountConfig, samples.CONFIG, acctLv="1"))
        for level in "234":
            m.check_account_mode(one(s.AccountConfig, samples.CONFIG, acctLv=level))


class TestBills:
    def fill(self, **changes: Any) -> Any:
        bill = one(s.Bill, samples.TRADE_BILL, **changes)
        assert m.is_fill(bill)
        return m.fill(bill, "main", BTC, KNOWN)

    def test_an_execution(self) -> None:
        fill = self.fill()
        assert (fill.quantity, fill.price, fill.side) == (
            Decimal("0.004"),
            Decimal("43000.45"),
            OrderSide.SELL,
        )
        assert (fill.fee, fill.realized_pnl, fill.maker) == (Decimal("0.0190872"), Decimal("1.25"), True)
        assert (fill.trade_id, fill.client_id, fill.kind) == (
            "744876980",
            "faabcdefghijklmnopl1",
            FillKind.TRADE,
        )
        assert fill.realized_pnl - fill.fee == Decimal(samples.TRADE_BILL["balChg"])

    @pytest.mark.parametrize(
        ("kind", "subtype", "side", "expected"),
        [
            ("2", "1", OrderSide.BUY, FillKind.TRADE),
            ("2", "3", OrderSide.BUY, FillKind.TRADE),
            ("2", "5", OrderSide.SELL, FillKind.TRADE),
            ("2", "6", OrderSide.BUY, FillKind.TRADE),
            ("2", "204", OrderSide.BUY, FillKind.TRADE),
            ("5", "102", OrderSide.BUY, FillKind.LIQUIDATION),
            ("5", "104", OrderSide.SELL, FillKind.LIQUIDATION),
            ("5", "105", OrderSide.BUY, FillKind.LIQUIDATION),
            ("9", "125", OrderSide.SELL, FillKind.ADL),
            ("9", "127", OrderSide.BUY, FillKind.ADL),
            ("3", "112", OrderSide.SELL, FillKind.LIQUIDATION),
        ],
    )
    def test_subtypes(self, kind: str, subtype: str, side: OrderSide, expected: FillKind) -> None:
        fill = self.fill(type=kind, subType=subtype)
        assert (fill.side, fill.kind) == (side, expected)

    def test_a_clawback_is_a_fill_of_nothing(self) -> None:
        fill = self.fill(type="10", subType="110", sz="3", px="", tradeId="", pnl="", fee="", balChg="-1.75")
        assert (fill.quantity, fill.fee, fill.kind) == (0, Decimal("1.75"), FillKind.LIQUIDATION)

    def test_the_fee_of_a_liquidation_is_a_fill_of_nothing(self) -> None:
        fill = self.fill(
            type="5", subType="109", sz="", px="", tradeId="", pnl="0", fee="-2.5", balChg="-2.5"
        )
        assert (fill.quantity, fill.fee, fill.kind) == (0, Decimal("2.5"), FillKind.LIQUIDATION)
        assert fill.trade_id == f"bill{samples.TRADE_BILL['billId']}"

    @pytest.mark.parametrize(("kind", "subtype"), [("8", "173"), ("1", "11"), ("7", "9"), ("2", "999")])
    def test_what_is_no_execution(self, kind: str, subtype: str) -> None:
        assert not m.is_fill(one(s.Bill, samples.TRADE_BILL, type=kind, subType=subtype))

    def test_a_payment_is_negative_when_paid(self) -> None:
        paid = m.payment(one(s.Bill, samples.FUNDING_BILL), "main", "BTC-USDT")
        assert (paid.amount, paid.currency) == (Decimal("-0.003676"), "USDT")
        assert paid.settlement == datetime(2023, 11, 15, tzinfo=timezone.utc)
        got = m.payment(
            one(s.Bill, samples.FUNDING_BILL, subType="174", pnl="0.01", balChg="0.01"), "main", "B"
        )
        assert got.amount == Decimal("0.01")

    def test_a_payment_of_an_isolated_position_is_its_pnl(self) -> None:
        bill = one(s.Bill, samples.FUNDING_BILL, balChg="0", posBalChg="-0.003676", mgnMode="isolated")
        assert m.payment(bill, "main", "BTC-USDT").amount == Decimal("-0.003676")
