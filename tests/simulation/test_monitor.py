"""The monitor on two exchanges and orders placed by hand: each invariant broken once, and kept once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from tests.domain.make import instrument
from tests.localnet.still import START, Desk

from fundingarb.domain.events import Alert, Severity
from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.hedge import Hedge, Intent, LegPlan, Mode, OrderRecord, next_order
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import OrderState, Purpose, TimeInForce
from fundingarb.localnet.truth.types import Credentials
from fundingarb.ports import Batch
from fundingarb.simulation.books import check_held, check_money
from fundingarb.simulation.exposure import Excuse
from fundingarb.simulation.monitor import Monitor
from fundingarb.simulation.registry import CommittedRows
from fundingarb.store import InlineStore

BEGIN = datetime.fromtimestamp(START, timezone.utc)


class Table:
    """Two exchanges named alpha and beta with one account each, and a hedge whose orders are committed and sent."""

    def __init__(self) -> None:
        self.desks = {name: Desk(start=START) for name in ("alpha", "beta")}
        self.rows = CommittedRows()
        self.monitor = Monitor(
            {name: desk.exchange for name, desk in self.desks.items()},
            self.rows,
            reachable=lambda name: name not in self.cut,
            refused=lambda name: self.refused.get(name, ()),
            running=lambda: self.up,
        )
        self.cut: set[str] = set()
        self.refused: dict[str, set[str]] = {}
        self.up = True
        legs = {
            side: LegPlan(side, "a", instrument(name), 5)
            for side, name in ((Side.LONG, "alpha"), (Side.SHORT, "beta"))
        }
        self.hedge = Hedge(
            Intent(
                UUID(int=5),
                "t3st",
                "BTC-USDT",
                Mode.OPENING,
                Decimal(1),
                legs[Side.LONG],
                legs[Side.SHORT],
                Side.LONG,
                BEGIN + timedelta(seconds=30),
                Decimal(0),
                Decimal(0),
                BEGIN,
            )
        )
        self.rows.take(Batch(intents=(self.hedge.intent,)))

    def order(self, side: Side, purpose: Purpose, quantity: str, price: str, **changes: Any) -> OrderRecord:
        """The hedge's next order, committed."""
        record = next_order(
            self.hedge, side, purpose, Decimal(quantity), Decimal(price), TimeInForce.IOC, None, BEGIN
        )
        self.hedge = self.hedge.with_order(record)
        self.commit(record, **changes)
        return record

    def commit(self, record: OrderRecord, **changes: Any) -> None:
        self.rows.take(Batch(orders=(replace(record, **changes),)))

    def send(self, record: OrderRecord, **changes: Any) -> None:
        values: dict[str, Any] = {"reduce_only": record.reduce_only, "client_id": record.client_id}
        side, quantity, price = record.side.value, str(record.quantity), str(record.price)
        name = "alpha" if record.leg is Side.LONG else "beta"
        self.desks[name].order(side, quantity, price, tif="IOC", **{**values, **changes})

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds * 4)):
            for desk in self.desks.values():
                desk.wait(0.25)
            self.monitor.look(datetime.fromtimestamp(self.desks["alpha"].exchange.now, timezone.utc))

    def done(self, record: OrderRecord) -> None:
        self.commit(record, state=OrderState.FILLED, filled=record.quantity)

    @property
    def broken(self) -> list[str]:
        return [breach.invariant for breach in self.monitor.breaches]

    def enter(self, quantity: str = "1") -> None:
        entry = self.order(Side.LONG, Purpose.ENTRY, quantity, "1010")
        self.send(entry)
        self.done(entry)

    def hedged(self, quantity: str = "1") -> None:
        order = self.order(Side.SHORT, Purpose.HEDGE, quantity, "990")
        self.send(order)
        self.done(order)


@pytest.fixture
def table() -> Table:
    return Table()


