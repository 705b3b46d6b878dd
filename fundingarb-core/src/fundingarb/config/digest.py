"""Which configurations are the same: digests of what counts for trading, and of what makes a set-up."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from fundingarb.config.document import document_of
from fundingarb.config.schema import Config

TRADES = ("exchanges", "trading", "leverage", "margin", "strategy", "risk", "plugins")
"""Sections that decide what is traded and how, besides which account is on which exchange."""


def configuration_digest(config: Config) -> str:
    """The same for configurations that trade alike, on whichever network: what simulated hours are counted for."""
    document = document_of(config)
    return _digest({**{name: document[name] for name in TRADES}, "accounts": _accounts(config)})


def setup_digest(config: Config) -> str:
    """The same as long as accounts, strategy and allowed plugins are: what an approval for live is good for.

    Limits and thresholds are changed while a bot is live; that is audited, and no reason not to start again.
    """
    allow = None if config.plugins.allow is None else sorted(config.plugins.allow)
    return _digest({"accounts": _accounts(config), "strategy": config.strategy.name, "plugins": allow})


def _accounts(config: Config) -> dict[str, str]:
    return {name: section.exchange for name, section in config.accounts.items()}


def _digest(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()
