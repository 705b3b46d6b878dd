"""What is done to a run and when: hedges that are opened, faults that strike. Saved and loaded as JSON or YAML.

A schedule is made from a seed. Every seed strikes the next few (stage, fault) pairs of the feasible ones, so that a
campaign over consecutive seeds meets all of them about equally often.
"""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import msgspec

from fundingarb.errors import ConfigError
from fundingarb.localnet.faults import FaultKind
from fundingarb.simulation.stages import Stage

OWN_KINDS = {
    "outage": "no request reaches the exchange and its streams are down, for `lasts` seconds",
    "broken_promise": "a request is held up for longer than any proof can cover, and executed after all",
    "by_hand": "a person closes part of a leg in the exchange's own app",
    "beside": "a person opens a position beside a leg, and the operator accepts it and what becomes of it",
    "crash": "the bot is killed and started again `lasts` seconds later",
    "db_before": "the next `count` commits of the hedge fail and store nothing; with the `operation` commit.enter the"
    " one that brings it into its stage as well",
    "db_after": "a commit of the hedge is stored but reports failure",
    "db_hang": "the database answers nothing for `lasts` seconds",
    "db_down": "everything the database is asked fails for `lasts` seconds",
    "close": "the operator closes the hedge",
    "kill": "the operator throws the kill switch",
    "kill_absent": "the bot dies, the kill switch is thrown in the database, and `lasts` seconds later it starts",
    "kill_loss": "the daily-loss guard trips and throws the kill switch",
}
"""Faults beyond those of the localnet's ``FaultKind``."""

CHAINS = (FaultKind.CHAIN_STALL, FaultKind.INDEXER_LAG)
"""What happens to chains, which are not simulated."""
KINDS: tuple[str, ...] = (
    *(kind.value for kind in FaultKind if kind not in CHAINS),
    *OWN_KINDS,
)
PER_SEED = 28
FORCED = ("liquidation", "adl", "by_hand")
"""Faults that take a leg, or a part of it, away."""
BESIDE = 0.2
"""Share of the seeds in which a person has a position beside the bot's."""
ON_ORDERS = ("partial_fill", "late_accept", "broken_promise")
"""Faults of orders on their way to an exchange."""
COMMITS = ("db_before", "db_after", "db_down", "db_hang")
"""What may begin with a commit."""
ENTERING = "commit.enter"
"""The ``operation`` of a strike on the very commit that brings a hedge into its stage, not on what comes after it."""
LEGS = ("first", "second", "working", "held")
SETTINGS = ("balance", "fill_timeout", "leverage", "post_only", "block", "contracts")


