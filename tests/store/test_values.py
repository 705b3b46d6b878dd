"""Every value comes back as it went in, on both databases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.store.samples import StillClock, alert, fill, filled, intent, order, payment, refusal

from fundingarb.domain.events import Alert, Severity
from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.hedge import CloseReason, Intent, LegPlan, Mode, OrderRecord
from fundingarb.domain.instrument import Instrument, Side
from fundingarb.domain.opportunity import Refusal
from fundingarb.domain.order import Fill, FillKind, OrderSide, OrderState, Purpose, TimeInForce
from fundingarb.errors import StoreError
from fundingarb.ports import Batch
from fundingarb.store import reading
from fundingarb.store.columns import Document, exact_text, text_once, time_text
from fundingarb.store.database import parse_url
from fundingarb.store.session import Failed, Session

LARGEST = Decimal("99999999999999999999.999999999999999999")
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def eighteen_places(units: int) -> Decimal:
    """``units`` of 1E-18, exactly."""
    return Decimal((int(units < 0), tuple(map(int, str(abs(units)))), -18))


amounts = st.integers(-(10**38) + 1, 10**38 - 1).map(eighteen_places) | st.sampled_from(
    [
        LARGEST,
        LARGEST.copy_negate(),
        Decimal("1E-18"),
        Decimal("1E+19"),
        Decimal("-0"),
        Decimal("0.10"),
        Decimal("60000.00"),
    ]
)
positive = st.integers(1, 10**38 - 1).map(eighteen_places)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
moments = st.integers(0, 230 * 365 * 86400 * 10**6).map(lambda us: EPOCH + timedelta(microseconds=us))
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
names = st.text("abcdefghijklmnopqrstuvwxyz-_0123456789", min_size=1, max_size=40)
counts = st.integers(0, 2**31 - 1)
maybe = st.none()


def every_field(kind: type[Any], /, **values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values of a dataclass; a field that is added to it later has to be added here, and to the store."""
    assert set(values) == {one.name for one in fields(kind)}, kind
    return st.builds(kind, **values)


instruments = every_field(
    Instrument,
    exchange=names,
    symbol=st.just("set below"),
    exchange_id=texts,
    base=names,
    settle=names,
    tick=positive,
    lot=positive,
    min_quantity=amounts,
    min_notional=amounts,
    funding_interval=st.integers(1, 86400).map(lambda seconds: timedelta(seconds=seconds)),
    max_quantity=maybe | amounts,
    max_market_quantity=maybe | amounts,
    multiplier=positive,
    funding_cap=maybe | amounts,
    funding_floor=maybe | amounts,
    delists_at=maybe | moments,
)
intents = every_field(
    Intent,
    id=st.just(UUID(int=0)),
    instance=st.just("test"),
    symbol=st.just("set below"),
    mode=st.sampled_from(Mode),
    quantity=amounts,
    long=st.builds(LegPlan, st.just(Side.LONG), st.just("long"), instruments, st.integers(1, 125)),
    short=st.builds(LegPlan, st.just(Side.SHORT), st.just("short"), instruments, st.integers(1, 125)),
    first=st.sampled_from(Side),
    deadline=moments,
    tolerance=amounts,
    entry_spread=amounts,
    created_at=moments,
    config_revision=counts,
    version=counts,
    close_reason=maybe | st.sampled_from(CloseReason),
    liquidated=st.booleans(),
    opened_at=maybe | moments,
    closed_at=maybe | moments,
    origin=names,
    number=st.integers(0, 2**31 - 1),
)
orders = every_field(
    OrderRecord,
    client_id=st.just("set below"),
    hedge_id=st.just(UUID(int=0)),
    leg=st.sampled_from(Side),
    purpose=st.sampled_from(Purpose),
    attempt=counts,
    account=names,
    side=st.sampled_from(OrderSide),
    quantity=amounts,
    price=maybe | amounts,
    time_in_force=st.sampled_from(TimeInForce),
    reduce_only=st.booleans(),
    created_at=moments,
    state=st.sampled_from(OrderState),
    filled=amounts,
    booked=st.just(Decimal(0)),
    average_price=maybe | amounts,
    exchange_order_id=texts,
    reference=maybe | amounts,
    reason=texts,
    acknowledged_at=maybe | moments,
    resolved_at=maybe | moments,
    latency_ms=maybe | st.floats(allow_nan=False, allow_infinity=False),
    misses=counts,
    cancel_requested=st.booleans(),
)
fills = every_field(
    Fill,
    exchange=names,
    account=names,
    symbol=names,
    trade_id=st.just("set below"),
    exchange_order_id=texts,
    client_id=maybe | texts,
    side=st.sampled_from(OrderSide),
    quantity=amounts,
    price=amounts,
    fee=amounts,
    realized_pnl=amounts,
    at=moments,
    maker=st.booleans(),
    kind=st.sampled_from(FillKind),
)
payments = every_field(
    FundingPayment,
    exchange=names,
    account=names,
    symbol=st.just("set below"),
    settlement=moments,
    amount=amounts,
    currency=names,
    at=moments,
    rate=maybe | amounts,
    ledger_id=texts,
)
refused = every_field(
    Refusal,
    symbol=st.just("set below"),
    long_exchange=names,
    short_exchange=names,
    gate=names,
    needed=texts,
    actual=texts,
    at=moments,
    spread_8h=maybe | amounts,
    net_usd=maybe | amounts,
)
announced = every_field(
    Alert,
    severity=st.sampled_from(Severity),
    title=texts,
    lines=st.lists(texts, max_size=4).map(tuple),
    at=moments,
    hedge_id=maybe | st.uuids(),
)


