"""Alerts as the specification writes them, and in the log."""

from __future__ import annotations

import logging
from datetime import datetime, timezone

import pytest
from tests.domain.make import D, filled, hedge

from fundingarb.builtin.settings import LogSinkSettings
from fundingarb.builtin.sinks import open_log
from fundingarb.builtin.telegram.text import render
from fundingarb.domain.events import Alert, Severity
from fundingarb.domain.figures import money, price
from fundingarb.domain.hedge import Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import Purpose
from fundingarb.domain.pnl import HedgePnl, LegPnl
from fundingarb.engine.alerts import Announcer
from fundingarb.engine.bus import Bus
from fundingarb.ports import OpenContext
from fundingarb.simulation.virtual import LoopClock

AT = datetime(2026, 1, 5, 8, 0, tzinfo=timezone.utc)
CONTEXT = OpenContext("log", LoopClock(), "localnet")


def alert(severity: Severity = Severity.INFO, title: str = "Position Opened", *lines: str) -> Alert:
    return Alert(severity, title, lines, AT)


# what an alert looks like


def announced(*, long_price: str = "42150", short_price: str = "42145") -> Alert:
    """The alert of an opened hedge with the figures of the specification's example."""
    bus = Bus()
    quantity = D(25_000) / D(long_price)
    made = hedge(
        filled(Side.LONG, Purpose.ENTRY, str(quantity)),
        filled(Side.SHORT, Purpose.HEDGE, str(quantity)),
        mode=Mode.HOLDING,
        entry_spread=D("0.00032"),
    )
    legs = [
        LegPnl(side, account, account, quantity, D(at), None, D(0), D(0), D(0))
        for side, account, at in ((Side.LONG, "binance", long_price), (Side.SHORT, "bybit", short_price))
    ]
    with bus.subscribe(1, Alert) as alerts:
        Announcer(bus).opened(made, HedgePnl(legs[0], legs[1], D(0)), D(8), AT)
        event = alerts._events[0]
    assert isinstance(event, Alert)
    return event


def test_the_example_of_the_specification() -> None:
    assert render(announced()).splitlines() == [
        "🟢 INFO | Position Opened",
        "Pair: BTC-USDT",
        "Long: binance @ $42,150.00",
        "Short: bybit @ $42,145.00",
        "Size: $25,000.00 | Spread: 0.0320% per 8 h",
        "Expected funding: $8.00",
    ]


@pytest.mark.parametrize(
    ("severity", "headline"),
    [
        (Severity.INFO, "🟢 INFO | Spread"),
        (Severity.WARNING, "🟡 WARNING | Spread"),
        (Severity.CRITICAL, "🔴 CRITICAL | Spread"),
    ],
)
def test_headlines(severity: Severity, headline: str) -> None:
    assert render(alert(severity, "Spread", "one", "two")) == f"{headline}\none\ntwo"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("42150", "$42,150.00"),
        ("42150.1", "$42,150.10"),
        ("0.00001781", "$0.00001781"),
        ("0.000000012345", "$0.000000012345"),
        ("1000000", "$1,000,000.00"),
    ],
)
def test_prices_have_cents_and_all_their_digits(value: str, text: str) -> None:
    assert price(D(value)) == text


def test_money() -> None:
    assert price(None) == "unknown"
    assert [money(D(value)) for value in ("1234.565", "-1234.56", "0", "-0.001")] == [
        "$1,234.56",
        "-$1,234.56",
        "$0.00",
        "$0.00",
    ]


@pytest.mark.anyio
async def test_the_log_sink_writes_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "fundingarb.alerts"):
        async with open_log(LogSinkSettings(), CONTEXT) as sink:
            await sink.send(alert(Severity.WARNING, "Spread Widening", "Pair: BTC-USDT", "now 0.1 %"))
    (record,) = caplog.records
    assert record.getMessage() == "Spread Widening | Pair: BTC-USDT | now 0.1 %"
    assert record.levelno == logging.WARNING
