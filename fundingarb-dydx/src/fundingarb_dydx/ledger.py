"""Reading the indexer's lists to the last page, and what closing fills brought: dYdX books cash, not price results."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.order import ZERO, Fill
from fundingarb.errors import BadMessage
from fundingarb.exchanges.parse import number, positive
from fundingarb_dydx import messages, schema
from fundingarb_dydx.messages import side_of, time_of

if TYPE_CHECKING:
    from fundingarb_dydx.adapter import DydxAdapter

PAGE = 100
"""Rows that every version of the indexer gives at once."""

Row = TypeVar("Row", schema.Fill, schema.Payment, schema.Transfer, schema.SettledFunding)


def iso(at: datetime) -> str:
    """A time as the indexer writes it."""
    return at.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


async def rows_since(
    read: Callable[[dict[str, Any]], Awaitable[Sequence[Row]]],
    since: datetime,
    before: str,
    stamp: Callable[[Row], str],
    key: Callable[[Row], object],
) -> list[Row]:
    """Every row from ``since`` on, oldest first, of a list that comes newest first. ``before`` is the parameter that
    asks for rows up to a time; pages overlap by the rows of one moment, which ``key`` tells apart. Where these fill
    more than a page, ``page`` asks for the next one. Raises ``BadMessage`` when there is none."""
    found: dict[object, Row] = {}
    bound, number_of_page = "", 1
    while True:
        params: dict[str, Any] = {"limit": PAGE}
        params |= {before: bound} if bound else {}
        params |= {"page": number_of_page} if number_of_page > 1 else {}
        page = await read(params)
        fresh = {key(row): row for row in page if key(row) not in found}
        found.update(fresh)
        if len(page) < PAGE or time_of(stamp(page[-1]), before) < since:
            break
        last = stamp(page[-1])
        if last != bound:
            bound, number_of_page = last, 1
        elif fresh or number_of_page == 1:
            number_of_page += 1
        else:
            raise BadMessage(
                f"dydx: the indexer gives no more than {PAGE} rows of {bound}, and there are more"
            )
    # The newest comes first: turned around, rows of one moment keep the order in which they happened.
    oldest_first = [row for row in reversed(list(found.values())) if time_of(stamp(row), before) >= since]
    return sorted(oldest_first, key=lambda row: time_of(stamp(row), before))


CENT = Decimal("0.000001")
"""The smallest amount of USDC on the chain."""


@dataclass
class Cost:
    """What a position holds and what was paid for it (negative: received). A fill against it brings a price result, the
    rest opens anew. The results of a position that is flat again add up to its cash exactly, whatever was rounded on
    the way."""

    size: Decimal = ZERO
    paid: Decimal = ZERO

    def take(self, signed: Decimal, price: Decimal) -> Decimal:
        """The price result of a fill of ``signed`` base units (positive bought): its cash and, on average, the cost of
        what it closed."""
        if self.size * signed >= 0:
            self.size += signed
            self.paid += signed * price
            return ZERO
        closing = signed if abs(signed) < abs(self.size) else -self.size
        cost = self.paid
        if closing != -self.size:
            cost = (self.paid * -closing / self.size).quantize(CENT)
        self.size += signed
        self.paid += (signed - closing) * price - cost
        return -closing * price - cost


@dataclass
class Results:
    """The price results of the fills of one subaccount, market by market, reckoned from where each position began."""

    _known: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    _costs: dict[str, Cost] = field(default_factory=dict)
    _upto: dict[str, datetime] = field(default_factory=dict)

    def covers(self, market: str, fills: Iterable[schema.Fill], since: datetime) -> bool:
        """Whether the fills of ``market`` since then can be reckoned with without those before: what is new among them
        has to follow what is known."""
        new = self.new(market, fills)
        end = self.end_before(market, new)
        return not new or (end is not None and since <= end)

    def new(self, market: str, fills: Iterable[schema.Fill]) -> list[schema.Fill]:
        """Those of ``fills`` that were not reckoned with yet."""
        known = self._known.get(market, {})
        return [row for row in fills if row.id not in known]

    def end_before(self, market: str, new: Iterable[schema.Fill]) -> datetime | None:
        """The time of the last fill that was reckoned with; None when there is none, or one of ``new`` is older."""
        upto = self._upto.get(market)
        if upto is None or any(time_of(row.createdAt, "fill createdAt") < upto for row in new):
            return None
        return upto

    def restart(self, market: str) -> None:
        """The next fills of ``market`` start with the one that opened its position."""
        self._known.pop(market, None)
        self._costs[market] = Cost()

    def take(self, market: str, fills: Iterable[schema.Fill]) -> None:
        """Reckon with fills of ``market``, oldest first, those that are known left out."""
        known, cost = self._known.setdefault(market, {}), self._costs.setdefault(market, Cost())
        for row in fills:
            if row.id not in known:
                signed = side_of(row.side).sign * positive(row.size, "fill size")
                known[row.id] = cost.take(signed, positive(row.price, "fill price"))
                self._upto[market] = time_of(row.createdAt, "fill createdAt")

    def of(self, market: str, fill_id: str) -> Decimal:
        return self._known.get(market, {}).get(fill_id, ZERO)


BEHIND = 60.0
"""Real seconds for which a list of the indexer may lack what another one has shown."""


def opened_at(positions: Iterable[schema.Position], market: str, at: datetime) -> datetime | None:
    """When the position that a fill at ``at`` belongs to was opened, which may be then; None when it is not listed."""
    begun = []
    for row in positions:
        created = time_of(row.createdAt, "position createdAt")
        closed = time_of(row.closedAt, "position closedAt") if row.closedAt else None
        if row.market == market and created <= at and (closed is None or closed >= at):
            begun.append(created)
    return min(begun, default=None)


def average_price(fills: Iterable[schema.Fill], order_id: str) -> tuple[Decimal, Decimal | None]:
    """(quantity, average price) of an order's fills."""
    quantity = value = ZERO
    for row in fills:
        if row.orderId == order_id:
            size = number(row.size, "fill size")
            quantity, value = quantity + size, value + size * positive(row.price, "fill price")
    return quantity, value / quantity if quantity else None


