"""Multiplier contracts are mapped to their base asset; prices divided, quantities multiplied."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fundingarb.exchanges.symbols import InstrumentMap, in_base_units, split_multiplier
from fundingarb.testing import instrument


@pytest.mark.parametrize(
    ("base", "asset", "multiplier"),
    [
        ("BTC", "BTC", 1),
        ("1000PEPE", "PEPE", 1000),
        ("10000SATS", "SATS", 10_000),
        ("1000000MOG", "MOG", 1_000_000),
        ("1MBABYDOGE", "BABYDOGE", 1_000_000),
        ("SHIB1000", "SHIB", 1000),
        ("1000X", "X", 1000),
        ("1INCH", "1INCH", 1),
        ("C98", "C98", 1),
        ("1000", "1000", 1),
    ],
)
def test_multipliers_in_names(base: str, asset: str, multiplier: int) -> None:
    assert split_multiplier(base) == (asset, Decimal(multiplier))


def test_units_are_converted_exactly() -> None:
    listed = instrument(
        "x",
        "1000PEPE-USDT",
        tick=Decimal("0.0000001"),
        lot=Decimal(1),
        min_quantity=Decimal(1),
        max_quantity=Decimal(50),
    )
    ours = in_base_units(listed)
    assert (ours.symbol, ours.base, ours.multiplier) == ("PEPE-USDT", "PEPE", Decimal(1000))
    assert ours.tick == Decimal("1e-10")
    assert ours.lot == ours.min_quantity == Decimal(1000)
    assert ours.max_quantity == Decimal(50_000)
    assert ours.exchange_id == "1000PEPEUSDT"
    assert ours.min_notional == listed.min_notional
    assert in_base_units(instrument("x")) == instrument("x")


def test_of_two_contracts_on_one_asset_the_plain_one_is_kept() -> None:
    plain, thousand = instrument("x", "PEPE-USDT"), in_base_units(instrument("x", "1000PEPE-USDT"))
    for order in ([plain, thousand], [thousand, plain]):
        known = InstrumentMap(order)
        assert list(known) == [plain]
        assert known.by_id("1000PEPEUSDT") is None
        assert known.get("PEPE-USDT") == plain


def test_an_instrument_can_be_replaced() -> None:
    known = InstrumentMap([instrument("x")])
    changed = instrument("x", lot=Decimal("0.5"))
    known.replace(changed)
    assert known.get("BTC-USDT") == known.by_id("BTCUSDT") == changed
    assert len(known) == 1