@pytest.fixture
def session(url: str) -> Iterator[Session]:
    opened = Session(parse_url(url), StillClock(), "test")
    opened.open()
    yield opened
    opened.close()


def commit(session: Session, batch: Batch) -> Any:
    (result,) = session.commit((batch,))
    if isinstance(result, Failed):
        raise result.error
    return result


def named(found: Intent) -> Intent:
    """``found`` with an id and instruments of its own: examples share a database, they must not share rows."""
    symbol = uuid4().hex
    legs = {
        side.value.lower(): replace(plan, instrument=replace(plan.instrument, symbol=symbol))
        for side, plan in ((Side.LONG, found.long), (Side.SHORT, found.short))
    }
    return replace(found, id=uuid4(), symbol=symbol, **legs)  # type: ignore[arg-type]


@MANY
@given(found=intents, records=st.lists(orders, max_size=4))
def test_hedges_and_orders(session: Session, found: Intent, records: list[OrderRecord]) -> None:
    found = named(found)
    records = [replace(record, client_id=uuid4().hex, hedge_id=found.id) for record in records]
    commit(session, Batch(intents=(found,), orders=tuple(records)))
    (hedge,) = session.read(lambda connection: reading.hedges_by_id(connection, [found.id])).values()
    assert hedge.intent == found
    assert list(hedge.orders) == records


@MANY
@given(st.lists(fills, max_size=3), st.lists(payments, max_size=3))
def test_fills_and_payments(session: Session, some: list[Fill], paid: list[FundingPayment]) -> None:
    some = [replace(one, trade_id=uuid4().hex) for one in some]
    paid = [replace(one, symbol=uuid4().hex) for one in paid]
    new = commit(
        session,
        Batch(fills=tuple((one, None) for one in some), payments=tuple((one, None) for one in paid)),
    )
    assert [one for one, _ in new.fills] == some
    assert [one for one, _ in new.payments] == paid
    stored_fills, stored_payments = session.read(reading.fills), session.read(reading.payments)
    assert [one for one in stored_fills if one in some] == sorted(
        some, key=lambda one: (one.at, one.account, one.trade_id)
    )
    assert all(one in stored_payments for one in paid)


@MANY
@given(refused, announced)
def test_refusals_and_alerts(session: Session, why: Refusal, said: Alert) -> None:
    why = replace(why, symbol=uuid4().hex)
    commit(session, Batch(refusals=(why,), alerts=(said,)))
    assert why in session.read(lambda connection: reading.refusals(connection, 10_000))
    assert said in session.read(lambda connection: reading.alerts(connection, 10_000))


@given(st.decimals(allow_nan=False, allow_infinity=False, max_value=10**19, min_value=-(10**19)))
def test_text_of_amounts_is_exact_to_eighteen_places(value: Decimal) -> None:
    text = exact_text(value)
    assert "E" not in text.upper()
    assert not text.endswith(".")
    assert text != "-0"
    assert abs(Decimal(text) - value) <= Decimal("5E-19")
    assert exact_text(Decimal(text)) == text