def test_a_hedge_that_opens_and_closes_breaks_nothing(table: Table) -> None:
    table.enter()
    table.wait(2)
    table.hedged()
    table.wait(60)
    for side, price in ((Side.LONG, "990"), (Side.SHORT, "1010")):
        table.send(table.order(side, Purpose.CLOSE, "1", price))
    table.wait(60)
    assert table.broken == []
    first, *_ = table.monitor.episodes
    assert (first.oldest, first.worst, first.worst_usd) == (2.0, Decimal(1), Decimal(1000))


def test_i1_after_five_seconds_without_an_alert_and_after_thirty(table: Table) -> None:
    table.enter()
    table.wait(5)
    assert table.broken == []
    table.wait(0.5)
    assert table.broken == ["I1"]
    table.wait(25)
    assert table.broken == ["I1", "I1"]


def test_i1_an_alert_in_time_leaves_thirty_seconds(table: Table) -> None:
    table.enter()
    table.wait(4)
    at = BEGIN + timedelta(seconds=4)
    table.monitor.alert(Alert(Severity.CRITICAL, "Unhedged Position", ("Pair: BTC-USDT",), at))
    table.wait(25)
    assert table.broken == []
    table.wait(5)
    assert table.broken == ["I1"]


def test_i1_the_oldest_unit_counts_not_the_episode(table: Table) -> None:
    table.enter("0.01")
    for _ in range(20):
        table.enter("0.01")
        table.wait(2)
        table.hedged("0.01")
    assert table.broken == []
    (episode,) = table.monitor.episodes
    assert episode.oldest < 5


def test_i1_an_alert_that_was_raised_in_time_may_arrive_late(table: Table) -> None:
    table.enter()
    table.wait(6)
    assert table.broken == ["I1"]
    table.monitor.alert(Alert(Severity.CRITICAL, "Unhedged", ("ETH-USDT",), BEGIN + timedelta(seconds=4)))
    table.monitor.alert(Alert(Severity.CRITICAL, "Unhedged", ("BTC-USDT",), BEGIN + timedelta(seconds=5.9)))
    assert table.broken == ["I1"]
    table.monitor.alert(Alert(Severity.CRITICAL, "Unhedged", ("BTC-USDT",), BEGIN + timedelta(seconds=4)))
    assert table.broken == []


@pytest.mark.parametrize("end", ["matches again", "does not match", None])
def test_i1_an_account_that_is_said_to_be_unreadable_stays_so_until_it_is_read(
    table: Table, end: str | None
) -> None:
    lines = ("positions not read for 4.5 s: no answer yet", "Held there: LONG 1 BTC-USDT", "Entries are off.")
    table.monitor.alert(Alert(Severity.CRITICAL, "Account a cannot be read", lines, BEGIN))
    if end is not None:
        table.monitor.alert(Alert(Severity.INFO, f"Account a {end}", (), BEGIN))
    table.wait(10)
    table.enter()
    table.wait(6)
    assert table.broken == ([] if end is None else ["I1"])


@pytest.mark.parametrize("excuse", list(Excuse))
def test_i1_leaves_out_what_nobody_can_help(table: Table, excuse: Excuse) -> None:
    table.enter()
    if excuse is Excuse.PROOF:
        table.order(Side.SHORT, Purpose.HEDGE, "1", "990", state=OrderState.UNKNOWN)
    elif excuse is Excuse.UNREACHABLE:
        table.cut.add("alpha")
    elif excuse is Excuse.PERSON:
        table.desks["beta"].order("BUY", "0.1", "1010")
        table.wait(8)
    elif excuse is Excuse.STARVED:
        table.monitor.starved = lambda: 0.24
    else:
        table.up = False
    if excuse is not Excuse.PERSON:
        table.wait(20)
    assert table.broken == []
    (episode,) = table.monitor.episodes
    assert episode.excused[excuse] > (4 if excuse is Excuse.PERSON else 18)


