"""Turns what happened into alerts a person wants to read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from fundingarb.domain.events import Alert, PaymentBooked, Severity
from fundingarb.domain.figures import money, price
from fundingarb.domain.hedge import CloseReason, Hedge, LegPlan, OrderRecord, Status
from fundingarb.domain.instrument import Side
from fundingarb.domain.opportunity import Refusal
from fundingarb.domain.pnl import HedgePnl
from fundingarb.domain.risk import Usage
from fundingarb.domain.settlement import Settlement
from fundingarb.engine.bus import Bus

#: Settlements that one alert names; the rest are counted.
LONGEST_LIST = 20


def lease_lost(reason: str, now: datetime) -> Alert:
    """Another process has taken over."""
    lines = (reason, "Action: this bot sends nothing more and ends")
    return Alert(Severity.CRITICAL, "Lease Lost", lines, now)


def left_unhedged(hedge: Hedge, now: datetime) -> Alert:
    lines = (
        f"Pair: {hedge.symbol}",
        f"Long {hedge.long.filled} on {hedge.intent.long.account}, "
        f"short {hedge.short.filled} on {hedge.intent.short.account}",
        "Action: none, the bot has ended; start it again at once, or run fundingarb kill",
    )
    return Alert(Severity.CRITICAL, "Stopped With A Naked Leg", lines, now, hedge.id)


def unposted(pnl: HedgePnl) -> str:
    """What the ledgers have not posted yet: ``2 settlements not posted yet, expected $1.20``; empty when nothing."""
    parts = []
    if pnl.missing:
        parts.append(f"{_settlements(pnl.missing)} missing")
    if pnl.awaited:
        parts.append(f"{_settlements(pnl.awaited)} not posted yet")
    if not parts:
        return ""
    expected = "an unknown amount" if pnl.outstanding is None else money(pnl.outstanding)
    return f"{' and '.join(parts)}, expected {expected}"


def _settlements(count: int) -> str:
    return f"{count} settlement{'s' if count != 1 else ''}"


def _settlement(row: Settlement) -> str:
    expected = "an unknown amount" if row.expected is None else money(row.expected)
    side = row.side.value.lower()
    return (
        f"{row.account} {row.symbol} {row.at:%Y-%m-%d %H:%M} UTC: {side} {row.quantity.normalize():f}, "
        f"expected {expected}"
    )


class Announcer:
    """Publishes alerts on the bus. Every alert says what happened, where, and what the bot does about it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def _say(
        self, severity: Severity, title: str, lines: Sequence[str], now: datetime, hedge: Hedge | None = None
    ) -> None:
        self._bus.publish(Alert(severity, title, tuple(lines), now, hedge.id if hedge else None))

    def service_failed(self, name: str, reason: str, now: datetime) -> None:
        lines = (
            f"Service: {name}",
            f"Reason: {reason}",
            "Action: trading goes on without it; restart the bot to have it back",
        )
        self._say(Severity.WARNING, "Service Ended", lines, now)

    def opened(self, hedge: Hedge, pnl: HedgePnl, expected: Decimal | None, now: datetime) -> None:
        lines = [f"Pair: {hedge.symbol}"]
        lines += [
            f"{leg.side.value.title()}: {leg.account} @ {price(leg.entry_price)}"
            for leg in (pnl.long, pnl.short)
        ]
        size = hedge.hedged * (pnl.long.entry_price or Decimal(0))
        lines.append(f"Size: {money(size)} | Spread: {hedge.intent.entry_spread:.4%} per 8 h")
        if expected is not None:
            lines.append(f"Expected funding: {money(expected)}")
        self._say(Severity.INFO, "Position Opened", lines, now, hedge)

    def not_opened(self, hedge: Hedge, reason: str, now: datetime) -> None:
        """What a person asked for has come to nothing."""
        lines = (
            f"Pair: {hedge.symbol}",
            f"Reason: {reason}",
            "Nothing is held. Open it again if it is still wanted.",
        )
        self._say(Severity.INFO, "Position Not Opened", lines, now, hedge)

    def closed(self, hedge: Hedge, pnl: HedgePnl, now: datetime) -> None:
        reason = (hedge.intent.close_reason or CloseReason.MANUAL).value.lower()
        lines = [
            f"Pair: {hedge.symbol}",
            f"Reason: {reason}",
            f"Funding: {money(pnl.funding)} | Price: {money(pnl.price)} | Fees: {money(pnl.fees)}",
            f"Realised: {money(pnl.realized)}",
        ]
        if pnl.awaited or pnl.missing:
            lines.append(f"Not in it: {unposted(pnl)}")
        liquidated = hedge.status is Status.LIQUIDATED
        title = "Liquidation Detected" if liquidated else "Position Closed"
        self._say(Severity.CRITICAL if liquidated else Severity.INFO, title, lines, now, hedge)

    def funding(
        self, event: PaymentBooked, hedge: Hedge, now: datetime, realized: Decimal | None = None
    ) -> None:
        """A payment was booked; ``realized`` is what a hedge that is over has earned with it."""
        payment = event.payment
        verb = "Received" if payment.amount >= 0 else "Paid"
        lines = [
            f"Pair: {hedge.symbol}",
            f"Account: {payment.account}",
            f"{verb}: {money(abs(payment.amount))} at {payment.settlement:%Y-%m-%d %H:%M} UTC",
        ]
        if realized is not None:
            lines.append(f"The closed hedge's result is now {money(realized)}")
        self._say(Severity.INFO, "Funding Collected", lines, now, hedge)

    def missing_payments(self, rows: Sequence[Settlement], now: datetime, *, again: bool) -> None:
        """Settlements that the ledgers did not post in time; ``again`` reminds of them."""
        lines = [_settlement(row) for row in rows[:LONGEST_LIST]]
        if len(rows) > LONGEST_LIST:
            lines.append(f"and {len(rows) - LONGEST_LIST} more")
        lines.append("Action: the ledger is read again for 48 h; the profit shown leaves them out")
        title = "Funding Still Missing" if again else "Funding Missing"
        owners = {row.hedge_id for row in rows}
        alert = Alert(Severity.WARNING, title, tuple(lines), now, owners.pop() if len(owners) == 1 else None)
        self._bus.publish(alert)

    def late_payment(self, row: Settlement, now: datetime) -> None:
        lines = (_settlement(row), f"Booked: {money(row.amount or Decimal(0))}")
        self._bus.publish(Alert(Severity.INFO, "Late Funding Booked", lines, now, row.hedge_id))

    def payment_deviates(self, row: Settlement, now: datetime) -> None:
        off = "" if row.deviation is None else f" ({row.deviation:+.1%})"
        lines = (
            _settlement(row),
            f"Booked: {money(row.amount or Decimal(0))}{off}",
            "Action: the ledger counts; check rate, mark and position of that settlement",
        )
        self._bus.publish(Alert(Severity.WARNING, "Funding Deviates", lines, now, row.hedge_id))

    def second_leg_failed(self, hedge: Hedge, reason: str, now: datetime) -> None:
        side = hedge.intent.first.opposite
        leg = hedge.intent.leg(side)
        lines = [
            f"Pair: {hedge.symbol}",
            f"Failed leg: {side.value} on {leg.account} ({reason})",
            f"Action: closing the surplus of the {side.opposite.value} leg",
        ]
        self._say(Severity.CRITICAL, "Second Leg Failed", lines, now, hedge)

    def liquidated(self, hedge: Hedge, side: Side, pause: str, now: datetime) -> None:
        leg = hedge.intent.leg(side)
        lines = [
            f"Pair: {hedge.symbol}",
            f"Liquidated: {side.value} on {leg.account}",
            "Action: closing the surviving leg @ market",
            f"Entries on {hedge.symbol} pause for {pause}",
        ]
        self._say(Severity.CRITICAL, "Liquidation Detected", lines, now, hedge)

    def deleveraged(self, hedge: Hedge, side: Side, left: Decimal, now: datetime) -> None:
        lines = [
            f"Pair: {hedge.symbol}",
            f"Reduced by the exchange: {side.value} on {hedge.intent.leg(side).account}",
            f"Action: reducing the {side.opposite.value} leg to {left} as well",
        ]
        self._say(Severity.CRITICAL, "Auto-Deleveraged", lines, now, hedge)

    def store_failed(self, reason: str, now: datetime) -> None:
        lines = (reason, "Action: no new exposure until the database answers; what reduces is still sent")
        self._say(Severity.CRITICAL, "Database Unavailable", lines, now)

    def store_answers(self, now: datetime) -> None:
        lines = ("What happened meanwhile is stored.", "Action: entries are on again")
        self._say(Severity.INFO, "Database Available Again", lines, now)

    def sent_from_memory(self, order: OrderRecord, hedge: Hedge, now: datetime) -> None:
        lines = (
            f"Pair: {hedge.symbol}",
            f"Order: {order.side.value} {order.quantity} on {order.account}, reduce-only ({order.client_id})",
            "It is stored when the database answers; until then do not start a second bot",
        )
        self._say(Severity.CRITICAL, "Order Sent While The Database Is Down", lines, now, hedge)

    def unhedged(self, hedge: Hedge, seconds: float, now: datetime, usd: Decimal | None = None) -> None:
        """A leg holds more than the other; ``usd`` is about what the difference is worth, None when unknown."""
        heavier = Side.LONG if hedge.unhedged > 0 else Side.SHORT
        worth = "" if usd is None else f", about {money(usd)}"
        quantity = f"{abs(hedge.unhedged).normalize():f}"
        lines = (
            f"Pair: {hedge.symbol}",
            f"Too much: {quantity} {heavier.value} on {hedge.intent.leg(heavier).account}{worth}",
            f"For: {seconds:.0f} s",
            "Action: reducing it; see fundingarb reconcile",
        )
        self._say(Severity.CRITICAL, "Unhedged Position", lines, now, hedge)

    def reduction_refused(self, order: OrderRecord, hedge: Hedge, now: datetime) -> None:
        lines = (
            f"Pair: {hedge.symbol}",
            f"Leg: {order.leg.value} on {order.account}, {hedge.leg(order.leg).filled} left",
            f"Refused: {order.reason}" if order.reason else "The last orders filled nothing",
            "Action: trying again, ever less often; put right what the exchange says, or close it there by hand",
        )
        self._say(Severity.CRITICAL, "Close Refused", lines, now, hedge)

    def remainder_left(self, hedge: Hedge, now: datetime) -> None:
        """Of what a hedge that is over still holds, beside somebody else's position, less than one order can take."""
        for leg in (hedge.long, hedge.short):
            if 0 < leg.filled < leg.plan.instrument.lot:
                lines = (
                    f"Pair: {hedge.symbol}",
                    f"Left: {leg.filled} {leg.plan.side.value} on {leg.plan.account}, less than the lot of "
                    f"{leg.plan.instrument.lot}, beside a position that is not ours",
                    "Action: nothing new is opened beside it; it is closed when that position is gone, or by hand",
                )
                self._say(Severity.CRITICAL, "Remainder Left", lines, now, hedge)

    def in_doubt(self, order: OrderRecord, hedge: Hedge, seconds: float, now: datetime) -> None:
        lines = (
            f"Pair: {hedge.symbol}",
            f"Order: {order.side.value} {order.quantity} on {order.account} ({order.client_id})",
            f"For {seconds:.0f} s neither found nor proved never taken; nothing more is sent on that leg",
            f"Action: look on {order.account}; if it is not there, fundingarb reconcile --accept",
        )
        self._say(Severity.CRITICAL, "Order In Doubt", lines, now, hedge)

    def unseen(self, order: OrderRecord, hedge: Hedge, seconds: float, now: datetime) -> None:
        lines = (
            f"Pair: {hedge.symbol}",
            f"Order: {order.side.value} {order.quantity} on {order.account} ({order.client_id})",
            f"{order.account} has told nothing of it for {seconds:.0f} s; it may have been filled",
            "Action: it is asked for until there is an answer, and every fill is hedged",
        )
        self._say(Severity.CRITICAL, "Open Order Cannot Be Seen", lines, now, hedge)

    def margin_low(self, hedge: Hedge, leg: LegPlan, distance: Decimal, now: datetime) -> None:
        lines = (
            f"Pair: {hedge.symbol}",
            f"{leg.side.value} on {leg.account}: {distance:.2%} to liquidation",
            "Add margin there, or let both legs be reduced",
        )
        self._say(Severity.WARNING, "Margin Low", lines, now, hedge)

    def margin_act(self, hedge: Hedge, leg: LegPlan, distance: Decimal, left: Decimal, now: datetime) -> None:
        lines = (
            f"Pair: {hedge.symbol}",
            f"{leg.side.value} on {leg.account}: {distance:.2%} to liquidation",
            f"Action: reducing both legs from {hedge.hedged} to {left}"
            if left
            else "Action: closing both legs",
        )
        self._say(Severity.CRITICAL, "Reducing Before Liquidation", lines, now, hedge)

    def adl_rank(self, hedge: Hedge, leg: LegPlan, rank: int, now: datetime) -> None:
        lines = (
            f"Pair: {hedge.symbol}",
            f"{leg.side.value} on {leg.account}: rank {rank} of 5 in the queue for auto-deleveraging",
        )
        self._say(Severity.WARNING, "Auto-Deleveraging Risk", lines, now, hedge)

    def guard_near(self, gate: str, usage: Usage, now: datetime) -> None:
        self._say(
            Severity.WARNING, f"Near The Limit: {gate}", (f"Is: {usage.actual}", f"Limit: {usage.limit}"), now
        )

    def guard_reached(self, gate: str, usage: Usage, now: datetime) -> None:
        action = "the kill switch is latched" if usage.kill else "no entries until it is below again"
        lines = (f"Is: {usage.actual}", f"Limit: {usage.limit}", f"Action: {action}")
        self._say(Severity.CRITICAL, f"Limit Reached: {gate}", lines, now)

    def guard_below(self, gate: str, usage: Usage, now: datetime) -> None:
        lines = (f"Is: {usage.actual}", f"Limit: {usage.limit}", "Action: entries resume")
        self._say(Severity.INFO, f"Below The Limit Again: {gate}", lines, now)

    def guard_refused(self, refusal: Refusal, now: datetime) -> None:
        lines = (
            f"Pair: {refusal.symbol}",
            f"Needs: {refusal.needed}",
            f"Would be: {refusal.actual}",
            "Action: not opened",
        )
        self._say(Severity.WARNING, f"Limit Refuses An Entry: {refusal.gate}", lines, now)

    def strategy_failed(self, reason: str, now: datetime) -> None:
        lines = (reason, "Action: nothing is opened or closed on its word; open hedges are kept even")
        self._say(Severity.CRITICAL, "Strategy Failed", lines, now)

    def breaker(self, exchange: str, is_open: bool, now: datetime) -> None:
        if is_open:
            lines = ("5 requests in a row failed.", "Action: entries on it pause, open positions stay")
            self._say(Severity.WARNING, f"{exchange} Unavailable", lines, now)
        else:
            self._say(
                Severity.INFO, f"{exchange} Reachable Again", ("Entries resume once it is reconciled.",), now
            )

    def stream(self, name: str, connected: bool, reason: str, now: datetime) -> None:
        if not connected:
            self._say(Severity.WARNING, f"Stream {name} Down", (reason, "Action: polling by REST"), now)
