"""What a demo did: hedges from the bot's books, accounts from the exchanges' truth, and whether they agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.hedge import Hedge
from fundingarb.domain.order import ZERO, Fill
from fundingarb.domain.pnl import HedgePnl, LegPnl, hedge_pnl
from fundingarb.ports import Store

EVERY_HEDGE = 10**9


@dataclass(frozen=True)
class Books:
    """Everything the bot has booked."""

    hedges: Sequence[Hedge]
    fills: Sequence[Fill]
    payments: Sequence[FundingPayment]
    pnl: Mapping[str, HedgePnl]
    refusals: Mapping[str, int]

    def booked(self, account: str) -> Decimal:
        """What the bot says ``account``'s balance changed by: realised price results + funding - fees."""
        return sum(self.booked_by_symbol(account).values(), ZERO)

    def booked_by_symbol(self, account: str) -> dict[str, Decimal]:
        """The same, symbol by symbol."""
        sums: defaultdict[str, Decimal] = defaultdict(Decimal)
        for fill in self.fills:
            if fill.account == account:
                sums[fill.symbol] += fill.realized_pnl - fill.fee
        for payment in self.payments:
            if payment.account == account:
                sums[payment.symbol] += payment.amount
        return dict(sums)


async def read_books(store: Store) -> Books:
    """Read everything from the store, oldest hedge first."""
    hedges = [
        hedge
        for hedge in reversed(await store.hedges(limit=EVERY_HEDGE))
        if any(order.filled for order in hedge.orders)
    ]
    pnl = {}
    for hedge in hedges:
        pnl[str(hedge.id)] = hedge_pnl(
            hedge,
            await store.fills(hedge.id),
            await store.payments(hedge.id),
            await store.settlements(hedge.id),
        )
    return Books(hedges, await store.fills(), await store.payments(), pnl, await store.refusal_counts())


def reconciled(books: Books, truth: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether what the bot booked equals the change of every account's balance exactly."""
    return all(not difference for difference in differences(books, truth).values())


def differences(books: Books, truth: Mapping[str, Mapping[str, Any]]) -> dict[str, Decimal]:
    """Account -> change of its balance minus what the bot booked; zero everywhere when the books are right."""
    return {
        name: Decimal(account["final_balance"]) - Decimal(account["starting_balance"]) - books.booked(name)
        for name, account in truth.items()
    }


def unexplained(books: Books, truth: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Where the books and the exchanges part: a line per account and symbol whose ledger rows do not add up to them."""
    lines = []
    for account, figures in truth.items():
        booked = books.booked_by_symbol(account)
        posted = {symbol: Decimal(amount) for symbol, amount in figures["changes"].items()}
        for symbol in sorted(booked.keys() | posted.keys()):
            ours, theirs = booked.get(symbol, ZERO), posted.get(symbol, ZERO)
            if ours != theirs:
                where = symbol or "no symbol"
                lines.append(f"{account} {where}: the ledger says {text(theirs)}, booked is {text(ours)}")
    return lines


def build(books: Books, truth: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The report as a JSON document: decimals are strings, times ISO UTC."""
    return {
        "hedges": [_hedge(hedge, books.pnl[str(hedge.id)]) for hedge in books.hedges],
        "truth": truth,
        "reconciled": reconciled(books, truth),
        "unexplained": unexplained(books, truth),
        "refusals": dict(sorted(books.refusals.items())),
    }


def cycles(books: Books) -> int:
    """Hedges that went open -> at least one funding settlement on both legs -> closed."""
    return sum(1 for hedge in books.hedges if is_cycle(hedge, books.payments))


def is_cycle(hedge: Hedge, payments: Iterable[FundingPayment]) -> bool:
    """Whether ``hedge`` is over, was open, and both of its legs were settled in between."""
    opened, closed = hedge.intent.opened_at, hedge.intent.closed_at
    if opened is None or closed is None:
        return False
    paid = {p.account for p in payments if p.symbol == hedge.symbol and opened <= p.settlement <= closed}
    return {hedge.intent.long.account, hedge.intent.short.account} <= paid


def _hedge(hedge: Hedge, pnl: HedgePnl) -> dict[str, Any]:
    intent = hedge.intent
    entry = pnl.long.entry_price or pnl.short.entry_price or ZERO
    return {
        "id": str(hedge.id),
        "symbol": hedge.symbol,
        "long": intent.long.account,
        "short": intent.short.account,
        "status": hedge.status.value,
        "qty": text(intent.quantity),
        "size_usd": text((pnl.long.quantity or pnl.short.quantity) * entry, 2),
        "entry_spread": text(intent.entry_spread),
        "opened_at": moment(intent.opened_at),
        "closed_at": moment(intent.closed_at),
        "close_reason": intent.close_reason.value if intent.close_reason else None,
        "funding_usd": text(pnl.funding),
        "settlements_missing": pnl.missing,
        "settlements_awaited": pnl.awaited,
        "funding_outstanding_usd": None if pnl.outstanding is None else text(pnl.outstanding),
        "fees_usd": text(pnl.fees),
        "price_pnl_usd": text(pnl.price),
        "basis_usd": text(pnl.basis),
        "slippage_usd": text(pnl.slippage),
        "realized_pnl_usd": text(pnl.realized),
        "legs": [_leg(leg) for leg in (pnl.long, pnl.short)],
    }


def _leg(leg: LegPnl) -> dict[str, Any]:
    return {
        "exchange": leg.exchange,
        "account": leg.account,
        "side": leg.side.value,
        "qty": text(leg.quantity),
        "entry_price": None if leg.entry_price is None else text(leg.entry_price),
        "exit_price": None if leg.exit_price is None else text(leg.exit_price),
        "funding_usd": text(leg.funding),
        "fees_usd": text(leg.fees),
        "price_pnl_usd": text(leg.price),
    }


def text(value: Decimal, places: int | None = None) -> str:
    """A decimal as plain digits, exact unless ``places`` rounds it."""
    if places is not None:
        value = value.quantize(Decimal(1).scaleb(-places))
    plain = f"{value:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain and places is None else plain


def moment(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
