"""What the localnet raises for a person to read."""

from __future__ import annotations

from fundingarb.errors import FundingArbError

__all__ = ["LocalnetError"]


class LocalnetError(FundingArbError):
    """The localnet cannot start or go on as asked. ``str()`` is one line that says what to do; exit status 2."""


class NothingRecorded(LocalnetError):
    """The recording has nothing of an exchange, or nothing at the time asked for."""
