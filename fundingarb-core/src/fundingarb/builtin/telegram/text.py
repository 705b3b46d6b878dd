"""Messages as they are sent: plain text, so that nothing in them is markup, and never longer than Telegram takes."""

from __future__ import annotations

from collections.abc import Iterable

from fundingarb.domain.control import plain
from fundingarb.domain.events import Alert, Severity

SIGNS = {Severity.INFO: "🟢", Severity.WARNING: "🟡", Severity.CRITICAL: "🔴"}

LONGEST = 4096
"""UTF-16 code units of one message."""
LONGEST_LINE = 1000
CUT = "\n… (cut; the journal has all of it)"


def render(alert: Alert) -> str:
    """The alert as the specification writes it: a headline with its severity, then one detail a line."""
    return written((f"{SIGNS[alert.severity]} {alert.severity.value} | {alert.title}", *alert.lines))


def written(lines: Iterable[str]) -> str:
    """``lines`` as one message. Control characters, and those that turn the direction of writing, show escaped: what
    an exchange says cannot look like another line."""
    return fit("\n".join(plain(line, LONGEST_LINE) for line in lines))


def fit(text: str, most: int = LONGEST) -> str:
    """``text``, cut where it is longer than ``most`` UTF-16 code units, and then saying so."""
    encoded = text.encode("utf-16-le", "replace")
    if len(encoded) <= 2 * most:
        return text
    room = most - len(CUT)
    return encoded[: 2 * room].decode("utf-16-le", "ignore") + CUT