@pytest.mark.parametrize("state", [OrderState.UNKNOWN, OrderState.OPEN])
def test_i1_a_proof_waits_for_positions_that_cannot_be_read_and_nothing_else_does(
    table: Table, state: OrderState
) -> None:
    table.enter()
    table.order(Side.SHORT, Purpose.HEDGE, "1", "990", state=state)
    table.refused = {name: {"positions.read"} for name in table.desks}  # both have an account of that name
    table.wait(60)
    assert table.broken == ([] if state is OrderState.UNKNOWN else ["I1", "I1"])
    table.refused.clear()
    table.wait(70)
    assert table.broken == ["I1", "I1"]


def test_i1_a_trade_by_hand_is_noticed_once_the_exchange_can_be_asked(table: Table) -> None:
    table.enter()
    table.cut.add("beta")
    table.desks["beta"].order("BUY", "0.1", "1010")
    table.wait(20)
    table.cut.clear()
    table.wait(9)
    assert table.broken == []
    table.wait(2)
    assert table.broken == ["I1"]


def beside(table: Table, side: str, quantity: str, price: str) -> None:
    """A person's own position on alpha."""
    table.monitor.opens_beside = True
    table.desks["alpha"].order(side, quantity, price)
    table.monitor.opens_beside = False


def test_what_is_somebody_elses_is_not_naked_and_what_is_taken_is_ours_first(table: Table) -> None:
    table.enter()
    table.hedged()
    where = ("alpha", "a", "BTC-USDT")
    beside(table, "BUY", "0.4", "1010")
    assert table.monitor.beside == {where: Decimal("0.4")}
    table.wait(60)
    assert table.broken == []
    table.desks["alpha"].exchange.deleverage("a", "BTCUSDT", Decimal("0.3"))
    assert table.monitor.beside[where] == Decimal("0.4")
    assert table.monitor.exposure("BTC-USDT").delta == Decimal("-0.3")
    table.desks["alpha"].exchange.deleverage("a", "BTCUSDT", Decimal("0.9"))
    assert table.monitor.beside[where] == Decimal("0.2")
    table.wait(31)
    assert table.broken == ["I1", "I1"]


@pytest.mark.parametrize("asked", [4, 6])
def test_a_close_may_take_what_is_theirs_while_nobody_could_know_what_was_taken(
    table: Table, asked: int
) -> None:
    """Half of each was taken during maintenance; a close as large as ours was takes the rest of both."""
    table.enter()
    table.hedged()
    beside(table, "BUY", "1", "1010")
    table.desks["alpha"].exchange.deleverage("a", "BTCUSDT", Decimal("1"))
    table.cut.add("alpha")
    table.wait(40)
    table.cut.clear()
    table.wait(asked)
    table.send(table.order(Side.LONG, Purpose.CLOSE, "1", "990"))
    known = asked > table.monitor.limits.by_hand
    assert table.monitor.beside["alpha", "a", "BTC-USDT"] == (1 if known else 0)


def test_what_is_somebody_elses_is_expected_beside_the_hedges(table: Table) -> None:
    beside(table, "BUY", "0.4", "1010")
    truths = {name: desk.exchange for name, desk in table.desks.items()}
    assert check_held(truths, [], BEGIN, table.monitor.beside) == []
    assert [breach.invariant for breach in check_held(truths, [], BEGIN)] == ["END"]
    missing = {("alpha", "a", "BTC-USDT"): Decimal("0.5")}
    assert [breach.invariant for breach in check_held(truths, [], BEGIN, missing)] == ["END"]


@pytest.mark.parametrize("taken", ["0.1", "1"])
def test_i1_what_an_exchange_took_has_to_be_learned_from_that_exchange(table: Table, taken: str) -> None:
    """Also when the other leg has moved since, and when nothing was left before it moved."""
    table.enter()
    table.desks["alpha"].exchange.deleverage("a", "BTCUSDT", Decimal(taken))
    table.cut.add("alpha")
    table.hedged()
    table.wait(20)
    assert table.broken == []
    table.cut.clear()
    table.wait(6)
    assert table.broken == ["I1"]


