"""Funding exactly once, on virtual time and the real store: noted, booked, missing, late, corrected, whose it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from tests.domain.make import D, instrument
from tests.engine.rig import exchange, hedge_on

from fundingarb.domain.events import Alert, PaymentBooked, SettlementChanged, Severity
from fundingarb.domain.funding import FundingPayment, SettledRate
from fundingarb.domain.hedge import Mode, next_order
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import NewOrder, OrderSide, Purpose, TimeInForce
from fundingarb.domain.pnl import HedgePnl, hedge_pnl
from fundingarb.domain.settlement import Settlement, SettlementStatus
from fundingarb.engine.account import Account
from fundingarb.engine.accounts import AccountReader
from fundingarb.engine.alerts import Announcer, unposted
from fundingarb.engine.bus import Bus
from fundingarb.engine.gate import RequestGate
from fundingarb.engine.markets import Markets
from fundingarb.engine.settlements import Settlements
from fundingarb.engine.state import BotState
from fundingarb.errors import ExchangeUnavailable, StoreError
from fundingarb.ports import Batch
from fundingarb.simulation.store import SimStore
from fundingarb.simulation.virtual import START, LoopClock, VirtualLoop
from fundingarb.store import tables
from fundingarb.testing import FakeExchange

pytestmark = pytest.mark.anyio
T = START + timedelta(minutes=22)
HOUR = timedelta(hours=1)
FIRST, SECOND = UUID(int=1 << 120), UUID(int=2 << 120)
EXPECTED, BOOKED, MISSING = SettlementStatus.EXPECTED, SettlementStatus.BOOKED, SettlementStatus.MISSING
LATE, UNEXPECTED, VOID = SettlementStatus.LATE, SettlementStatus.UNEXPECTED, SettlementStatus.VOID


class Desk:
    """Two accounts on two exchanges, their readers, the settlements, and a database that outlives them all."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.alpha, self.beta = exchange("alpha", self.clock), exchange("beta", self.clock)
        self.store = SimStore(self.clock)
        self.alerts: list[Alert] = []
        self.changes: list[Settlement] = []
        self.booked: list[PaymentBooked] = []
        self.announced: dict[str, tuple[str, datetime, int]] = {}

    async def start(self, *, told: bool = True) -> None:
        """A new process on the same database and exchanges. Unless ``told``, it knows no calendar yet."""
        self.bus, self.state = Bus(), BotState()
        self.bus.publish = self._take  # type: ignore[method-assign]
        self.wanted: set[str] = set()
        checkpoint = await self.store.load()
        self.state.adopt(checkpoint.hedges)
        self.markets = Markets(self.clock, self.bus.publish, lambda: None)
        self.readers = {}
        for made in (self.alpha, self.beta):
            account = Account(made.name, made)
            account.fills_since = checkpoint.fills_since.get(made.name)
            account.payments_since = checkpoint.payments_since.get(made.name)
            self.state.accounts[made.name] = account
            self.markets.book.add(instrument(made.name))
            self.markets.instruments[made.name, "BTC-USDT"] = instrument(made.name)
            gate = RequestGate(made.name, (), self.clock)
            self.readers[made.name] = AccountReader(
                account, self.state, gate, self.store, self.bus, self.clock, lambda: None, self.clock.now()
            )
        self.settlements = Settlements(
            self.state, self.markets, self.store, self.bus, self.clock, Announcer(self.bus), self.wanted.add,
            timedelta(minutes=15), D("0.05"),
        )  # fmt: skip
        await self.settlements.load()
        if told:
            for name, (rate, at, hours) in self.announced.items():
                self.announce(name, rate, at, hours)

    def _take(self, event: object) -> None:
        if isinstance(event, Alert):
            self.alerts.append(event)
        elif isinstance(event, SettlementChanged):
            self.changes.append(event.settlement)
        elif isinstance(event, PaymentBooked):
            self.booked.append(event)

    # the world

    def announce(self, name: str, rate: str, at: datetime, hours: int = 8, mark: str = "100") -> None:
        """What an exchange says of its next settlement."""
        self.announced[name] = (rate, at, hours)
        book, row = self.markets.book, self.markets.book.row(name, "BTC-USDT")
        assert row is not None
        book.update(row, float(rate), at.timestamp(), self.clock.time(), hours * 3600.0)
        book.update_price(row, float(mark))

    def charged(self, name: str, *times: datetime, rate: str = "0.001") -> None:
        """What an exchange lists as settled."""
        self.markets.add_settled([SettledRate(name, "BTC-USDT", D(rate), at) for at in times])

    def pay(self, made: FakeExchange, rate: str = "0.001", mark: str = "100") -> FundingPayment:
        paid = made.settle("BTC-USDT", rate, mark)
        assert paid is not None
        return paid

    def hold_back(self, made: FakeExchange) -> FundingPayment:
        """The ledger does not post its newest row yet."""
        return made.ledger.payments.pop()

    # the bot

    async def open(self, hedge_id: UUID = FIRST, quantity: str = "10") -> UUID:
        """A hedge that holds both legs."""
        hedge = hedge_on(self.clock, id=hedge_id, mode=Mode.HOLDING, opened_at=self.clock.now())
        self.state.put_intent(hedge.intent)
        await self.store.commit(Batch(intents=(hedge.intent,)))
        await self.trade(hedge_id, Side.LONG, Purpose.ENTRY, quantity)
        await self.trade(hedge_id, Side.SHORT, Purpose.HEDGE, quantity)
        return hedge_id

    async def trade(self, hedge_id: UUID, side: Side, purpose: Purpose, quantity: str) -> None:
        record = next_order(
            self.state.hedges[hedge_id],
            side,
            purpose,
            D(quantity),
            None,
            TimeInForce.IOC,
            None,
            self.clock.now(),
        )
        self.state.put_order(record)
        await self.store.commit(Batch(orders=(record,)))
        made = self.alpha if side is Side.LONG else self.beta
        order = NewOrder(
            record.client_id, "BTC-USDT", record.side, D(quantity), None, TimeInForce.IOC, record.reduce_only
        )
        observed = self.state.observe(await made.place_order(order), self.clock.now())
        assert observed is not None
        await self.store.commit(Batch(orders=(observed,)))
        await self.readers[made.name].collect_fills()

    async def close(self, hedge_id: UUID = FIRST, quantity: str = "10") -> None:
        await self.trade(hedge_id, Side.LONG, Purpose.CLOSE, quantity)
        await self.trade(hedge_id, Side.SHORT, Purpose.CLOSE, quantity)
        intent = self.state.hedges[hedge_id].intent.edit(mode=Mode.DONE, closed_at=self.clock.now())
        self.state.put_intent(intent)
        await self.store.commit(Batch(intents=(intent,)))

    async def read(self) -> None:
        """Both ledgers are read, as happens from time to time, and looked at."""
        for reader in self.readers.values():
            await reader.collect_payments()
        await self.settlements.look()

    async def until(self, at: datetime, step: float = 5.0, *, reading: bool = True) -> None:
        """Look every ``step`` seconds; ledgers are read when the settlements ask for it and every five minutes."""
        last_read = self.clock.now()
        while self.clock.now() < at:
            await anyio.sleep(min(step, (at - self.clock.now()).total_seconds()))
            await self.settlements.look()
            due = self.clock.now() - last_read >= timedelta(minutes=5)
            for name in sorted(self.wanted) if not due else sorted(self.readers):
                if reading:
                    await self.readers[name].collect_payments()
            self.wanted.clear()
            last_read = self.clock.now() if due else last_read
        await self.settlements.look()

    # what is known

    async def rows(self, name: str | None = None) -> list[Settlement]:
        return [row for row in await self.store.settlements() if name in (None, row.account)]

    async def statuses(self, name: str = "alpha") -> list[SettlementStatus]:
        return [row.status for row in await self.rows(name)]

    async def pnl(self, hedge_id: UUID = FIRST) -> HedgePnl:
        (hedge,) = [hedge for hedge in await self.store.hedges() if hedge.id == hedge_id]
        return hedge_pnl(
            hedge,
            await self.store.fills(hedge_id),
            await self.store.payments(hedge_id),
            await self.store.settlements(hedge_id),
        )

    def stored(self, hedge_id: UUID = FIRST) -> tuple[Decimal, Decimal]:
        """The computed columns: funding, result."""
        table = tables.positions
        query = select(table.c.funding_collected, table.c.realized_pnl).where(table.c.id == hedge_id)
        found = self.store._session.read(lambda connection: connection.execute(query).one())
        return found[0], found[1]

    def titles(self) -> list[str]:
        return [alert.title for alert in self.alerts]


