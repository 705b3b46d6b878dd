"""What must hold at the end of a campaign, judged by the exchanges' own truth. Pure functions; a breach is a line.

The truth is the control API's ``GET /truth``; ``units`` turn its native quantities into base units. Nothing of the
bot's is used but what it wrote into its database.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.hedge import Hedge
from fundingarb.domain.order import ZERO, Fill, FillKind
from fundingarb.localnet.truth.types import Reason
from fundingarb.ports import Store

EVERY = 10**9


def moment(text: str) -> float:
    """Unix seconds of the truth's ISO time."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


@dataclass(frozen=True)
class Trade:
    """One fill as the exchange has it. ``quantity`` is signed base units; ``forced``: closed by the exchange itself."""

    id: str
    exchange: str
    account: str
    symbol: str
    client_id: str
    quantity: Decimal
    value: Decimal
    at: float
    forced: bool


@dataclass(frozen=True)
class Truth:
    """The exchanges' side of everything, read."""

    accounts: Mapping[str, Mapping[str, Any]]
    trades: Sequence[Trade]
    tolerance: Mapping[str, Decimal]

    @classmethod
    def of(cls, document: Mapping[str, Any], witness: Mapping[str, Any]) -> Truth:
        trades = []
        for name, account in document["accounts"].items():
            units = {key: Decimal(unit) for key, unit in witness["units"][account["exchange"]].items()}
            for fill in account["fills"]:
                quantity = Decimal(fill["quantity"]) * units[fill["instrument"]]
                trades.append(
                    Trade(
                        id=fill["id"],
                        exchange=account["exchange"],
                        account=name,
                        symbol=fill["symbol"],
                        client_id=fill["client_id"],
                        quantity=quantity if fill["side"] == "BUY" else -quantity,
                        value=Decimal(fill["value"]),
                        at=moment(fill["time"]),
                        forced=bool(fill["liquidation"] or fill["adl"]),
                    )
                )
        tolerance = {symbol: Decimal(quantity) for symbol, quantity in witness["tolerance"].items()}
        return cls(document["accounts"], sorted(trades, key=lambda trade: trade.at), tolerance)


@dataclass(frozen=True)
class Books:
    """The bot's side, from its database."""

    hedges: Sequence[Hedge]
    fills: Sequence[Fill]
    payments: Sequence[FundingPayment]

    @classmethod
    async def read(cls, store: Store) -> Books:
        return cls(await store.hedges(limit=EVERY), await store.fills(), await store.payments())

    def names(self) -> list[str]:
        """Client order ids of every order."""
        return [order.client_id for hedge in self.hedges for order in hedge.orders]


# the ledger


def ledger_breaches(truth: Truth, books: Books) -> list[str]:
    """Realised result, fees and funding of every account and symbol, to the last digit."""
    posted: defaultdict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    for name, account in truth.accounts.items():
        for row in account["ledger"]:
            posted[name, row["symbol"], _LEDGER.get(row["kind"], row["kind"])] += Decimal(row["amount"])
    booked: defaultdict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    for fill in books.fills:
        booked[fill.account, fill.symbol, "realised"] += fill.realized_pnl
        booked[fill.account, fill.symbol, "fees"] -= fill.fee
    for payment in books.payments:
        booked[payment.account, payment.symbol, "funding"] += payment.amount
    return [
        f"ledger: {' '.join(key)}: {posted[key]} on the exchange, {booked[key]} booked"
        for key in sorted(posted.keys() | booked.keys())
        if posted[key] != booked[key]
    ]


_LEDGER = {
    "REALIZED_PNL": "realised",
    "COMMISSION": "fees",
    "LIQUIDATION_FEE": "fees",
    "INSURANCE": "fees",
    "FUNDING_FEE": "funding",
}


def funding_breaches(truth: Truth, books: Books) -> list[str]:
    """Every payment of the exchange is booked once, and with its amount."""
    theirs: Counter[tuple[str, str, float, Decimal]] = Counter()
    for name, account in truth.accounts.items():
        for row in account["funding"]:
            theirs[name, row["symbol"], moment(row["settlement_at"]), Decimal(row["amount"])] += 1
    ours = Counter((p.account, p.symbol, p.settlement.timestamp(), p.amount) for p in books.payments)
    return [
        f"funding: {what} {' '.join(map(str, key))}"
        for what, rows in (("not booked:", theirs - ours), ("booked, never paid:", ours - theirs))
        for key in rows
    ]


