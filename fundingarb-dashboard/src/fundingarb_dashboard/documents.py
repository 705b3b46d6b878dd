"""The documents: status (engine, exchanges, accounts, kill switch) and summary (what was earned)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import starmap

from importlib_metadata import version

from fundingarb.domain.control import OpenLeg
from fundingarb.ports import BotHandle, BotStatus, Summary, Vitals

__all__ = ["Earned", "Status", "Watched", "status_document", "summary_document", "watch"]


@dataclass(frozen=True, slots=True)
class Watched:
    """What the bot says of itself at one moment: immutable, made in its loop, read in the server's."""

    status: BotStatus
    vitals: Vitals
    killed: bool
    flat: bool
    not_flat: tuple[OpenLeg, ...]
    foreign: tuple[OpenLeg, ...]
    owned: bool


@dataclass(frozen=True, slots=True)
class Engine:
    """``state`` is RUNNING, PAUSED, KILLED, STARTING or ERROR; ``waiting_for`` says in a sentence what comes next."""

    state: str
    waiting_for: str
    error: str | None
    last_scan: datetime | None
    pending_orders: int
    started_at: datetime
    version: str


@dataclass(frozen=True, slots=True)
class Stream:
    """``age_s`` is real seconds since it was heard; None before it ever was."""

    stream: str
    connected: bool
    age_s: float | None


@dataclass(frozen=True, slots=True)
class Exchange:
    """``halted`` says why entries on its accounts are off; ``breaker`` is CLOSED (requests go out) or OPEN;
    ``clock_offset_ms`` is positive when its clock is ahead of ours."""

    name: str
    connected: bool
    streams: tuple[Stream, ...]
    halted: str | None
    breaker: str
    clock_offset_ms: float | None
    rate_age_s: float | None
    stale: bool


@dataclass(frozen=True, slots=True)
class Account:
    """Margin in settle currency; ``margin_ratio`` 1 is liquidation; ``halted`` says why entries are off."""

    account: str
    exchange: str
    currency: str
    equity: Decimal | None
    free: Decimal | None
    margin_ratio: Decimal | None
    halted: str | None


@dataclass(frozen=True, slots=True)
class NotFlat:
    """What a kill has not closed yet; None where the exchange did not say."""

    account: str
    exchange: str
    symbol: str | None
    quantity: Decimal | None
    reason: str


@dataclass(frozen=True, slots=True)
class Kill:
    """The kill switch: latched or not, and what is still open of what it closes. ``foreign`` are positions on our
    accounts that no hedge of ours holds: a kill closes them too. ``needs_password``: releasing takes the master
    password."""

    latched: bool
    flat: bool
    not_flat: tuple[NotFlat, ...]
    foreign: tuple[NotFlat, ...]
    needs_password: bool


@dataclass(frozen=True, slots=True)
class Marks:
    """When a leg's distance to liquidation is a warning (``warn``) and when its hedge is reduced (``act``), fractions
    of its mark; ``adl_rank`` from which the place in the queue for auto-deleveraging is a warning. As configured."""

    warn: Decimal
    act: Decimal
    adl_rank: int


@dataclass(frozen=True, slots=True)
class FailedService:
    """A service that has ended by itself, and why. The bot goes on without it."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Status:
    """The bot at a glance. ``simulation``: the exchanges are offline ones or testnets, no real money moves."""

    engine: Engine
    network: str
    simulation: bool
    exchanges: tuple[Exchange, ...]
    accounts: tuple[Account, ...]
    kill: Kill
    config_revision: int
    margin: Marks
    failed_services: tuple[FailedService, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """What a result consists of, in USD: funding + price - fees. ``basis`` and ``slippage`` add up to ``price``."""

    funding: Decimal
    price: Decimal
    basis: Decimal
    slippage: Decimal
    fees: Decimal


@dataclass(frozen=True, slots=True)
class Splits:
    """``unrealized`` has neither funding nor fees: those are realised when they are booked. None while a mark is
    unknown."""

    realized: Split
    unrealized: Split | None
    net: Split | None


@dataclass(frozen=True, slots=True)
class Earned:
    """What all hedges have brought, in USD: ``realized`` = price + funding - fees, ``net`` = realized + unrealized.

    ``basis`` and ``slippage`` are parts of ``price``; ``splits`` has the same of every result. ``win_rate`` is a
    fraction of ``trades``.
    """

    realized: Decimal
    unrealized: Decimal | None
    funding: Decimal
    fees: Decimal
    price: Decimal
    basis: Decimal
    slippage: Decimal
    net: Decimal | None
    win_rate: Decimal | None
    trades: int
    wins: int
    open: int
    average_duration_s: float | None
    splits: Splits


def watch(bot: BotHandle) -> Watched:
    """What ``bot`` says of itself now. For the bot's loop."""
    return Watched(
        bot.status(),
        bot.vitals(),
        bot.killed,
        bot.flattened,
        tuple(bot.not_flat),
        tuple(bot.foreign),
        bot.owner is not None,
    )