def test_i1_what_two_exchanges_took_has_to_be_learned_from_both(table: Table) -> None:
    table.enter()
    table.hedged()
    table.cut.add("alpha")
    table.desks["alpha"].exchange.deleverage("a", "BTCUSDT", Decimal("1"))
    table.desks["beta"].exchange.deleverage("a", "BTCUSDT", Decimal("0.4"))
    table.wait(20)
    assert table.broken == []
    table.cut.clear()
    table.wait(6)
    assert table.broken == ["I1"]


def test_i1_the_proof_of_an_order_that_no_database_knows_is_left_out_for_a_while(table: Table) -> None:
    table.enter()
    record = next_order(
        table.hedge, Side.LONG, Purpose.UNWIND, Decimal(1), Decimal(990), TimeInForce.IOC, None, BEGIN
    )
    lines = ("Pair: BTC-USDT", f"Order: SELL 1 on a, reduce-only ({record.client_id})")
    table.monitor.alert(Alert(Severity.CRITICAL, "Order Sent While The Database Is Down", lines, BEGIN))
    table.wait(37)  # ten, and the thirty
    assert table.broken == []
    table.wait(4)
    assert table.broken == ["I1"]
    (episode,) = table.monitor.episodes
    assert 8 < episode.excused[Excuse.PROOF] < 10


def test_i1_what_became_of_an_order_has_to_be_learned_from_its_exchange(table: Table) -> None:
    """The second leg was taken, and then its exchange answers nothing: nobody knows whether it has filled."""
    table.enter()
    beta = table.desks["beta"].exchange  # alpha has no account of that name
    beta.add_account("only beta", Credentials("key", "secret"), Decimal(1))
    table.order(Side.SHORT, Purpose.HEDGE, "1", "990", state=OrderState.OPEN, account="only beta")
    table.cut.add("beta")
    table.wait(40)
    assert table.broken == []
    table.cut.clear()
    table.wait(6)
    assert table.broken == ["I1"]


def test_i1_a_proof_is_not_an_excuse_for_ever(table: Table) -> None:
    table.enter()
    table.order(Side.SHORT, Purpose.HEDGE, "1", "990", state=OrderState.UNKNOWN)
    table.wait(30)
    assert table.broken == []
    table.wait(8)
    assert table.broken == ["I1"]


def test_i1_the_exchange_that_cannot_be_reached_must_be_one_that_is_needed(table: Table) -> None:
    table.enter()
    table.cut.add("beta")
    table.wait(6)
    assert table.broken == ["I1"]


def test_i2_an_order_without_a_row(table: Table) -> None:
    table.desks["alpha"].order("BUY", "1", "1010", client_id="fat3stxxxxxxxxxxle001")
    assert table.broken == ["I2"]


def test_i2_an_order_that_is_not_the_committed_one(table: Table) -> None:
    entry = table.order(Side.LONG, Purpose.ENTRY, "1", "1010")
    table.desks["alpha"].order("BUY", "2", "1010", client_id=entry.client_id)
    assert table.broken == ["I2"]


def test_i2_an_order_without_a_price_has_one_where_there_are_no_market_orders(table: Table) -> None:
    table.monitor.rules.market_orders = lambda exchange: exchange != "alpha"
    table.enter()
    table.hedged()
    for side, price in ((Side.LONG, "990"), (Side.SHORT, "1010")):
        close = table.order(side, Purpose.CLOSE, "1", "1")
        table.commit(close, price=None)
        table.send(replace(close, price=Decimal(price)))
    assert table.broken == ["I2"], "the second exchange takes orders without a price"


def test_i3_an_order_sent_twice(table: Table) -> None:
    entry = table.order(Side.LONG, Purpose.ENTRY, "1", "1010")
    table.send(entry)
    table.send(entry)
    assert "I3" in table.broken


def test_i4_the_next_attempt_before_the_last_is_over(table: Table) -> None:
    table.order(Side.LONG, Purpose.ENTRY, "1", "1010", state=OrderState.UNKNOWN)
    table.send(table.order(Side.LONG, Purpose.ENTRY, "1", "1010"))
    assert table.broken == ["I4"]


