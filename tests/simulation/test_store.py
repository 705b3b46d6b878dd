"""The simulation's database: what it does while it is down, while it hangs, and with what was given up meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from datetime import timedelta
from uuid import UUID

import anyio
import pytest
from tests.domain.make import D

from fundingarb.domain.funding import FundingPayment
from fundingarb.errors import StoreError
from fundingarb.ports import Batch
from fundingarb.simulation.store import SimStore, concerned
from fundingarb.simulation.virtual import START, LoopClock, VirtualLoop

pytestmark = pytest.mark.anyio

HEDGE = UUID(int=9)
PAYMENT = FundingPayment("alpha", "alpha", "BTC-USDT", START, D(1), "USDT", START, ledger_id="1")
BATCH = Batch(payments=((PAYMENT, None),))


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Time is virtual: what hangs for ten seconds does so at once."""
    return "asyncio", {"loop_factory": VirtualLoop}


@pytest.fixture
async def store() -> AsyncIterator[SimStore]:
    made = SimStore(LoopClock(START))
    yield made
    await made.close()


async def test_down_it_answers_no_question_either(store: SimStore) -> None:
    store.down = True
    for ask in (store.commit(BATCH), store.fills(HEDGE), store.control(), store.load()):
        with pytest.raises(StoreError):
            await ask
    store.heal()
    assert await store.fills(HEDGE) == []
    assert store.failed_lately


async def test_while_it_hangs_whoever_asks_waits(store: SimStore) -> None:
    store.hang(10.0)
    begin = store.clock.monotonic()
    await store.payments(HEDGE)
    assert 10.0 <= store.clock.monotonic() - begin < 11.0


async def test_a_commit_that_is_given_up_is_carried_out_later_and_new_to_whoever_repeats_it(
    store: SimStore,
) -> None:
    stored: list[Batch] = []
    store.on_commit.append(stored.append)
    store.hang(10.0)
    with anyio.move_on_after(2.0):
        await store.commit(BATCH)
    assert stored == []
    assert list(await store.payments()) == [PAYMENT]
    assert stored == [BATCH]
    assert (await store.commit(BATCH)).payments == BATCH.payments
    assert (await store.commit(BATCH)).payments == ()


async def test_what_a_dead_process_had_given_up_is_not_carried_out(store: SimStore) -> None:
    store.hang(10.0)
    with anyio.move_on_after(2.0):
        await store.commit(BATCH)
    await store.load()
    assert await store.payments() == []


async def test_fate_is_asked_of_every_commit_and_what_happens_is_told(store: SimStore) -> None:
    told: list[tuple[str, Collection[UUID]]] = []
    store.on_failure.append(lambda kind, ids: told.append((kind, ids)))
    store.fate = lambda ids: "db_after"
    with pytest.raises(StoreError):
        await store.commit(BATCH)
    assert list(await store.payments()) == [PAYMENT]
    store.fate = lambda ids: "db_before"
    later = FundingPayment(
        "alpha", "alpha", "BTC-USDT", START + timedelta(hours=8), D(1), "USDT", START, ledger_id="2"
    )
    with pytest.raises(StoreError):
        await store.commit(Batch(payments=((later, None),)))
    assert list(await store.payments()) == [PAYMENT]
    assert [kind for kind, _ in told] == ["db_after", "db_before"]


def test_the_hedges_a_batch_concerns() -> None:
    assert concerned(Batch(payments=((PAYMENT, HEDGE),))) == {HEDGE}
    assert concerned(BATCH) == set()
