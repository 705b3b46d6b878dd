"""Settings of the builtin components."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fundingarb.folders import USUAL_FOLDER
from fundingarb.settings import PluginSettings


class FundingSpreadSettings(PluginSettings):
    """The default strategy is tuned in the ``trading`` section; it has no settings of its own."""


class RuleSettings(PluginSettings):
    """``enabled: false`` switches the rule off."""

    enabled: bool = True


class LiquidationSettings(RuleSettings):
    """``min_distance`` to liquidation and ``maintenance_rate`` per notional, both fractions."""

    min_distance: Decimal = Field(default=Decimal("0.08"), ge=0, le=1, allow_inf_nan=False)
    maintenance_rate: Decimal = Field(default=Decimal("0.01"), ge=0, le=1, allow_inf_nan=False)


class OrderRateSettings(RuleSettings):
    """``per_minute``: orders of any kind within a minute of the bot's time."""

    per_minute: int = Field(default=300, ge=4, le=100_000)


class RoundTripsSettings(RuleSettings):
    """``per_hour``: hedges of one symbol opened and closed within an hour."""

    per_hour: int = Field(default=6, ge=1, le=10_000)


class DailyLossSettings(RuleSettings):
    """``max_usd`` is the loss at which the UTC day is over for entries; ``action: kill`` closes everything too."""

    max_usd: Decimal = Field(default=Decimal(1000), gt=0, le=10**12, allow_inf_nan=False)
    action: Literal["block", "kill"] = "block"


class TotalNotionalSettings(RuleSettings):
    """``total_usd`` over all hedges, ``per_account_usd`` of legs on one account; ``accounts`` for some by name."""

    total_usd: Decimal = Field(default=Decimal(500_000), gt=0, le=10**12, allow_inf_nan=False)
    per_account_usd: Decimal = Field(default=Decimal(500_000), gt=0, le=10**12, allow_inf_nan=False)
    accounts: dict[str, Annotated[Decimal, Field(gt=0, le=10**12, allow_inf_nan=False)]] = Field(default={})


class DepegSettings(RuleSettings):
    """How far (fractions) the settle currencies of a hedge may be apart: ``warn``, and no entries; ``close``."""

    warn: Decimal = Field(default=Decimal("0.003"), gt=0, le=1, allow_inf_nan=False)
    close: Decimal = Field(default=Decimal("0.01"), gt=0, le=1, allow_inf_nan=False)

    @model_validator(mode="after")
    def _ordered(self) -> DepegSettings:
        if self.warn > self.close:
            raise ValueError("warn must not be above close")
        return self


class LogSinkSettings(PluginSettings):
    """Alerts go to the program's log."""


class TelegramSettings(PluginSettings):
    """Alerts go to the person who is paired (``fundingarb telegram pair``), who commands the bot from there.

    The bot's token is the vault's secret ``telegram-token``, or what ``token_file`` holds: nothing else may be in that
    file, and it must belong to you and be readable by you alone.
    ``chat_id`` sends alerts to another chat instead; CRITICAL ones go to the paired person besides. ``commands: false``
    takes no commands, and then nothing is acknowledged or repeated. ``repeat_minutes``: until CRITICAL alerts that
    nobody has acknowledged are said again. ``state_folder`` is where it is kept who is paired.
    ``base_url`` is the Bot API to talk to; without TLS only on this machine, since the token is part of it.
    """

    token_file: Path | None = None
    chat_id: int | None = None
    commands: bool = True
    repeat_minutes: Decimal = Field(default=Decimal(5), gt=0, le=1440, allow_inf_nan=False)
    state_folder: Path = USUAL_FOLDER
    base_url: str = Field(
        default="https://api.telegram.org/bot",
        pattern=r"^(https://|http://(127\.0\.0\.1|localhost|\[::1\])[:/])",
    )

    def vault_secrets(self) -> Sequence[str]:
        return () if self.token_file else ("telegram-token",)


MailAddress = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+$", max_length=254)
]


class MailSettings(PluginSettings):
    """Alerts go by mail, CRITICAL ones only unless ``least`` says otherwise: a second way, for when Telegram is down.

    ``host`` is the server that takes mail from you, at ``port`` over TLS. With ``tls: starttls`` the connection begins
    in the clear and nothing is said before it is encrypted (usually port 587); ``none`` is for this machine's own.
    With ``user`` the bot logs in there; the password is the vault's secret ``mail-password``.
    """

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(default=465, ge=1, le=65535)
    tls: Literal["tls", "starttls", "none"] = "tls"
    user: str | None = Field(default=None, min_length=1)
    sender: MailAddress
    to: tuple[MailAddress, ...] = Field(min_length=1)
    least: Literal["INFO", "WARNING", "CRITICAL"] = "CRITICAL"

    def vault_secrets(self) -> Sequence[str]:
        return ("mail-password",) if self.user else ()

    @model_validator(mode="after")
    def _not_in_the_clear(self) -> MailSettings:
        if self.tls == "none" and self.host not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError("tls none is for a server on this machine; write tls or starttls")
        return self