def test_i4_an_order_that_arrives_after_it_was_given_up(table: Table) -> None:
    entry = table.order(Side.LONG, Purpose.ENTRY, "1", "1010", state=OrderState.REFUSED)
    table.send(entry)
    assert table.broken == ["I4"]


def test_a_hedge_order_larger_than_what_was_filled(table: Table) -> None:
    table.enter("0.4")
    table.hedged("1")
    assert table.broken == ["SIZE"]


def test_a_close_that_is_not_reduce_only_or_comes_with_an_entry(table: Table) -> None:
    table.enter()
    table.hedged()
    close = table.order(Side.LONG, Purpose.CLOSE, "1", "990")
    table.send(close, reduce_only=False)
    assert table.broken == ["REDUCE"]
    later = BEGIN + timedelta(seconds=1)
    table.send(table.order(Side.LONG, Purpose.ENTRY, "1", "1010", created_at=later))
    assert table.broken == ["REDUCE", "REOPEN"]


def test_a_kill_forbids_entries_and_wants_flat_or_every_leg_named(table: Table) -> None:
    table.enter()
    table.hedged()
    table.monitor.kill(BEGIN)
    table.wait(29)
    assert table.broken == []
    table.wait(3)
    assert table.broken == ["I7", "I7"]
    at = BEGIN + timedelta(seconds=32)
    named(
        "alpha (a) BTC-USDT 1.000: no answer", "beta (a) BTC-USDT -1: order x is in doubt", at=at, table=table
    )
    table.wait(29)
    assert table.broken == ["I7", "I7"]
    table.monitor.rules.sent_at = lambda _name: BEGIN
    table.send(table.order(Side.LONG, Purpose.ENTRY, "1", "1010"))
    assert table.broken == ["I7", "I7"]  # it left before the kill
    table.monitor.rules.sent_at = lambda _name: at
    table.send(table.order(Side.LONG, Purpose.ENTRY, "1", "1010"))
    assert table.broken[2:].count("I7") == 1


@pytest.mark.parametrize(
    "line",
    [
        "",
        "alpha (a) BTC-USDT: no answer",
        "alpha (a) BTC-USDT 2: no answer",
        "alpha (a) BTC-USDT -1: no answer",
        "alpha (a) BTC-USDT 1",
        "alpha (a) BTC-USDT 1: ",
        "alpha (a) ETH-USDT 1: no answer",
        "beta (a) BTC-USDT 1: no answer",
        "BTC-USDT 1: no answer",
    ],
)
def test_a_leg_that_a_kill_names_in_part_is_not_named(table: Table, line: str) -> None:
    table.enter()
    table.hedged()
    table.monitor.kill(BEGIN)
    table.wait(20)
    named(line, "beta (a) BTC-USDT -1: no answer", at=BEGIN + timedelta(seconds=20), table=table)
    table.wait(12)
    (breach,) = table.monitor.breaches
    assert str(breach).endswith("alpha (a) BTC-USDT 1.000 is not flat, and was not named for 30 s of a kill")


def kill_without_alpha(table: Table) -> None:
    """After forty seconds alpha cannot be reached; one is held there that was seen, and a half that was not."""
    table.enter()
    table.hedged()
    table.wait(40)
    table.cut.add("alpha")
    table.enter("0.5")
    table.hedged("0.5")
    table.monitor.kill(BEGIN + timedelta(seconds=40))


def test_a_leg_of_an_exchange_that_is_gone_is_named_as_it_was_last_seen(table: Table) -> None:
    kill_without_alpha(table)
    table.wait(29)
    at = BEGIN + timedelta(seconds=69)
    named("alpha (a) BTC-USDT 1: no answer", "beta (a) BTC-USDT -1.5: being closed", at=at, table=table)
    table.wait(20)
    assert "I7" not in table.broken


