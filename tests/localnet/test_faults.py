"""Which fault fires when; what they do to requests and streams is in test_server."""

from __future__ import annotations

import pytest

from fundingarb.localnet.errors import LocalnetError
from fundingarb.localnet.faults import FailureKind, Fault, FaultBook, FaultKind


def book(seed: int = 0) -> FaultBook:
    return FaultBook("toy", seed=seed, same_symbol=lambda a, b: a.replace("-", "") == b.replace("-", ""))


def test_without_faults_nothing_happens() -> None:
    assert book().plan("order.place").clean


@pytest.mark.parametrize(
    ("matching", "hit", "missed"),
    [
        ({"operation": "order.*"}, {"operation": "order.place"}, {"operation": "positions.read"}),
        ({"account": "a"}, {"account": "a"}, {"account": "b"}),
        ({"symbol": "BTC-USDT"}, {"symbol": "BTCUSDT"}, {"symbol": "ETHUSDT"}),
        ({"symbol": "BTC-USDT"}, {"symbol": "BTCUSDT"}, {"symbol": None}),
        ({"exchange": "toy"}, {}, None),
    ],
)
def test_matching(matching: dict[str, str], hit: dict[str, str], missed: dict[str, str] | None) -> None:
    faults = book()
    faults.install(Fault(FaultKind.LOST_REPLY, **matching))  # type: ignore[arg-type]
    if missed is not None:
        assert faults.plan(**{"operation": "order.place", **missed}).clean  # type: ignore[arg-type]
    assert faults.plan(**{"operation": "order.place", **hit}).drop_reply  # type: ignore[arg-type]


def test_another_exchanges_fault_does_not_fire() -> None:
    faults = book()
    faults.install(Fault(FaultKind.LOST_REPLY, exchange="other"))
    assert faults.plan("order.place").clean


def test_count_and_skip() -> None:
    faults = book()
    faults.install(Fault(FaultKind.LOST_REQUEST, skip=2, count=2))
    assert [faults.plan("x").drop_request for _ in range(6)] == [False, False, True, True, False, False]
    assert faults.faults[0].fired == 2


def test_probability_is_seeded() -> None:
    def draws(seed: int) -> list[bool]:
        faults = book(seed)
        faults.install(Fault(FaultKind.LOST_REPLY, probability=0.5))
        return [faults.plan("x").drop_reply for _ in range(50)]

    assert draws(1) == draws(1) != draws(2)
    assert 10 < sum(draws(1)) < 40


def test_several_faults_add_up() -> None:
    faults = book()
    faults.install(Fault(FaultKind.LATENCY, seconds=0.2))
    faults.install(Fault(FaultKind.LATENCY, seconds=0.3))
    faults.install(Fault(FaultKind.PARTIAL_FILL, fraction=0.25))
    outcome = faults.plan("order.place")
    assert outcome.delay == pytest.approx(0.5)
    assert outcome.fill_fraction == 0.25
    assert outcome.execute


@pytest.mark.parametrize(
    ("kind", "failure", "executed"),
    [
        ("http_error", FailureKind.SERVER_ERROR, False),
        ("unknown_error", FailureKind.UNKNOWN, True),
        ("rate_limited", FailureKind.RATE_LIMITED, False),
        ("maintenance", FailureKind.MAINTENANCE, False),
        ("reject", FailureKind.REJECTED, False),
    ],
)
def test_failures(kind: str, failure: FailureKind, executed: bool) -> None:
    faults = book()
    faults.install(Fault.from_json({"kind": kind, "code": -2019, "status": 418}))
    outcome = faults.plan("order.place")
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.code, outcome.failure.status) == (failure, "-2019", 418)
    assert outcome.execute is executed


def test_a_ban_hits_everything_until_it_is_over() -> None:
    faults = book()
    faults.install(Fault(FaultKind.BANNED, operation="order.place", count=1, seconds=60))
    assert faults.plan("book.read", real=10).clean
    first = faults.plan("order.place", real=10).failure
    assert first is not None
    assert (first.kind, first.retry_after) == (FailureKind.BANNED, 60)
    second = faults.plan("book.read", real=69).failure
    assert second is not None
    assert second.retry_after == 1  # what is left of it
    assert faults.plan("book.read", real=71).clean
    assert faults.plan("order.place", real=71).clean


def test_frame_faults_fire_for_frames_only() -> None:
    faults = book()
    faults.install(Fault(FaultKind.FRAME_LOST, topic="orders:*", count=1))
    assert faults.plan("stream.push").clean
    assert faults.frame("book:BTC") == []
    assert [fault.kind for fault in faults.frame("orders:a")] == [FaultKind.FRAME_LOST]
    assert faults.frame("orders:a") == []


def test_clearing() -> None:
    faults = book()
    first = faults.install(Fault(FaultKind.LOST_REPLY))
    faults.install(Fault(FaultKind.CLOCK_SKEW, seconds=2))
    faults.install(Fault(FaultKind.CLOCK_SKEW, seconds=-0.5))
    assert faults.skew == 1.5
    assert faults.clear(first.id) == 1
    assert len(faults.faults) == 2
    assert faults.clear() == 2
    assert faults.skew == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "unknown fault kind None"),
        ({"kind": "explode"}, "unknown fault kind 'explode'; known: adl"),
        ({"kind": "latency", "second": 1}, "unknown fault field 'second'; known: account"),
        ({"kind": "latency", "probability": 2}, "probability must be between 0 and 1"),
        (
            {"kind": "latency", "seconds": "soon"},
            "fault latency: Expected `float`, got `str` - at `$.seconds`",
        ),
        ({"kind": "latency", "count": "all"}, "Expected `int | null`, got `str` - at `$.count`"),
    ],
)
def test_a_fault_that_does_not_fit_is_one_line(body: dict[str, object], message: str) -> None:
    with pytest.raises(LocalnetError) as caught:
        Fault.from_json(body)
    assert message.split(";")[0] in str(caught.value)