# orders and fills


def fill_breaches(truth: Truth, books: Books) -> list[str]:
    """Every fill of the exchange is booked once, with its quantity and side, to the hedge of its order."""
    breaches = []
    theirs = Counter(
        (t.account, t.symbol, t.client_id if not t.forced else "", t.quantity) for t in truth.trades
    )
    ours = Counter(
        (
            f.account,
            f.symbol,
            (f.client_id or "") if f.kind is FillKind.TRADE else "",
            f.side.sign * f.quantity,
        )
        for f in books.fills
        if f.quantity
    )
    for what, rows in (("not booked:", theirs - ours), ("booked, never traded:", ours - theirs)):
        breaches += [f"fill: {what} {' '.join(map(str, key))} ({count} times)" for key, count in rows.items()]
    return breaches


def order_breaches(truth: Truth, books: Books) -> list[str]:
    """No name twice, every name known, every order's fills as the registry has them, nothing left unresolved."""
    breaches = []
    registry = {order.client_id: order for hedge in books.hedges for order in hedge.orders}
    filled: defaultdict[str, Decimal] = defaultdict(Decimal)
    for trade in truth.trades:
        filled[trade.client_id] += abs(trade.quantity)
    for name, account in truth.accounts.items():
        own = [row for row in account["orders"] if not (row["liquidation"] or row["adl"])]
        for client_id, count in Counter(row["client_id"] for row in own).items():
            if count > 1:
                breaches.append(f"order: {name} has {client_id} {count} times")
            record = registry.get(client_id)
            if record is None:
                breaches.append(f"order: {name} has {client_id!r}, which the registry does not")
            elif record.account != name:
                breaches.append(f"order: {client_id} is on {name}, meant for {record.account}")
            elif not record.filled == record.booked == filled[client_id]:
                breaches.append(
                    f"order: {client_id} filled {filled[client_id]} on the exchange, {record.filled} here, "
                    f"{record.booked} booked"
                )
        for row in own:
            if row["status"] in ("NEW", "PARTIALLY_FILLED"):
                breaches.append(f"order: {row['client_id']} still rests on {name}")
            known = registry.get(row["client_id"])
            if known is not None and known.reduce_only != row["reduce_only"]:
                breaches.append(f"order: {row['client_id']} reduce-only is {row['reduce_only']} on {name}")
    placed = {row["client_id"] for account in truth.accounts.values() for row in account["orders"]}
    for record in registry.values():
        if not record.state.terminal:
            breaches.append(f"order: {record.client_id} ended as {record.state.value}")
        if record.filled and record.client_id not in placed:
            breaches.append(f"order: {record.client_id} filled {record.filled} here, unknown to the exchange")
    return breaches


def outcome_breaches(truth: Truth, over: Mapping[str, Decimal | None]) -> list[str]:
    """What was recorded of an order when it was first recorded as over is how it ended.

    ``over`` is client order id -> filled quantity, None where it was refused: then its exchange must not have taken it.
    """
    filled: defaultdict[str, Decimal] = defaultdict(Decimal)
    for trade in truth.trades:
        filled[trade.client_id] += abs(trade.quantity)
    breaches = []
    for name, account in truth.accounts.items():
        for row in account["orders"]:
            client_id, refusal = row["client_id"], row["status"] == "REJECTED" or row["reason"] == POST_ONLY
            if client_id not in over or refusal:
                continue
            recorded, real = over[client_id], filled[client_id]
            if recorded is None:
                breaches.append(
                    f"outcome: {client_id} was recorded as refused, but {name} took it: {row['status']}"
                )
            elif recorded != real:
                breaches.append(
                    f"outcome: {client_id} was recorded as over with {recorded}, filled were {real}"
                )
    return breaches


POST_ONLY = Reason.POST_ONLY_WOULD_TAKE.value
"""Bybit takes such an order and cancels it at once, which is a refusal."""


