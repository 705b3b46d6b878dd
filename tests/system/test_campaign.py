"""A very small campaign: a few hedges through the production adapters over real sockets, with three faults."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from tests.campaigns.wire.checks import Trade, Truth, naked_legs
from tests.campaigns.wire.faults import RECIPES, Storm
from tests.campaigns.wire.names import Names, numbers
from tests.campaigns.wire.run import Options, run

from fundingarb_dydx.ids import number_of


@pytest.mark.anyio
@pytest.mark.slow
async def test_a_few_hedges_under_faults(tmp_path: Path) -> None:
    """One hedge or more of each pair; some exchanges count contracts, one is a chain."""
    options = Options(
        hedges=1,
        symbols=4,
        exchanges=("binance", "bybit", "okx", "dydx"),
        every=0.3,
        only=("lost_reply", "partial_fill", "disconnect"),
        hold=(0.0, 0.5),
        minutes=2,
    )
    result = await run(options, tmp_path)
    assert result.breaches == []
    assert len(result.figures["hedges"]) == 6
    assert min(result.figures["hedges"].values()) >= 1
    assert sum(result.figures["faults"].values()) > 0
    assert result.figures["fills"] > 20


def test_names_are_found_by_their_numbers() -> None:
    names = ["fas1mumf4ijokrzwle001", "fas1mumf4ijokrzwsh002", "byhand0001"]
    found = Names(lambda: names)
    for name in names:
        number = number_of(name)
        assert numbers(name) == (number.client_id, number.metadata), "the adapter's rule is another one"
        extra = {"clientId": str(number.client_id), "clientMetadata": str(number.metadata)}
        assert found.of("", extra) == name
    ours, theirs = ({"clientId": "7", "clientMetadata": str(said)} for said in (0xFA1 << 20, 5))
    assert (found.of("", ours), found.of("", theirs)) == ("fa?7", "")
    assert found.of("its own", {}) == "its own"


def trade(number: int, account: str, quantity: str, at: float) -> Trade:
    signed = Decimal(quantity)
    return Trade(
        str(number), account, account, "BTC-USDT", f"c{number}", signed, abs(signed) * 100, at, forced=False
    )


def test_time_without_a_counterpart_is_measured_without_outages() -> None:
    trades = [
        trade(1, "binance", "2", 100.0),
        trade(2, "bybit", "-2", 130.0),
        trade(3, "binance", "-2", 200.0),
        trade(4, "bybit", "1.9", 260.0),  # what is left is within the tolerance
    ]
    truth = Truth({}, trades, {"BTC-USDT": Decimal("0.1")})
    first, second = naked_legs(truth, 10.0, [("bybit", 110.0, 120.0), ("bybit", 115.0, 125.0)], 300.0)
    assert (first.seconds, first.reachable_seconds, first.notional) == (3.0, 1.5, Decimal(200))
    assert (second.seconds, second.reachable_seconds) == (6.0, 6.0)
    (lasting,) = naked_legs(Truth({}, trades[:1], {}), 10.0, [], 300.0)
    assert lasting.seconds == 20.0


class FewVenues:
    """As much of the venues as a storm asks for before it begins."""

    exchanges = ("binance", "dydx")


def test_a_fault_that_never_struck_an_exchange_it_can_happen_to_is_named() -> None:
    venues, bot = cast(Any, FewVenues()), cast(Any, None)
    storm = Storm(venues, bot, [], 1, only=("reject", "chain_stall"))
    assert storm.never() == [("binance", "reject"), ("dydx", "reject"), ("dydx", "chain_stall")]
    storm.struck["dydx", "reject"] += 1
    storm.fired["reject"] += 5  # elsewhere, or half of an incident
    assert storm.never() == [("binance", "reject"), ("dydx", "chain_stall")]
    assert len(Storm(venues, bot, [], 1).never()) == 2 * len(RECIPES) - 2