async def desk() -> Desk:
    """A hedge of ten units is held on both accounts, 22 minutes before the settlement both have announced."""
    made = Desk()
    await made.start()
    made.announce("alpha", "0.001", T)
    made.announce("beta", "0.001", T)
    await made.open()
    return made


async def test_a_settlement_is_noted_as_it_passes_and_booked() -> None:
    made = await desk()
    await made.until(T, reading=False)
    assert [(row.at, row.status, row.side, row.quantity) for row in await made.rows()] == [
        (T, EXPECTED, Side.LONG, D(10)),
        (T, EXPECTED, Side.SHORT, D(10)),
    ]
    pnl = await made.pnl()
    assert (pnl.awaited, pnl.missing, pnl.outstanding, pnl.funding) == (2, 0, D(0), D(0))
    made.announce("alpha", "0.002", T + 8 * HOUR)  # what is announced next changes nothing
    made.pay(made.alpha)
    made.pay(made.beta)
    await made.until(T + timedelta(minutes=1))  # no stream said a word: the ledgers were asked
    rows = await made.rows()
    assert [(row.status, row.amount, row.expected, row.rate) for row in rows] == [
        (BOOKED, D(-1), D(-1), D("0.001")),
        (BOOKED, D(1), D(1), D("0.001")),
    ]
    assert all(event.hedge_id == FIRST for event in made.booked)
    pnl = await made.pnl()
    assert (pnl.awaited, pnl.missing, pnl.long.funding, pnl.short.funding) == (0, 0, D(-1), D(1))
    await made.until(T + HOUR)
    assert made.alerts == []


