"""Resolving differences by hand: accept what the exchange says, or flatten what nobody here accounts for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

import anyio

from fundingarb.domain.control import Accepted, Subject
from fundingarb.domain.order import OrderReport, OrderState
from fundingarb.domain.reconcile import Difference, accept
from fundingarb.engine.accounts import AccountReader
from fundingarb.engine.flatten import Flattener
from fundingarb.engine.naked import IN_DOUBT
from fundingarb.engine.state import BotState
from fundingarb.errors import ConfigError, ExchangeError
from fundingarb.ports import Batch, Clock, Store

#: How often a difference is tried to be flattened before it is left, and real seconds in between.
TRIES = 8
PAUSE = 0.5
#: How often an order to flatten that is in doubt is asked for: longer than the proof that it was never taken needs.
DOUBTS = 60


@dataclass
class Resolution:
    """What ``fundingarb reconcile --accept`` and ``--flatten`` do; every method returns lines for a person."""

    state: BotState
    store: Store
    clock: Clock
    readers: Mapping[str, AccountReader]
    flatteners: Mapping[str, Flattener]

    async def accept(self, account: str | None, actor: str) -> list[str]:
        """Take the exchange's figures as they are. Raises ``ConfigError`` for an account that does not exist."""
        said: list[str] = []
        for reader in self._chosen(account):
            await (
                reader.comparison.reconcile()
            )  # an exchange that does not answer says nothing about what is not there
            said += self._give_up(reader.account.name, actor)
            for difference in await self._differences(reader):
                rows = self._rows(difference, actor)
                if not rows:
                    said.append(f"{difference}: cannot be accepted, it has to be put right on the exchange")
                    continue
                await self._write(rows)
                said.append(f"{difference}: accepted")
            await reader.comparison.reconcile()
        return said or ["nothing to accept: everything matches"]

    def _give_up(self, account: str, actor: str) -> list[str]:
        """Orders that stay in doubt, longer than any proof takes: a person has looked and says that they are not there.

        Should one turn up after all it is looked after as before.
        """
        said, now = [], self.clock.now()
        doubtful = [
            order
            for hedge in self.state.hedges.values()
            for order in (*hedge.long.unresolved, *hedge.short.unresolved)
            if order.account == account and order.client_id not in self.state.in_flight
        ]
        for order in doubtful:
            if now - order.created_at >= timedelta(seconds=IN_DOUBT) * self.clock.speed:
                state = OrderState.CANCELLED if order.filled else OrderState.REFUSED
                reason = f"given up by {actor}: the exchange knows no such order"
                self.state.put_order(replace(order, state=state, reason=reason, resolved_at=now))
                said.append(f"{account}: order {order.client_id} was in doubt and is given up")
        return said

    async def flatten(self, account: str | None, actor: str) -> list[str]:
        """Cancel foreign orders and close, reduce-only, what is held beyond our legs.

        What is missing from a leg of ours cannot be bought back here: the hedge evens itself out, as when accepted.
        """
        said: list[str] = []
        for reader in self._chosen(account):
            differences: Sequence[Difference] = ()
            for _ in range(TRIES):
                differences = await self._differences(reader)
                left = [d for d in differences if d.about in (Subject.POSITION, Subject.ORDER)]
                if not left:
                    break
                said += await self._flatten(reader, left, actor)
                await anyio.sleep(PAUSE)
                await self._until_over(self.flatteners[reader.account.name], left)
            said += [f"{difference}: still there" for difference in differences]
        return list(dict.fromkeys(said)) or ["nothing to flatten: everything matches"]

    @staticmethod
    async def _until_over(flattener: Flattener, differences: Iterable[Difference]) -> None:
        """Wait until no order sent for these may still reduce anything: repeated, it would take what is not meant.

        Raises ``ConfigError`` when that cannot be found out.
        """
        for symbol in dict.fromkeys(difference.symbol for difference in differences):
            for _ in range(DOUBTS):
                if await flattener.is_over(symbol):
                    break
                await anyio.sleep(PAUSE)
            else:
                name = flattener.account.name
                raise ConfigError(
                    f"{name} {symbol}: an order that reduces is in doubt; look again when it is over"
                )

    def _chosen(self, account: str | None) -> list[AccountReader]:
        if account is None:
            return list(self.readers.values())
        if account not in self.readers:
            known = ", ".join(self.readers)
            raise ConfigError(f"there is no account {account}; configured: {known}")
        return [self.readers[account]]

    async def _differences(self, reader: AccountReader) -> Sequence[Difference]:
        """What differs now, looked at again while an order is under way, or the ledger does not have yet what the
        exchange was heard to have taken: accepted before, it would be taken twice."""
        for _ in range(TRIES):
            differences = await reader.comparison.reconcile()
            if reader.comparison.conclusive and reader.account.unread_since is None:
                return differences
            await anyio.sleep(PAUSE)
        doubt = (
            "its ledger has not been read" if reader.comparison.conclusive else "an order of ours is in doubt"
        )
        raise ConfigError(f"{reader.account.name}: {doubt}; try again when it is over")

    def _rows(self, difference: Difference, actor: str) -> list[Accepted]:
        books = self.state.books(difference.account)
        return accept(difference, self.state.unfinished(), books, actor, self.clock.now())

    async def _write(self, rows: Iterable[Accepted]) -> None:
        rows = tuple(rows)
        await self.store.commit(Batch(accepted=rows))
        for row in rows:
            self.state.take_accepted(row)

    async def _flatten(
        self, reader: AccountReader, differences: Sequence[Difference], actor: str
    ) -> list[str]:
        flattener = self.flatteners[reader.account.name]
        orders = {order.exchange_order_id: order for order in (await flattener.look()).orders}
        said = []
        for difference in differences:
            if difference.about is Subject.ORDER:
                said.append(await self._cancel(flattener, difference, orders.get(difference.name)))
                continue
            rows = self._rows(difference, actor)
            gone = [row for row in rows if row.subject is Subject.LEG]
            if gone:
                await self._write(gone)
                said.append(f"{difference}: the leg is that much smaller; its partner follows")
                continue
            if difference.quantity * Decimal(difference.exchange) <= 0:  # somebody else's part is smaller now
                await self._write(rows)
                said.append(f"{difference}: noted, nothing to close")
                continue
            held = Decimal(difference.exchange)
            failed = await flattener.reduce(difference.symbol, difference.quantity, held=held)
            what = f"{difference.account} {difference.symbol}: {difference.quantity} being closed"
            said.append(f"{what}: {failed}" if failed else what)
        return said

    async def _cancel(self, flattener: Flattener, difference: Difference, order: OrderReport | None) -> str:
        what = f"{difference.account} {difference.symbol}: order {difference.exchange}"
        try:
            failed = None if order is None else await flattener.cancel(order)
        except ExchangeError as error:
            failed = str(error)
        return f"{what} not cancelled: {failed}" if failed else f"{what} cancelled"
