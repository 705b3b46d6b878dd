"""One run: exchanges, network, database and a bot that is started again whenever it dies, on one virtual loop."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import anyio
import anyio.abc

from fundingarb.domain.events import Alert
from fundingarb.domain.hedge import Hedge, Mode
from fundingarb.domain.netting import netted
from fundingarb.engine.bot import Bot, BotParts
from fundingarb.engine.view import TradingSettings
from fundingarb.errors import FundingArbError
from fundingarb.localnet.truth.events import AccountChanged, Event, OrderChanged
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.ports import Batch, Clock, RiskRule, Strategy
from fundingarb.simulation.exchange import SimAdapter
from fundingarb.simulation.monitor import Breach, Monitor
from fundingarb.simulation.network import SimExchange
from fundingarb.simulation.registry import CommittedRows
from fundingarb.simulation.stages import Stage, stage_of
from fundingarb.simulation.store import SimStore

BEAT = 0.5
"""Real seconds between two looks of the monitor while nothing happens."""
RESTART = 1.0
"""Real seconds until a bot that gave up is started again, as a service manager does."""


@dataclass(frozen=True)
class Setup:
    """What a world is made of. ``accounts`` maps names to exchanges; ``lags`` exchange -> (ledger, read) seconds;
    ``blocks`` exchange -> seconds between blocks; ``store`` makes the database."""

    seed: int
    clock: Clock
    truths: Mapping[str, Exchange]
    accounts: Mapping[str, str]
    settings: TradingSettings
    strategy: Strategy
    rules: Sequence[RiskRule] = ()
    lags: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    windows: Mapping[str, float] = field(default_factory=dict)
    blocks: Mapping[str, float] = field(default_factory=dict)
    store: Callable[[Clock, str | None], SimStore] = SimStore


class Trace:
    """Everything that happened, as one hash; two runs of a seed must not differ in a single byte."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.lines: list[str] | None = None
        self.count = 0

    def add(self, *words: object) -> None:
        line = "|".join(str(word) for word in words)
        self._hash.update(line.encode())
        self._hash.update(b"\n")
        self.count += 1
        if self.lines is not None:
            self.lines.append(line)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


def leaves(error: BaseException) -> list[BaseException]:
    """The exceptions inside a group, or the exception itself."""
    inner: Sequence[BaseException] | None = getattr(error, "exceptions", None)
    return [error] if inner is None else [leaf for one in inner for leaf in leaves(one)]


