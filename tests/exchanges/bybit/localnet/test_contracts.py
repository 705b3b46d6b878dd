"""Contract rules and how numbers are written."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundingarb.localnet.models.base import ModelSymbol
from fundingarb.localnet.models.symbols import DEFAULT_SYMBOLS
from fundingarb.localnet.truth.money import is_multiple
from fundingarb_bybit.localnet.contracts import list_instruments, price_decimals, quantity_decimals
from fundingarb_bybit.localnet.wire import ApiError, decimals_of, fixed, money, page, plain

D = Decimal
DECIMALS = st.decimals(
    allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=10
)


def test_bundled_contracts_carry_the_bundle_in_their_name() -> None:
    (pepe,) = list_instruments([ModelSymbol("PEPE-USDT", "PEPE", "USDT", 0.0000178, multiplier=1000)])
    assert (pepe.id, pepe.base, pepe.symbol) == ("1000PEPEUSDT", "1000PEPE", "PEPE-USDT")
    assert pepe.multiplier == 1000
    assert (pepe.tick, pepe.lot) == (D("0.0000001"), D(100))


def test_only_usdt_contracts_are_listed() -> None:
    assert list_instruments([ModelSymbol("BTC-USDC", "BTC", "USDC", 95_000.0)]) == []


def test_bitcoin_has_bybits_own_digits() -> None:
    (bitcoin,) = list_instruments([ModelSymbol("BTC-USDT", "BTC", "USDT", 95_000.0, major=True)])
    assert (price_decimals(bitcoin), quantity_decimals(bitcoin)) == (2, 3)
    assert fixed(bitcoin.tick, price_decimals(bitcoin)) == "0.10"


def test_the_default_market_is_listed() -> None:
    listed = list_instruments(DEFAULT_SYMBOLS)
    assert len(listed) == sum(symbol.quote == "USDT" for symbol in DEFAULT_SYMBOLS)
    assert len({instrument.id for instrument in listed}) == len(listed)


@given(st.floats(min_value=1e-6, max_value=2e5))
def test_rules_fit_any_price(price: float) -> None:
    (contract,) = list_instruments([ModelSymbol("NEW-USDT", "NEW", "USDT", price)])
    assert D("0.00001") <= contract.tick / D(repr(price)) <= D("0.0001001")
    assert contract.lot * D(repr(price)) <= 5
    assert contract.min_quantity == contract.lot
    for quantity in (contract.max_quantity, contract.max_market_quantity):
        assert is_multiple(quantity, contract.lot)
    assert contract.lot <= contract.max_market_quantity <= contract.max_quantity


def test_maintenance_margin_has_no_jumps_between_tiers() -> None:
    for instrument in list_instruments(DEFAULT_SYMBOLS):
        for below, above in zip(instrument.tiers, instrument.tiers[1:], strict=False):
            at = below.max_value
            assert (
                at * below.maintenance_rate - below.deduction == at * above.maintenance_rate - above.deduction
            )
            assert below.max_leverage > above.max_leverage


@given(DECIMALS)
def test_plain_is_the_number_without_exponent_or_trailing_zeros(value: Decimal) -> None:
    shown = plain(value)
    assert D(shown) == value
    assert "E" not in shown
    assert shown != "-0"
    assert "." not in shown or shown[-1] not in "0."


@given(DECIMALS, st.integers(min_value=0, max_value=8))
def test_fixed_has_the_decimals_asked_for(value: Decimal, places: int) -> None:
    shown = fixed(value, places)
    assert abs(D(shown) - value) <= D(5).scaleb(-places - 1)
    assert len(shown.partition(".")[2]) == places
    assert not (shown.startswith("-") and not D(shown))


@pytest.mark.parametrize(
    ("step", "places"), [("0.001", 3), ("0.10", 1), ("1", 0), ("100", 0), ("1E-7", 7), ("1E+2", 0)]
)
def test_places_of_a_step(step: str, places: int) -> None:
    assert decimals_of(D(step)) == places


def test_money_rounds_half_up_to_eight_places() -> None:
    assert money(D("0.000000005")) == "0.00000001"
    assert money(D("-0.000000004")) == "0"
    assert money(D("1.50")) == "1.5"


@given(st.integers(min_value=0, max_value=40), st.integers(min_value=1, max_value=12))
def test_pages_cover_everything_once(count: int, size: int) -> None:
    rows = [f"row-{number}" for number in range(count)]
    seen: list[str] = []
    cursor = ""
    while True:
        taken, cursor = page(rows, str, {"cursor": cursor, "limit": str(size)}, limit=5, highest=10)
        assert len(taken) <= min(size, 10)
        seen += taken
        if not cursor:
            break
    assert seen == rows


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(ApiError) as refused:
        page(["a"], str, {"cursor": "b%2Ca"}, limit=5, highest=10)
    assert refused.value.code == 10001