@given(amounts, st.integers(0, 18))
def test_equal_amounts_have_the_same_text(value: Decimal, zeros: int) -> None:
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    longer = Decimal((sign, (*digits, *[0] * zeros), exponent - zeros))
    assert longer == value
    assert exact_text(longer) == exact_text(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("-0", "0"),
        ("0E+999999", "0"),
        ("1E-999999", "0"),
        ("1E+3", "1000"),
        ("5E-19", "0"),
        ("15E-19", "0.000000000000000002"),
        ("1.10", "1.1"),
        ("-0.0000000000000000001", "0"),
        ("99999999999999999999.999999999999999999", "99999999999999999999.999999999999999999"),
    ],
)
def test_amounts_are_rounded_to_eighteen_places(value: str, text: str) -> None:
    assert exact_text(Decimal(value)) == text


@pytest.mark.parametrize(
    "value", ["NaN", "sNaN", "Infinity", "1E+20", "99999999999999999999.9999999999999999996"]
)
def test_what_is_no_amount_is_refused_whole(session: Session, value: str) -> None:
    wrong = replace(intent(), quantity=Decimal(value))
    with pytest.raises(StoreError, match="nothing of it was") as caught:
        commit(session, Batch(alerts=(alert(),), intents=(wrong,)))
    assert "\n" not in str(caught.value)
    assert session.read(lambda connection: reading.alerts(connection, 10)) == []


def test_a_time_without_zone_is_refused(session: Session) -> None:
    with pytest.raises(StoreError, match="no time zone"):
        commit(session, Batch(intents=(intent(deadline=datetime(2026, 1, 1)),)))  # noqa: DTZ001 - on purpose


def test_times_of_other_zones_are_kept_as_utc(session: Session) -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    commit(session, Batch(intents=(intent(deadline=datetime(2026, 1, 1, 5, 30, tzinfo=there)),)))
    (hedge,) = session.load().hedges
    assert hedge.intent.deadline == datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert hedge.intent.deadline.tzinfo is timezone.utc


def test_text_from_outside_never_fails_a_commit(session: Session) -> None:
    found = intent()
    record = order(found, reason="\0 \ud800 \U0001f600 é")
    said = replace(alert("a\0b"), lines=("\ud800", "\0"))
    why = replace(refusal(), actual="x\0y")
    commit(session, Batch(intents=(found,), orders=(record,), alerts=(said,), refusals=(why,)))
    assert session.load().hedges[0].orders[0].reason == "? ? \U0001f600 é"
    assert session.read(lambda connection: reading.alerts(connection, 1))[0].lines == ("?", "?")


def test_money_is_summed_without_binary_floats(session: Session) -> None:
    found = intent()
    commit(session, Batch(intents=(found,)))
    paid = [payment("binance", "binance", "0.100000000000000001", hours) for hours in range(30)]
    commit(session, Batch(payments=tuple((one, found.id) for one in paid)))
    total = session.read(lambda connection: reading.funding_total(connection, found.id))
    assert total == Decimal("3.00000000000000003")


def test_long_identifiers_fit(session: Session) -> None:
    found = intent()
    record = replace(filled(order(found)), exchange_order_id="9" * 300)
    long = fill(record, "binance", trade_id="8" * 300, client_id="7" * 300)
    commit(session, Batch(intents=(found,), orders=(record,), fills=((long, found.id),)))
    assert session.read(reading.fills) == [long]


def test_a_documents_text_is_made_once_and_is_the_same() -> None:
    asked: list[object] = []

    def convert(value: object) -> str:
        asked.append(value)
        return json.dumps(value)

    text = text_once(convert)
    fixed, plain = Document({"a": "1", "b": None}), {"a": "1", "b": None}
    assert text(fixed) == text(fixed) == text(plain) == text(plain) == '{"a": "1", "b": null}'
    assert len(asked) == 3  # once for the document, every time for what may have changed
    assert text(Document({"a": "2"})) == '{"a": "2"}'


def test_times_of_any_zone_are_stored_as_utc() -> None:
    local = datetime(2026, 3, 1, 12, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert time_text(local) == "2026-03-01T07:00:00.000000+00:00"
    assert time_text(local.astimezone(timezone.utc)) == time_text(local)
    with pytest.raises(ValueError, match="no time zone"):
        time_text(datetime(2026, 3, 1))  # noqa: DTZ001
