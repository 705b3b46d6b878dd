"""Comparing what we believe with what the exchange says. Free functions, values in, differences out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from fundingarb.domain.control import Accepted, Subject, instance_of
from fundingarb.domain.hedge import Hedge
from fundingarb.domain.instrument import Side
from fundingarb.domain.netting import netted
from fundingarb.domain.order import ZERO, ExchangePosition, OrderReport


@dataclass(frozen=True, slots=True)
class Difference:
    """One disagreement on one account: what it is about, our figure, the exchange's.

    ``about`` is what a person may accept it as (None: it has to be put right), ``name`` what it is accepted under, and
    ``quantity`` the exchange's signed quantity less ours where it is about a position.
    """

    account: str
    symbol: str
    subject: str
    local: str
    exchange: str
    about: Subject | None = None
    name: str = ""
    quantity: Decimal = ZERO

    def __str__(self) -> str:
        return f"{self.account} {self.symbol}: {self.subject} is {self.local} here, {self.exchange} on the exchange"


@dataclass(frozen=True, slots=True)
class Modes:
    """How an account is set for a symbol, or should be. None is unknown and never a difference."""

    position_mode: str | None
    margin_mode: str | None
    leverage: Decimal | None


@dataclass(frozen=True, slots=True)
class Books:
    """What we believe of one account, apart from the hedges.

    ``accepted`` are differences that a person accepted there, ``own_orders`` client order ids of ours that belong to no
    hedge (flatten orders), ``instance`` the four characters that name this bot in its order ids.
    """

    accepted: Sequence[Accepted] = ()
    own_orders: Collection[str] = field(default_factory=frozenset)
    instance: str = ""

    def names(self, subject: Subject) -> set[str]:
        """What was accepted as ``subject``."""
        return {each.name for each in self.accepted if each.subject is subject}

    def foreign(self, symbol: str) -> Decimal:
        """Signed quantity of ``symbol`` that is accepted as somebody else's."""
        return sum(
            (a.quantity for a in self.accepted if a.subject is Subject.POSITION and a.name == symbol), ZERO
        )

    def stranger(self, client_id: str | None) -> str | None:
        """The other bot that made an order; None when it was none, or one that a person accepted."""
        found = instance_of(client_id)
        if found is None or found == self.instance or client_id in self.own_orders:
            return None
        return None if found in self.names(Subject.INSTANCE) else found


def expected_positions(account: str, hedges: Iterable[Hedge]) -> Mapping[str, Decimal]:
    """Signed base quantity per symbol that our hedges should hold on ``account``."""
    expected: dict[str, Decimal] = {}
    for hedge in hedges:
        for leg in (hedge.long, hedge.short):
            if leg.plan.account == account and leg.filled:
                sign = leg.plan.side.sign
                expected[hedge.symbol] = expected.get(hedge.symbol, ZERO) + sign * leg.filled
    return expected


def compare(
    account: str,
    hedges: Iterable[Hedge],
    positions: Iterable[ExchangePosition],
    open_orders: Iterable[OrderReport],
    books: Books | None = None,
) -> list[Difference]:
    """Every difference on ``account``; empty means it matches. It says nothing of symbols in which an own order is
    unresolved there."""
    hedges, books = list(hedges), books or Books()
    return [
        *_compare_positions(account, hedges, positions, books),
        *_compare_orders(account, hedges, open_orders, books),
    ]


def _compare_positions(
    account: str, hedges: Sequence[Hedge], positions: Iterable[ExchangePosition], books: Books
) -> list[Difference]:
    ours = _held_by_us(account, hedges)
    foreign = {each.name for each in books.accepted if each.subject is Subject.POSITION and each.quantity}
    expected = {
        symbol: ours.get(symbol, ZERO) + books.foreign(symbol) for symbol in dict.fromkeys([*ours, *foreign])
    }
    legs = [(h.symbol, h.intent.leg(side)) for h in hedges for side in Side]
    steps = {symbol: leg.instrument.lot for symbol, leg in legs if leg.account == account}
    held = {position.symbol: position.quantity for position in positions}
    differences = []
    for symbol in dict.fromkeys([*held, *expected]):
        wanted, found = expected.get(symbol, ZERO), held.get(symbol, ZERO)
        if abs(wanted - found) >= noticed(wanted, steps.get(symbol, Decimal("1e-18"))):
            subject = "position" if wanted else "foreign position"
            differences.append(
                Difference(
                    account,
                    symbol,
                    subject,
                    str(wanted),
                    str(found),
                    Subject.POSITION,
                    symbol,
                    found - wanted,
                )
            )
    return [*differences, *_compare_legs(account, hedges)]


def noticed(wanted: Decimal, lot: Decimal) -> Decimal:
    """From which difference on a position is another than ``wanted``: a lot, or all of what is less than one."""
    return min(lot, abs(wanted)) if wanted else lot


def _held_by_us(account: str, hedges: Sequence[Hedge]) -> dict[str, Decimal]:
    """``expected_positions`` without legs below nothing: nobody can hold those."""
    ours = dict(expected_positions(account, hedges))
    for hedge, side in _below_nothing(account, hedges):
        ours[hedge.symbol] -= side.sign * hedge.leg(side).filled
    return ours


