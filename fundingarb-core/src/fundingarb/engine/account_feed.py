"""What an account's stream tells of: a reason to look sooner. Correctness never depends on having heard it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fundingarb.domain.order import Fill, FillKind, OrderReport
from fundingarb.engine.accounts import AccountReader
from fundingarb.engine.markets import Markets
from fundingarb.engine.state import BotState
from fundingarb.ports import Clock


@dataclass
class AccountFeed:
    """Where the events of one account's stream go (``ports.AccountSink``); ``wake`` runs the trading loop."""

    state: BotState
    markets: Markets
    reader: AccountReader
    clock: Clock
    wake: Callable[[], None]

    def order(self, report: OrderReport) -> None:
        if self.state.observe(report, self.clock.now()) is not None:
            self.wake()

    def fill(self, fill: Fill) -> None:
        ours = self.state.owner(fill.client_id) is not None
        if fill.kind is not FillKind.TRADE or not ours:  # the exchange itself, or a person
            self.reader.hear(fill)

    def funding(self, account: str) -> None:
        self.reader.want(payments=True)

    def position(self, account: str, symbol: str) -> None:
        self.reader.want(fills=True, positions=True)

    def connected(self, stream: str) -> None:
        self.markets.connected(stream)
        self.reader.want(fills=True, payments=True, positions=True)

    def disconnected(self, stream: str, reason: str) -> None:
        self.markets.disconnected(stream, reason)

    def quarantined(self, stream: str, raw: bytes, reason: str) -> None:
        self.markets.quarantined(stream, raw, reason)