async def test_the_alarm_comes_after_a_quarter_of_an_hour_and_again_as_a_digest() -> None:
    made = await desk()
    await made.until(T, reading=False)
    made.pay(made.beta)
    await made.until(T + timedelta(minutes=14, seconds=55))
    assert made.alerts == []
    await made.until(T + timedelta(minutes=20))
    (alert,) = made.alerts
    assert (alert.severity, alert.title, alert.hedge_id) == (Severity.WARNING, "Funding Missing", FIRST)
    assert alert.lines[0] == "alpha BTC-USDT 2026-01-05 08:00 UTC: long 10, expected -$1.00"
    assert len(alert.lines) == 2
    pnl = await made.pnl()
    assert (pnl.missing, pnl.long.missing, pnl.outstanding) == (1, 1, D(-1))
    assert (pnl.realized, pnl.funding) == (
        pnl.price + 1 - pnl.fees,
        D(1),
    )  # exact to the ledger, without the rest
    assert made.stored()[0] == 1

    await made.until(T + timedelta(hours=8, minutes=30), step=60)
    assert made.titles() == ["Funding Missing", "Funding Still Missing", "Funding Still Missing"]

    made.pay(made.alpha)  # posted at last, under the time of posting
    await made.until(made.clock.now() + timedelta(minutes=10), step=60)
    assert made.titles()[-1] == "Late Funding Booked"
    assert made.alerts[-1].severity is Severity.INFO
    assert await made.statuses() == [LATE]
    assert (await made.pnl()).missing == 0
    assert made.stored()[0] == 0
    await made.until(made.clock.now() + timedelta(hours=9), step=60)
    assert len(made.alerts) == 4


