"""The kill switch: latched in the database, and everything on the configured accounts closed until it is released.

Hedges of ours are closed by the trading loop, as always: their intent is edited. What no hedge of ours holds, foreign
positions and orders included, is closed here, against positions that are read again and again. Flat means that every
exchange said so after the last thing that could have changed it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import anyio

from fundingarb.domain.control import OpenLeg, Subject
from fundingarb.domain.decide import URGENT
from fundingarb.domain.events import Alert, Severity
from fundingarb.domain.hedge import CloseReason, Hedge, LegState, Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import ZERO, ExchangePosition
from fundingarb.engine.account import Account
from fundingarb.engine.bus import Bus
from fundingarb.engine.flatten import Flattener, Holdings
from fundingarb.engine.state import BotState
from fundingarb.errors import ConfigError, ExchangeError, StoreError
from fundingarb.ports import Clock, SaysWhatItReads, Store
from fundingarb.redaction import redacted

log = logging.getLogger("fundingarb.kill")

#: Real seconds between two looks at an account that is not flat, at most while nothing changes there (every look costs
#: budget that orders and ledgers need too), at one that is flat, and at most at one that cannot be read.
AGAIN = 0.5
UNCHANGED = 3.0
WATCH = 5.0
LONGEST_PAUSE = 5.0
#: Real seconds between two alerts that name what is not flat.
NAMED_EVERY = 30.0
#: Real seconds until the first one of a bot that starts killed: nobody knows when the last life named it.
NAMED_FIRST = 6.0
#: Real seconds the database may take to store the latch before it is tried again.
SAVE_SECONDS = 2.0
#: Real seconds between two attempts to write what is not on disk yet.
CATCH_UP = 1.0
#: Real seconds a leg of ours may stay as it is before it is closed from here, whatever its orders are waiting for.
TAKE_OVER = 20.0


@dataclass
class _Watch:
    """What is known of one account while the switch is latched; ``foreign`` is what was found there and closed or
    cancelled although it belongs to no hedge."""

    flattener: Flattener
    open: tuple[OpenLeg, ...] = ()
    flat: bool = False
    seen_flat: bool = False
    since: dict[str, tuple[Decimal, float]] = field(default_factory=dict)
    foreign: dict[str, str] = field(default_factory=dict)
    turn: anyio.Lock = field(default_factory=anyio.Lock)


class KillSwitch:
    """Latches, flattens, names what is not flat, and is released only when everything is.

    ``close`` edits the intent of a hedge, ``wake`` runs the trading loop, ``reread`` has every account reconciled.
    """

    def __init__(
        self,
        state: BotState,
        store: Store,
        bus: Bus,
        clock: Clock,
        flatteners: Mapping[str, Flattener],
        close: Callable[[UUID, CloseReason], None],
        reread: Callable[[], None],
    ) -> None:
        self._state = state
        self._store = store
        self._bus = bus
        self._clock = clock
        self._watches = {name: _Watch(flattener) for name, flattener in flatteners.items()}
        self._close = close
        self._reread = reread
        self._changed = anyio.Event()
        self._unsaved: tuple[str, datetime] | None = None
        self._told_flat = False
        self._name_after = NAMED_FIRST if state.killed else NAMED_EVERY
        #: Grows with every latch and release: what was read before is out of date.
        self.version = 0

    @property
    def flat(self) -> bool:
        """Whether every account was seen flat, and nothing has been sent or found since."""
        return all(watch.flat for watch in self._watches.values())

    @property
    def open(self) -> tuple[OpenLeg, ...]:
        """What is not flat yet, leg by leg; only meaningful while the switch is latched."""
        return tuple(leg for watch in self._watches.values() for leg in watch.open)

    @property
    def flat_accounts(self) -> tuple[str, ...]:
        """The accounts of which the last look found nothing open."""
        return tuple(self._named(watch) for watch in self._watches.values() if watch.seen_flat)

    async def latch(self, actor: str) -> None:
        """Latch the switch. In memory at once (every send looks there), on disk as soon as the database takes it."""
        self.version += 1
        already, self._state.killed = self._state.killed, True
        now = self._clock.now()
        self._unsaved = (actor, now)
        self._state.thrown[actor] = now
        if not already:
            self._begin()
            self._say(f"Latched by {actor}", "Action: entries off, cancelling and closing everything")
        await self._save()

    async def release(self, actor: str) -> None:
        """Let entries be possible again. Raises ``ConfigError`` while something is not flat, naming it, and when it is
        latched again meanwhile: the latch wins. ``StoreError``: it stays latched."""
        if not self._state.killed:
            raise ConfigError("the kill switch is not latched")
        for name in self._watches:
            await self._round(name)
        if not self.flat:
            raise ConfigError("not flat yet: " + "; ".join(str(leg) for leg in self.open))
        self.version += 1
        version = self.version
        try:
            await self._store.set_killed(False, actor, self._clock.now())
            if self.version != version:
                raise ConfigError("it was latched again meanwhile")
        except (StoreError, ConfigError):
            # it may be released on disk all the same, and is not here: so it is latched there again
            self._unsaved = self._unsaved or self._last_thrown(actor)
            self._changed.set()
            raise
        self.version += 1
        self._unsaved = None
        self._state.killed, self._state.released_at = False, self._clock.now()
        self._changed.set()
        self._reread()
        self._say(f"Released by {actor}", "Entries are possible again once every account matches")

    def _last_thrown(self, otherwise: str) -> tuple[str, datetime]:
        """Who threw the switch last, and when; ``otherwise``, now, when that is not known."""
        thrown = self._state.thrown
        last = max(thrown, key=lambda actor: thrown[actor], default=None)
        return (otherwise, self._clock.now()) if last is None else (last, thrown[last])

    async def run(self) -> None:
        """Flatten whenever the switch is latched, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._catch_up)
            while True:
                self._changed = anyio.Event()
                if self._state.killed:
                    await self._flatten_until_released()
                else:
                    await self._changed.wait()

    async def _catch_up(self) -> None:
        """Write the rows of what was closed from here, or for a person, while the database did not take them."""
        while True:
            for watch in self._watches.values():
                await watch.flattener.catch_up()
            await anyio.sleep(CATCH_UP)

    async def _flatten_until_released(self) -> None:
        self._begin()
        async with anyio.create_task_group() as tasks:
            for name in self._watches:
                tasks.start_soon(self._keep_flat, name)
            tasks.start_soon(self._name)
            while self._state.killed:
                self._changed = anyio.Event()
                await self._save()
                with anyio.move_on_after(1.0):
                    await self._changed.wait()
            tasks.cancel_scope.cancel()

    def _begin(self) -> None:
        self._told_flat = False
        for watch in self._watches.values():
            watch.flat, watch.seen_flat, watch.open = False, False, ()
            watch.since.clear()
            watch.foreign.clear()
        self._changed.set()
        self._close_hedges()

    def _close_hedges(self) -> None:
        for hedge in self._state.live():
            if hedge.intent.mode is not Mode.CLOSING or hedge.intent.close_reason not in URGENT:
                self._close(hedge.id, CloseReason.KILL)

    async def _save(self) -> None:
        """The latch on disk, if it is not there yet."""
        if self._unsaved is None:
            return
        waiting = self._unsaved
        with anyio.move_on_after(SAVE_SECONDS) as patience:
            try:
                await self._store.set_killed(True, *waiting)
            except StoreError as error:
                log.warning("the kill switch is latched in memory only: %s", error)
            else:
                self._unsaved = None if self._unsaved == waiting else self._unsaved
        if patience.cancelled_caught:
            log.warning("the kill switch is latched in memory only: the database does not answer")

    # one account

    async def _keep_flat(self, name: str) -> None:
        pause = AGAIN
        while True:
            self._close_hedges()
            before = self._watches[name].open
            reached = await self._round(name)
            if reached and self._watches[name].open != before:
                pause = AGAIN
            else:
                pause = min(pause * 2, UNCHANGED if reached else LONGEST_PAUSE)
            if self.flat and not self._told_flat:
                self._told_flat = True
                self._say("Flat: no order and no position is left", *self._accounts(), *self.confirmation())
            await anyio.sleep(WATCH if self.flat else pause)

    async def _round(self, name: str) -> bool:
        """Look, cancel, close; whether the exchange answered."""
        watch = self._watches[name]
        async with watch.turn:
            watch.flat = False
            account = watch.flattener.account
            before = self._orders(name)
            try:
                holdings = await watch.flattener.look()
                cancelling = await self._cancel(watch, holdings)
                closing = await self._reduce(watch, holdings)
            except Exception as error:
                if not isinstance(error, ExchangeError):
                    log.exception("flattening %s", name)
                reason = redacted(str(error)) or type(error).__name__
                watch.open, watch.seen_flat = tuple(self._unread(account, watch.open, reason)), False
                return False
            watch.open = (*cancelling, *closing, *self._in_doubt(account, holdings))
            watch.flat = watch.seen_flat = not watch.open and before == self._orders(name)
            return True

    def _orders(self, account: str) -> list[tuple[object, ...]]:
        """What is known of our orders there: when it changed while reading, what was read may be out of date."""
        return [
            (order.client_id, order.state, order.filled)
            for hedge in self._state.hedges.values()
            for order in hedge.orders
            if order.account == account
        ]

    def _unread(self, account: Account, known: Sequence[OpenLeg], reason: str) -> list[OpenLeg]:
        """An account that cannot be read: what was there when it could be, or should be as we know."""
        named: dict[str, Decimal] = {}
        for hedge, leg in self._legs(account.name):
            if leg.filled or not leg.idle:
                named[hedge.symbol] = named.get(hedge.symbol, ZERO) + leg.plan.side.sign * leg.filled
        books = self._state.books(account.name)
        for symbol in books.names(Subject.POSITION):
            if theirs := books.foreign(symbol):
                named[symbol] = named.get(symbol, ZERO) + theirs
        for symbol, position in account.positions.items():
            named.setdefault(symbol, position.quantity)
        named |= {leg.symbol: leg.quantity for leg in known if leg.symbol and leg.quantity}
        found = [
            OpenLeg(account.exchange, account.name, symbol, quantity, reason)
            for symbol, quantity in named.items()
        ]
        return found or [OpenLeg(account.exchange, account.name, None, None, reason)]

    def _legs(self, account: str) -> list[tuple[Hedge, LegState]]:
        return [
            (hedge, hedge.leg(side))
            for hedge in self._state.hedges.values()
            for side in Side
            if hedge.intent.leg(side).account == account
        ]

    async def _cancel(self, watch: _Watch, holdings: Holdings) -> list[OpenLeg]:
        """Cancel what the loop does not; every order that is open still is one that may fill."""
        account = watch.flattener.account
        unattended = {id(order) for order in watch.flattener.unattended(holdings.orders)}
        found = []
        for order in holdings.orders:
            refused = await watch.flattener.cancel(order) if id(order) in unattended else None
            name = order.client_id or order.exchange_order_id
            if self._state.owner(order.client_id) is None:
                watch.foreign.setdefault(name, f"{order.symbol} order {name}, cancelled")
            reason = f"order {name} is open" + (f": {refused}" if refused else ", being cancelled")
            held = sum((p.quantity for p in holdings.positions if p.symbol == order.symbol), ZERO)
            found.append(OpenLeg(account.exchange, account.name, order.symbol, held, reason))
        return found

    async def _reduce(self, watch: _Watch, holdings: Holdings) -> list[OpenLeg]:
        """Close what no leg of ours is closing; what one does not get rid of is closed from here too."""
        account = watch.flattener.account
        found = []
        watch.since = {p.symbol: self._stuck_since(watch, p) for p in holdings.positions}
        for position in holdings.positions:
            own = self._own(account.name, position)
            stuck = self._clock.monotonic() - watch.since[position.symbol][1]
            if own is not None and stuck < TAKE_OVER:
                reason: str | None = self._waiting_for(*own)
            else:
                reason = await self._close_here(watch, position, own)
            found.append(
                OpenLeg(
                    account.exchange,
                    account.name,
                    position.symbol,
                    position.quantity,
                    reason or "being closed",
                )
            )
        return found

    def _stuck_since(self, watch: _Watch, position: ExchangePosition) -> tuple[Decimal, float]:
        """The size of a position and since when it has had it."""
        known = watch.since.get(position.symbol)
        if known is not None and known[0] == position.quantity:
            return known
        return position.quantity, self._clock.monotonic()

    async def _close_here(
        self, watch: _Watch, position: ExchangePosition, own: tuple[Hedge, LegState] | None
    ) -> str | None:
        """Close a position from here: that of a leg of ours, whose orders do not get anywhere, or all of it. Of a leg
        beside somebody else's position less than a lot cannot be closed alone: then that is all of it as well."""
        hedge_id, symbol, quantity = None, position.symbol, position.quantity
        if own is not None and own[1].filled > 0:
            part = min(abs(quantity), own[1].filled)
            if part == abs(quantity) or part >= watch.flattener.lot(position.symbol):
                hedge_id, quantity = own[0].id, own[1].plan.side.sign * part
        if hedge_id is None:
            watch.foreign.setdefault(symbol, f"{symbol} {quantity}, closed")
        return await watch.flattener.reduce(symbol, quantity, hedge_id, held=position.quantity)

    def _own(self, account: str, position: ExchangePosition) -> tuple[Hedge, LegState] | None:
        """The leg of ours that this position is, or may be; None when it is none that our orders can close."""
        for hedge, leg in self._legs(account):
            if hedge.symbol != position.symbol or (not leg.filled and leg.idle):
                continue
            if leg.filled > 0 and leg.plan.side.sign * position.quantity < 0:
                continue  # the other way round: our reductions would be refused
            return hedge, leg
        return None

    def _waiting_for(self, hedge: Hedge, leg: LegState) -> str:
        """What the loop is doing about a leg of ours."""
        if leg.unresolved and leg.unresolved[0].client_id in self._state.in_flight:
            return f"order {leg.unresolved[0].client_id} is on its way"
        if leg.unresolved:
            return f"order {leg.unresolved[0].client_id} is in doubt; asking"
        last = next((order.reason for order in reversed(hedge.orders) if order.leg is leg.plan.side), "")
        return f"being closed by the hedge's own orders{f' ({last})' if last else ''}"

    def _in_doubt(self, account: Account, holdings: Holdings) -> list[OpenLeg]:
        """Orders of ours that may still fill although nothing of them is to be seen."""
        seen = {order.client_id for order in holdings.orders}
        held = {position.symbol: position.quantity for position in holdings.positions}
        return [
            OpenLeg(
                account.exchange,
                account.name,
                hedge.symbol,
                held.get(hedge.symbol, ZERO),
                f"order {order.client_id} is not over",
            )
            for hedge, leg in self._legs(account.name)
            for order in (*leg.unresolved, *leg.live)
            if order.client_id not in seen and hedge.symbol not in held
        ]

    # saying

    async def _name(self) -> None:
        while True:
            await anyio.sleep(self._name_after)
            self._name_after = NAMED_EVERY
            if not self.flat:
                self._told_flat = False
                self._say("Not flat yet; trying again:", *(str(leg) for leg in self.open))

    def confirmation(self) -> list[str]:
        """What of the accounts was looked at, where that is known, and what was there that belonged to no hedge."""
        lines = []
        for watch in self._watches.values():
            adapter, name = watch.flattener.account.adapter, self._named(watch)
            if isinstance(adapter, SaysWhatItReads):
                lines.append(f"{name}: looked at {adapter.reads}, at nothing else")
            lines += [f"{name}: not of this bot: {found}" for found in watch.foreign.values()]
        return lines

    def _accounts(self) -> list[str]:
        return [f"{self._named(watch)}: flat" for watch in self._watches.values()]

    def _named(self, watch: _Watch) -> str:
        return f"{watch.flattener.account.exchange} ({watch.flattener.account.name})"

    def _say(self, *lines: str) -> None:
        self._bus.publish(Alert(Severity.CRITICAL, "Kill Switch", lines, self._clock.now()))
