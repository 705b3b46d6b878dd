"""Settings of the builtin components."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from fundingarb.settings import PluginSettings


class FundingSpreadSettings(PluginSettings):
    """The default strategy is tuned in the ``trading`` section; it has no settings of its own."""


class RuleSettings(PluginSettings):
    """``enabled: false`` switches the rule off."""

    enabled: bool = True


class LogSinkSettings(PluginSettings):
    """Alerts go to the program's log."""


class TelegramSettings(PluginSettings):
    """Alerts go to one Telegram chat.

    ``token_file`` holds the bot's token and nothing else; it must belong to you and be readable by you alone.
    ``base_url`` is the Bot API to talk to; without TLS only on this machine, since the token is part of it.
    """

    chat_id: int
    token_file: Path
    base_url: str = Field(
        default="https://api.telegram.org/bot",
        pattern=r"^(https://|http://(127\.0\.0\.1|localhost|\[::1\])[:/])",
    )