def _below_nothing(account: str, hedges: Sequence[Hedge]) -> list[tuple[Hedge, Side]]:
    """Legs on ``account`` of which more was taken than they held, apart from what other hedges' legs lack for it."""
    return [
        (hedge, side)
        for hedge in netted(hedges)
        for side in Side
        if hedge.intent.leg(side).account == account and hedge.leg(side).filled < 0
    ]


def _compare_legs(account: str, hedges: Sequence[Hedge]) -> list[Difference]:
    return [
        Difference(
            account, hedge.symbol, f"{side.value} leg", str(hedge.leg(side).filled), "never below 0",
            Subject.LEG, str(hedge.id), hedge.leg(side).filled,
        )
        for hedge, side in _below_nothing(account, hedges)
    ]  # fmt: skip


def _compare_orders(
    account: str, hedges: Sequence[Hedge], open_orders: Iterable[OrderReport], books: Books
) -> list[Difference]:
    ours = {o.client_id: o for h in hedges for o in h.orders if o.account == account}
    accepted = books.names(Subject.ORDER)
    differences = []
    for order in open_orders:
        known = ours.get(order.client_id or "")
        name = order.client_id or order.exchange_order_id
        if known is not None:
            if known.state.terminal:
                differences.append(
                    Difference(account, order.symbol, "open order", known.state.value, "open", None, name)
                )
        elif order.client_id not in books.own_orders and order.exchange_order_id not in accepted:
            differences.append(
                Difference(
                    account,
                    order.symbol,
                    "open order",
                    "unknown",
                    name,
                    Subject.ORDER,
                    order.exchange_order_id,
                )
            )
    return differences


def another_bot(account: str, symbol: str, stranger: str, client_id: str) -> Difference:
    """An order of another instance of this program on our account: two bots trade it, which neither can survive."""
    return Difference(
        account, symbol, "bot that trades here", "this one alone",
        f"also {stranger} (order {client_id}); end that one", Subject.INSTANCE, stranger,
    )  # fmt: skip


def compare_modes(account: str, symbol: str, recorded: Modes, found: Modes) -> list[Difference]:
    """Position mode, margin mode and leverage as they were when the hedge was opened against what they are."""
    pairs = (
        ("position mode", recorded.position_mode, found.position_mode),
        ("margin mode", recorded.margin_mode, found.margin_mode),
        ("leverage", recorded.leverage, found.leverage),
    )
    return [
        Difference(account, symbol, subject, str(ours), str(theirs))
        for subject, ours, theirs in pairs
        if ours is not None and theirs is not None and ours != theirs
    ]


def gone_from_leg(ours: Decimal, held: Decimal) -> Decimal:
    """How much of our leg (``ours``, signed) is gone when the exchange says that ``held`` (signed) is all there is.

    What is left counts as ours first: somebody else's part is taken to have gone before.
    """
    sign = 1 if ours > 0 else -1
    return min(abs(ours), max(abs(ours) - sign * held, ZERO))


def accept(
    difference: Difference, hedges: Iterable[Hedge], books: Books, actor: str, at: datetime
) -> list[Accepted]:
    """What to write down so that the exchange's figure is taken as it is.

    Of a position: what is missing from a leg of ours is gone from it (the hedge evens itself out), the rest is
    somebody else's. Of a leg below nothing: what was taken of it too much was never its. Nothing for what cannot be
    accepted.
    """
    account = difference.account
    if difference.about is None:
        return []
    if difference.about is Subject.LEG:
        quantity = _gone_before(books, difference.name) + difference.quantity
        return [Accepted(account, Subject.LEG, difference.name, quantity, actor, at)]
    if difference.about is not Subject.POSITION:
        return [Accepted(account, difference.about, difference.name, ZERO, actor, at)]
    hedges = list(hedges)
    held = _held_by_us(account, hedges).get(difference.symbol, ZERO)
    held += books.foreign(difference.symbol) + difference.quantity
    left, rows = held, []
    # what is left counts as a live hedge's first: the others have nobody who waits for them
    for hedge in sorted(netted(hedges), key=lambda each: not each.live):
        for side in Side:
            leg = hedge.leg(side)
            if leg.plan.account != account or hedge.symbol != difference.symbol or leg.filled <= 0:
                continue
            gone = gone_from_leg(side.sign * leg.filled, left)
            left -= side.sign * (leg.filled - gone)
            if gone:
                quantity = _gone_before(books, str(hedge.id)) + gone
                rows.append(Accepted(account, Subject.LEG, str(hedge.id), quantity, actor, at))
    if left != books.foreign(difference.symbol):
        rows.append(Accepted(account, Subject.POSITION, difference.symbol, left, actor, at))
    return rows


def _gone_before(books: Books, hedge_id: str) -> Decimal:
    found = (a.quantity for a in books.accepted if (a.subject, a.name) == (Subject.LEG, hedge_id))
    return sum(found, ZERO)