async def test_missing_for_ever_is_never_shown_as_nothing() -> None:
    made = await desk()
    await made.until(T + timedelta(minutes=20))
    assert await made.statuses() == [MISSING]
    (alert,) = made.alerts
    assert len(alert.lines) == 3  # both accounts in one alert
    await made.until(T + timedelta(hours=47), step=600)
    reminders = len(made.alerts)
    assert reminders == 12
    await made.start()
    await made.until(T + timedelta(hours=100), step=600)
    assert (
        len(made.alerts) == reminders
    )  # the ledger is not re-read that far back, so nobody is reminded of it
    assert (await made.pnl()).missing == 2
    (row,) = await made.rows("alpha")
    assert row.amount is None


async def test_a_ledger_that_cannot_be_read_has_the_time_twice() -> None:
    made = await desk()
    made.alpha.fail("get_funding_payments", ExchangeUnavailable("no answer"), times=10**6)
    made.beta.settle("BTC-USDT", "0.001", "100")
    await made.until(T + timedelta(minutes=29), reading=False)
    assert made.alerts == []
    await made.until(T + timedelta(minutes=31), reading=False)
    assert made.titles() == ["Funding Missing"]


async def test_after_a_restart_the_ledger_is_read_before_anything_is_missing() -> None:
    made = await desk()
    await made.until(T, reading=False)
    made.pay(made.alpha)
    made.pay(made.beta)
    await anyio.sleep(3 * 3600)
    await made.start()
    await made.settlements.look()
    assert await made.statuses() == [EXPECTED]
    await made.read()
    assert await made.statuses() == [BOOKED]
    assert made.alerts == []


async def test_a_settlement_during_downtime_is_known_from_the_exchange_s_list() -> None:
    made = await desk()
    await anyio.sleep(22 * 60)
    made.pay(made.alpha)
    made.pay(made.beta)
    unposted = made.hold_back(made.beta)
    await anyio.sleep(4 * 3600)
    await made.start(told=False)
    await made.read()
    assert await made.statuses("alpha") == [UNEXPECTED]
    assert await made.statuses("beta") == []
    made.charged("alpha", T - 8 * HOUR, T)
    made.charged("beta", T - 8 * HOUR, T)
    await made.read()
    assert await made.statuses("alpha") == [BOOKED]
    assert await made.statuses("beta") == [MISSING]
    made.beta.ledger.payments.append(unposted)
    await made.read()
    assert await made.statuses("beta") == [LATE]
    assert made.titles() == ["Funding Missing", "Late Funding Booked"]


async def test_intervals_change_from_eight_hours_to_one() -> None:
    made = await desk()
    await made.until(T, reading=False)
    for name, paying in (("alpha", made.alpha), ("beta", made.beta)):
        made.pay(paying)
        made.announce(name, "0.0002", T + 8 * HOUR)
    await made.until(T + timedelta(minutes=10))
    for name in ("alpha", "beta"):
        made.announce(name, "0.0002", T + HOUR, hours=1)
    for hours in (1, 2):
        await made.until(T + hours * HOUR, step=30, reading=False)
        made.pay(made.alpha, "0.0002")
        made.pay(made.beta, "0.0002")
        for name in ("alpha", "beta"):
            made.announce(name, "0.0002", T + (hours + 1) * HOUR, hours=1)
        await made.until(T + hours * HOUR + timedelta(minutes=30), step=30)
    rows = await made.rows("alpha")
    assert [row.at - T for row in rows] == [0 * HOUR, HOUR, 2 * HOUR]
    assert [(row.status, row.amount) for row in rows] == [
        (BOOKED, -1),
        (BOOKED, D("-0.2")),
        (BOOKED, D("-0.2")),
    ]
    assert made.alerts == []


async def test_a_settlement_that_was_announced_and_did_not_happen_is_void_once_that_is_known() -> None:
    """The interval became longer in the last second, and the news came after it."""
    made = await desk()
    await made.until(T + timedelta(minutes=20))
    assert await made.statuses() == [MISSING]
    made.charged("alpha", T - 8 * HOUR, T + 8 * HOUR)
    made.charged("beta", T - 8 * HOUR, T, T + 8 * HOUR)
    await made.read()
    assert await made.statuses("alpha") == [VOID]
    assert await made.statuses("beta") == [MISSING]
    assert (await made.pnl()).missing == 1


