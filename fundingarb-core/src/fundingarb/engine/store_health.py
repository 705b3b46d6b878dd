"""Whether the database takes what it is given: while it does not, nothing that adds exposure is sent."""

from __future__ import annotations

from dataclasses import dataclass

from fundingarb.engine.alerts import Announcer
from fundingarb.ports import Clock


@dataclass
class StoreHealth:
    """Why commits fail, those of the trading loop and those of the books apart: None while they do not."""

    announcer: Announcer
    clock: Clock
    loop_error: str | None = None
    books_error: str | None = None

    @property
    def error(self) -> str | None:
        return self.loop_error or self.books_error

    def loop_failed(self, reason: str) -> None:
        """The trading loop could not commit what it decided."""
        self._tell(reason)
        self.loop_error = reason

    def books_failed(self, reason: str) -> None:
        """What an exchange's ledger says could not be stored."""
        self._tell(reason)
        self.books_error = reason

    def answered(self, *, loop: bool = False) -> None:
        """A commit succeeded. What the loop itself could not commit, only a commit of the ``loop`` proves stored."""
        failed = self.error is not None
        self.books_error = None
        if loop:
            self.loop_error = None
        if failed and self.loop_error is None:
            self.announcer.store_answers(self.clock.now())

    def _tell(self, reason: str) -> None:
        if self.error is None:
            self.announcer.store_failed(reason, self.clock.now())
