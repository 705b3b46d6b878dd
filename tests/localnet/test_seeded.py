"""The seeded model: quiet majors, hot symbols, and a first episode that is worth trading."""

from __future__ import annotations

from itertools import pairwise

import pytest

from fundingarb.localnet.models.crowding import HOUR
from fundingarb.localnet.models.seeded import DEFAULT_START, SeededModel

SEEDS = range(12)
PAIR = ("binance", "bybit")


def spread(model: SeededModel, symbol: str, time: float) -> float:
    """Difference of the hourly rates shown, never negative."""
    rates = [model.funding(name, symbol, time) for name in PAIR]
    a, b = (rate.rate / rate.interval_hours for rate in rates)
    return abs(a - b)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_first_hot_symbol_pays_several_settlements_and_then_turns(seed: int) -> None:
    model = SeededModel(seed, exchanges=PAIR)
    symbol = model.hot[0]
    first = DEFAULT_START + 22 * 60
    assert spread(model, symbol, first - 20 * 60) > 20e-4, "visible in the entry window"
    rates = {name: model.settlements(name, symbol, first - 1, first + 12 * HOUR) for name in PAIR}
    signed = [b.rate - a.rate for a, b in zip(rates["binance"], rates["bybit"], strict=True)]
    direction = 1 if signed[0] > 0 else -1
    rich = [value * direction for value in signed]
    count = next(n for n, value in enumerate(rich) if value < 20e-4)
    assert 2 <= count <= 4
    assert all(25e-4 <= value <= 60e-4 for value in rich[:count])
    assert sum(rich[:count]) > 2 * 21e-4, "it pays four taker fees twice over"
    after = rich[count : count + 3]
    assert all(-1.1e-4 <= value <= -0.3e-4 for value in after), "a few basis points per 8 hours below zero"
    shown = model.funding(PAIR[0], symbol, rates[PAIR[0]][count - 1].time + 5).rate
    assert abs(shown) < 2e-4, "the rate shown has collapsed right after the last rich settlement"


@pytest.mark.parametrize("seed", SEEDS)
def test_every_exchange_is_rich_in_one_of_the_first_hours(seed: int) -> None:
    names = ("binance", "bybit", "dydx", "okx")
    model = SeededModel(seed, exchanges=names)
    richest = set()
    for symbol in model.hot[:4]:
        at = DEFAULT_START + 22 * 60 + HOUR
        rates = {name: model.settlements(name, symbol, at - 1, at)[0].rate for name in names}
        richest.add(max(rates, key=lambda name: rates[name]))
        assert max(rates.values()) - min(rates.values()) > 20e-4
    assert richest == set(names)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crowd_that_is_settled_every_four_hours_turns_at_the_next_of_them(seed: int) -> None:
    model = SeededModel(seed, exchanges=PAIR)
    rates = [model.settlements(name, model.hot[2], model.start, model.start + 36 * HOUR) for name in PAIR]
    signed = [a.rate - b.rate for a, b in zip(*rates, strict=True)]
    direction = 1 if signed[0] > 0 else -1
    count = next(n for n, value in enumerate(signed) if value * direction < 20e-4)
    assert 2 <= count <= 4
    assert all(value * direction < -1e-4 for value in signed[count : count + 3])


@pytest.mark.parametrize("seed", SEEDS)
def test_majors_are_quiet_and_settle_every_eight_hours(seed: int) -> None:
    model = SeededModel(seed, exchanges=PAIR)
    for one in model.symbols:
        if not one.major:
            continue
        for name in PAIR:
            rows = model.settlements(name, one.symbol, model.start - 40 * 86400, model.start + 20 * 86400)
            assert {row.interval_hours for row in rows} == {8}
            assert len(rows) == 180
            assert all(abs(row.rate) <= 4e-4 for row in rows)
        mean = sum(abs(row.rate) for row in rows) / len(rows)
        assert 0.2e-4 < mean < 2.5e-4
        spreads = sorted(spread(model, one.symbol, model.start + n * HOUR) * 8 for n in range(200))
        assert spreads[100] < 1e-4


def test_seeds_choose_other_symbols_and_directions() -> None:
    firsts = {SeededModel(seed, exchanges=PAIR).hot[0] for seed in range(20)}
    assert len(firsts) > 2
    richer = set()
    for seed in range(20):
        model = SeededModel(seed, exchanges=PAIR)
        rates = [model.funding(name, model.hot[0], model.start).rate for name in PAIR]
        richer.add(rates[0] > rates[1])
    assert richer == {True, False}


def test_the_shown_rate_drifts_and_is_final_at_the_settlement() -> None:
    model = SeededModel(7, exchanges=PAIR)
    symbol = model.hot[0]
    (settlement,) = model.settlements("binance", symbol, model.start, model.start + HOUR)
    shown = [model.funding("binance", symbol, settlement.time - left).rate for left in (1200, 600, 60, 1e-6)]
    gaps = [abs(rate - settlement.rate) for rate in shown]
    assert gaps[0] > 0
    assert gaps[-1] < 1e-9


def test_history_reaches_back_and_has_episodes_too() -> None:
    model = SeededModel(7, exchanges=PAIR)
    rows = model.settlements("bybit", model.hot[0], model.start - 60 * 86400, model.start)
    assert len(rows) == 60 * 24
    assert {b.time - a.time for a, b in pairwise(rows)} == {HOUR}
    assert any(abs(row.rate) > 5e-4 for row in rows)


def test_prices_move_and_exchanges_stay_close() -> None:
    model = SeededModel(7, exchanges=PAIR)
    for one in model.symbols:
        prices = [model.prices("binance", one.symbol, model.start + n * 60) for n in range(1440)]
        others = [model.prices("bybit", one.symbol, model.start + n * 60) for n in range(1440)]
        mids = [price.mid for price in prices]
        assert 0.002 < max(mids) / min(mids) - 1 < 0.3
        assert len(set(mids)) == len(mids)
        assert max(abs(a.mid / b.mid - 1) for a, b in zip(prices, others, strict=True)) < 15e-4
        assert all(a.index == b.index for a, b in zip(prices, others, strict=True))


def test_start_moves_the_first_episode() -> None:
    start = DEFAULT_START + 1234 * HOUR + 1000
    model = SeededModel(7, exchanges=PAIR, start=start)
    assert spread(model, model.hot[0], start) > 20e-4


def test_more_exchanges_share_the_episodes() -> None:
    names = ("binance", "bybit", "okx", "dydx")
    model = SeededModel(7, exchanges=names)
    rates = {name: model.funding(name, model.hot[0], model.start).rate for name in names}
    assert max(rates.values()) - min(rates.values()) > 20e-4
    assert sum(abs(rate) < 2e-4 for rate in rates.values()) == 2