async def test_an_announcement_that_moves_on_just_before_the_settlement_has_seen_it() -> None:
    """The exchange's clock is a little ahead of ours."""
    made = await desk()
    await made.until(T - timedelta(seconds=1), reading=False)
    made.announce("alpha", "0.0001", T + 8 * HOUR)
    await made.until(T + timedelta(seconds=5), reading=False)
    (row,) = await made.rows("alpha")
    assert (row.at, row.rate) == (T, D("0.001"))


async def test_a_payment_without_any_calendar_is_booked_and_marked_unexpected() -> None:
    made = Desk()
    await made.start()
    await made.open()
    await made.until(T, step=60, reading=False)
    made.pay(made.alpha)
    await made.read()
    (row,) = await made.rows()
    assert (row.status, row.amount, row.expected, row.quantity) == (UNEXPECTED, D(-1), None, D(10))
    assert (await made.pnl()).funding == -1
    await made.read()
    assert len(made.changes) == 1


async def test_nothing_is_due_at_a_rate_of_nothing() -> None:
    made = await desk()
    for name in ("alpha", "beta"):
        made.announce(name, "0", T)
    await made.until(T + timedelta(minutes=40))
    assert await made.statuses() == [EXPECTED]
    made.charged("alpha", T, rate="0")
    made.charged("beta", T, rate="0.002")
    await made.until(T + timedelta(minutes=41))
    assert await made.statuses("alpha") == [VOID]
    assert await made.statuses("beta") == [MISSING]


async def test_a_payment_that_comes_after_the_hedge_was_closed_is_booked_to_it() -> None:
    made = await desk()
    await made.until(T, reading=False)
    made.pay(made.alpha)
    made.pay(made.beta)
    unposted = [made.hold_back(made.alpha), made.hold_back(made.beta)]
    await made.until(T + timedelta(minutes=2))
    await made.close()
    await made.until(T + timedelta(minutes=3))
    pnl = await made.pnl()
    assert (pnl.awaited, pnl.funding) == (2, D(0))
    before = made.stored()
    made.alpha.ledger.payments.append(unposted[0])
    await made.read()
    assert made.stored() == (D(-1), before[1] - 1)
    # and after a restart, when the hedge has been over for longer than it is kept in memory
    await anyio.sleep(30 * 3600)
    await made.start()
    assert made.state.hedges == {}
    await made.read()
    assert await made.statuses("beta") == [MISSING]
    made.beta.ledger.payments.append(unposted[1])
    await made.read()
    assert await made.statuses("beta") == [LATE]
    assert made.stored() == (D(0), before[1])
    assert (await made.pnl()).missing == 0


async def test_a_settlement_nobody_noted_is_paid_to_a_hedge_that_is_long_over() -> None:
    """Closed while down, restarted days later: only the database knows the hedge."""
    made = await desk()
    await anyio.sleep(22 * 60 + 1)
    paid = made.pay(made.alpha)
    made.alpha.ledger.payments.clear()
    await made.close()
    await anyio.sleep(40 * 3600)
    await made.start()
    made.alpha.ledger.payments.append(paid)
    await made.read()
    assert [event.hedge_id for event in made.booked] == [FIRST]
    assert made.stored()[0] == -1


@pytest.mark.parametrize("order", ["posted, restart", "restart, posted"])
async def test_two_hedges_that_followed_each_other_in_the_second_of_a_settlement(order: str) -> None:
    made = await desk()
    await made.until(T - timedelta(seconds=1), reading=False)
    await anyio.sleep(0.7)
    await made.close()  # 300 ms before
    await anyio.sleep(0.2)
    second = await made.open(SECOND, "4")  # 100 ms before
    await anyio.sleep(0.1)
    made.pay(made.alpha)
    made.pay(made.beta)
    await anyio.sleep(0.2)
    await made.close(second, "4")
    if order == "restart, posted":
        await made.start()
        made.charged("alpha", T)
        made.charged("beta", T)
    await made.read()
    if order == "posted, restart":
        await made.start()
        await made.read()
    assert {event.hedge_id for event in made.booked} == {SECOND}
    assert [(row.hedge_id, row.quantity, row.amount) for row in await made.rows("alpha")] == [
        (SECOND, D(4), D("-0.4"))
    ]
    assert made.stored(FIRST)[0] == 0
    assert (await made.pnl(SECOND)).short.funding == D("0.4")


