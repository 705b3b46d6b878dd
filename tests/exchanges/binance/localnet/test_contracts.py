"""Contracts, brackets, numbers and error texts, without a server."""

from __future__ import annotations

import random
from decimal import Decimal
from itertools import pairwise

import pytest

from fundingarb.localnet.models.base import ModelSymbol
from fundingarb.localnet.models.seeded import SeededModel
from fundingarb.localnet.truth.types import Reason, Refused
from fundingarb_binance.localnet.answers import refusal
from fundingarb_binance.localnet.contracts import Listing, listings, rules
from fundingarb_binance.localnet.dialect import BinanceLocalnet
from fundingarb_binance.localnet.numbers import fixed, plain


def listed() -> list[Listing]:
    """Everything the seeded model offers, and some prices far from it."""
    odd = [
        ModelSymbol("TINY-USDT", "TINY", "USDT", 0.000012),
        ModelSymbol("ONE-USDT", "ONE", "USDT", 1.0),
        ModelSymbol("HUGE-USDT", "HUGE", "USDT", 123_456.0),
        ModelSymbol("CAT-USDT", "CAT", "USDT", 0.0000042, multiplier=1000),
        ModelSymbol("BTC-USDC", "BTC", "USDC", 94_000.0),
    ]
    return listings([*SeededModel(0, exchanges=["binance"], start=0.0).symbols, *odd])


@pytest.mark.parametrize("listing", listed(), ids=lambda listing: listing.id)
def test_filters_fit_together(listing: Listing) -> None:
    instrument = listing.instrument
    assert instrument.tick == instrument.tick.quantize(Decimal(1).scaleb(-listing.price_precision))
    assert instrument.lot == instrument.lot.quantize(Decimal(1).scaleb(-listing.quantity_precision))
    for quantity in (instrument.min_quantity, instrument.max_quantity, instrument.max_market_quantity):
        assert quantity > 0
        assert quantity % instrument.lot == 0
    assert listing.min_price % instrument.tick == listing.max_price % instrument.tick == 0
    assert 0 < listing.min_price < listing.max_price
    assert instrument.funding_floor == -instrument.funding_cap


@pytest.mark.parametrize("listing", listed(), ids=lambda listing: listing.id)
def test_maintenance_margin_is_continuous_between_brackets(listing: Listing) -> None:
    for lower, upper in pairwise(listing.instrument.tiers):
        edge = lower.max_value
        assert (
            edge * lower.maintenance_rate - lower.deduction == edge * upper.maintenance_rate - upper.deduction
        )
        assert lower.max_leverage > upper.max_leverage
        assert lower.max_value < upper.max_value


def test_names_of_contracts() -> None:
    names = {listing.id for listing in listed()}
    assert {"BTCUSDT", "1000PEPEUSDT", "1000CATUSDT"} <= names
    assert not {"PEPEUSDT", "BTCUSDC"} & names
    pepe = next(listing for listing in listed() if listing.id == "1000PEPEUSDT")
    assert (int(pepe.instrument.multiplier), pepe.instrument.symbol) == (1000, "PEPE-USDT")


def test_ids_are_whole_numbers() -> None:
    habits = rules()
    assert int(habits.order_id(2)) == int(habits.order_id(1)) + 1
    assert int(habits.fill_id(2)) == int(habits.fill_id(1)) + 1


def test_credentials_repeat_with_their_seed() -> None:
    dialect = BinanceLocalnet()
    first = dialect.credentials("binance", random.Random(3))
    assert first == dialect.credentials("binance", random.Random(3))
    assert len(first.api_key) == len(first.api_secret) == len(first.extra["ed25519_api_key"]) == 64
    assert first != dialect.credentials("binance", random.Random(4))


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        ("1", 2, "1.00"),
        ("-0.001", 2, "0.00"),
        ("0.005", 2, "0.01"),
        ("-1.005", 2, "-1.01"),
        ("1e-9", 8, "0.00000000"),
    ],
)
def test_fixed(value: str, places: int, text: str) -> None:
    assert fixed(Decimal(value), places) == text


@pytest.mark.parametrize(
    ("value", "least", "text"), [("22185.20", 1, "22185.2"), ("0", 1, "0.0"), ("0", 0, "0")]
)
def test_plain(value: str, least: int, text: str) -> None:
    assert plain(Decimal(value), least=least) == text


def test_every_refusal_has_a_code() -> None:
    ends = {
        # these end an order, they do not refuse one
        Reason.EXPIRED,
        Reason.CANCELLED_BY_USER,
        Reason.DEAD_MAN,
        Reason.INJECTED,
    }
    without = {reason for reason in Reason if refusal(Refused(reason)).code == -1000}
    assert without == ends


def test_a_literal_code_wins() -> None:
    assert refusal(Refused(Reason.BAD_TICK, code="-1234")).code == -1234
    assert refusal(Refused(Reason.BAD_TICK, code="-2019")).message == "Margin is insufficient."
