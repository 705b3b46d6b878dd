"""/ws/v5/business: candles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fundingarb.localnet.streams import encode
from fundingarb.localnet.truth.rules import Instrument
from fundingarb.localnet.truth.views import Candle
from fundingarb_okx.localnet.desk import Desk
from fundingarb_okx.localnet.stream import OkxSession, Stream, unknown_channel
from fundingarb_okx.localnet.tape import BARS, Kind, candle_row

__all__ = ["BusinessStream"]

_KINDS: dict[str, Kind] = {"candle": "last", "mark-price-candle": "mark", "index-candle": "index"}


class BusinessStream(Stream):
    """The business websocket of one venue. A channel is named by its bar and contract: ``candle1m:BTC-USDT-SWAP``."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._sent: dict[str, Candle] = {}
        desk.venue.every(1.0, self._publish)

    def topic(self, session: OkxSession, arg: Mapping[str, Any]) -> str:
        topic = f"{arg['channel']}:{arg.get('instId') or ''}"
        if self._about(topic) is None:
            raise unknown_channel(arg)
        return topic

    def first(self, session: OkxSession, topic: str, arg: Mapping[str, Any]) -> list[bytes]:
        if not self.hub.wanted(topic):
            self._sent.pop(topic, None)
        return self._frames(topic) or self._frames(topic, again=True)

    def _about(self, topic: str) -> tuple[Instrument, Kind, int] | None:
        """Contract, kind and seconds of a channel; None where there is none."""
        channel, _, name = topic.partition(":")
        head, mark, bar = channel.rpartition("candle")
        kind = _KINDS.get(head + mark)
        seconds = BARS.get(bar)
        if kind == "index":
            name = self.desk.by_family.get(name, "")
        instrument = self.desk.truth.instruments.get(name)
        if kind is None or seconds is None or instrument is None:
            return None
        return instrument, kind, seconds

    def _frames(self, topic: str, *, again: bool = False) -> list[bytes]:
        """The running candle, after the one that has just ended; nothing where nothing changed."""
        about = self._about(topic)
        if about is None:
            return []
        instrument, kind, seconds = about
        now, length, sent = self.desk.truth.now_ms, seconds * 1000, self._sent.get(topic)
        opened = now // length * length
        start = sent.open_ms if sent is not None and not again else opened
        candles = self.desk.truth.candles(instrument.id, seconds, start, now + 1, kind)
        fresh = [one for one in candles if again or one != sent or one.open_ms < opened]
        if fresh:
            self._sent[topic] = fresh[-1]
        channel, _, name = topic.partition(":")
        arg = {"channel": channel, "instId": name}
        return [
            encode({"arg": arg, "data": [candle_row(instrument, one, kind, over=one.open_ms < opened)]})
            for one in fresh
        ]

    def _publish(self) -> None:
        for topic in self.hub.topics():
            if "candle" in topic:
                for frame in self._frames(topic):
                    self.hub.publish(topic, frame)
