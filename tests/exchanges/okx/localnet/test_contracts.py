"""Contract rules and how numbers are written."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.exchanges.okx.localnet.venue import Okx

from fundingarb.localnet.models.base import ModelSymbol
from fundingarb.localnet.models.symbols import DEFAULT_SYMBOLS
from fundingarb.localnet.truth.money import is_multiple
from fundingarb_okx.localnet.contracts import family, list_instruments
from fundingarb_okx.localnet.wire import decimals_of, money, page, plain, rounded

pytestmark = pytest.mark.anyio

D = Decimal
DECIMALS = st.decimals(
    allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=10
)


def test_contracts_count_base_units_and_bundle_nothing() -> None:
    """Where others list 1000PEPE, OKX prices one PEPE and sells ten million of them."""
    (pepe,) = list_instruments([ModelSymbol("PEPE-USDT", "PEPE", "USDT", 0.0000178, multiplier=1000)])
    assert (pepe.id, pepe.base, pepe.symbol) == ("PEPE-USDT-SWAP", "PEPE", "PEPE-USDT")
    assert (pepe.multiplier, pepe.contract_size, pepe.lot) == (D(1), D(10_000_000), D("0.1"))
    assert pepe.tick == D("0.000000001")


def test_only_usdt_contracts_are_listed() -> None:
    assert list_instruments([ModelSymbol("BTC-USDC", "BTC", "USDC", 95_000.0)]) == []


def test_the_default_market_is_listed() -> None:
    listed = list_instruments(DEFAULT_SYMBOLS)
    assert len(listed) == sum(symbol.quote == "USDT" for symbol in DEFAULT_SYMBOLS)
    assert len({instrument.id for instrument in listed}) == len(listed)
    assert [family(one) for one in listed] == [symbol.symbol for symbol in DEFAULT_SYMBOLS]


@given(st.floats(min_value=1e-6, max_value=2e5))
def test_rules_fit_any_price(price: float) -> None:
    (contract,) = list_instruments([ModelSymbol("NEW-USDT", "NEW", "USDT", price)])
    assert D("0.00001") <= contract.tick / D(repr(price)) <= D("0.0001001")
    assert D("0.99") <= contract.contract_size * D(repr(price)) <= D("10.01")
    assert contract.min_quantity == contract.lot
    for quantity in (contract.max_quantity, contract.max_market_quantity):
        assert is_multiple(quantity, contract.lot)
    assert contract.lot <= contract.max_market_quantity <= contract.max_quantity


async def test_tiers_are_in_contracts(okx: Okx) -> None:
    params = {"instType": "SWAP", "tdMode": "cross", "instFamily": "BTC-USDT"}
    rows = (await okx.public("/public/position-tiers", **params)).data
    shown = [(row["minSz"], row["maxSz"], row["maxLever"], row["mmr"]) for row in rows]
    assert shown[:2] == [("0", "500000", "100", "0.004"), ("500001", "2000000", "50", "0.01")]
    assert (await okx.public("/public/position-tiers", **params, tier="2")).row["tier"] == "2"


@given(DECIMALS)
def test_plain_is_the_number_without_exponent_or_trailing_zeros(value: Decimal) -> None:
    shown = plain(value)
    assert D(shown) == value
    assert "E" not in shown
    assert shown != "-0"
    assert "." not in shown or shown[-1] not in "0."


@given(DECIMALS, st.integers(min_value=0, max_value=8))
def test_fixed_rounds(value: Decimal, places: int) -> None:
    shown = rounded(value, places)
    assert abs(D(shown) - value) <= D(5).scaleb(-places - 1)
    assert len(shown.partition(".")[2]) <= places


@pytest.mark.parametrize(
    ("step", "places"), [("0.001", 3), ("0.10", 1), ("1", 0), ("100", 0), ("1E-9", 9), ("1E+2", 0)]
)
def test_places_of_a_step(step: str, places: int) -> None:
    assert decimals_of(D(step)) == places


def test_money_has_sixteen_places() -> None:
    assert money(D(1) / 3) == "0.3333333333333333"
    assert money(D("1.50")) == "1.5"


@given(st.integers(min_value=0, max_value=40), st.integers(min_value=1, max_value=12))
def test_pages_cover_everything_once(count: int, size: int) -> None:
    rows = list(range(count, 0, -1))
    seen: list[int] = []
    after = ""
    while taken := page(rows, int, {"after": after, "limit": str(size)}, default=5, highest=10):
        assert len(taken) <= min(size, 10)
        seen += taken
        after = str(taken[-1])
    assert seen == rows