@pytest.mark.parametrize("seconds", [0, 2])
def test_an_exchange_that_has_just_come_back_has_not_been_asked_yet(table: Table, seconds: int) -> None:
    kill_without_alpha(table)
    table.wait(40)
    table.cut.discard("alpha")
    table.wait(seconds + 0.5)
    at = BEGIN + timedelta(seconds=80.5 + seconds)
    table.monitor.breaches.clear()
    named("alpha (a) BTC-USDT 1: no answer", "beta (a) BTC-USDT -1.5: being closed", at=at, table=table)
    table.wait(25)
    assert ("I7" in table.broken) is (seconds > 0)


def named(*lines: str, at: datetime, table: Table) -> None:
    table.monitor.alert(Alert(Severity.CRITICAL, "Kill Switch", lines, at))


def test_silence(table: Table) -> None:
    table.monitor.silence("although nothing is to do")
    table.enter()
    assert table.broken == ["SILENT"]


def test_what_is_held_at_the_end(table: Table) -> None:
    exchanges = {name: desk.exchange for name, desk in table.desks.items()}
    table.enter()
    (held,) = [b.text for b in check_held(exchanges, [], BEGIN)]
    assert held == "a holds 1.000 BTC-USDT, the hedges say 0"


def test_books_that_lack_a_fill_or_have_it_otherwise(table: Table) -> None:
    exchanges = {name: desk.exchange for name, desk in table.desks.items()}
    table.enter()
    breaches = check_money(exchanges, [], [], BEGIN)
    assert [b.invariant for b in breaches] == ["LEDGER", "LEDGER"]
    assert "is not booked" in breaches[0].text
    assert "add up to 0" in breaches[1].text


def test_books_may_have_a_settlement_and_its_correction_but_no_row_twice() -> None:
    at = BEGIN.replace(microsecond=0)

    def booked(amount: str) -> FundingPayment:
        return FundingPayment("alpha", "a", "BTC-USDT", at, Decimal(amount), "USDT", at, ledger_id=amount)

    def posted(amount: str) -> Any:
        return SimpleNamespace(instrument="b", settlement_ms=at.timestamp() * 1000, amount=Decimal(amount))

    def judged(mine: Sequence[str], ledger: Sequence[str]) -> list[str]:
        truth: Any = SimpleNamespace(
            accounts=("a",),
            instruments={"b": SimpleNamespace(symbol="BTC-USDT")},
            fills=lambda _account: (),
            ledger=lambda _account: [SimpleNamespace(kind=None, amount=Decimal(one)) for one in ledger],
            funding_payments=lambda _account: [posted(one) for one in ledger],
        )
        found = check_money({"alpha": truth}, [], [booked(one) for one in mine], at)
        return [breach.text for breach in found if breach.invariant == "I6"]

    assert judged(("1.0", "-0.4"), ("1", "-0.40")) == []
    (twice,) = judged(("1", "1"), ("1",))
    assert "1 of funding of BTC-USDT" in twice
    assert "never paid" in twice
    (late,) = judged(("1",), ("1", "-0.4"))
    assert "-0.4 of funding" in late
    assert "not booked" in late


def test_the_sql_registry_reads_what_is_committed(table: Table, tmp_path: Any) -> None:
    import anyio
    from tests.campaigns.wire.registry import SqlRegistry

    from fundingarb.testing import FakeClock

    url = f"sqlite:///{tmp_path}/bot.db"
    store = InlineStore(url, FakeClock())
    record = table.order(Side.LONG, Purpose.ENTRY, "1", "1010")
    registry = SqlRegistry(url)
    anyio.run(store.commit, Batch(intents=(table.hedge.intent,)))
    assert registry.order(record.client_id) is None
    anyio.run(store.commit, Batch(orders=(record,)))
    assert registry.order(record.client_id) == record
    assert list(registry.under_way("BTC-USDT")) == [record.client_id]
    assert list(registry.under_way("ETH-USDT")) == []
    registry.close()
