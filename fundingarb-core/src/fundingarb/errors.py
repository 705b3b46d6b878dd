"""Everything fundingarb raises on purpose, and what the bot does next when it happens.

FundingArbError                 one line for a person; the program exits with ``exit_status``
├── ConfigError                 nothing starts; of a command: it is not done
│   ├── ConfigRefused           a configuration with mistakes; the one in force stays
│   ├── VersionConflict         what the command was about has changed; nothing is done
│   └── WrongPassword           the master password is not the right one; nothing is done
├── PluginError                 nothing starts
├── StoreError                  no exposure-increasing order until the database answers again
│   ├── SchemaError             nothing starts
│   └── LeaseTaken              nothing starts; a running bot sends nothing more and ends
└── ExchangeError               something an exchange said or failed to say
    ├── ExchangeUnavailable     reads: back off and try again; entries on it pause
    ├── RateLimited             as above, not before ``retry_after`` seconds
    ├── AuthenticationFailed    the account is halted; a person has to act
    ├── BadMessage              the message is quarantined; the reader goes on
    ├── OrderRefused            the order does not exist; decide again
    └── OutcomeUnknown          the order may exist; ask by client order id, never send it again
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from fundingarb.redaction import redacted

__all__ = [
    "AuthenticationFailed",
    "BadMessage",
    "ConfigError",
    "ConfigRefused",
    "ExchangeError",
    "ExchangeUnavailable",
    "FundingArbError",
    "LeaseTaken",
    "OrderRefused",
    "OutcomeUnknown",
    "PluginError",
    "RateLimited",
    "RefusalReason",
    "SchemaError",
    "StoreError",
    "VersionConflict",
    "WrongPassword",
]


class FundingArbError(Exception):
    """An expected failure. ``str()`` is one line that says what to do; no traceback is shown, and no secret."""

    exit_status = 2

    def __init__(self, *args: object) -> None:
        super().__init__(*(redacted(each) if isinstance(each, str) else each for each in args))


class ConfigError(FundingArbError):
    """The configuration cannot be used. Nothing starts."""


class ConfigRefused(ConfigError):
    """A configuration that was handed in has mistakes; the one in force stays. ``errors`` are by dotted path."""

    def __init__(self, message: str, errors: Mapping[str, str]) -> None:
        super().__init__(message)
        self.errors = errors


class VersionConflict(ConfigError):
    """What a command names by its version has changed since: nothing is done, look at it again."""


class WrongPassword(ConfigError):
    """The master password does not open the vault, or the vault was tampered with: the two cannot be told apart."""


class PluginError(FundingArbError):
    """An installed plugin cannot be used; the message names its distribution. Nothing starts."""


class StoreError(FundingArbError):
    """The database refused or cannot be reached. No exposure-increasing order is sent until it answers."""


class SchemaError(StoreError):
    """The database has another schema than this version needs. Nothing starts; ``fundingarb db upgrade`` helps."""


class LeaseTaken(StoreError):
    """Another process trades these accounts on this database. Nothing starts; a running bot ends without a word more
    to any exchange."""


class ExchangeError(FundingArbError):
    """An exchange answered with an error, or not at all. ``code`` is the exchange's own code, where it gave one."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class ExchangeUnavailable(ExchangeError):
    """The exchange cannot be reached or is in maintenance. Reads back off and repeat; entries on it pause."""


class RateLimited(ExchangeUnavailable):
    """The exchange asks for fewer requests. Nothing but reductions is sent for ``retry_after`` (real) seconds."""

    def __init__(self, message: str, *, code: str | None = None, retry_after: float = 1.0) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class AuthenticationFailed(ExchangeError):
    """Key, signature or permission was refused. Entries on the account halt until a person has acted."""


class BadMessage(ExchangeError):
    """A message does not have the documented form. It is quarantined with the reason; the reader goes on."""


class RefusalReason(str, Enum):
    """Why an order was refused, where the bot has something particular to do about it."""

    REDUCE_ONLY = "reduce-only"
    """The position is not what we think: read it again. Zero is done, smaller is a smaller order."""
    POSITION_MODE = "position mode"
    """The account is not in one-way mode any more. A person has to act."""


class OrderRefused(ExchangeError):
    """The exchange certainly did not take the order (a code on the adapter's allow-list). Decide again.

    ``reason`` is given where it makes a difference to what is decided; None otherwise.
    """

    def __init__(self, message: str, *, code: str | None = None, reason: RefusalReason | None = None) -> None:
        super().__init__(message, code=code)
        self.reason = reason


class OutcomeUnknown(ExchangeError):
    """The order may or may not exist. Its leg is frozen until the exchange was asked by client order id."""