async def test_a_position_taken_up_just_after_a_settlement_that_is_charged_all_the_same() -> None:
    made = Desk()
    await made.start()
    made.announce("alpha", "0.001", T)
    await made.until(T, step=60, reading=False)
    await anyio.sleep(20)
    await made.open()
    paid = made.pay(made.alpha)
    assert paid.settlement == T
    await made.read()
    assert [event.hedge_id for event in made.booked] == [FIRST]
    assert await made.statuses() == [UNEXPECTED]


async def test_partial_fills_around_a_settlement() -> None:
    made = await desk()
    await made.until(T - timedelta(seconds=1), reading=False)
    await anyio.sleep(0.5)
    await made.trade(FIRST, Side.LONG, Purpose.CLOSE, "3")
    await anyio.sleep(0.5)
    made.pay(made.alpha)
    await made.trade(FIRST, Side.LONG, Purpose.CLOSE, "2")  # in the very instant: too late to matter
    await made.read()
    (row,) = await made.rows("alpha")
    assert (row.quantity, row.expected, row.amount) == (D(7), D("-0.7"), D("-0.7"))


async def test_payments_for_positions_of_others_are_in_no_hedge() -> None:
    made = await desk()
    await made.until(T - timedelta(minutes=5), reading=False)
    await made.close()
    await made.alpha.place_order(
        NewOrder("web-1", "BTC-USDT", OrderSide.BUY, D(3), None, TimeInForce.IOC, False)
    )
    await made.until(T, reading=False)
    made.pay(made.alpha)
    await made.until(T + HOUR)
    assert [(event.hedge_id, event.payment.amount) for event in made.booked] == [(None, D("-0.3"))]
    assert await made.rows() == []
    assert (await made.pnl()).funding == 0
    assert sum(row.amount for row in await made.store.payments()) == D("-0.3")


async def test_a_ledger_that_differs_from_what_was_expected_is_told_and_believed() -> None:
    made = await desk()
    await made.until(T, reading=False)
    made.pay(made.alpha, mark="104")  # a mark of its own, within the tolerance
    made.pay(made.beta, "0.0005")  # clamped
    await made.until(T + HOUR)
    assert made.alerts == []  # the rate that was charged may explain it
    made.charged("alpha", T)
    made.charged("beta", T, rate="0.001")
    await made.until(T + HOUR + timedelta(minutes=1))
    (alert,) = made.alerts
    assert (alert.severity, alert.title) == (Severity.WARNING, "Funding Deviates")
    assert alert.lines[1] == "Booked: $0.50 (-50.0%)"
    assert (await made.pnl()).funding == D("-1.04") + D("0.5")
    assert {row.deviation for row in await made.rows()} == {D("-0.04"), D("-0.5")}
    await made.start()
    await made.until(T + 2 * HOUR)
    assert len(made.alerts) == 1  # once, also after a restart


async def test_the_announced_rate_is_the_measure_where_the_charged_one_stays_unknown() -> None:
    made = await desk()
    await made.until(T, reading=False)
    made.pay(made.alpha, "0.0005")
    made.pay(made.beta)
    await made.until(T + timedelta(hours=4, minutes=1), step=60)
    assert made.titles() == ["Funding Deviates"]


async def test_a_correction_is_booked_beside_the_first_row() -> None:
    made = await desk()
    await made.until(T, reading=False)
    paid = made.pay(made.alpha)
    await made.read()
    correction = replace(paid, amount=D("0.25"), at=T + timedelta(seconds=30), ledger_id="c1")
    made.alpha.ledger.payments.append(correction)
    for _ in range(3):
        await made.read()
        await made.start()
    assert [row.amount for row in await made.store.payments(FIRST)] == [D(-1), D("0.25")]
    (row,) = await made.rows("alpha")
    assert (row.status, row.amount) == (BOOKED, D("-0.75"))
    assert made.stored()[0] == D("-0.75")