class World:
    """See the module. ``async with world.running():`` starts everything; the bot may then be crashed and calmed."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.clock = setup.clock
        self.trace = Trace()
        self.registry = CommittedRows()
        self.store = setup.store(self.clock, setup.settings.instance)
        self.store.on_commit += [self.registry.take, self._committed]
        self.exchanges = {name: self._exchange(truth) for name, truth in setup.truths.items()}
        self.monitor = Monitor(
            setup.truths,
            self.registry,
            speed=self.clock.speed,
            reachable=lambda name: self.exchanges[name].reachable,
            refused=lambda name: self.exchanges[name].refused,
            database_down=lambda: self.store.failed_lately,
            running=lambda: self.running,
        )
        self.monitor.rules.sent_at = self._sent_at
        self.monitor.rules.excused = lambda name: any(
            name in exchange.broken_promises for exchange in self.exchanges.values()
        )
        self.bot: Bot | None = None
        self.up = False
        self.over = False
        self.starts = 0
        self.failures: list[str] = []
        self.stages: dict[UUID, Stage] = {}
        self.on_stage: list[Callable[[Hedge, Stage], None]] = []
        self._ids = random.Random(f"ids/{setup.seed}")
        self._scope: anyio.CancelScope | None = None
        self._may_start = anyio.Event()
        self._may_start.set()
        self._dead = anyio.Event()
        for name, truth in setup.truths.items():
            truth.subscribe(self._tracer(name))

    def _exchange(self, truth: Exchange) -> SimExchange:
        ledger_lag, read_lag = self.setup.lags.get(truth.name, (0.4, 0.2))
        window = self.setup.windows.get(truth.name, 3.0)
        return SimExchange(
            truth,
            self.clock,
            seed=self.setup.seed,
            window=window,
            ledger_lag=ledger_lag,
            read_lag=read_lag,
            block=self.setup.blocks.get(truth.name, 0.0),
        )

    def _sent_at(self, client_id: str) -> datetime | None:
        times = [one.sent[client_id] for one in self.exchanges.values() if client_id in one.sent]
        return max(times, default=None)

    # what is written down

    def _tracer(self, exchange: str) -> Callable[[Event], None]:
        def heard(event: Event) -> None:
            if isinstance(event, OrderChanged):
                order, fill = event.order, event.fill
                self.trace.add(
                    event.time_ms, exchange, event.execution, order.account, order.client_id, order.id,
                    order.quantity, order.price, order.filled, order.status.value,
                    "" if fill is None else f"{fill.id} {fill.price} {fill.quantity} {fill.fee}",
                )  # fmt: skip
            elif isinstance(event, AccountChanged):
                rows = " ".join(f"{row.kind.value}:{row.amount}" for row in event.rows)
                self.trace.add(event.time_ms, exchange, event.account, event.cause.value, rows)

        return heard

    def _committed(self, batch: Batch) -> None:
        now = self.clock.time()
        for intent in batch.intents:
            self.trace.add(
                f"{now:.6f}", "intent", intent.id, intent.version, intent.mode.value, intent.quantity
            )
        for order in batch.orders:
            self.trace.add(
                f"{now:.6f}",
                "order",
                order.client_id,
                order.state.value,
                order.filled,
                order.booked,
                order.reason,
            )
        changed = dict.fromkeys([i.id for i in batch.intents] + [o.hedge_id for o in batch.orders])
        for hedge_id in changed:
            self._note_stage(hedge_id)

    def _note_stage(self, hedge_id: UUID) -> None:
        hedge = None if self.bot is None else self.bot.state.hedges.get(hedge_id)
        if hedge is None or self.bot is None:
            return
        stage = stage_of(hedge, killed=self.bot.state.killed)
        if self.stages.get(hedge_id) is not stage:
            self.stages[hedge_id] = stage
            for told in self.on_stage:
                told(hedge, stage)

    async def send(self, alert: Alert) -> None:
        """The bot's alert sink."""
        self.trace.add(
            f"{alert.at.timestamp():.6f}", "alert", alert.severity.value, alert.title, *alert.lines
        )
        self.monitor.alert(alert)

    # the bot's life

    def _parts(self) -> BotParts:
        used = sorted(set(self.setup.accounts.values()))
        return BotParts(
            clock=self.clock,
            store=self.store,
            settings=self.setup.settings,
            strategy=self.setup.strategy,
            market_data={name: SimAdapter(self.exchanges[name]) for name in used},
            accounts={
                name: SimAdapter(self.exchanges[exchange], name)
                for name, exchange in self.setup.accounts.items()
            },
            rules=self.setup.rules,
            sinks={"monitor": self},
            new_id=lambda: UUID(int=self._ids.getrandbits(128), version=4),
        )

    async def live(self) -> None:
        """Run bots, one after the other, until ``over``."""
        while not self.over:
            await self._may_start.wait()
            self._dead = anyio.Event()
            self.bot = Bot(self._parts())
            self.starts += 1
            self.up = True
            with anyio.CancelScope() as self._scope:
                await self._one_life(self.bot)
            self.up = False
            self._dead.set()
            if self._may_start.is_set() and not self.over:
                await anyio.sleep(RESTART)

    async def _one_life(self, bot: Bot) -> None:
        try:
            await bot.run()
        except Exception as error:  # noqa: BLE001 - judged here
            for leaf in leaves(error):
                text = f"{type(leaf).__name__}: {leaf}"
                self.failures.append(text)
                self.trace.add(f"{self.clock.time():.6f}", "ended", text)
                if not isinstance(leaf, FundingArbError):
                    self.monitor.breaches.append(Breach("CRASH", self.clock.now(), text))

    async def crash(self, seconds: float) -> bool:
        """Kill the bot where it stands; a new one starts ``seconds`` later. False: it is down already, until told."""
        if not self._may_start.is_set():
            return False
        self.down_until_told()
        await self._dead.wait()
        await anyio.sleep(seconds)
        self.may_start()
        return True

    def down_until_told(self) -> None:
        """Kill the bot; none starts until ``may_start``."""
        if self._may_start.is_set():
            self._may_start = anyio.Event()
        self.monitor.look(self.clock.now())
        self.trace.add(f"{self.clock.time():.6f}", "crash")
        if self._scope is not None:
            self._scope.cancel()

    def may_start(self) -> None:
        self._may_start.set()

    async def ready(self, within: float = 120.0) -> bool:
        """Wait until a bot is up and has read what it needs; False when that takes longer than ``within``."""
        return await self.until(lambda: self.bot is not None and self.up and self.bot.ready.is_set(), within)

    async def beat(self) -> None:
        """Time passes at the exchanges, and the monitor looks, also while nobody asks."""
        while True:
            for exchange in self.exchanges.values():
                exchange.sync()
            if self.killed and self.monitor.killed_at is None:
                self.monitor.kill(self.clock.now())
            self.monitor.look(self.clock.now())
            await anyio.sleep(BEAT)

    # what it looks like

    @property
    def running(self) -> bool:
        """Whether a bot is up. One that starts and whose database does not answer cannot know anything yet."""
        return self.up and self.bot is not None and (self.bot.ready.is_set() or not self.store.silent)

    @property
    def killed(self) -> bool:
        """Whether the running bot has the kill switch latched."""
        return self.bot is not None and self.bot.state.killed

    def hedges(self) -> list[Hedge]:
        """As they are held, to the running bot's knowledge."""
        return [] if self.bot is None else list(netted(list(self.bot.state.hedges.values())))

    def settled(self) -> bool:
        """Whether every hedge is held even or over, with nothing under way and every fill booked."""
        return self.up and all(
            hedge.complete_fills
            and hedge.long.idle
            and hedge.short.idle
            and (
                (hedge.intent.mode is Mode.HOLDING and abs(hedge.unhedged) < hedge.lot)
                or (hedge.intent.mode is Mode.DONE and hedge.long.filled == hedge.short.filled == 0)
            )
            for hedge in self.hedges()
        )

    async def until(self, condition: Callable[[], bool], within: float) -> bool:
        """Wait (real seconds) for ``condition``; whether it came true."""
        end = self.clock.monotonic() + within
        while not condition():
            if self.clock.monotonic() > end:
                return False
            await anyio.sleep(BEAT)
        return True

    def now(self) -> datetime:
        return self.clock.now()