@dataclass(frozen=True, slots=True)
class Opening:
    """A hedge that is opened ``at`` seconds after the start and closed ``hold`` seconds after it is held."""

    at: float
    symbol: str
    long: str
    short: str
    usd: float
    hold: float
    reason: str = "SPREAD"


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault and when it strikes: ``at`` seconds, or ``delay`` seconds after a hedge reaches ``stage`` (not before
    ``at``). ``exchange``, ``account`` and ``symbol`` default to those of that hedge; ``leg`` says which of its legs.

    ``lasts`` is how long it stays (seconds), ``count`` how often it fires, ``operation`` what it hits (a pattern),
    ``seconds``, ``fraction``, ``factor`` and ``hours`` what the localnet's fault of that kind takes.
    """

    kind: str
    stage: str | None = None
    at: float = 0.0
    delay: float = 0.0
    exchange: str | None = None
    account: str | None = None
    symbol: str | None = None
    leg: str = "first"
    operation: str | None = None
    lasts: float = 5.0
    count: int | None = 1
    seconds: float = 1.0
    fraction: float = 0.5
    factor: float = 1.0
    hours: int = 4


@dataclass(frozen=True, slots=True)
class Schedule:
    """One run. ``seconds`` is how long hedges are opened and faults strike; calm and the reckoning come after it.

    ``settings`` overrides execution settings by name, and gives exchanges traits: ``block`` seconds (real) between the
    blocks of the first one (orders are matched with the next block), ``contracts`` 1 has the second one count contracts
    and settle every eight hours; ``restart_at_end`` ends with a crash and a start that must send
    nothing; ``close_at_end`` closes what is left before that.
    """

    seed: int
    seconds: float = 420.0
    openings: tuple[Opening, ...] = ()
    strikes: tuple[Strike, ...] = ()
    settings: Mapping[str, float] = field(default_factory=dict)
    restart_at_end: bool = True
    close_at_end: bool = True

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def load_schedule(path: Path) -> Schedule:
    """A schedule from a JSON or YAML file. Raises ``ConfigError`` with what is wrong with it."""
    import yaml

    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"scenario {path}: {error.strerror}; give an existing file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"scenario {path} is neither YAML nor JSON; correct it") from error
    return read_schedule(document, str(path))


def read_schedule(document: Any, name: str) -> Schedule:
    """A schedule from plain values. Raises ``ConfigError``."""
    if not isinstance(document, Mapping):
        raise ConfigError(f"scenario {name}: a mapping with `strikes` is expected; see the example")
    _refuse_unknown(document, Schedule, name)
    for key, kind in (("strikes", Strike), ("openings", Opening)):
        if not isinstance(document.get(key) or (), Sequence) or isinstance(document.get(key), str):
            raise ConfigError(f"scenario {name}: {key} is not a list; correct it")
        for number, item in enumerate(document.get(key) or ()):
            if not isinstance(item, Mapping):
                raise ConfigError(f"scenario {name}: {key}[{number}] is not a mapping; correct it")
            _refuse_unknown(item, kind, f"{name}: {key}[{number}]")
    try:
        schedule = msgspec.convert({"seed": 0, **document}, Schedule, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"scenario {name}: {error}; correct it") from error
    for strike in schedule.strikes:
        if strike.kind not in KINDS:
            raise ConfigError(
                f"scenario {name}: there is no fault {strike.kind!r}; known: {', '.join(KINDS)}"
            )
        if strike.stage is not None and strike.stage not in Stage.__members__:
            known = ", ".join(Stage.__members__)
            raise ConfigError(f"scenario {name}: there is no stage {strike.stage!r}; known: {known}")
        if strike.leg not in LEGS:
            raise ConfigError(f"scenario {name}: there is no leg {strike.leg!r}; known: {', '.join(LEGS)}")
        skew = strike.seconds if strike.kind != "clock_skew" else 0.0  # a clock may be late
        figures = (strike.at, strike.delay, strike.lasts, skew, strike.fraction)
        if min(figures) < 0 or min(strike.hours, strike.factor) <= 0:
            raise ConfigError(f"scenario {name}: {strike.kind}: a figure below zero; correct it")
    if schedule.seconds <= 0:
        raise ConfigError(f"scenario {name}: seconds is {schedule.seconds}; it has to be more than zero")
    for key in schedule.settings:
        if key not in SETTINGS:
            raise ConfigError(f"scenario {name}: unknown setting {key!r}; known: {', '.join(SETTINGS)}")
    return schedule


def check(
    schedule: Schedule, exchanges: Collection[str], accounts: Collection[str], symbols: Collection[str]
) -> None:
    """Whether ``schedule`` names what there is. Raises ``ConfigError``."""

    def known(what: str, name: str | None, names: Collection[str]) -> None:
        if name is not None and name not in names:
            raise ConfigError(f"the scenario names the {what} {name}; there are {', '.join(sorted(names))}")

    for strike in schedule.strikes:
        known("exchange", strike.exchange, exchanges)
        known("account", strike.account, accounts)
        known("symbol", strike.symbol, symbols)
    for opening in schedule.openings:
        known("symbol", opening.symbol, symbols)
        known("account", opening.long, accounts)
        known("account", opening.short, accounts)


def _refuse_unknown(document: Mapping[str, Any], kind: Any, where: str) -> None:
    known = [one.name for one in fields(kind)]
    for key in document:
        if key not in known:
            raise ConfigError(f"scenario {where}: unknown key {key!r}; known: {', '.join(known)}")


def random_schedule(
    seed: int,
    pairs: Sequence[tuple[Stage, str]],
    exchanges: Sequence[str],
    symbols: Sequence[str],
    *,
    per_seed: int = PER_SEED,
    seconds: float = 400.0,
) -> Schedule:
    """The schedule of ``seed``; ``pairs`` are the feasible ones, struck in turn."""
    rng = random.Random(f"schedule/{seed}")
    openings = []
    for number, symbol in enumerate(symbols):
        at = 3.0 + 4.0 * number
        while at < seconds - 60:
            long, short = rng.sample(list(exchanges), 2)
            usd = rng.choice((300.0, 2_000.0, 8_000.0))
            hold = rng.choice((5.0, 20.0, 40.0, 90.0))
            reason = rng.choice(("SPREAD", "SPREAD", "MANUAL"))
            openings.append(Opening(round(at, 3), symbol, long, short, usd, hold, reason))
            at += hold + rng.uniform(25.0, 60.0)
    shuffled = [pair for pair in pairs for _ in range(_turns(*pair))]
    random.Random("pairs").shuffle(shuffled)
    chosen = [shuffled[(seed * per_seed + n) % len(shuffled)] for n in range(min(per_seed, len(shuffled)))]
    strikes = [one for stage, kind in chosen for one in _with_company(rng, aimed(rng, stage, kind, seconds))]
    strikes += _beside(seed, seconds)
    # what ends everything comes last, so that the other faults get their turn
    strikes.sort(key=lambda strike: strike.at)
    settings = {
        "fill_timeout": rng.choice((6.0, 15.0, 30.0)),
        "post_only": float(rng.random() < 0.15),
        "leverage": float(rng.choice((3, 5, 10))),
        "balance": rng.choice((8_000.0, 20_000.0, 100_000.0)),
    }
    traits = random.Random(f"traits/{seed}")
    if traits.random() < 0.3:
        settings["block"] = traits.choice((0.3, 1.0, 2.0))
    if traits.random() < 0.3:
        settings["contracts"] = 1.0
    return Schedule(
        seed,
        seconds,
        tuple(sorted(openings, key=lambda one: one.at)),
        tuple(strikes),
        settings,
        restart_at_end=rng.random() < 0.5,
        close_at_end=rng.random() < 0.6,
    )


def _beside(seed: int, seconds: float) -> list[Strike]:
    """In every fifth seed a person trades beside the bot, and the exchange then takes from both."""
    rng = random.Random(f"beside/{seed}")
    if rng.random() >= BESIDE:
        return []
    leg, at = rng.choice(("first", "second")), rng.uniform(0.0, seconds * 0.3)
    opened = Strike(
        "beside", Stage.HEDGED.value, round(at, 3), rng.choice((0.0, 0.5, 3.0)), leg=leg,
        fraction=rng.choice((0.1, 0.5, 2.0)),
    )  # fmt: skip
    taken = [
        Strike(
            rng.choice(("liquidation", "adl")),
            Stage.HEDGED.value,
            round(later, 3),
            rng.choice((0.0, 0.5, 3.0)),
            leg=leg,
            fraction=rng.choice((0.1, 0.5, 0.9)),
        )
        for later in (at + rng.uniform(20.0, 60.0), at + rng.uniform(80.0, 160.0))
    ]
    return [opened, *taken]


TWICE = {
    *((Stage.A_OPEN, kind) for kind in ("banned", "reject", "latency")),
    *((Stage.HEDGED, kind) for kind in ("price_gap", "crash")),
}


def _turns(stage: Stage, kind: str) -> int:
    """How often a pair gets its turn: more often where what is aimed at often does not come about.

    Few hedges come to an unwind or to a close with one leg left; what takes a leg away while an order is on its way
    comes a second too late every other time; the next commit of a hedge is not always of the stage that was aimed at;
    what is aimed at a hedge that holds often finds it closing.
    """
    turns = {Stage.B_INTENT: 2, Stage.UNWIND: 2, Stage.CLOSE_INTENT: 2, Stage.CLOSE_ONE: 2}
    if kind in FORCED:
        turns = {Stage.B_INTENT: 3, Stage.CLOSE_INTENT: 5, Stage.CLOSE_ONE: 4, Stage.UNWIND: 4}
    elif kind in COMMITS:
        turns |= {Stage.A_INTENT: 2, Stage.A_OPEN: 2, Stage.UNWIND: 3}
    elif kind in ON_ORDERS:
        turns |= {Stage.UNWIND: 3, Stage.CLOSE_INTENT: 3, Stage.CLOSE_ONE: 5}
    elif (stage, kind) in TWICE:
        return 2
    return turns.get(stage, 1)


def aimed(rng: random.Random, stage: Stage, kind: str, seconds: float) -> Strike:
    """A strike of ``kind`` on a hedge that reaches ``stage``, with figures that suit the kind."""
    at = rng.uniform(0.0, seconds * 0.6)
    placing = stage in (Stage.A_INTENT, Stage.B_INTENT, Stage.CLOSE_INTENT, Stage.UNWIND, Stage.KILLING)
    operation = "order.place" if placing and rng.random() < 0.8 else rng.choice(("*", "order.*"))
    if kind in ON_ORDERS:
        operation = "order.place"
    if stage in (Stage.HEDGED, Stage.FLAT, Stage.CLOSE_DONE) and operation == "order.*":
        operation = "*"
    delays = (0.0, 0.0, 0.01, 0.03) if placing else (0.0, 0.0, 0.02, 0.1, 0.5)
    delay = rng.choice(delays)
    if kind in COMMITS:
        operation = "*" if delay else ENTERING
    lasting = kind in ("outage", "maintenance", "clock_skew", "crash", "db_down", "db_hang")
    return Strike(
        kind=kind,
        stage=stage.value,
        at=round(at, 3),
        delay=delay,
        leg=_leg_for(rng, stage, kind, placing),
        operation=operation,
        lasts=rng.choice((1.0, 4.0, 12.0, 25.0)) if lasting else 30.0,
        count=rng.choice((1, 1, 1, 2, 4)),
        seconds=_seconds(rng, kind),
        fraction=rng.choice((0.0, 0.1, 0.5, 0.9)),
        factor=rng.choice((0.85, 0.97, 0.995, 1.005, 1.03, 1.15)),
        hours=rng.choice((2, 4, 8)),
    )


def _with_company(rng: random.Random, strike: Strike) -> list[Strike]:
    """``strike`` and what has to go wrong at the same time for it to matter.

    An entry is cancelled at once when the other exchange is gone. When the cancels are lost as well, and the price
    comes to it, it is filled and has to be unwound while nothing can be hedged, for longer than a leg may stay naked.
    What takes a leg away does so while the database, the streams or a part of the exchange's API are not there, every
    other time. A hedge is seldom unwound, and the last leg of a close seldom needs another order, unless an order was
    refused before.
    """
    refused = Strike("reject", at=strike.at, leg="second", operation="order.place", lasts=20.0)
    if strike.stage == Stage.UNWIND.value and rng.random() < 0.7:
        return [replace(refused, stage=Stage.A_INTENT.value), *_at_its_worst(rng, strike)]
    if strike.stage == Stage.CLOSE_ONE.value and strike.kind in ON_ORDERS:
        return [replace(refused, stage=Stage.CLOSE_INTENT.value, count=2), strike]
    return _at_its_worst(rng, strike)


def _at_its_worst(rng: random.Random, strike: Strike) -> list[Strike]:
    """``strike`` and the fault that makes it matter."""
    if strike.kind == "outage" and strike.stage == Stage.A_OPEN.value and strike.leg == "second":
        lost = replace(
            strike, kind="lost_request", leg="first", operation="order.cancel", lasts=30.0, count=4
        )
        # once the outage is known, whichever side it rests on
        crossed = [
            replace(strike, kind="price_gap", leg="first", delay=delay, factor=factor)
            for delay, factor in ((8.0, 0.97), (9.0, 1.06))
        ]
        return [replace(strike, lasts=50.0), lost, *crossed]
    if strike.kind in FORCED and rng.random() < 0.5:
        missing = ["db_down", "db_hang", "stream_stall", "stream_disconnect"]
        if strike.kind != "by_hand":  # which nothing but the position proves
            missing.append("http_error")
        beside = replace(
            strike, kind=rng.choice(missing), delay=0.0, lasts=40.0, count=None, operation="positions.read"
        )
        return [beside, replace(strike, delay=strike.delay + 1.0)]
    return [strike]


def _leg_for(rng: random.Random, stage: Stage, kind: str, placing: bool) -> str:
    """The leg to strike: for what takes a position away one that holds something."""
    if kind in FORCED:
        return "first" if stage is Stage.B_INTENT else "held"
    if kind in ON_ORDERS and stage is Stage.CLOSE_ONE:
        return "held"
    return "working" if placing else rng.choice(("first", "second"))


def _seconds(rng: random.Random, kind: str) -> float:
    ranges = {
        "latency": (0.3, 6.0),
        "late_accept": (0.2, 4.0),
        "broken_promise": (25.0, 60.0),
        "banned": (2.0, 20.0),
        "rate_limited": (1.0, 5.0),
        "clock_skew": (-4.0, 4.0),
    }
    low, high = ranges.get(kind, (1.0, 5.0))
    return round(rng.uniform(low, high), 3)