def status_document(seen: Watched) -> Status:
    """``seen`` as the API shows it."""
    status, vitals = seen.status, seen.vitals
    return Status(
        engine=Engine(
            state=vitals.state,
            waiting_for=status.waiting_for,
            error=vitals.error,
            last_scan=status.last_scan,
            pending_orders=status.pending_orders,
            started_at=status.started_at,
            version=version("fundingarb-core"),
        ),
        network=status.network,
        simulation=status.network != "mainnet",
        exchanges=tuple(_exchange(each.exchange, vitals) for each in vitals.exchanges),
        accounts=tuple(
            Account(
                each.account,
                each.exchange,
                each.currency,
                each.equity,
                each.free,
                each.margin_ratio,
                each.halted,
            )
            for each in vitals.accounts
        ),
        kill=Kill(
            latched=seen.killed,
            flat=seen.flat,
            not_flat=tuple(map(_not_flat, seen.not_flat)),
            foreign=tuple(map(_not_flat, seen.foreign)),
            needs_password=seen.owned,
        ),
        config_revision=vitals.config_revision,
        margin=Marks(vitals.margin.warn, vitals.margin.act, vitals.margin.adl_rank),
        failed_services=tuple(starmap(FailedService, sorted(status.failed_services.items()))),
    )


def _exchange(name: str, vitals: Vitals) -> Exchange:
    (own,) = (each for each in vitals.exchanges if each.exchange == name)
    accounts = [each for each in vitals.accounts if each.exchange == name]
    offsets = [each.clock_offset_ms for each in accounts if each.clock_offset_ms is not None]
    return Exchange(
        name=name,
        connected=own.connected,
        streams=tuple(
            Stream(each.stream, each.connected, each.age) for each in vitals.streams if each.exchange == name
        ),
        halted=_joined(each.halted for each in accounts),
        breaker="OPEN" if own.breaker_open else "CLOSED",
        clock_offset_ms=max(offsets, key=abs) if offsets else None,
        rate_age_s=own.rate_age,
        stale=own.stale,
    )


def _joined(reasons: Iterable[str | None]) -> str | None:
    found: Sequence[str] = list(dict.fromkeys(reason for reason in reasons if reason))
    return "; ".join(found) or None


def _not_flat(leg: OpenLeg) -> NotFlat:
    return NotFlat(leg.account, leg.exchange, leg.symbol, leg.quantity, leg.reason)


def summary_document(found: Summary) -> Earned:
    """``found`` as the API shows it."""
    duration = found.average_duration
    return Earned(
        realized=found.realized,
        unrealized=found.unrealized,
        funding=found.funding,
        fees=found.fees,
        price=found.price,
        basis=found.basis,
        slippage=found.realized_slippage,
        net=found.net,
        win_rate=found.win_rate,
        trades=found.trades,
        wins=found.wins,
        open=found.open,
        average_duration_s=None if duration is None else duration.total_seconds(),
        splits=_splits(found),
    )


def _splits(found: Summary) -> Splits:
    realized = Split(found.funding, found.price, found.basis, found.realized_slippage, found.fees)
    if found.unrealized is None or found.unrealized_basis is None:
        return Splits(realized, None, None)
    zero = Decimal(0)
    unrealized = Split(zero, found.unrealized, found.unrealized_basis, found.open_slippage, zero)
    net = Split(
        found.funding,
        found.price + found.unrealized,
        found.basis + found.unrealized_basis,
        found.slippage,
        found.fees,
    )
    return Splits(realized, unrealized, net)