async def test_what_cannot_be_stored_is_done_when_it_can() -> None:
    made = await desk()
    await made.until(T - timedelta(seconds=5), reading=False)
    commit = made.store.commit

    async def broken(batch: Batch) -> Any:
        raise StoreError("disk full")

    made.store.commit = broken  # type: ignore[method-assign]
    await anyio.sleep(6)
    with pytest.raises(StoreError):
        await made.settlements.look()
    assert await made.rows() == []
    made.store.commit = commit  # type: ignore[method-assign]
    await made.settlements.look()
    assert await made.statuses() == [EXPECTED]


async def test_a_crash_between_the_payment_and_its_settlement_heals() -> None:
    made = await desk()
    await made.until(T, reading=False)
    made.pay(made.alpha)
    await made.readers["alpha"].collect_payments()
    await made.start()
    await made.settlements.look()
    assert await made.statuses() == [BOOKED]


@pytest.mark.parametrize(
    ("missing", "awaited", "outstanding", "said"),
    [
        (0, 0, "0", ""),
        (1, 0, "-1.5", "1 settlement missing, expected -$1.50"),
        (2, 1, "3", "2 settlements missing and 1 settlement not posted yet, expected $3.00"),
        (0, 1, None, "1 settlement not posted yet, expected an unknown amount"),
    ],
)
async def test_what_is_not_posted_is_said(
    missing: int, awaited: int, outstanding: str | None, said: str
) -> None:
    plain = (await (await desk()).pnl()).long
    expected = None if outstanding is None else D(outstanding)
    long = replace(plain, missing=missing, awaited=awaited, outstanding=expected)
    short = replace(plain, missing=0, awaited=0, outstanding=D(0))
    assert unposted(HedgePnl(long, short, D(0))) == said


# any order and duplication of reads


def ledger() -> list[FundingPayment]:
    """Four settlements of ten units held from before the first to the third, a late one, a correction, a stranger."""
    rows = []
    for number, (minutes, amount) in enumerate([(0, "-1"), (60, "-2"), (143, "-4"), (180, "-8"), (61, "16")]):
        at = T + timedelta(minutes=minutes)
        settlement = at.replace(minute=0) if at.minute < 2 else at
        rows.append(
            FundingPayment(
                "alpha", "alpha", "BTC-USDT", settlement, D(amount), "USDT", at, None, f"r{number}"
            )
        )
    return rows


reads = st.lists(st.lists(st.integers(0, 4), max_size=7), max_size=6)


@settings(max_examples=25, deadline=None)
@given(reads=reads, restarts=st.sets(st.integers(0, 5)), last=st.permutations(range(5)))
@pytest.mark.parametrize("ids", ["stable", "unstable", "none"])
def test_any_order_and_duplication_of_reads_books_the_same(
    ids: str, reads: Sequence[Sequence[int]], restarts: set[int], last: Sequence[int]
) -> None:
    rows = [
        row for row in ledger() if ids != "none" or row.ledger_id != "r4"
    ]  # without ids there is no correction
    counter = iter(range(10**6))

    def named(row: FundingPayment) -> FundingPayment:
        if ids == "stable":
            return row
        return replace(row, ledger_id="" if ids == "none" else f"x{next(counter)}")

    async def main() -> None:
        made = await desk()
        await anyio.sleep(150 * 60)
        await made.close()
        await anyio.sleep(3600)
        made.charged("alpha", *(T + n * HOUR for n in range(4)))
        for number, chosen in enumerate([*reads, last]):
            if number in restarts:
                await made.start()
            made.alpha.ledger.payments = [named(rows[n]) for n in chosen if n < len(rows)]
            made.state.accounts["alpha"].payments_since = None
            await made.read()
        await made.read()  # what was read before it could be told whose it is
        total = sum((row.amount for row in rows), Decimal(0))
        assert sum(row.amount for row in await made.store.payments()) == total
        assert (await made.pnl()).funding == total + 8  # the fourth was not ours
        assert made.stored()[0] == total + 8

    anyio.run(main, backend_options={"loop_factory": VirtualLoop})
