"""What tests of engines, strategies and plugins need: a clock moved by hand, recording sinks, an exchange in memory."""

from __future__ import annotations

from fundingarb.testing.clock import FakeClock
from fundingarb.testing.exchange import FakeExchange
from fundingarb.testing.sinks import (
    RecordingAccountSink,
    RecordingAlertSink,
    RecordingBookSink,
    RecordingRateSink,
    StreamLog,
)
from fundingarb.testing.values import Script, book, instrument

__all__ = [
    "FakeClock",
    "FakeExchange",
    "RecordingAccountSink",
    "RecordingAlertSink",
    "RecordingBookSink",
    "RecordingRateSink",
    "Script",
    "StreamLog",
    "book",
    "instrument",
]
