"""Planted bugs: each is switched on by patching the engine from here, and the simulation has to find it.

    python -m tests.campaigns.mutants [--seeds 2000] [--jobs 2] [NAME ...]

A seed finds a bug when it breaks an invariant with the bug and none without it. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from tests.campaigns.kills import kill_schedule

from fundingarb.domain import decide as decisions
from fundingarb.domain import hedge as hedges
from fundingarb.domain import reconcile
from fundingarb.domain.hedge import Hedge, LegState, Mode, OrderRecord
from fundingarb.domain.instrument import Instrument, Side, ceil_to
from fundingarb.domain.order import OrderState, Purpose
from fundingarb.engine import entries, executor, ledger, trading
from fundingarb.engine.accounts import AccountReader
from fundingarb.engine.entries import Entries
from fundingarb.engine.executor import Executor
from fundingarb.engine.kill import KillSwitch
from fundingarb.engine.naked import NakedWatch
from fundingarb.engine.state import BotState
from fundingarb.engine.trading import TradingLoop
from fundingarb.errors import ExchangeError
from fundingarb.ports import Batch, Committed
from fundingarb.simulation.runner import schedule_of, simulate
from fundingarb.simulation.schedule import Schedule
from fundingarb.simulation.store import SimStore
from fundingarb.store import InlineStore

MUTANTS: dict[str, Callable[[ExitStack], None]] = {}
ACTING = 100
"""Seeds within which a planted bug has to change what happens."""
KILLED: set[str] = set()
"""Mutants that the kill drill's schedules have to find."""


def mutant(function: Callable[[ExitStack], None]) -> Callable[[ExitStack], None]:
    MUTANTS[function.__name__] = function
    return function


