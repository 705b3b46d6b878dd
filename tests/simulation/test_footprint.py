"""The soak's scales: what the program holds counts, what the world records of itself does not."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.campaigns import footprint

from fundingarb.engine.bot import Bot
from fundingarb.localnet.truth.types import Credentials
from fundingarb.simulation.runner import BEGIN, default_setup
from fundingarb.simulation.schedule import Schedule
from fundingarb.simulation.virtual import LoopClock
from fundingarb.simulation.world import World

pytestmark = pytest.mark.anyio


async def test_what_the_program_keeps_is_weighed_and_the_exchanges_books_are_not() -> None:
    world = World(default_setup(Schedule(1), LoopClock(BEGIN)))
    world.bot = Bot(world._parts())
    program, around = footprint.program(world).total(), footprint.surroundings(world)

    for number in range(1_000):
        world.setup.truths["alpha"].add_account(f"a{number}", Credentials(f"k{number}", "s"), Decimal(1))
    assert footprint.program(world).total() == pytest.approx(program, rel=0.01)
    assert footprint.surroundings(world) > around + 100_000

    world.bot.state.sent_at.extend(float(number) for number in range(10_000))
    assert footprint.program(world).total() > program + 200_000
    await world.store.close()
