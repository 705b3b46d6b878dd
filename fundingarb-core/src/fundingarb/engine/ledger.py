"""Booking the ledger of one account: fills and funding payments, each to the hedge it belongs to, each once."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar
from uuid import UUID

import anyio

from fundingarb.domain.control import Accepted, AuditEntry, CommandKind
from fundingarb.domain.events import Alert, FillBooked, PaymentBooked, Severity
from fundingarb.domain.funding import LATE, FundingPayment
from fundingarb.domain.hedge import Hedge
from fundingarb.domain.instrument import Side
from fundingarb.domain.netting import netted
from fundingarb.domain.order import ZERO, Fill, FillKind
from fundingarb.domain.reconcile import expected_positions
from fundingarb.domain.shares import row_of
from fundingarb.engine.account import Account
from fundingarb.engine.bus import Bus
from fundingarb.engine.byhand import Seen, explains, trades_by_hand
from fundingarb.engine.durable import Patience, commit, in_time
from fundingarb.engine.gate import Priority
from fundingarb.engine.sharing import Row, is_divisible, shares_of, shares_of_payment
from fundingarb.engine.state import BotState
from fundingarb.engine.wanted import OVERLAP
from fundingarb.errors import StoreError
from fundingarb.ports import Batch, Clock, Store

log = logging.getLogger("fundingarb.ledger")
T = TypeVar("T")


class Read(Protocol):
    """Sends a request of an operation in its turn."""

    async def __call__(
        self, operation: str, request: Callable[[], Awaitable[T]], priority: Priority = Priority.READ
    ) -> T: ...


class LedgerBooks:
    """Reads one account's ledger with ``read`` and books what is new; ``seen`` hears of every fill."""

    def __init__(
        self, account: Account, state: BotState, store: Store, bus: Bus, clock: Clock, wake: Callable[[], None],
        started_at: datetime, read: Read, seen: Callable[[Fill], None],
    ) -> None:  # fmt: skip
        self.account = account
        self._state = state
        self._store = store
        self._bus = bus
        self._clock = clock
        self._wake = wake
        self._started_at = started_at
        self._read = read
        self._seen = seen
        self._payments_floor = account.payments_since or started_at - OVERLAP
        self._paid: set[FundingPayment] = set()
        self._doubtful: dict[tuple[str, str, str], Row] = {}
        self._unstored: dict[tuple[str, str, str], Sequence[Row]] = {}
        self._others: set[str] = set()
        self._said: dict[UUID, tuple[Fill, ...]] = {}
        self._patience = Patience(clock)
        self._booking = anyio.Lock()
        self._paying = anyio.Lock()

    async def collect_fills(self, symbol: str | None = None, since: datetime | None = None) -> bool:
        """Book the ledger's fills that are new, of one symbol or of all since the last time; whether there were any."""
        async with self._booking:
            return await self._collect_fills(symbol, since)

    async def _collect_fills(self, symbol: str | None = None, since: datetime | None = None) -> bool:
        account = self.account
        begin = since or account.fills_since or self._started_at - OVERLAP
        operation = "get_fills" if symbol is None else "get_symbol_fills"
        # what was traded matters more than polls
        priority = Priority.READ if symbol is None else Priority.OPEN
        fills = await self._read(operation, lambda: account.adapter.get_fills(begin, symbol), priority)
        if not fills:
            return False
        for lost in self._state.recover_rows(fills):
            log.warning("%s: %s was in no database; its fill tells of it", account.name, lost.client_id)
        for fill in fills:
            self._seen(fill)
            if self._state.hedge_of_fill(fill) is None:
                self._others.add(fill.symbol)
        new = await self._book_in_turn(fills)
        if symbol is None:
            account.fills_since = max(fill.at for fill in fills) - OVERLAP
        return new

    async def _book_in_turn(self, fills: Sequence[Fill]) -> bool:
        """Whether any fill was new. What the exchange took beside others than one hedge is divided by what our legs
        hold, so our own fills come first."""
        forced = tuple(f for f in fills if _key(f) in self._unstored or is_divisible(f, self._state))
        own = tuple(fill for fill in fills if fill not in forced)
        failed, new = None, False
        try:
            new = bool(own) and await self._book(
                tuple((fill, self._state.hedge_of_fill(fill)) for fill in own)
            )
        except StoreError as error:
            failed = error
        if forced:
            new = await self._book_forced(forced) or new
        if failed is not None:
            raise failed
        return new

    async def _book_forced(self, fills: Sequence[Fill]) -> bool:
        """Divide, commit and take what the exchange did by itself. What could not be stored stays divided as it was:
        the legs are smaller already when it is tried again."""
        shares = shares_of(fills, self._state, self._unstored)
        try:
            new = await self._book(shares.rows, shares.accepted)
        except StoreError:
            for fill in fills:
                key = _key(fill)
                self._unstored[key] = [row for row in shares.rows if row_of(row[0].trade_id) == fill.trade_id]
            raise
        for fill in fills:
            self._unstored.pop(_key(fill), None)
        return new

    async def _book(self, rows: tuple[Row, ...], accepted: Sequence[Accepted] = ()) -> bool:
        """Commit fills, and what is ``accepted`` with them, then take what is new into the state; whether any fill was.

        While the database does not take them, what somebody else took of a leg (a liquidation, a person) is taken into
        the state all the same: its partner does not wait for a disk. What such a commit was given may be stored or not,
        so hedges are then taken as they are stored, once that can be read, and with what is not stored even then.
        """
        seconds = self._patience.seconds(hurried=bool(self._doubtful))
        try:
            batch = Batch(fills=rows, accepted=tuple(accepted))
            committed = (await commit(self._store, batch, seconds)).fills
        except StoreError:
            self._doubtful.update((_key(row[0]), row) for row in rows)
            self._take_unstored(rows)
            raise
        settled = {_key(fill): hedge_id for fill, hedge_id in rows}
        uncertain = {hedge_id for key, hedge_id in settled.items() if hedge_id and key in self._doubtful}
        for fill, hedge_id in committed:
            if hedge_id not in uncertain:
                self._state.book_fill(fill, hedge_id)
        try:
            for hedge_id in uncertain & self._state.hedges.keys():
                stored = await in_time(self._store.fills(hedge_id))
                unstored = [
                    f
                    for key, (f, whose) in self._doubtful.items()
                    if whose == hedge_id and key not in settled
                ]
                self._state.rebook(hedge_id, self.account.name, stored, unstored)
        except StoreError:
            self._take_unstored(rows)
            raise
        else:
            for key in settled:
                self._doubtful.pop(key, None)
        finally:  # a commit does not tell of them again
            for fill, hedge_id in committed:
                self._bus.publish(FillBooked(fill, hedge_id))
        if committed or uncertain:
            self._wake()
        for smaller in accepted:
            await self._take_smaller(smaller)
        return bool(committed)

    async def _take_smaller(self, accepted: Accepted) -> None:
        """What was accepted as somebody else's has become smaller, on disk: know it, note it, tell."""
        before = self._state.books(accepted.account).foreign(accepted.name)
        self._state.take_accepted(accepted)
        told = f"{accepted.name} on {accepted.account}: {before} was accepted, {accepted.quantity} is left"
        lines = (f"The exchange closed some of what is not this bot's. {told}.",)
        self._bus.publish(Alert(Severity.WARNING, "Accepted Position Smaller", lines, accepted.at))
        values = {"account": accepted.account, "symbol": accepted.name, "quantity": str(accepted.quantity)}
        entry = AuditEntry(accepted.at, accepted.actor, CommandKind.ACCEPT.value, values, True, told)
        try:
            await in_time(self._store.audit(entry))
        except StoreError as error:  # the row itself is stored, with who and when
            log.warning("not audited: %s (%s)", told, error)

    def _take_unstored(self, rows: tuple[Row, ...]) -> None:
        """What somebody else took of a leg counts, whatever the database says, and so does what an order of ours filled
        that was thought to be over."""
        if self._state.take_filled(fill for fill, _ in rows):
            self._wake()
        for fill, hedge_id in rows:
            if hedge_id is not None and self._state.take_unstored(fill, hedge_id):
                self._bus.publish(FillBooked(fill, hedge_id))
                self._wake()

    async def collect_payments(self) -> None:
        """Book the ledger's funding payments that are new, each to the hedge that held the position."""
        async with self._paying:  # not what fills wait for: money has time, a leg that was taken away has not
            account, asked_at = self.account, self._clock.now()
            since = account.payments_since or self._payments_floor
            payments = await self._read(
                "get_funding_payments", lambda: account.adapter.get_funding_payments(since)
            )
            fresh = [payment for payment in payments if payment not in self._paid]
            if fresh and self._fills_outstanding():
                await self.collect_fills()  # what was held then is read from the fills
            whose = {
                payment: await shares_of_payment(payment, self._state, self._store, asked_at)
                for payment in fresh
            }
            rows = [row for shares in whose.values() for row in shares]
            committed = await commit(self._store, Batch(payments=tuple(rows)))
            self._state.unsettled.update(hedge_id for _, hedge_id in rows if hedge_id is not None)
            for payment, hedge_id in committed.payments:
                self._bus.publish(PaymentBooked(payment, hedge_id))
            self._paid.intersection_update(payments)
            self._paid.update(payment for payment, shares in whose.items() if shares[0][1] is not None)
            account.payments_read_at = asked_at
            if payments:
                newest = max(payment.settlement for payment in payments)
                account.payments_since = max(newest - LATE, self._payments_floor)
            if committed.payments:
                self._wake()

    def _fills_outstanding(self) -> bool:
        """Whether an order of this account was filled by more than the ledger has been read of."""
        return any(
            order.account == self.account.name and order.booked < order.filled
            for hedge in self._state.hedges.values()
            for order in hedge.orders
        )

    async def take_over_trades_by_hand(self, symbols: Collection[str]) -> bool:
        """Book to a hedge in one of ``symbols`` what somebody else closed of its leg here; whether there was any
        (``engine.byhand``)."""
        adapter, taken_over = self.account.adapter, False
        held = {p.symbol: p.quantity for p in await self._read("get_positions", adapter.get_positions)}
        self._said.clear()
        # what is left of hedges that are over comes first: nothing has to follow it
        for hedge_id in [hedge.id for hedge in sorted(self._state.unfinished(), key=lambda each: each.live)]:
            hedges = netted(self._state.unfinished())
            hedge = next((each for each in hedges if each.id == hedge_id), None)
            if hedge is None or hedge.symbol not in symbols:
                continue
            side = next((s for s in Side if hedge.intent.leg(s).account == self.account.name), None)
            if side is None:
                continue
            others = [each for each in hedges if each.id != hedge_id]
            position = held.get(hedge.symbol, ZERO)
            position -= expected_positions(self.account.name, others).get(hedge.symbol, ZERO)
            if side.sign * position >= hedge.leg(side).filled:
                continue
            trades = trades_by_hand(hedge, side, position, await self._unbooked(hedge))
            if trades:
                taken_over = True
                await self._take_over(trades, hedge, side)
        return taken_over

    async def take_over_unseen(self, symbols: Mapping[str, Seen]) -> set[str]:
        """``take_over_trades_by_hand`` while positions cannot be read: what the ledger says twice in a row is taken.

        ``symbols`` with what the position there was when it was last read: the ledger has to explain that too. Where
        several hedges, or others, hold something it would have to be guessed whose it was: that is left alone. Returns
        the symbols in which something was taken over.
        """
        unfinished, taken = self._state.unfinished(), set()
        for symbol in sorted(self._others.intersection(symbols)):
            hedges = [hedge for hedge in unfinished if hedge.symbol == symbol]
            if len(hedges) != 1 or self._state.books(self.account.name).foreign(symbol):
                continue
            hedge = hedges[0]
            side = next(s for s in Side if hedge.intent.leg(s).account == self.account.name)
            fills = await self._fills(hedge)
            unbooked = [fill for fill in fills if self._state.hedge_of_fill(fill) is None]
            booked = [fill for fill in fills if self._state.hedge_of_fill(fill) == hedge.id]
            hedge = self._state.hedges[hedge.id]
            if not explains(symbols[symbol], side, booked, unbooked):
                continue
            change = sum((f.side.sign * f.quantity for f in unbooked if f.kind is FillKind.TRADE), ZERO)
            position = side.sign * hedge.leg(side).filled + change
            trades = trades_by_hand(hedge, side, position, unbooked)
            before, self._said[hedge.id] = self._said.get(hedge.id), trades
            if trades and trades == before:
                taken.add(symbol)
                await self._take_over(trades, hedge, side)
        return taken

    async def _unbooked(self, hedge: Hedge) -> list[Fill]:
        """Of ``_fills`` those that are no hedge's."""
        return [fill for fill in await self._fills(hedge) if self._state.hedge_of_fill(fill) is None]

    async def _fills(self, hedge: Hedge) -> Sequence[Fill]:
        """The ledger's fills of this account in the symbol of ``hedge``, since it was made."""
        get_fills = partial(self.account.adapter.get_fills, hedge.intent.created_at, hedge.symbol)
        return await self._read("get_symbol_fills", get_fills)

    async def _take_over(self, trades: Sequence[Fill], hedge: Hedge, side: Side) -> None:
        try:
            await self._book(tuple((fill, hedge.id) for fill in trades))
        finally:
            self._alert_by_hand(hedge, side)

    def _alert_by_hand(self, hedge: Hedge, side: Side) -> None:
        left, partner = self._state.hedges[hedge.id].leg(side).filled, hedge.intent.leg(side.opposite).account
        follows = f"reducing the leg on {partner} to the same" if hedge.live else "none, that hedge is over"
        lines = (
            f"Pair: {hedge.symbol}",
            f"Somebody reduced the {side.value} leg on {self.account.name} to {left}",
            f"Action: {follows}",
        )
        self._bus.publish(Alert(Severity.CRITICAL, "Leg Closed By Hand", lines, self._clock.now(), hedge.id))


def _key(fill: Fill) -> tuple[str, str, str]:
    return fill.account, fill.symbol, fill.trade_id
