"""One case of the crash campaign: a localnet, a bot that dies at a failpoint, a restart that has to put it right.

The localnet is a process of its own and outlives the bot. What is true is read from its control API, what the bot
believes from the database; neither is asked of the bot.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from tests.campaigns.crash_bot import BY_HAND, SYMBOL, BotRun, bot_process
from tests.campaigns.wire.names import Names

from fundingarb.domain.hedge import Hedge, Mode
from fundingarb.domain.order import ZERO, Purpose
from fundingarb.engine.clock import SystemClock
from fundingarb.errors import StoreError
from fundingarb.ports import Checkpoint
from fundingarb.store import reading
from fundingarb.store.database import parse_url
from fundingarb.store.session import Session

#: Starts processes by forking one that has imported everything already.
PROCESSES = multiprocessing.get_context("forkserver")
PRELOAD = (
    "tests.campaigns.crash_bot",
    "tests.campaigns.crash_case",
    "fundingarb.localnet.serve",
    "fundingarb_binance.adapter",
    "fundingarb_binance.localnet.dialect",
    "fundingarb_bybit.adapter",
    "fundingarb_bybit.localnet.dialect",
    "fundingarb_okx.adapter",
    "fundingarb_okx.localnet.dialect",
    "fundingarb_dydx.adapter",
    "fundingarb_dydx.localnet.dialect",
    "ccxt.async_support",
    "alembic.command",
    "psycopg",
)
SPEED = 60.0
#: Hedges that are read, and how often a database that does not answer is asked.
MOST, READS = 10_000, 3
#: Real seconds: to be flat or hedged after a restart, and for its books to be in order (ledgers have request budgets);
#: for a life of the bot to come to its armed failpoint; and to come to it when there is nothing left to do.
FLAT, BOOKS, LIFE, LINGER = 60.0, 120.0, 90.0, 5.0
#: Simulated start and faults of each scenario.
START = {"settle": "2026-01-05T07:36"}
FAULTS: dict[str, Callable[[str, str], Sequence[dict[str, Any]]]] = {
    "partial": lambda long, short: [
        {"kind": "partial_fill", "operation": "order.place", "account": account, "fraction": 0.4, "count": 1}
        for account in (long, short)
    ],
    "unwind": lambda long, short: [{"kind": "reject", "operation": "order.place", "account": long}],
}


@dataclass(frozen=True)
class Case:
    """``kills``: the failpoint of each life that ends violently; a case without any only records its steps.

    ``pair``: the exchange to be long on, and the one to be short on.
    """

    database: str
    scenario: str
    kills: tuple[str, ...] = ()
    seed: int = 7
    pair: tuple[str, str] = ("binance", "bybit")

    @property
    def name(self) -> str:
        return " | ".join((self.database, self.scenario, str(self.seed), "-".join(self.pair), *self.kills))


@dataclass
class Result:
    """What became of a case. ``reached``: every armed failpoint was; otherwise nothing was tested.

    ``first``: the exchange of the leg that went first, empty where none was sent. ``certain``: the failpoint is no
    matter of chance, so that it has to be reached.
    """

    case: Case
    steps: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    reached: bool = True
    first: str = ""
    certain: bool = True
    seconds: float = 0.0
    duplicates: int = 0
    resent: int = 0


QUANTIFIED = ("positions", "open_orders", "orders", "fills")


class Truth:
    """The localnet as its control API tells it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as response:
            return json.load(response)

    def post(self, path: str, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()

    def accounts(self) -> dict[str, Any]:
        """Every account, its quantities in base units."""
        found: dict[str, Any] = self.get("/truth")["accounts"]
        for account in found.values():
            for row in (each for kind in QUANTIFIED for each in account[kind]):
                for key in {"quantity", "filled"} & set(row):
                    row[key] = str(Decimal(row[key]) * Decimal(row["unit"]))
        return found


def serve(target: Callable[..., None], campaign: int, *arguments: Any) -> None:
    """Run ``target``; this process ends when the campaign does, however that ends."""

    def watch() -> None:
        while True:
            time.sleep(1.0)
            try:
                os.kill(campaign, 0)
            except ProcessLookupError:
                os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    target(*arguments)


def localnet_process(ready: Path, log: Path, arguments: Sequence[str]) -> None:
    """``fundingarb localnet`` in a process of its own."""
    from fundingarb.cli import main

    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    main(["localnet", "--ready-file", str(ready), *arguments])


@contextmanager
def process(target: Callable[..., None], *arguments: Any) -> Iterator[Any]:
    """A process that is gone when the block is left."""
    started = PROCESSES.Process(target=serve, args=(target, os.getpid(), *arguments), daemon=True)
    started.start()
    try:
        yield started
    finally:
        if started.is_alive():
            started.kill()
        started.join()


def wait_until(what: str, check: Callable[[], Any], within: float) -> None:
    """Raises AssertionError when ``check`` does not come true in time."""
    deadline = time.monotonic() + within
    while not check():
        if time.monotonic() > deadline:
            raise AssertionError(f"no {what} within {within:.0f} s")
        time.sleep(0.02)


def run_case(case: Case, folder: Path, database: str) -> Result:
    """Play ``case`` in ``folder`` on the empty ``database``."""
    result = Result(case)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            _play(case, folder, database, result, stack)
        except (AssertionError, StoreError) as error:
            result.failures.append(str(error))
    return result


def _play(case: Case, folder: Path, database: str, result: Result, stack: ExitStack) -> None:
    ready = folder / "ready.json"
    start = START.get(case.scenario, "2026-01-05T06:10")
    served = [argument for exchange in case.pair for argument in ("--exchange", exchange)]
    arguments = (*served, "--seed", str(case.seed), "--speed", str(SPEED), "--start", start)
    stack.enter_context(process(localnet_process, ready, folder / "localnet.log", arguments))
    wait_until("ready file", ready.exists, LIFE)
    truth = Truth(json.loads(ready.read_text())["control"])
    for fault in FAULTS[case.scenario](*case.pair) if case.scenario in FAULTS else ():
        truth.post("/faults", dict(fault))

    def life(number: int, scenario: str | None, kill: str | None) -> BotRun:
        return BotRun(folder, number, ready, truth.url, SPEED, database, scenario, kill, case.pair)

    scenario: str | None = case.scenario
    for number, kill in enumerate(case.kills or (None,)):
        run = life(number, scenario, kill)
        with process(bot_process, run) as bot:
            ended = ends(bot, run)
            result.first = result.first or first_leg(case, run)
            if not ended:
                if kill is None or scenario is not None:
                    result.failures.append(f"life {number} did not end within {LIFE:.0f} s")
                result.reached = False
                return
            if kill is None:
                assert bot.exitcode == 0, f"the bot ended with {bot.exitcode}"
            elif bot.exitcode != -signal.SIGKILL and not killed(run):
                assert bot.exitcode == 0, f"life {number} ended with {bot.exitcode}"
                result.reached = False
                return
        result.steps = passages(run.steps)
        scenario = None
    ledger = Ledger(database, truth)
    if not case.kills:
        ledger.check(result)
        return
    _recover(life(len(case.kills), None, None), ledger, result)
    _restart(life(len(case.kills) + 1, None, None), ledger, result)


def ends(bot: Any, run: BotRun) -> bool:
    """Whether a life ends in time; one that has nothing left to do does not come to its failpoint any more."""
    deadline = time.monotonic() + LIFE
    while bot.is_alive() and time.monotonic() < deadline:
        bot.join(0.2)
        if run.scenario is None and run.calm.exists():
            deadline = min(deadline, time.monotonic() + LINGER)
    return not bot.is_alive()


def killed(run: BotRun) -> bool:
    """Whether a life noted its own kill: the status of a forked process may get lost on a busy machine."""
    return lines(run.steps)[-1:] == ["killed"]


def _recover(run: BotRun, ledger: Ledger, result: Result) -> None:
    """The restart: flat or hedged in time and for good, then in the books too, then killed once more."""
    began = time.monotonic()
    with process(bot_process, run) as bot:
        since: float | None = None
        while since is None or time.monotonic() - since < 0.3:
            now = time.monotonic()
            assert bot.is_alive(), f"the restarted bot ended: {tail(run.log)}"
            exposed = ledger.exposed()
            if exposed is not None:
                result.seconds = now - began
                assert result.seconds < FLAT, f"not flat or hedged within {FLAT:.0f} s: {exposed}"
            unsettled = exposed or ledger.unsettled()
            assert now - began < BOOKS, f"the books are not in order within {BOOKS:.0f} s: {unsettled}"
            since = None if unsettled else since or now
            time.sleep(0.1)
        wait_until("calm", run.calm.exists, began + BOOKS - time.monotonic())
    result.steps = passages(run.steps)


def _restart(run: BotRun, ledger: Ledger, result: Result) -> None:
    """A second restart has nothing to do, and does nothing; judged while it runs, or a settlement would be missed."""
    orders = ledger.order_count()
    with process(bot_process, run) as bot:
        try:
            wait_until("calm after the second restart", run.calm.exists, LIFE)
        except AssertionError as error:
            result.failures.append(f"{error}: {tail(run.log)}")
        ledger.check(result, LIFE)
        assert bot.is_alive(), f"the bot ended after the second restart: {tail(run.log)}"
    sent = [line for line in lines(run.steps) if line.partition(" ")[0] in ("send", "cancel")]
    result.resent = max(len(sent), ledger.order_count() - orders)
    if result.resent:
        result.failures.append(f"a second restart sent {', '.join(sent)}")


def lines(steps: Path) -> list[str]:
    """What a life of the bot noted, without the times."""
    return [line.partition(" ")[2] for line in steps.read_text().splitlines()] if steps.exists() else []


def passages(steps: Path) -> list[str]:
    """The failpoints a life passed, in order; of several that are one moment, the first that is new."""
    found: dict[str, None] = {}
    for line in lines(steps):
        names = [whichever(name) for name in line.split("; ")] if " #" in line else []
        new = next((name for name in names if name not in found), None)
        if new is not None:
            found[new] = None
    return list(found)


def first_leg(case: Case, run: BotRun) -> str:
    """The exchange that the first order of an entry went to in this life; empty without one."""
    for line in lines(run.steps):
        if match := re.fullmatch(r"send fa.*([ls])e\d{3}", line):
            return case.pair["ls".index(match[1])]
    return ""


def whichever(name: str) -> str:
    """``before send of se001`` as ``?e001``: only one leg has an entry, and which is the books' choice.

    So with ``z0001``, an order that flattens: its letter is its account's.
    """
    return re.sub(r"\b(?:[ls](?=[eh]\d{3}\b)|[a-z2-7](?=\d{4}\b))", "?", name)


def tail(log: Path) -> str:
    rows = log.read_text(errors="replace").splitlines() if log.exists() else []
    return rows[-1] if rows else "no output"


class Ledger:
    """The bot's database beside the localnet's truth."""

    def __init__(self, url: str, truth: Truth) -> None:
        self._url = url
        self._truth = truth

    def hedges(self) -> list[Hedge]:
        found: list[Hedge] = self._read(partial(reading.hedges, instance=None, limit=MOST))
        return found

    def _checkpoint(self) -> Checkpoint:
        now = SystemClock().now()
        found = self._read(lambda connection: reading.checkpoint(connection, None, now))
        return found or Checkpoint(hedges=(), killed=False, config_revision=0)

    def _read(self, work: Callable[..., Any]) -> Any:
        for attempt in range(READS):
            try:
                return self._read_once(work)
            except StoreError:
                if attempt + 1 == READS:
                    raise
        return []

    def _read_once(self, work: Callable[..., Any]) -> Any:
        database = parse_url(self._url)
        if database.file is not None and not database.file.exists():
            return []
        session = Session(database, SystemClock(), None, read_only=True)
        try:
            return session.read(work)
        except StoreError as error:
            if "no such table" in str(error) or "does not exist" in str(error):
                return []
            raise
        finally:
            session.close()

    def order_count(self) -> int:
        return sum(len(account["orders"]) for account in self._truth.accounts().values())

    def exposed(self) -> str | None:
        """Why this is not flat or hedged in the exchanges' truth; None when it is."""
        accounts = self._truth.accounts()
        if sum(self._held(accounts).values()) != 0:
            return f"positions {self._held(accounts)}"
        if any(not order["reduce_only"] for account in accounts.values() for order in account["open_orders"]):
            return "an order that adds exposure is open"
        if self._checkpoint().killed and any(account["positions"] for account in accounts.values()):
            return "the kill switch is latched and something is held"
        return None

    def _held(self, accounts: dict[str, Any]) -> dict[str, Decimal]:
        return {
            name: Decimal(row["quantity"])
            for name, account in accounts.items()
            for row in account["positions"]
            if row["symbol"] == SYMBOL and Decimal(row["quantity"])
        }

    def unsettled(self) -> str | None:
        """Why the books are not in order, or not those of the exchanges; None when they are."""
        accounts = self._truth.accounts()
        held = self._held(accounts)
        if any(account["open_orders"] for account in accounts.values()):
            return "orders are open"
        books: Counter[str] = Counter()
        for hedge in self.hedges():
            if hedge.intent.mode not in (Mode.HOLDING, Mode.DONE):
                return f"a hedge is {hedge.intent.mode.value}"
            unresolved = [order.client_id for order in hedge.orders if not order.state.terminal]
            if unresolved:
                return f"orders without an outcome: {unresolved}"
            if not hedge.complete_fills:
                return "fills are not booked"
            books[hedge.intent.long.account] += hedge.long.filled  # type: ignore[assignment]
            books[hedge.intent.short.account] -= hedge.short.filled  # type: ignore[assignment]
        wrong = {name for name in {*held, *books} if held.get(name, 0) != books[name]}
        return f"books {dict(books)}, exchanges {held}" if wrong else None

    def check(self, result: Result, patience: float = 0.0) -> None:
        """What must hold in the end, of every order and fill there ever was.

        A running bot may take ``patience`` seconds to book the last row of a ledger.
        """
        accounts, hedges = self._truth.accounts(), self.hedges()
        records = {order.client_id: order for hedge in hedges for order in hedge.orders}
        known = {*records, *(order.client_id for order in self._checkpoint().flatten_orders), BY_HAND}
        Names(lambda: known).put_into(accounts)
        failures = result.failures
        if (reason := self.exposed() or self.unsettled()) is not None:
            failures.append(f"in the end: {reason}")
        orders = [order for account in accounts.values() for order in account["orders"]]
        names = Counter(order["client_id"] for order in orders)
        result.duplicates = sum(count - 1 for count in names.values())
        if result.duplicates:
            failures.append(f"duplicate orders: {[name for name, count in names.items() if count > 1]}")
        failures += [f"order {name} has no row in the database" for name in names if name not in known]
        for order in orders:
            record = records.get(order["client_id"])
            if record is not None and record.filled != Decimal(order["filled"]):
                failures.append(
                    f"{record.client_id}: filled {order['filled']}, the books say {record.filled}"
                )
        for hedge in hedges:
            self._check_size(hedge, accounts, failures)
            self._check_never_reopened(hedge, failures)
        deadline = time.monotonic() + patience
        while (unbooked := self.unbooked()) and time.monotonic() < deadline:
            time.sleep(0.1)
        failures += unbooked

    def _check_size(self, hedge: Hedge, accounts: dict[str, Any], failures: list[str]) -> None:
        """No leg ever held more than was asked for (its first quantity is that of the first order)."""
        asked = max((o.quantity for o in hedge.orders if o.purpose is Purpose.ENTRY), default=ZERO)
        for leg in (hedge.intent.long, hedge.intent.short):
            held = most = ZERO
            own = [
                fill for fill in accounts[leg.account]["fills"] if hedge.order(fill["client_id"]) is not None
            ]
            for fill in sorted(own, key=lambda fill: int(fill["sequence"])):
                held += Decimal(fill["quantity"]) * (1 if fill["side"] == "BUY" else -1)
                most = max(most, held if leg.side.value == "LONG" else -held)
            if most > asked:
                failures.append(f"{leg.account} held {most}, asked for was {asked}")

    def _check_never_reopened(self, hedge: Hedge, failures: list[str]) -> None:
        closed = [order.created_at for order in hedge.orders if order.purpose is Purpose.CLOSE]
        added = [o for o in hedge.orders if closed and not o.reduce_only and o.created_at > min(closed)]
        failures += [f"{order.client_id} was sent after the close began" for order in added]

    def unbooked(self) -> list[str]:
        """Where the ledger rows of the symbol and what is booked differ, by the last digit.

        Both are read while no row is added: a settlement between the two would be nobody's fault.
        """
        while True:
            ledgers = self._ledgers()
            fills, payments = self._read(reading.fills), self._read(reading.payments)
            if self._ledgers() == ledgers:
                break
        found = []
        for name, amounts in ledgers.items():
            booked = sum(
                (f.realized_pnl - f.fee for f in fills if (f.account, f.symbol) == (name, SYMBOL)), ZERO
            )
            booked += sum((p.amount for p in payments if p.account == name), ZERO)
            if booked != sum(amounts, ZERO):
                found.append(f"{name}: the ledger says {sum(amounts, ZERO)}, booked is {booked}")
        return found

    def _ledgers(self) -> dict[str, list[Decimal]]:
        """Account -> amounts of the symbol's rows."""
        return {
            name: [Decimal(row["amount"]) for row in account["ledger"] if row["symbol"] == SYMBOL]
            for name, account in self._truth.accounts().items()
        }