def target_breaches(truth: Truth, books: Books, targets: Mapping[str, Decimal]) -> list[str]:
    """No leg ever entered more than its hedge was asked for (``targets``, by hedge id)."""
    entries = {
        order.client_id: (str(hedge.id), order.leg.value)
        for hedge in books.hedges
        for order in hedge.orders
        if not order.purpose.reduces
    }
    entered: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for trade in truth.trades:
        if trade.client_id in entries:
            entered[entries[trade.client_id]] += abs(trade.quantity)
    return [
        f"target: hedge {hedge} entered {quantity} {leg}, was asked for {targets[hedge]}"
        for (hedge, leg), quantity in entered.items()
        if hedge in targets and quantity > targets[hedge]
    ]


def position_breaches(truth: Truth, live: Iterable[Hedge]) -> list[str]:
    """Every position is the one the live hedges should hold; flat where there is none."""
    wanted: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for hedge in live:
        for leg in (hedge.long, hedge.short):
            wanted[leg.plan.account, hedge.symbol] += leg.plan.side.sign * leg.filled
    held: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for trade in truth.trades:
        held[trade.account, trade.symbol] += trade.quantity
    return [
        f"position: {' '.join(key)} is {held[key]} on the exchange, should be {wanted[key]}"
        for key in sorted(held.keys() | wanted.keys())
        if held[key] != wanted[key]
    ]


# naked legs


@dataclass(frozen=True)
class Naked:
    """A stretch of time in which a symbol's positions did not cancel out. Seconds are real."""

    symbol: str
    begun: float
    ended: float
    seconds: float
    reachable_seconds: float
    notional: Decimal


def naked_legs(
    truth: Truth, speed: float, unreachable: Sequence[tuple[str, float, float]], end: float
) -> list[Naked]:
    """Every stretch with more than the tolerance unhedged. ``unreachable`` and ``end`` in simulated unix seconds."""
    found = []
    by_symbol: defaultdict[str, list[Trade]] = defaultdict(list)
    for trade in truth.trades:
        by_symbol[trade.symbol].append(trade)
    for symbol, trades in by_symbol.items():
        net = worst = ZERO
        begun: float | None = None
        exchanges: set[str] = set()
        for number, trade in enumerate(trades):
            net += trade.quantity
            exchanges.add(trade.exchange)
            if number + 1 < len(trades) and trades[number + 1].at == trade.at:
                continue
            price = trade.value / abs(trade.quantity)
            over = abs(net) > truth.tolerance.get(symbol, ZERO)
            if over:
                begun = trade.at if begun is None else begun
                worst = max(worst, abs(net) * price)
            if begun is not None and not over:
                found.append(_naked(symbol, begun, trade.at, worst, speed, unreachable))
                begun, worst = None, ZERO
        if begun is not None:
            found.append(_naked(symbol, begun, end, worst, speed, unreachable))
    return sorted(found, key=lambda one: one.begun)


def _naked(
    symbol: str,
    begun: float,
    ended: float,
    worst: Decimal,
    speed: float,
    unreachable: Sequence[tuple[str, float, float]],
) -> Naked:
    hidden = 0.0
    reached = begun
    for _, start, stop in sorted(unreachable, key=lambda one: one[1]):
        start, stop = max(start, reached), min(stop, ended)
        if stop > start:
            hidden += stop - start
            reached = stop
    return Naked(symbol, begun, ended, (ended - begun) / speed, (ended - begun - hidden) / speed, worst)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that ``share`` of all do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def naked_figures(naked: Sequence[Naked]) -> dict[str, Any]:
    """Time to flat or hedged (real seconds, while reachable) and the worst notional."""
    seconds = [one.reachable_seconds for one in naked]
    return {
        "episodes": len(naked),
        "p50_s": round(percentile(seconds, 0.5), 3),
        "p99_s": round(percentile(seconds, 0.99), 3),
        "max_s": round(max(seconds, default=0.0), 3),
        "max_with_outages_s": round(max((one.seconds for one in naked), default=0.0), 3),
        "worst_usd": str(round(max((one.notional for one in naked), default=ZERO), 2)),
    }
