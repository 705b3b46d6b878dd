"""``python -m tests.campaigns.adapter_mutants``: bugs planted in the adapters, which a short campaign has to find.

Each mutant patches one adapter from here and runs a few hedges under the faults that bring it out. One that ends
without a breach has survived. The same campaigns without a bug must end without one. Prints a table and one JSON line;
exits with 1 when a mutant survives, or when the campaign without a bug finds something.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import multiprocessing
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import anyio
from tests.campaigns.wire.run import Options, Result, run

import fundingarb_binance.adapter as binance
import fundingarb_binance.messages as binance_messages
import fundingarb_bybit.adapter as bybit
import fundingarb_bybit.ledger as bybit_ledger
import fundingarb_bybit.messages as bybit_messages
import fundingarb_dydx.adapter as dydx
import fundingarb_dydx.ids as dydx_ids
import fundingarb_dydx.messages as dydx_messages
import fundingarb_dydx.orders as dydx_orders
import fundingarb_dydx.transactions as dydx_transactions
import fundingarb_okx.adapter as okx
import fundingarb_okx.contracts as okx_contracts
import fundingarb_okx.messages as okx_messages
from fundingarb.domain.order import Fill, OrderReport, OrderSide, OrderState
from fundingarb.errors import ExchangeError, OrderRefused, OutcomeUnknown

Patch = AbstractContextManager[object]

CALM = Options(
    hedges=4, speed=300, every=0.0, symbols=3, hold=(4.0, 9.0), sizes=(500.0, 4000.0), hourly=True, minutes=0.75,
    ending=15, booking=8, exchanges=("binance", "bybit"),
)  # fmt: skip
"""Every contract settles each hour, which is every twelve real seconds."""


def under(*recipes: str) -> Options:
    """Few hedges, not kept, under these faults."""
    return replace(
        CALM,
        hedges=10,
        speed=120,
        every=0.25,
        only=recipes,
        hold=(0.0, 1.0),
        hourly=False,
        minutes=1.5,
        ending=30,
    )


OUTCOMES = under("unknown_error", "lost_reply", "account_frames_lost")
REFUSALS = replace(under("reject"), every=2.0, certain=True)
"""What is certainly refused is over at once: no proof is waited for."""
DOUBTS = replace(under("not_found_yet", "lost_reply", "account_frames_lost"), hedges=20)


OKX_LEGS, DYDX_LEGS = ("binance", "okx"), ("bybit", "dydx")

SLOW = 4.0
"""A bug shows when not even so many times the time that the same campaign takes without it is enough."""


@dataclass(frozen=True)
class Mutant:
    """A planted bug: ``plant`` puts it in place for as long as it is entered."""

    name: str
    plant: Callable[[], Patch]
    options: Options = CALM


def changed(module: Any, name: str, change: Callable[[Any], Any]) -> Callable[[], Patch]:
    """``module.name`` with its answer changed."""

    def plant() -> Patch:
        original = getattr(module, name)

        @functools.wraps(original)
        def mutated(*args: Any, **kwargs: Any) -> Any:
            return change(original(*args, **kwargs))

        return patch.object(module, name, mutated)

    return plant


def awaited(module: Any, name: str, change: Callable[[Any], Any]) -> Callable[[], Patch]:
    """The same for a coroutine function."""

    def plant() -> Patch:
        original = getattr(module, name)

        @functools.wraps(original)
        async def mutated(*args: Any, **kwargs: Any) -> Any:
            return change(await original(*args, **kwargs))

        return patch.object(module, name, mutated)

    return plant


def ordered(adapter: Any, **changes: Callable[[Any], Any]) -> Callable[[], Patch]:
    """``place_order`` with fields of the order changed before it is sent."""

    def plant() -> Patch:
        original = adapter.place_order

        async def place_order(self: Any, order: Any) -> Any:
            new = {name: change(getattr(order, name)) for name, change in changes.items()}
            return await original(self, replace(order, **new))

        return patch.object(adapter, "place_order", place_order)

    return plant


def every_failure_is(adapter: Any, kind: type[ExchangeError]) -> Callable[[], Patch]:
    """A failed send is always of this kind."""

    def plant() -> Patch:
        original = adapter.place_order

        async def place_order(self: Any, order: Any) -> Any:
            try:
                return await original(self, order)
            except (OrderRefused, OutcomeUnknown) as error:
                raise kind(str(error), code=error.code) from error.__cause__

        return patch.object(adapter, "place_order", place_order)

    return plant


def missing_is_cancelled(adapter: Any) -> Callable[[], Patch]:
    """An order that the exchange does not find is reported as cancelled."""

    def plant() -> Patch:
        original = adapter.find_order

        async def find_order(self: Any, symbol: str, client_id: str) -> OrderReport:
            found = await original(self, symbol, client_id)
            if found is not None:
                return found  # type: ignore[no-any-return]
            return OrderReport(
                account=self.account, symbol=symbol, client_id=client_id, exchange_order_id="",
                state=OrderState.CANCELLED, side=OrderSide.BUY, quantity=Decimal(0), filled=Decimal(0),
            )  # fmt: skip

        return patch.object(adapter, "find_order", find_order)

    return plant


def only_open_orders(adapter: Any) -> Callable[[], Patch]:
    """The order query looks among open orders only."""

    def plant() -> Patch:
        original = adapter.find_order

        async def find_order(self: Any, symbol: str, client_id: str) -> OrderReport | None:
            found = await original(self, symbol, client_id)
            return found if found is None or found.state is OrderState.OPEN else None

        return patch.object(adapter, "find_order", find_order)

    return plant


def first_page_only() -> Patch:
    """The transaction log is read to the end of its first page, of two rows."""
    original = bybit_ledger.rows_since

    async def rows_since(read: Any, *args: Any, **kwargs: Any) -> Any:
        async def page(params: dict[str, Any]) -> Any:
            answer = await read({**params, "limit": 2})
            answer.nextPageCursor = ""
            return answer

        return await original(page, *args, **kwargs)

    return patch.object(bybit_ledger, "rows_since", rows_since)


def in_contracts(fill: Fill) -> Fill:
    """A fill of 1000PEPE counted as the exchange counts."""
    return replace(fill, quantity=fill.quantity / 1000) if fill.symbol == "PEPE-USDT" else fill


def renamed(fills: Iterable[Fill]) -> list[Fill]:
    """Every fill under a name that it never had before."""
    return [replace(fill, trade_id=uuid4().hex) for fill in fills]


def numbered_with_four_bits(name: str) -> dydx_ids.OrderNumber:
    """The number of an order is one of sixteen."""
    return dydx_ids.OrderNumber(sum(name.encode()) % 16, 0xFA1 << 20)


def few_numbers() -> Patch:
    """Every use of the rule that makes a number of a name."""
    stack = ExitStack()
    for module in (dydx_ids, dydx_orders):
        stack.enter_context(patch.object(module, "number_of", numbered_with_four_bits))
    return stack


def filled_at_once(report: OrderReport) -> OrderReport:
    """What a node took up counts as filled."""
    return replace(report, state=OrderState.FILLED, filled=report.quantity, average_price=report.price)


BINANCE, BYBIT = binance.BinanceAdapter, bybit.BybitAdapter
OKX, DYDX = okx.OkxAdapter, dydx.DydxAdapter

MUTANTS = [
    Mutant("binance: unknown outcome taken for refused", every_failure_is(BINANCE, OrderRefused), OUTCOMES),
    Mutant("bybit: unknown outcome taken for refused", every_failure_is(BYBIT, OrderRefused), OUTCOMES),
    Mutant("bybit: refused taken for unknown", every_failure_is(BYBIT, OutcomeUnknown), REFUSALS),
    Mutant("binance: not found taken for cancelled", missing_is_cancelled(BINANCE), DOUBTS),
    Mutant("bybit: only open orders are found", only_open_orders(BYBIT), under("account_frames_lost")),
    Mutant(
        "binance: sign of positions",
        changed(binance_messages, "position", lambda row: replace(row, quantity=-row.quantity)),
    ),
    Mutant(
        "bybit: sign of funding",
        changed(bybit_messages, "payment", lambda row: replace(row, amount=-row.amount)),
    ),
    Mutant("bybit: sign of fees", changed(bybit_messages, "fill", lambda row: replace(row, fee=-row.fee))),
    Mutant(
        "binance: the result counts the fee too",
        changed(binance_messages, "fill", lambda row: replace(row, realized_pnl=row.realized_pnl - row.fee)),
    ),
    Mutant(
        "binance: contracts taken for base units",
        ordered(BINANCE, quantity=lambda quantity: quantity * 1000 if quantity >= 1000 else quantity),
    ),
    Mutant("bybit: fills counted in contracts", changed(bybit_messages, "fill", in_contracts)),
    Mutant("binance: client order id changed", ordered(BINANCE, client_id=lambda name: f"x-{name}"[:32])),
    Mutant("bybit: reduce-only left out", ordered(BYBIT, reduce_only=lambda _flag: False)),
    Mutant(
        "bybit: first page of the ledger only",
        first_page_only,
        replace(CALM, hedges=12, hold=(0.0, 1.0)),
    ),
    Mutant("binance: a fill read again is a new one", awaited(BINANCE, "get_fills", renamed)),
    Mutant(
        "binance: funding settled when its row was posted",
        changed(binance_messages, "payment", lambda row: replace(row, settlement=row.at)),
    ),
    Mutant(
        "okx: unknown outcome taken for refused",
        every_failure_is(OKX, OrderRefused),
        replace(OUTCOMES, exchanges=OKX_LEGS),
    ),
    Mutant(
        "okx: contracts ten times as large",
        changed(okx_contracts.Contracts, "units", lambda units: replace(units, quantity=units.quantity * 10)),
        replace(CALM, exchanges=OKX_LEGS),
    ),
    Mutant(
        "okx: fills counted in contracts",
        changed(okx_messages, "fill", lambda row: replace(row, quantity=row.quantity * 100)),
        replace(CALM, exchanges=OKX_LEGS),
    ),
    Mutant(
        "okx: sign of positions",
        changed(okx_messages, "position", lambda row: replace(row, quantity=-row.quantity)),
        replace(CALM, exchanges=OKX_LEGS),
    ),
    Mutant(
        "okx: sign of funding",
        changed(okx_messages, "payment", lambda row: replace(row, amount=-row.amount)),
        replace(CALM, exchanges=OKX_LEGS),
    ),
    Mutant(
        "okx: reduce-only left out",
        ordered(OKX, reduce_only=lambda _flag: False),
        replace(CALM, exchanges=OKX_LEGS),
    ),
    Mutant(
        "dydx: unknown outcome taken for refused",
        every_failure_is(DYDX, OrderRefused),
        replace(OUTCOMES, exchanges=DYDX_LEGS),
    ),
    Mutant(
        "dydx: an order taken up counts as filled",
        changed(dydx_messages, "taken_up", filled_at_once),
        replace(CALM, exchanges=DYDX_LEGS),
    ),
    Mutant("dydx: sixteen order numbers", few_numbers, replace(CALM, exchanges=DYDX_LEGS)),
    Mutant(
        "dydx: sizes ten times as large",
        changed(dydx_transactions.Scale, "quantums", lambda quantums: quantums * 10),
        replace(CALM, exchanges=DYDX_LEGS),
    ),
    Mutant(
        "dydx: not found taken for cancelled",
        missing_is_cancelled(DYDX),
        replace(DOUBTS, exchanges=DYDX_LEGS),
    ),
    Mutant(
        "dydx: sign of funding",
        changed(dydx_messages, "payment", lambda row: replace(row, amount=-row.amount)),
        replace(CALM, exchanges=DYDX_LEGS),
    ),
    Mutant(
        "dydx: reduce-only left out",
        ordered(DYDX, reduce_only=lambda _flag: False),
        replace(CALM, exchanges=DYDX_LEGS),
    ),
]


@dataclass(frozen=True)
class Hunt:
    """A campaign, with a bug planted (its name) or without one."""

    options: Options
    mutant: str | None = None

    @property
    def name(self) -> str:
        return (
            self.mutant
            or f"no bug: {', '.join(self.options.only) or 'no faults'}, {self.options.hedges} hedges"
        )


def hunt(job: Hunt) -> tuple[Hunt, Result, float]:
    """Run it in this process."""
    logging.basicConfig(level=logging.CRITICAL + 1)
    plant = next((mutant.plant for mutant in MUTANTS if mutant.name == job.mutant), nullcontext)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fundingarb-mutant-"))
        stack.enter_context(plant())
        started = time.monotonic()
        try:
            result = anyio.run(run, job.options, Path(folder))
        except Exception as error:  # noqa: BLE001 - a bug may do anything; that it shows is what counts
            result = Result([f"{job.name} raised {type(error).__name__}: {error}"])
        return job, result, time.monotonic() - started


def kind(line: str) -> str:
    """``order`` of ``order: binance has ...``; of a broken invariant, which one."""
    return ":".join(line.split(":")[: 2 if line.startswith("invariant") else 1]).split(" at ")[0]


def telling(result: Result, innocent: Collection[str], slow: bool) -> list[str]:
    """The breaches that show a bug: not what goes wrong without it as well, nor that it took too long, unless it is
    ``slow``."""
    return [line for line in result.breaches if kind(line) not in {*([] if slow else ["time"]), *innocent}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="mutants whose name matches this expression")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=3, help="campaigns at the same time")
    arguments = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if re.search(arguments.only, mutant.name)]
    plans = list(dict.fromkeys(mutant.options for mutant in chosen))
    jobs = [Hunt(replace(options, seed=arguments.seed)) for options in plans]
    jobs += [Hunt(replace(mutant.options, seed=arguments.seed), mutant.name) for mutant in chosen]
    survived: list[str] = []
    alarms: dict[Options, list[str]] = {}
    took: dict[Options, float] = {}
    with multiprocessing.get_context("forkserver").Pool(arguments.jobs, maxtasksperchild=1) as pool:
        for job, result, seconds in pool.imap(hunt, jobs, chunksize=1):
            if job.mutant is None:
                found = alarms[job.options] = result.breaches
                took[job.options] = seconds
            else:
                innocent = {kind(line) for line in alarms[job.options]}
                found = telling(result, innocent, seconds > SLOW * took[job.options])
                survived += [] if found else [job.mutant]
            kinds = ", ".join(f"{name} ({count})" for name, count in Counter(map(kind, found)).items())
            verdict = f"{kinds}: {found[0]}" if found else "SURVIVED" if job.mutant else "clean"
            print(f"{job.name:56} {seconds:6.1f} s  {verdict[:200]}", flush=True)
    false = sum(map(len, alarms.values()))
    figures = {"found": len(chosen) - len(survived), "of": len(chosen), "survived": survived}
    print(json.dumps({"campaign": "adapter mutants", **figures, "false_alarms": false}))
    sys.exit(1 if survived or false else 0)


if __name__ == "__main__":
    main()
