"""Listen keys and the private events of an account."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fundingarb.localnet.truth.events import (
    AccountChanged,
    Event,
    Liquidated,
    OrderChanged,
    SettingsChanged,
)
from fundingarb_binance.localnet import user_events
from fundingarb_binance.localnet.answers import BinanceError, encode
from fundingarb_binance.localnet.context import Call, Context
from fundingarb_binance.localnet.gateway import Endpoint
from fundingarb_binance.localnet.settings import LISTEN_KEY_SECONDS

__all__ = ["EVENTS", "UserData", "user_topics"]

EVENTS = (
    "ORDER_TRADE_UPDATE",
    "ACCOUNT_UPDATE",
    "TRADE_LITE",
    "ACCOUNT_CONFIG_UPDATE",
    "MARGIN_CALL",
    "listenKeyExpired",
)
"""Names of the events a connection may ask for."""


def user_topics(account: str, combined: bool, events: tuple[str, ...] = EVENTS) -> list[str]:
    """Topics of a user data stream; combined ones wrap each event with the listen key."""
    suffix = "|stream" if combined else ""
    return [f"user:{account}@{event}{suffix}" for event in events]


@dataclass(slots=True)
class _ListenKey:
    key: str
    account: str
    until: float


@dataclass(slots=True)
class Held:
    """Events waiting for the end of the call that causes them."""

    events: list[Event] = field(default_factory=list)

    def discard(self, order_id: str) -> None:
        """Forget what happened to an order that is not recorded."""
        self.events = [e for e in self.events if not (isinstance(e, OrderChanged) and e.order.id == order_id)]


class UserData:
    """Gives out listen keys and publishes the events of the truth under them."""

    def __init__(self, context: Context, listen_key_seconds: float = LISTEN_KEY_SECONDS) -> None:
        self.context = context
        self.listen_key_seconds = listen_key_seconds
        self._keys: dict[str, _ListenKey] = {}
        self._random = random.Random(f"listen keys/{context.venue.name}")
        self._held: Held | None = None
        self._warned: dict[str, float] = {}

    # -- listen keys -----------------------------------------------------------------------------------------

    def endpoints(self) -> list[Endpoint]:
        def keyed(method: str, work: Callable[[Call], Any]) -> Endpoint:
            return Endpoint(method, "/fapi/v1/listenKey", work, "stream.key", 1, 0, "key")

        return [keyed("POST", self.start), keyed("PUT", self.keep_alive), keyed("DELETE", self.stop)]

    def account_of(self, listen_key: str) -> str | None:
        """The account a valid listen key opens."""
        self.expire()
        held = self._keys.get(listen_key)
        return held.account if held else None

    def key_of(self, account: str) -> str | None:
        self.expire()
        return next((held.key for held in self._keys.values() if held.account == account), None)

    def start(self, call: Call) -> dict[str, Any]:
        key = self.key_of(call.account)
        if key is None:
            key = "".join(self._random.choice(string.ascii_letters + string.digits) for _ in range(64))
        self._keys[key] = _ListenKey(key, call.account, self._valid_until())
        return {"listenKey": key}

    def keep_alive(self, call: Call) -> dict[str, Any]:
        key = self.key_of(call.account)
        if key is None:
            raise BinanceError(-1125, "This listenKey does not exist.")
        self._keys[key].until = self._valid_until()
        return {"listenKey": key}

    def stop(self, call: Call) -> dict[str, Any]:
        key = self.key_of(call.account)
        if key is not None:
            del self._keys[key]
            for session in list(self.context.venue.hub.sessions):
                if key in session.data.get("listen_keys", ()):
                    session.close()
        return {}

    def _valid_until(self) -> float:
        return self.context.venue.real() + self.listen_key_seconds

    def expire(self) -> None:
        """Drop keys that were not kept alive; their connections stay open but hear no more."""
        real = self.context.venue.real()
        for held in [held for held in self._keys.values() if held.until <= real]:
            self._publish(
                held.account,
                {"e": "listenKeyExpired", "E": self.context.venue.server_ms(), "listenKey": held.key},
            )
            del self._keys[held.key]
            for session in list(self.context.venue.hub.sessions):
                if held.key in session.data.get("listen_keys", ()):
                    session.unsubscribe(*user_topics(held.account, True), *user_topics(held.account, False))

    # -- events ----------------------------------------------------------------------------------------------

    @contextmanager
    def holding(self) -> Iterator[Held]:
        """Keep events back until the block ends; what it discards is never told."""
        self._held = held = Held()
        try:
            yield held
        finally:
            self._held = None
            for event in held.events:
                self.on_event(event)

    def on_event(self, event: Event) -> None:
        """Tell the account's streams, in Binance's order: lite trade, account, order."""
        if not isinstance(event, OrderChanged | AccountChanged | SettingsChanged | Liquidated):
            return
        if self._held is not None:
            self._held.events.append(event)
            return
        if not self._listening(event.account):
            return
        for message in user_events.render(self.context, event):
            self._publish(event.account, message)

    def _listening(self, account: str) -> bool:
        hub = self.context.venue.hub
        return any(
            hub.wanted(topic) for combined in (False, True) for topic in user_topics(account, combined)
        )

    def _publish(self, account: str, message: dict[str, Any]) -> None:
        hub = self.context.venue.hub
        name = message["e"]
        topic, combined = f"user:{account}@{name}", f"user:{account}@{name}|stream"
        if hub.wanted(topic):
            hub.publish(topic, encode(message))
        if hub.wanted(combined):
            key = next((held.key for held in self._keys.values() if held.account == account), "")
            hub.publish(combined, encode({"stream": key, "data": message}))

    # -- margin calls ----------------------------------------------------------------------------------------

    def watch_margin(self) -> None:
        """Warn an account whose maintenance margin nears its balance, at most once an hour (simulated)."""
        truth = self.context.truth
        self.expire()
        for account in truth.accounts:
            if not self._listening(account) or truth.now - self._warned.get(account, 0.0) < 3600:
                continue
            state = truth.state(account)
            if state.maintenance_margin and state.maintenance_margin * 10 > state.equity * 8:
                self._warned[account] = truth.now
                self._publish(account, user_events.margin_call(self.context, account, state))
