"""Hedges driven by ``decide`` on toy exchanges that refuse, lose, delay and half-fill: invariants at every step."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.domain.make import NOW, instrument, intent
from tests.domain.toy import Odds, ToyShell, ToyVenue

from fundingarb.domain.decide import ExecutionPolicy
from fundingarb.domain.hedge import CloseReason, Hedge, Mode
from fundingarb.domain.instrument import Side, common_lot

CALM_AFTER = 240
"""Steps (a minute) of bad weather; entries are given up after half of it."""
PATIENCE = 400
"""Steps (100 seconds) within which a hedge has to come to rest once the weather is fair."""
QUIET = 8
SEEDS = 40

LOTS = ("0.001", "0.01", "0.1", "1", "0.25", "0.4")
FAULTS = tuple(Odds.__dataclass_fields__)

WEATHER = {
    "fair": Odds(),
    "partial fills": Odds(partial=0.7, empty=0.3, cancel_race=0.5),
    "refusals": Odds(refuse=0.3, partial=0.3),
    "lost answers": Odds(unknown_taken=0.2, unknown_lost=0.1, late=0.1, partial=0.5, cancel_lost=0.2),
    "slow answers": Odds(slow=0.7, partial=0.5, cancel_race=0.5, query_fails=0.3),
    "exchanges come and go": Odds(unreachable=0.1, stale=0.1, partial=0.5, query_fails=0.2),
    "stale books": Odds(stale=0.8, partial=0.6),
    "crossed books": Odds(crossed=0.5, partial=0.5, drift=0.3),
    "auto-deleveraging": Odds(adl=0.05, partial=0.5),
    "entries switched off": Odds(entries_off=0.1, partial=0.5),
    "moving market": Odds(drift=0.8, partial=0.5, empty=0.5),
    "everything": Odds(**dict.fromkeys(FAULTS, 0.08)),
    "everything, often": Odds(**dict.fromkeys(FAULTS, 0.25)),
}


def shell(
    rng: Random,
    odds: Odds,
    *,
    lots: tuple[str, str],
    target_lots: int,
    first: Side,
    min_notional: str = "5",
    post_only: bool = False,
) -> ToyShell:
    long, short = (
        instrument(name, lot=Decimal(lot), min_quantity=Decimal(lot), min_notional=Decimal(min_notional))
        for name, lot in zip(("alpha", "beta"), lots, strict=True)
    )
    hedge = Hedge(
        intent(
            long_instrument=long,
            short_instrument=short,
            quantity=common_lot(long, short) * target_lots,
            first=first,
            deadline=NOW + timedelta(seconds=30),
        )
    )
    venues = {
        Side.LONG: ToyVenue(Side.LONG, long, rng, odds, Decimal(100)),
        Side.SHORT: ToyVenue(Side.SHORT, short, rng, odds, Decimal("100.2")),
    }
    return ToyShell(hedge, venues, ExecutionPolicy(post_only=post_only), rng, odds, NOW, CALM_AFTER)


def drive(made: ToyShell, close_at: int | None = None, reason: CloseReason = CloseReason.SPREAD) -> None:
    """Run until nothing has been decided for a while in fair weather; fail when that never comes."""
    quiet = 0
    while quiet < QUIET:
        if close_at is not None and made.step >= close_at:
            made.close(reason)
        busy = made.run_step()
        for venue in made.venues.values():
            assert venue.held >= 0, "a reduction never opens a position"
        rests = made.hedge.intent.mode in (Mode.HOLDING, Mode.DONE) and made.settled and not busy
        quiet = quiet + 1 if rests and made.step >= max(made.calm_from, close_at or 0) else 0
        assert made.step < made.calm_from + PATIENCE, "never came to rest:\n" + "\n".join(made.trace[-60:])


def check_rest(made: ToyShell, *, closed: bool) -> None:
    """Where a hedge may come to rest: over and flat, or held with both legs equal."""
    hedge = made.hedge
    story = "\n".join(made.trace[-60:])
    for side in Side:
        assert hedge.leg(side).filled == made.venues[side].held, f"our books are the exchange's\n{story}"
    if hedge.intent.mode is Mode.HOLDING and not closed:
        assert hedge.long.filled == hedge.short.filled > 0, story
        assert hedge.long.filled <= hedge.intent.quantity
    else:
        assert hedge.intent.mode is Mode.DONE, f"{hedge.intent.mode}\n{story}"
        assert hedge.long.filled == hedge.short.filled == 0, story
        assert hedge.complete_fills, story


@pytest.mark.parametrize("weather", WEATHER)
@pytest.mark.parametrize("closing", [False, True])
def test_every_hedge_comes_to_rest_hedged_or_flat(weather: str, closing: bool) -> None:
    ends: dict[Mode, int] = dict.fromkeys(Mode, 0)
    for seed in range(SEEDS):
        rng = Random(f"{weather} {closing} {seed}")
        made = shell(
            rng,
            WEATHER[weather],
            lots=(rng.choice(LOTS), rng.choice(LOTS)),
            target_lots=rng.choice((1, 2, 3, 10, 57)),
            first=rng.choice(tuple(Side)),
            min_notional=rng.choice(("0", "5", "50")),
            post_only=rng.random() < 0.3,
        )
        try:
            drive(made, rng.randint(0, CALM_AFTER) if closing else None, rng.choice(tuple(CloseReason)))
        except AssertionError as error:
            raise AssertionError(
                f"{weather}, closing={closing}, seed {seed}: {error}\n" + "\n".join(made.trace[-60:])
            ) from error
        check_rest(made, closed=closing)
        ends[made.hedge.intent.mode] += 1
    if weather == "fair" and not closing:
        assert ends[Mode.HOLDING] > SEEDS / 3, "in fair weather hedges are opened"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    faults=st.dictionaries(st.sampled_from(FAULTS), st.sampled_from((0.05, 0.2, 0.6)), max_size=4),
    lots=st.tuples(st.sampled_from(LOTS), st.sampled_from(LOTS)),
    target_lots=st.integers(1, 40),
    first=st.sampled_from(Side),
    min_notional=st.sampled_from(("0", "5", "50")),
    post_only=st.booleans(),
    close_at=st.none() | st.integers(0, CALM_AFTER + 20),
    reason=st.sampled_from(CloseReason),
)
def test_any_combination_of_faults(
    seed: int,
    faults: dict[str, float],
    lots: tuple[str, str],
    target_lots: int,
    first: Side,
    min_notional: str,
    post_only: bool,
    close_at: int | None,
    reason: CloseReason,
) -> None:
    made = shell(
        Random(seed),
        Odds(**faults),
        lots=lots,
        target_lots=target_lots,
        first=first,
        min_notional=min_notional,
        post_only=post_only,
    )
    drive(made, close_at, reason)
    check_rest(made, closed=close_at is not None)
