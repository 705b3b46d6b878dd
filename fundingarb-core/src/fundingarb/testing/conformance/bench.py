"""Runs cases of one subject: exchanges are served once and kept, every case gets an account nobody has used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fundingarb.engine.clock import ScaledClock
from fundingarb.localnet.run import Localnet
from fundingarb.testing.conformance.cases import CASES
from fundingarb.testing.conformance.desk import Desk, serve
from fundingarb.testing.conformance.registry import Case
from fundingarb.testing.conformance.subject import Capability, Subject
from fundingarb.testing.conformance.words import NotApplicable, NotConformant

__all__ = ["Bench", "Result", "open_bench", "run_all"]

Accounts = Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]

SOON = 4.0
"""Real seconds before the settlement of a case that waits for one."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a case ended: ``yes``, ``no`` or ``not applicable``, and why for the last two."""

    case: Case
    verdict: str
    reason: str = ""


class Bench:
    """See the module. ``results`` has the verdict on every case that was run, at the worst of its speeds."""

    def __init__(self, subject: Subject, stack: AsyncExitStack) -> None:
        self.subject = subject
        self.results: dict[str, Result] = {}
        self._stack = stack
        self._nets: dict[float, Localnet] = {}
        self._accounts: dict[float, Accounts] = {}

    def speeds(self, case: Case) -> list[float]:
        return [speed for speed in self.subject.speeds if speed == 1 or not case.real_time]

    async def run(self, case: Case, speed: float) -> Result:
        """Run ``case`` once. Raises ``NotConformant`` (from whatever happened) when the adapter fails it."""
        reason = next((self.subject.lacks[need] for need in case.needs if need in self.subject.lacks), None)
        if reason is not None:
            return self._note(Result(case, "not applicable", reason))
        try:
            await self._run(case, speed)
        except NotApplicable as excluded:
            return self._note(Result(case, "not applicable", str(excluded)))
        except Exception as error:
            cause = innermost(error)
            text = str(cause) if isinstance(cause, NotConformant) else f"{type(cause).__name__}: {cause}"
            self._note(Result(case, "no", text))
            raise NotConformant(f"{case.number} {case.title}: {text} (at {speed:g}x)") from error
        return self._note(Result(case, "yes"))

    def _note(self, result: Result) -> Result:
        known = self.results.get(result.case.number)
        if known is None or known.verdict == "yes":
            self.results[result.case.number] = result
        return result

    async def _run(self, case: Case, speed: float) -> None:
        if case.settling:
            async with serve(self.subject, speed, before=SOON * speed) as net:
                await self._at_desk(case, net, self._fresh(net))
            return
        net, accounts = await self._net(speed)
        await self._at_desk(case, net, accounts)

    async def _net(self, speed: float) -> tuple[Localnet, Accounts]:
        """The exchange that runs at ``speed``; started when it is first asked for."""
        if speed not in self._nets:
            self._nets[speed] = net = await self._stack.enter_async_context(serve(self.subject, speed))
            self._accounts[speed] = self._fresh(net)
        return self._nets[speed], self._accounts[speed]

    @asynccontextmanager
    async def desk(self, speed: float = 1.0) -> AsyncIterator[Desk]:
        """A desk for a test of the plugin's own."""
        net, accounts = await self._net(speed)
        async with open_desk(self.subject, net, *next(accounts)) as desk:
            try:
                yield desk
            finally:
                desk.calm()

    def _fresh(self, net: Localnet) -> Accounts:
        """An account nobody has used, and one that nobody uses, for every case."""
        *accounts, last = net.ready["exchanges"][self.subject.exchange]["accounts"]
        return ((one, last) for one in accounts)

    async def _at_desk(self, case: Case, net: Localnet, accounts: Accounts) -> None:
        mine, other = next(accounts)
        async with open_desk(self.subject, net, mine, other, quick=case.quick) as desk:
            excuse(desk, case.needs)
            try:
                await case.body(desk)
            finally:
                desk.calm()
        if net.problems:
            problems = "; ".join(repr(problem) for problem in net.problems)
            for venue in net.venues.values():
                venue.problems.clear()
            raise NotConformant(f"the offline exchange itself failed: {problems}")


def innermost(error: BaseException) -> BaseException:
    """What a group of task failures is about: its first member that is no group."""
    while inside := getattr(error, "exceptions", ()):
        error = inside[0]
    return error


def excuse(desk: Desk, needs: Iterable[Capability]) -> None:
    """Raise ``NotApplicable`` for what the adapter itself says that it lacks."""
    if Capability.DEAD_MAN in needs and not desk.adapter.dead_man:
        raise NotApplicable("the exchange has no timer that cancels orders")
    if Capability.ORDER_EXPIRY in needs and desk.adapter.order_expiry is None:
        raise NotApplicable("the exchange gives orders no expiry")


def credentials(account: Mapping[str, Any]) -> dict[str, str]:
    """The credentials of an account of the ready file, by the names that plugins know them by."""
    keys = {"api_key": account["api_key"], "api_secret": account["api_secret"]}
    return {**keys, **account.get("credentials", {})}


@asynccontextmanager
async def open_desk(
    subject: Subject,
    net: Localnet,
    mine: Mapping[str, Any],
    other: Mapping[str, Any],
    *,
    quick: bool = False,
) -> AsyncIterator[Desk]:
    clock = ScaledClock(net.clock.epoch, net.clock.monotonic, net.clock.speed)
    desk = Desk(subject, net, mine["name"], credentials(mine), credentials(other), clock, clock.now())
    async with desk.another(desk.credentials, quick=quick) as adapter:
        desk.opened = adapter
        yield desk


@asynccontextmanager
async def open_bench(subject: Subject) -> AsyncIterator[Bench]:
    """A bench; leaving it stops the exchanges it served."""
    async with AsyncExitStack() as stack:
        yield Bench(subject, stack)


async def run_all(bench: Bench) -> list[Result]:
    """Every case that was not run yet, at every speed; failures are results, not exceptions."""
    for case in CASES.values():
        for speed in bench.speeds(case) if case.number not in bench.results else ():
            try:
                await bench.run(case, speed)
            except NotConformant:
                break
    return [bench.results[number] for number in CASES if number in bench.results]
