"""Telling systemd how the program is: ready, alive, stopping (the protocol of sd_notify, one datagram each)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping

__all__ = ["Notifier"]


class Notifier:
    """Says nothing where nobody listens, and never fails: a program is not worth less for being run by hand.

    ``monotonic`` gives seconds; the watchdog counts real ones.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        env = os.environ if environment is None else environment
        self._path = env.get("NOTIFY_SOCKET", "")
        self._every = 0.0
        if env.get("WATCHDOG_USEC", "").isdigit() and env.get("WATCHDOG_PID", str(os.getpid())) == str(
            os.getpid()
        ):
            self._every = int(env["WATCHDOG_USEC"]) / 1e6 / 4
        self._next = 0.0

    def ready(self, status: str) -> None:
        """The program does what it is for; from now on the watchdog wants to hear of it."""
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def alive(self) -> None:
        """Feed the watchdog; called as often as there is something to be alive about, sent a few times per period."""
        if self._every and self._monotonic() >= self._next:
            self._next = self._monotonic() + self._every
            self._send("WATCHDOG=1")

    def stopping(self, status: str) -> None:
        """The program ends, in order."""
        self._send(f"STOPPING=1\nSTATUS={_line(status)}")

    def status(self, status: str) -> None:
        """What the program does, for `systemctl status`."""
        self._send(f"STATUS={_line(status)}")

    def _send(self, message: str) -> None:
        if not self._path:
            return
        address = "\0" + self._path[1:] if self._path.startswith("@") else self._path
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.sendto(message.encode(), address)
        except OSError:
            return


def _line(text: str) -> str:
    return " ".join(text.split())