class Books:
    """What the indexer has booked for one subaccount: fills, funding payments, transfers."""

    def __init__(self, adapter: DydxAdapter) -> None:
        self._adapter = adapter
        self._results = Results()

    async def fill_rows(self, since: datetime, market: str | None = None) -> list[schema.Fill]:
        """The fills from ``since`` on, oldest first, of one market or of all."""
        adapter = self._adapter
        only = {} if market is None else {"market": market, "marketType": "PERPETUAL"}

        async def read(params: dict[str, Any]) -> Sequence[schema.Fill]:
            return (
                await adapter.read("indexerGetFills", schema.Fills, {**adapter.mine, **only, **params})
            ).fills

        return await rows_since(
            read, since, "createdBeforeOrAt", lambda row: row.createdAt, lambda row: row.id
        )

    async def fills(self, since: datetime, market: str | None) -> list[Fill]:
        """See ``ports.ExchangeAdapter.get_fills``."""
        adapter = self._adapter
        rows = await self.fill_rows(since, market)
        for name in dict.fromkeys(row.name for row in rows):
            await self._reckon(name, [row for row in rows if row.name == name], since)
        found: list[Fill] = []
        for row in rows:
            instrument = adapter.known.by_id(row.name)
            if instrument is not None:
                metadata = messages.index(row.clientMetadata or "0", "clientMetadata")
                ours = adapter.orders.names.name_of_fill(row.orderId, metadata) if row.orderId else None
                result = self._results.of(row.name, row.id)
                found.append(messages.fill(row, adapter.account, instrument, ours, result))
        return found

    async def _reckon(self, market: str, rows: Sequence[schema.Fill], since: datetime) -> None:
        """Have the price results of ``rows``: from what is known on, or from the opening of their position, where that
        is needed. Raises ``BadMessage`` while the indexer's lists do not fit: what serves one may be behind another."""
        results = self._results
        if results.covers(market, rows, since):
            results.take(market, rows)
            return
        new, first = results.new(market, rows), time_of(rows[0].createdAt, "fill createdAt")
        end = results.end_before(market, new)
        begin = await self._opened(market, first) if end is None else end
        if begin < first:
            rows = await self.fill_rows(begin, market)
            shown = {row.id for row in rows}
            if any(row.id not in shown for row in new):
                raise BadMessage(
                    f"dydx: the indexer showed fills of {market} and does not list them; it is behind"
                )
        if end is None:  # not before everything is read: half of a position's fills bring other results
            results.restart(market)
        results.take(market, rows)

    async def _opened(self, market: str, at: datetime) -> datetime:
        """When the position that a fill at ``at`` belongs to was opened."""
        adapter = self._adapter
        answer = await adapter.read("indexerGetPerpetualPositions", schema.Positions, adapter.mine)
        opened = opened_at(answer.positions, market, at)
        if opened is None and adapter.clock.now() - at < timedelta(seconds=BEHIND * adapter.clock.speed):
            raise BadMessage(
                f"dydx: the indexer showed fills of {market} and lists no position of them; it is behind"
            )
        return at if opened is None else opened

    async def payments(self, since: datetime) -> list[FundingPayment]:
        """See ``ports.ExchangeAdapter.get_funding_payments``."""
        adapter = self._adapter
        found: dict[tuple[str, str], schema.Payment] = {}
        page = 1
        while True:
            params = {**adapter.mine, "afterOrAt": iso(since), "limit": PAGE, "page": page}
            rows = (await adapter.read("indexerGetFundingPayments", schema.Payments, params)).fundingPayments
            fresh = {(row.ticker, row.createdAtHeight): row for row in rows}
            new = fresh.keys() - found.keys()
            found.update(fresh)
            if len(rows) < PAGE or not new:
                break
            page += 1
        payments = [
            messages.payment(row, adapter.account, adapter.symbol_of(row.ticker)) for row in found.values()
        ]
        return sorted((row for row in payments if row.at >= since), key=lambda row: row.at)

    async def transfers(self, since: datetime) -> list[tuple[datetime, Decimal]]:
        """(time, USDC) of what came into the subaccount (positive) or left it, oldest first."""
        adapter = self._adapter

        async def read(params: dict[str, Any]) -> Sequence[schema.Transfer]:
            answer = await adapter.read("indexerGetTransfers", schema.Transfers, {**adapter.mine, **params})
            return answer.transfers

        rows = await rows_since(
            read, since, "createdBeforeOrAt", lambda row: row.createdAt, lambda row: row.id
        )
        return [
            (time_of(row.createdAt, "transfer"), messages.transfer(row, adapter.address, adapter.subaccount))
            for row in rows
            if row.symbol == messages.SETTLE
        ]