def swap(stack: ExitStack, where: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put ``make(original)`` in the place of ``where.name`` until the stack is closed."""
    stack.enter_context(patch.object(where, name, make(getattr(where, name))))


# orders


@mutant
def resend_on_timeout(stack: ExitStack) -> None:
    """A send without an answer counts as refused, so the next attempt goes out."""
    stack.enter_context(patch.object(executor, "OrderRefused", ExchangeError))


@mutant
def early_not_found(stack: ExitStack) -> None:
    """The first "no such order" is believed."""
    stack.enter_context(patch.object(executor, "PROOF_MISSES", 1))
    stack.enter_context(patch.object(executor, "READ_LAG", -100.0))


@mutant
def places_while_unresolved(stack: ExitStack) -> None:
    """An unresolved order does not freeze its leg."""
    stack.enter_context(patch.object(LegState, "idle", property(lambda leg: not leg.live)))


@mutant
def attempts_do_not_count(stack: ExitStack) -> None:
    """Every order of a leg and purpose has the same client order id."""

    def make(original: Any) -> Any:
        def next_order(hedge: Hedge, leg: Side, purpose: Purpose, *rest: Any) -> OrderRecord:
            return original(replace(hedge, orders=()), leg, purpose, *rest)  # type: ignore[no-any-return]

        return next_order

    swap(stack, decisions, "next_order", make)


@mutant
def sends_before_the_commit(stack: ExitStack) -> None:
    """Orders leave before their rows are on disk."""

    def make(original: Any) -> Any:
        def apply(self: TradingLoop, *arguments: Any) -> list[OrderRecord]:
            for record in original(self, *arguments):
                self.executor.send(record)
            return []

        return apply

    swap(stack, TradingLoop, "_apply", make)
    swap(stack, InlineStore, "commit", _slow_commit)


def _slow_commit(original: Any) -> Any:
    async def commit(self: InlineStore, batch: Batch) -> Committed:
        import anyio

        await anyio.sleep(0.1)
        return await original(self, batch)  # type: ignore[no-any-return]

    return commit


@mutant
def sends_although_the_commit_failed(stack: ExitStack) -> None:
    """With the database down, orders that add exposure go out all the same."""

    def make(original: Any) -> Any:
        def failed(self: TradingLoop, reason: str, placed: Sequence[OrderRecord], now: Any) -> Any:
            original(self, reason, [record for record in placed if record.reduce_only], now)
            return list(placed)

        return failed

    swap(stack, TradingLoop, "_store_failed", make)


@mutant
def close_is_not_reduce_only(stack: ExitStack) -> None:
    """Orders never say that they only reduce."""
    swap(stack, executor, "NewOrder", lambda original: lambda **f: original(**{**f, "reduce_only": False}))


@mutant
def refused_close_counts_as_done(stack: ExitStack) -> None:
    """A reduce-only order that was refused is taken for a position that is gone."""

    def make(original: Any) -> Any:
        def put_order(self: BotState, record: OrderRecord) -> Hedge:
            if record.reduce_only and record.state is OrderState.REFUSED:
                record = replace(record, filled=record.quantity)
            return original(self, record)  # type: ignore[no-any-return]

        return put_order

    swap(stack, BotState, "put_order", make)


# quantities


@mutant
def hedges_the_target(stack: ExitStack) -> None:
    """The second leg is sent for the whole target, not for what the first has filled."""

    def make(original: Any) -> Any:
        def surplus(hedge: Hedge, first: LegState, second: LegState, missing: Any, *rest: Any) -> Any:
            return original(hedge, first, second, hedge.intent.quantity - second.filled, *rest)

        return surplus

    swap(stack, decisions, "_hedge_surplus", make)


@mutant
def rounds_up_to_the_lot(stack: ExitStack) -> None:
    """Hedge quantities are rounded up."""
    stack.enter_context(
        patch.object(Instrument, "floor_quantity", lambda self, quantity: ceil_to(quantity, self.lot))
    )


@mutant
def drops_late_fills(stack: ExitStack) -> None:
    """Once an order is over nothing more is learned of it."""

    def observing(original: Any) -> Any:
        def observe(self: OrderRecord, report: Any, now: Any) -> OrderRecord:
            return self if self.state.terminal else original(self, report, now)

        return observe

    def booking(original: Any) -> Any:
        def book_fill(self: BotState, fill: Any, hedge_id: Any) -> None:
            hedge = self.hedges.get(hedge_id) if hedge_id else None
            record = hedge.order(fill.client_id or "") if hedge is not None else None
            if record is None or not record.state.terminal or record.booked < record.filled:
                original(self, fill, hedge_id)

        return book_fill

    swap(stack, OrderRecord, "observe", observing)
    swap(stack, BotState, "book_fill", booking)


@mutant
def filled_is_the_last_report(stack: ExitStack) -> None:
    """Cumulative fills shrink when reports arrive in another order."""

    def make(original: Any) -> Any:
        def observe(self: OrderRecord, report: Any, now: Any) -> OrderRecord:
            observed: OrderRecord = original(self, report, now)
            return replace(observed, filled=report.filled)

        return observe

    swap(stack, OrderRecord, "observe", make)


@mutant
def an_order_that_is_over_was_filled(stack: ExitStack) -> None:
    """The fills of an order that ended are not looked at: it is taken as filled."""

    def make(original: Any) -> Any:
        def observe(self: OrderRecord, report: Any, now: Any) -> OrderRecord:
            observed: OrderRecord = original(self, report, now)
            over = observed.state is OrderState.CANCELLED and observed.purpose is Purpose.HEDGE
            return replace(observed, filled=observed.quantity) if over else observed

        return observe

    swap(stack, OrderRecord, "observe", make)


@mutant
def fills_count_twice(stack: ExitStack) -> None:
    """A fill is booked to its order once more than it happened."""

    def make(original: Any) -> Any:
        def book_fill(self: BotState, fill: Any, hedge_id: Any) -> None:
            original(self, fill, hedge_id)
            original(self, fill, hedge_id)

        return book_fill

    swap(stack, BotState, "book_fill", make)


# what to do about it


@mutant
def never_evens_out(stack: ExitStack) -> None:
    """A surplus that cannot be hedged is kept."""
    stack.enter_context(patch.object(decisions, "_even_out", lambda *_: []))


@mutant
def ignores_forced_closes(stack: ExitStack) -> None:
    """What the exchange took of a leg (liquidation, ADL) does not count."""

    def make(original: Any) -> Any:
        def project(self: Hedge, side: Side) -> LegState:
            return original(replace(self, taken={}), side)  # type: ignore[no-any-return]

        return project

    swap(stack, Hedge, "_project", make)


@mutant
def what_is_taken_is_all_ours(stack: ExitStack) -> None:
    """What the exchange took of a leg and of somebody else's position beside it counts for the leg alone, which may
    have less than nothing."""
    stack.enter_context(patch.object(ledger, "is_divisible", lambda *_: False))
    stack.enter_context(patch.object(reconcile, "_below_nothing", lambda *_: []))


@mutant
def unwinds_on_the_wrong_side(stack: ExitStack) -> None:
    """Reducing orders buy where they should sell."""
    swap(stack, hedges, "order_side", lambda original: lambda side, *, reduce: original(side, reduce=False))


@mutant
def closes_the_long_leg_only(stack: ExitStack) -> None:
    """A close ends when one leg is flat."""

    def make(original: Any) -> Any:
        def reduce(hedge: Hedge, leg: LegState, quantity: Any, purpose: Purpose, *rest: Any) -> Any:
            if purpose is Purpose.CLOSE and leg.plan.side is Side.SHORT:
                return []
            return original(hedge, leg, quantity, purpose, *rest)

        return reduce

    swap(stack, decisions, "_reduce", make)


@mutant
def gives_up_after_one_reduction(stack: ExitStack) -> None:
    """A reduction that came to nothing is not repeated."""

    def make(original: Any) -> Any:
        def reduce(hedge: Hedge, leg: LegState, *rest: Any) -> Any:
            tried = [o for o in hedge.orders if o.leg is leg.plan.side and o.purpose.reduces]
            return [] if tried else original(hedge, leg, *rest)

        return reduce

    swap(stack, decisions, "_reduce", make)


@mutant
def never_says_that_a_leg_is_naked(stack: ExitStack) -> None:
    stack.enter_context(patch.object(NakedWatch, "look", lambda *_: None))


@mutant
def a_down_exchange_takes_no_reductions(stack: ExitStack) -> None:
    """Nothing at all is reduced while either exchange is unavailable."""

    def make(original: Any) -> Any:
        def reduce(hedge: Hedge, leg: Any, quantity: Any, purpose: Any, market: Any, *rest: Any) -> Any:
            both = market.long.reachable and market.short.reachable
            return original(hedge, leg, quantity, purpose, market, *rest) if both else []

        return reduce

    swap(stack, decisions, "_reduce", make)


# restarts


@mutant
def forgets_hedges_on_restart(stack: ExitStack) -> None:
    def make(original: Any) -> Any:
        async def load(self: SimStore) -> Any:
            return replace(await original(self), hedges=())

        return load

    swap(stack, SimStore, "load", make)


@mutant
def resends_what_was_intended(stack: ExitStack) -> None:
    """After a restart, orders without an answer are forgotten and decided anew."""

    def make(original: Any) -> Any:
        def adopt(self: BotState, hedges: Sequence[Hedge]) -> None:
            original(
                self,
                [
                    replace(one, orders=tuple(o for o in one.orders if o.state is not OrderState.INTENDED))
                    for one in hedges
                ],
            )

        return adopt

    swap(stack, BotState, "adopt", make)


@mutant
def forgets_orders_that_are_over(stack: ExitStack) -> None:
    """No tombstones: an order that fills late belongs to nobody."""
    from fundingarb.engine import state

    stack.enter_context(patch.object(state, "TOMBSTONE", timedelta(0)))


# money


@mutant
def funding_counts_twice(stack: ExitStack) -> None:
    """A payment is booked under the moment it was posted as well as under its settlement."""

    def make(original: Any) -> Any:
        async def commit(self: InlineStore, batch: Batch) -> Committed:
            again = tuple(
                (replace(p, settlement=p.settlement + timedelta(seconds=1)), h) for p, h in batch.payments
            )
            return await original(self, replace(batch, payments=batch.payments + again))  # type: ignore[no-any-return]

        return commit

    swap(stack, InlineStore, "commit", make)


@mutant
def late_funding_is_missed(stack: ExitStack) -> None:
    """Only what is posted within the first moments after a settlement is read."""

    def make(original: Any) -> Any:
        async def collect(self: AccountReader) -> None:
            if self._clock.now().minute == 0 and self._clock.now().second < 15:
                await original(self)

        return collect

    swap(stack, AccountReader, "collect_payments", make)


@mutant
def fees_are_income(stack: ExitStack) -> None:
    """Fees are booked with the wrong sign."""

    def make(original: Any) -> Any:
        async def commit(self: InlineStore, batch: Batch) -> Committed:
            fills = tuple((replace(fill, fee=-fill.fee), hedge_id) for fill, hedge_id in batch.fills)
            return await original(self, replace(batch, fills=fills))  # type: ignore[no-any-return]

        return commit

    swap(stack, InlineStore, "commit", make)


# modes


@mutant
def an_entry_is_never_done(stack: ExitStack) -> None:
    """A hedge whose legs are filled stays OPENING: no exit and no margin rule ever looks at it."""

    def make(original: Any) -> Any:
        def advance(*args: Any) -> Any:
            return [
                action
                for action in original(*args)
                if not (isinstance(action, decisions.SetMode) and action.mode is Mode.HOLDING)
            ]

        return advance

    swap(stack, decisions, "_advance", make)


@mutant
def nothing_is_ever_closed_on_demand(stack: ExitStack) -> None:
    """Exits of the strategy, of a person and of a kill are forgotten."""

    def make(original: Any) -> Any:
        def scan(self: Entries, *arguments: Any, **named: Any) -> Any:
            original(self, *arguments, **named)
            return ()

        return scan

    stack.enter_context(patch.object(TradingLoop, "close", lambda *_: None))
    swap(stack, Entries, "scan", make)


@mutant
def a_liquidation_waits_for_the_database(stack: ExitStack) -> None:
    """What somebody else took of a leg counts only once it is stored."""
    stack.enter_context(patch.object(BotState, "take_unstored", lambda *_: False))


# kill


@mutant
def the_kill_latch_is_not_persisted(stack: ExitStack) -> None:
    async def set_killed(*_: Any) -> None:
        return None

    stack.enter_context(patch.object(SimStore, "set_killed", set_killed))


@mutant
def a_kill_does_not_stop_entries(stack: ExitStack) -> None:
    """What was decided before the kill is sent after it, and new hedges are opened."""
    stack.enter_context(patch.object(Entries, "off_reason", ""))
    stack.enter_context(patch.object(Executor, "_recheck", lambda *_: None))
    swap(
        stack,
        entries,
        "approve",
        lambda original: (
            lambda plan, rules, portfolio, now: original(plan, rules, replace(portfolio, killed=False), now)
        ),
    )
    swap(
        stack,
        trading,
        "decide",
        lambda original: lambda hedge, market, *rest: original(hedge, replace(market, entries=True), *rest),
    )


@mutant
def a_kill_names_nothing(stack: ExitStack) -> None:
    """What is not flat is not said."""

    async def never(_: Any) -> None:
        import anyio

        await anyio.sleep_forever()

    stack.enter_context(patch.object(KillSwitch, "_name", never))


@mutant
def a_kill_names_one_leg_of_many(stack: ExitStack) -> None:
    """Only the first of several legs that are not flat is named."""

    def make(original: Any) -> Any:
        return property(lambda self: original.fget(self)[:1])

    swap(stack, KillSwitch, "open", make)


KILLED |= {
    "the_kill_latch_is_not_persisted",
    "a_kill_does_not_stop_entries",
    "a_kill_names_nothing",
    "a_kill_names_one_leg_of_many",
}


@dataclass(frozen=True, slots=True)
class Found:
    mutant: str
    seed: int | None
    invariant: str
    text: str
    seconds: float


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The bug is there while this is entered."""
    with ExitStack() as stack:
        MUTANTS[name](stack)
        yield


def hunt(name: str, seeds: int) -> Found:
    """The first seed that finds the bug. Raises ``RuntimeError`` when it does nothing at all: then it is not planted
    where the engine is."""
    logging.disable(logging.CRITICAL)
    begun = time.monotonic()
    make: Callable[[int], Schedule] = kill_schedule if name in KILLED else schedule_of
    acted = False
    for seed in range(seeds):
        with planted(name):
            result = simulate(make(seed))
        if result.breaches or (not acted and seed < ACTING):
            clean = simulate(make(seed))
            acted |= clean.digest != result.digest
            if result.breaches and not clean.breaches:
                first = result.breaches[0]
                return Found(name, seed, first.invariant, first.text, time.monotonic() - begun)
        if not acted and seed == ACTING:
            raise RuntimeError(
                f"{name} changed nothing in {ACTING} seeds: it is not planted where the engine is"
            )
    return Found(name, None, "", "", time.monotonic() - begun)


def main() -> int:
    parser = argparse.ArgumentParser(prog="mutants", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in MUTANTS]:
        parser.error(f"no such mutant: {', '.join(unknown)}; there are {', '.join(MUTANTS)}")
    names = asked.names or list(MUTANTS)
    begun = time.monotonic()
    found: list[Found] = []
    with ProcessPoolExecutor(asked.jobs) as pool:
        for one in pool.map(hunt, names, [asked.seeds] * len(names)):
            found.append(one)
            where = "NOT FOUND" if one.seed is None else f"seed {one.seed:4}  {one.invariant:7}"
            print(f"{one.mutant:40} {where} {one.text[:100]}", flush=True)
    missed = [one.mutant for one in found if one.seed is None]
    figures = {
        "campaign": "mutants",
        "mutants": len(found),
        "found": len(found) - len(missed),
        "missed": missed,
        "latest_seed": max((one.seed for one in found if one.seed is not None), default=None),
        "allowed_seeds": asked.seeds,
        "seconds": round(time.monotonic() - begun, 1),
    }
    print(json.dumps(figures))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
