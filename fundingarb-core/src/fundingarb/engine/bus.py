"""Events to whoever listens. A listener that is slow loses events and is told so; it never slows the bot."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import anyio

from fundingarb.domain.events import Event


class Listener(Protocol):
    """Is told of every event at once, in the task that publishes it: it must be quick and must not raise."""

    def put(self, event: Event) -> None: ...


class Subscription:
    """A bounded queue of the wanted events. ``missed`` counts what was dropped: read a snapshot, then go on."""

    def __init__(self, size: int, kinds: tuple[type, ...]) -> None:
        self._events: deque[Event] = deque(maxlen=size)
        self._kinds = kinds
        self._wake = anyio.Event()
        self.missed = 0

    def put(self, event: Event) -> None:
        if not isinstance(event, self._kinds):
            return
        if len(self._events) == self._events.maxlen:
            self.missed += 1
        self._events.append(event)
        self._wake.set()

    async def get(self) -> Event:
        """The next event; waits for one."""
        while not self._events:
            self._wake = anyio.Event()
            await self._wake.wait()
        return self._events.popleft()

    def take(self) -> Event | None:
        """The next event; None when there is none."""
        return self._events.popleft() if self._events else None


class Bus:
    """Publishes committed events to subscriptions."""

    def __init__(self) -> None:
        self._subscriptions: list[Listener] = []

    def publish(self, event: Event) -> None:
        for subscription in self._subscriptions:
            subscription.put(event)

    @contextmanager
    def subscribe(self, size: int = 1000, *kinds: type) -> Iterator[Subscription]:
        """Events of ``kinds`` (all, when none is named) from now on. Others take no place in the queue."""
        subscription = self.join(size, *kinds)
        try:
            yield subscription
        finally:
            self.leave(subscription)

    def join(self, size: int = 1000, *kinds: type) -> Subscription:
        """As ``subscribe``, for as long as the bus is there."""
        subscription = Subscription(size, kinds or (object,))
        self._subscriptions.append(subscription)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """End a subscription."""
        self.detach(subscription)

    def attach(self, listener: Listener) -> None:
        """Have ``listener`` told of every event, until it is detached."""
        self._subscriptions.append(listener)

    def detach(self, listener: Listener) -> None:
        self._subscriptions.remove(listener)
