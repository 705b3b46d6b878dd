"""Questions with a button: a nonce for one person and one message, for a short time, and once."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

LIFE = 60.0
"""Real seconds that a question may be answered."""


class Answer(Enum):
    VALID = "valid"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


@dataclass
class _Question:
    nonce: str
    user_id: int
    until: float
    message_id: int | None = None


class Confirmations:
    """At most one question is open; a new one makes the one before void."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._open: _Question | None = None

    def ask(self, user_id: int) -> str:
        """The nonce of a new question to ``user_id``."""
        nonce = secrets.token_urlsafe(16)
        self._open = _Question(nonce, user_id, self._monotonic() + LIFE)
        return nonce

    def shown(self, nonce: str, message_id: int) -> None:
        """The question is in that message: its time begins, and only a button there answers it."""
        if self._open is not None and self._open.nonce == nonce:
            self._open.message_id, self._open.until = message_id, self._monotonic() + LIFE

    def answer(self, nonce: str, user_id: int, message_id: int) -> Answer:
        """Somebody presses a button that carries ``nonce``. It is used up by that, unless it is somebody else's."""
        question = self._open
        if question is None or not hmac.compare_digest(question.nonce.encode(), nonce.encode()):
            return Answer.UNKNOWN
        if question.user_id != user_id or question.message_id not in (None, message_id):
            return Answer.UNKNOWN
        self._open = None
        return Answer.VALID if self._monotonic() <= question.until else Answer.EXPIRED
