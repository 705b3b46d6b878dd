"""Watches the exchanges' truth, not the bot, and reports every broken invariant of the failure model.

Give it the truths, where to look up committed orders (``registry``) and the bot's alerts; then ask ``breaches``.
It works on a simulation as well as beside a real localnet: nothing here depends on how the bot is run.

I1   no symbol stays unhedged for more than 30 s; after 5 s there is a CRITICAL alert that names it
I2   no order reaches an exchange without its committed row (reductions may while the database is down)
I3   no client order id twice        I4   one order at a time adds to a leg, attempt by attempt
SIZE a hedge order is no larger than what it hedges        REDUCE a close only ever reduces
REOPEN nothing is added to a hedge that is being closed    SILENT nothing is sent while nothing is to do (I5)
I7   a kill ends flat, or names every leg that is not: exchange, symbol, quantity and reason, every 30 s
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from decimal import Decimal

from fundingarb.domain.events import Alert, Severity
from fundingarb.localnet.truth.events import AccountChanged, Event, Liquidated, OrderChanged
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.types import Cause, Fill, Order, Side
from fundingarb.simulation.exposure import Episode, Excuse, Exposure
from fundingarb.simulation.naming import Leg, Naming
from fundingarb.simulation.registry import Registry
from fundingarb.simulation.rules import OrderRules, base_units

__all__ = ["Breach", "Limits", "Monitor"]

SENT_UNSTORED = re.compile(
    r"Order Sent While The Database Is Down Pair: (?P<symbol>\S+) .*\((?P<order>\w+)(?P<attempt>\d{3})\)"
)
ACCOUNT = re.compile(r"Account (?P<account>\S+) (?P<what>.*)")
UNREAD = "cannot be read"


@dataclass(frozen=True, slots=True)
class Breach:
    """An invariant of the failure model that did not hold, when (simulated time), and what was seen."""

    invariant: str
    at: datetime
    text: str

    def __str__(self) -> str:
        return f"{self.invariant} at {self.at:%Y-%m-%d %H:%M:%S.%f}: {self.text}"


@dataclass(frozen=True, slots=True)
class Limits:
    """In real seconds.

    ``settling`` is how long an order may be under way before its outcome counts as unknown. ``proof`` is how much time
    per order its proof may be excused for: its expiry (up to 5 s), the read lag and three misses, asked for ever less
    often, take 15 s, and as long again when questions get no answer; ``unstored`` is the same for an order sent while
    the database was down, of which nobody can see whether it is proved. ``by_hand`` is how long a person's trade may go
    unnoticed while the exchange can be asked: the ledger may lag, a difference counts when a second look has confirmed
    it, and an exchange that was away is tried again after 5 s.
    """

    alert: float = 5.0
    flat: float = 30.0
    settling: float = 1.0
    proof: float = 30.0
    unstored: float = 10.0
    kill_alert: float = 30.0
    by_hand: float = 5.0


def moment(time_ms: float) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, timezone.utc)


class Monitor:
    """Subscribes to ``exchanges``. ``speed`` is simulated seconds per real second.

    ``reachable(exchange)``, ``refused(exchange)`` (what of an account came to nothing when it was last read:
    ``fills.read``, ``positions.read``), ``database_down()`` and ``running()`` say what is the case now, ``starved()``
    how many real seconds since it was last asked nobody could do anything for want of a processor; they excuse.
    ``named(order)`` is its client order id, which some exchanges keep in a form of their own, and
    ``market_orders(exchange)`` whether there are orders without a price. Call ``look`` from time to time (and it is
    called with every event), ``alert`` with every alert the bot delivers.
    """

    def __init__(
        self,
        exchanges: Mapping[str, Exchange],
        registry: Registry,
        *,
        speed: float = 1.0,
        limits: Limits | None = None,
        prefix: str = "fa",
        reachable: Callable[[str], bool] = lambda _exchange: True,
        refused: Callable[[str], Collection[str]] = lambda _exchange: (),
        database_down: Callable[[], bool] = lambda: False,
        running: Callable[[], bool] = lambda: True,
        starved: Callable[[], float] = lambda: 0.0,
        named: Callable[[Order], str] = lambda order: order.client_id,
        market_orders: Callable[[str], bool] = lambda _exchange: True,
    ) -> None:
        self.exchanges = dict(exchanges)
        self.registry = registry
        self.speed = speed
        self.limits = limits or Limits()
        self.breaches: list[Breach] = []
        self.exposures: dict[str, Exposure] = {}
        self.rules = OrderRules(registry, self._report, prefix, market_orders)
        self.reachable = reachable
        self.refused = refused
        self.database_down = database_down
        self.running = running
        self.starved = starved
        self.named = named
        self.critical: list[Alert] = []
        self.killed_at: datetime | None = None
        self.flat_at: datetime | None = None
        self.naming = Naming(self.limits.kill_alert, speed, reachable)
        self._silent: str | None = None
        self._now: datetime | None = None
        self._askable: dict[Leg, float] = {}
        """Where an exchange has closed something, and for how many real seconds it could be asked since."""
        self._unstored: dict[str, dict[str, str]] = {}
        """Symbol -> the newest order of each leg and purpose that was sent while the database was down, by the part of
        its name that its attempts share."""
        self._proving: dict[str, float] = {}
        """Order -> real seconds that its proof has been excused for, or could have been."""
        self._unalerted: dict[str, tuple[Episode, Breach]] = {}
        self.beside: dict[tuple[str, str, str], Decimal] = {}
        """(exchange, account, symbol) -> signed base units that are somebody else's, hedged by nobody."""
        self.opens_beside = False
        """Whether a trade that is not the bot's opens something of that kind now."""
        self._unread: dict[str, str] = {}
        """Account -> what was said when it could not be read any more, until it is told to be read again."""
        self._by_hand: dict[str, float] = {}
        """Symbol -> real seconds that a person's trade still excuses."""
        self._undo = [truth.subscribe(self._listener(name)) for name, truth in self.exchanges.items()]
        lots: dict[str, Decimal] = {}
        for truth in self.exchanges.values():
            for instrument in truth.instruments.values():
                lot = instrument.lot * base_units(instrument)
                lots[instrument.symbol] = max(lot, lots.get(instrument.symbol, lot))
        self._lots = lots

    def close(self) -> None:
        """Stop watching."""
        for undo in self._undo:
            undo()

    def _report(self, invariant: str, at: datetime, text: str) -> None:
        self.breaches.append(Breach(invariant, at, text))

    # what happens at the exchanges

    def _listener(self, exchange: str) -> Callable[[Event], None]:
        def heard(event: Event) -> None:
            self.look(moment(event.time_ms))
            at = moment(event.time_ms)
            if isinstance(event, OrderChanged):
                self._order(exchange, self._with_name(event), at)
            elif isinstance(event, AccountChanged):
                self._positions(exchange, event, at)
            elif isinstance(event, Liquidated):
                symbol = self.exchanges[exchange].instruments[event.instrument].symbol
                self.rules.forced(exchange, event.account, symbol, at)
                self._askable[exchange, event.account, symbol] = 0.0

        return heard

    def _with_name(self, event: OrderChanged) -> OrderChanged:
        name = self.named(event.order)
        if name == event.order.client_id:
            return event
        fill = None if event.fill is None else replace(event.fill, client_id=name)
        return replace(event, order=replace(event.order, client_id=name), fill=fill)

    def _order(self, exchange: str, event: OrderChanged, at: datetime) -> None:
        order = event.order
        if not self.rules.ours(order):
            instrument = self.exchanges[exchange].instruments[order.instrument]
            symbol = instrument.symbol
            if event.fill is not None and self.opens_beside:
                sign = 1 if event.fill.side is Side.BUY else -1
                bought = sign * event.fill.quantity * base_units(instrument)
                where = (exchange, event.account, symbol)
                self.beside[where] = self.beside.get(where, Decimal(0)) + bought
            elif event.fill is not None:
                self.exposure(symbol).surprise((exchange, event.account))
                if not (order.liquidation or order.adl):
                    self._by_hand[symbol] = self.limits.by_hand
            return
        if self._silent is not None and event.execution in ("NEW", "CANCELED", "AMENDED"):
            self._report("SILENT", at, f"{exchange}: {event.execution} {order.client_id} {self._silent}")
        instrument = self.exchanges[exchange].instruments[order.instrument]
        if event.execution == "NEW":
            self.rules.taken(exchange, instrument, order, at, self.database_down())
        if event.fill is not None:
            self.rules.filled(exchange, event.fill, base_units(instrument), at)
            self._takes_theirs(
                exchange, event.fill, event.fill.quantity * base_units(instrument), instrument.symbol
            )
        if not order.status.open:
            self.rules.ended(exchange, order)

    def _positions(self, exchange: str, event: AccountChanged, at: datetime) -> None:
        for position in event.positions:
            instrument = self.exchanges[exchange].instruments[position.instrument]
            exposure = self.exposure(instrument.symbol)
            held = position.quantity * base_units(instrument)
            where = (exchange, event.account, instrument.symbol)
            self.naming.moved(where, held, at)
            if event.cause in (Cause.LIQUIDATION, Cause.ADL):  # what is taken is the bot's first, then theirs
                self._keep_beside(where, abs(held))
            held -= self.beside.get(where, Decimal(0))
            if exposure.positions.get((exchange, event.account), Decimal(0)) == held:
                continue
            exposure.move((exchange, event.account), held, at, position.mark_price / instrument.multiplier)
            if exposure.episode is not None and exposure.episode.hedge_id is None:
                stories = [s for s in self.rules.hedges.values() if s.symbol == instrument.symbol]
                exposure.episode.hedge_id = stories[-1].id if stories else None

    def _takes_theirs(self, exchange: str, fill: Fill, quantity: Decimal, symbol: str) -> None:
        """A kill or a person's flatten closes what is somebody else's too; so does a close that the exchange held up
        beyond its promise, or that left before it could be known what the exchange has taken there, when nothing of
        ours is left."""
        where = (exchange, fill.account, symbol)
        from_memory = fill.client_id[-4:].isdigit()  # such an order's name, also before its row is stored
        if self.registry.flatten(fill.client_id) is None and not from_memory:
            unaware = self.rules.excused(fill.client_id) or self._taken_just_now(where)
            if not unaware or not fill.closed_quantity:
                return
            quantity -= abs(self.exposure(symbol).positions.get((exchange, fill.account), Decimal(0)))
        self._keep_beside(where, abs(self.beside.get(where, Decimal(0))) - max(quantity, Decimal(0)))

    def _taken_just_now(self, where: Leg) -> bool:
        """Whether the exchange closed something there, and could so far not be asked for long enough to say so."""
        return self._askable.get(where, float("inf")) <= self.limits.by_hand

    def _keep_beside(self, where: tuple[str, str, str], most: Decimal) -> None:
        """Of what is somebody else's there, no more than ``most`` is left."""
        theirs = self.beside.get(where, Decimal(0))
        left = min(abs(theirs), max(most, Decimal(0)))
        if theirs:
            self.beside[where] = left if theirs > 0 else -left

    def exposure(self, symbol: str) -> Exposure:
        """The symbol's exposure; it tolerates what is less than a lot of its coarsest instrument."""
        found = self.exposures.get(symbol)
        if found is None:
            lot = self._lots.get(symbol, Decimal(0))
            found = self.exposures[symbol] = Exposure(symbol, lot - lot / 1000)
        return found

    # time

    def look(self, now: datetime) -> None:
        """Bring every clock to ``now`` and check what depends on time."""
        before, self._now = self._now, max(now, self._now or now)
        if before is None or now <= before:
            return
        seconds = (now - before).total_seconds() / self.speed
        starved = min(seconds, self.starved())
        self.rules.settle_forced(now)
        for where in self._askable:
            if self.reachable(where[0]) and "fills.read" not in self.refused(where[0]):
                self._askable[where] += seconds
        for exposure in self.exposures.values():
            if exposure.episode is not None:
                if starved:
                    exposure.pass_time(starved, Excuse.STARVED)
                left = seconds - starved
                exposure.pass_time(left, self._excuse(exposure, left))
                self._check_age(exposure, exposure.episode, now)
            else:
                self._by_hand.pop(exposure.symbol, None)
        self.naming.look(now)
        if self.killed_at is not None and self.flat_at is None:
            self._check_kill(seconds, now)

    def _excuse(self, exposure: Exposure, seconds: float) -> Excuse | None:
        if not self.running():
            return Excuse.DOWN
        # the leg that has to be reduced, and those of which the bot has to learn that they moved
        suspects = (exposure.heavier, exposure.last_moved, *exposure.surprised)
        if any(where is not None and not self.reachable(where[0]) for where in suspects):
            return Excuse.UNREACHABLE
        del exposure.surprised[:-1]  # all could be asked
        unnoticed = self._by_hand.get(exposure.symbol, 0.0)
        if unnoticed > 0:
            self._by_hand[exposure.symbol] = unnoticed - seconds
            return Excuse.PERSON
        return self._in_doubt(exposure.symbol, seconds)

    def _in_doubt(self, symbol: str, seconds: float) -> Excuse | None:
        """I1 leaves out proof time, and that for which an exchange that has to be asked is silent."""
        excuse = None
        unstored = self._unstored.get(symbol, {})
        for name in [each for each in unstored.values() if self.registry.order(each) is not None]:
            del unstored[name[:-3]]
        for name in (*self.registry.under_way(symbol), *unstored.values()):
            row = self.registry.order(name)
            most = self.limits.proof if row is not None else self.limits.unstored
            places = [one for one, truth in self.exchanges.items() if row and row.account in truth.accounts]
            if places and not any(self.reachable(one) for one in places):
                excuse = excuse or Excuse.UNREACHABLE
                continue
            if row is not None and not row.state.unresolved:
                continue
            if places and all(self.refused(one) for one in places):  # its proof is in what cannot be read
                excuse = excuse or Excuse.UNREACHABLE
                continue
            spent = self._proving[name] = self._proving.get(name, 0.0) + seconds
            if self.limits.settling <= spent <= most:
                excuse = Excuse.PROOF
        return excuse

    def _check_age(self, exposure: Exposure, episode: Episode, now: datetime) -> None:
        for limit, name in ((self.limits.alert, "alert"), (self.limits.flat, "flat")):
            if exposure.age <= limit or name in episode.told:
                continue
            episode.told.add(name)
            where = ", ".join(
                f"{quantity} on {account} ({exchange})"
                for (exchange, account), quantity in exposure.positions.items()
                if quantity
            )
            if name == "flat":
                self._report(
                    "I1", now, f"{exposure.symbol} unhedged by {exposure.delta} for {limit} s: {where}"
                )
            elif episode.alerted_at is None and not self._told_unread(exposure):
                text = (
                    f"{exposure.symbol} unhedged by {exposure.delta} for {limit} s without an alert: {where}"
                )
                self._report("I1", now, text)
                self._unalerted[exposure.symbol] = (episode, self.breaches[-1])

    def _told_unread(self, exposure: Exposure) -> bool:
        """Whether an alert still stands that an account with a leg of this symbol cannot be read."""
        return any(exposure.symbol in re.split(r"[ ,]", text) for text in self._unread.values())

    # alerts

    def alert(self, alert: Alert) -> None:
        """The bot delivered an alert; what counts is when it was raised, not when it came here."""
        self.look(alert.at)
        told = ACCOUNT.fullmatch(alert.title)
        if told:
            self._unread.pop(told["account"], None)
            if told["what"] == UNREAD:
                self._unread[told["account"]] = " ".join(alert.lines)
        if alert.severity is not Severity.CRITICAL:
            return
        self.critical.append(alert)
        text = " ".join((alert.title, *alert.lines))
        sent = SENT_UNSTORED.search(text)
        if sent:
            self._unstored.setdefault(sent["symbol"], {})[sent["order"]] = sent["order"] + sent["attempt"]
        story = self.rules.hedges.get(alert.hedge_id) if alert.hedge_id else None
        for symbol, exposure in self.exposures.items():
            if symbol not in text and (story is None or story.symbol != symbol):
                continue
            if exposure.episode is not None and exposure.episode.started_at <= alert.at:
                exposure.episode.alerted_at = exposure.episode.alerted_at or alert.at
            episode, breach = self._unalerted.get(symbol, (None, None))
            if episode is not None and breach is not None and episode.started_at <= alert.at <= breach.at:
                self.breaches.remove(breach)
                del self._unalerted[symbol]
        self.naming.alert(alert.lines, alert.at, self._now or alert.at)

    # kill

    def kill(self, at: datetime) -> None:
        """The kill switch was thrown: from now on nothing may be added, and everything has to become flat."""
        self.look(at)
        self.killed_at = self.rules.killed_at = self.killed_at or at

    def _not_flat(self) -> list[Leg]:
        """Every position and every order that may fill, whoever's it is."""
        resting = {
            (exchange, account, truth.instruments[order.instrument].symbol)
            for exchange, truth in self.exchanges.items()
            for account in truth.accounts
            for order in truth.open_orders(account)
        }
        return sorted(resting | self.naming.held)

    def _check_kill(self, seconds: float, now: datetime) -> None:
        legs = self._not_flat()
        if not legs:
            self.flat_at = now
        for exchange, account, symbol in self.naming.overdue(legs, seconds if self.running() else 0.0):
            quantity = self.naming.quantity((exchange, account, symbol))
            text = f"{exchange} ({account}) {symbol} {quantity} is not flat, and was not named for 30 s of a kill"
            self._report("I7", now, text)

    # silence

    def silence(self, why: str | None) -> None:
        """From now on (until None) any order or cancel of ours is a breach; ``why`` ends the sentence."""
        self._silent = why

    @property
    def episodes(self) -> Sequence[Episode]:
        """Every time a symbol was unhedged, by symbol."""
        return [episode for exposure in self.exposures.values() for episode in exposure.episodes]
