"""Funding-rate arbitrage across exchanges, as a plugin host.

The names in ``__all__`` are the public Python API. Each is imported when it is first used (PEP 562), so that
``import fundingarb`` and ``fundingarb --help`` stay cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fundingarb.app import Extras as Extras
    from fundingarb.app import Surroundings as Surroundings
    from fundingarb.app import open_bot as open_bot
    from fundingarb.app import open_market_data as open_market_data
    from fundingarb.app import read_ready_file as read_ready_file
    from fundingarb.app import run as run
    from fundingarb.builtin.strategy import FundingSpread as FundingSpread
    from fundingarb.component import Component as Component
    from fundingarb.config import Config as Config
    from fundingarb.config import load_config as load_config
    from fundingarb.domain.events import Alert as Alert
    from fundingarb.domain.events import Severity as Severity
    from fundingarb.domain.funding import FundingPayment as FundingPayment
    from fundingarb.domain.funding import FundingRate as FundingRate
    from fundingarb.domain.funding import SettledRate as SettledRate
    from fundingarb.domain.hedge import CloseReason as CloseReason
    from fundingarb.domain.hedge import Hedge as Hedge
    from fundingarb.domain.hedge import LegPlan as LegPlan
    from fundingarb.domain.instrument import Instrument as Instrument
    from fundingarb.domain.instrument import Side as Side
    from fundingarb.domain.market import OrderBook as OrderBook
    from fundingarb.domain.market import RateBook as RateBook
    from fundingarb.domain.opportunity import EntryRules as EntryRules
    from fundingarb.domain.opportunity import HedgePlan as HedgePlan
    from fundingarb.domain.opportunity import Quote as Quote
    from fundingarb.domain.opportunity import RateForecast as RateForecast
    from fundingarb.domain.opportunity import Refusal as Refusal
    from fundingarb.domain.opportunity import SlippageModel as SlippageModel
    from fundingarb.domain.opportunity import Valuation as Valuation
    from fundingarb.domain.order import Balance as Balance
    from fundingarb.domain.order import ExchangePosition as ExchangePosition
    from fundingarb.domain.order import FeeTier as FeeTier
    from fundingarb.domain.order import Fill as Fill
    from fundingarb.domain.order import FillKind as FillKind
    from fundingarb.domain.order import NewOrder as NewOrder
    from fundingarb.domain.order import OrderReport as OrderReport
    from fundingarb.domain.order import OrderSide as OrderSide
    from fundingarb.domain.order import OrderState as OrderState
    from fundingarb.domain.order import TimeInForce as TimeInForce
    from fundingarb.domain.risk import Portfolio as Portfolio
    from fundingarb.engine.bot import Bot as Bot
    from fundingarb.errors import AuthenticationFailed as AuthenticationFailed
    from fundingarb.errors import BadMessage as BadMessage
    from fundingarb.errors import ConfigError as ConfigError
    from fundingarb.errors import ExchangeError as ExchangeError
    from fundingarb.errors import ExchangeUnavailable as ExchangeUnavailable
    from fundingarb.errors import FundingArbError as FundingArbError
    from fundingarb.errors import OrderRefused as OrderRefused
    from fundingarb.errors import OutcomeUnknown as OutcomeUnknown
    from fundingarb.errors import PluginError as PluginError
    from fundingarb.errors import RateLimited as RateLimited
    from fundingarb.errors import RefusalReason as RefusalReason
    from fundingarb.errors import StoreError as StoreError
    from fundingarb.hookspecs import hookimpl as hookimpl
    from fundingarb.plugins import Plugins as Plugins
    from fundingarb.plugins import load_plugins as load_plugins
    from fundingarb.ports import AccountModes as AccountModes
    from fundingarb.ports import AccountSink as AccountSink
    from fundingarb.ports import AlertSink as AlertSink
    from fundingarb.ports import BookSink as BookSink
    from fundingarb.ports import BotHandle as BotHandle
    from fundingarb.ports import Clock as Clock
    from fundingarb.ports import ExchangeAdapter as ExchangeAdapter
    from fundingarb.ports import Exit as Exit
    from fundingarb.ports import KeyPermissions as KeyPermissions
    from fundingarb.ports import MarketView as MarketView
    from fundingarb.ports import OpenContext as OpenContext
    from fundingarb.ports import Proposals as Proposals
    from fundingarb.ports import RateLimit as RateLimit
    from fundingarb.ports import RateSink as RateSink
    from fundingarb.ports import RiskRule as RiskRule
    from fundingarb.ports import Secret as Secret
    from fundingarb.ports import Service as Service
    from fundingarb.ports import Strategy as Strategy
    from fundingarb.settings import PluginSettings as PluginSettings

    __version__: str

_MODULES = {
    "fundingarb.app": (
        "Extras",
        "Surroundings",
        "open_bot",
        "open_market_data",
        "read_ready_file",
        "run",
    ),
    "fundingarb.builtin.strategy": ("FundingSpread",),
    "fundingarb.component": ("Component",),
    "fundingarb.config": (
        "Config",
        "load_config",
    ),
    "fundingarb.domain.events": (
        "Alert",
        "Severity",
    ),
    "fundingarb.domain.funding": (
        "FundingPayment",
        "FundingRate",
        "SettledRate",
    ),
    "fundingarb.domain.hedge": (
        "CloseReason",
        "Hedge",
        "LegPlan",
    ),
    "fundingarb.domain.instrument": (
        "Instrument",
        "Side",
    ),
    "fundingarb.domain.market": (
        "OrderBook",
        "RateBook",
    ),
    "fundingarb.domain.opportunity": (
        "EntryRules",
        "HedgePlan",
        "Quote",
        "RateForecast",
        "Refusal",
        "SlippageModel",
        "Valuation",
    ),
    "fundingarb.domain.order": (
        "Balance",
        "ExchangePosition",
        "FeeTier",
        "Fill",
        "FillKind",
        "NewOrder",
        "OrderReport",
        "OrderSide",
        "OrderState",
        "TimeInForce",
    ),
    "fundingarb.domain.risk": ("Portfolio",),
    "fundingarb.engine.bot": ("Bot",),
    "fundingarb.errors": (
        "AuthenticationFailed",
        "BadMessage",
        "ConfigError",
        "ExchangeError",
        "ExchangeUnavailable",
        "FundingArbError",
        "OrderRefused",
        "OutcomeUnknown",
        "PluginError",
        "RateLimited",
        "RefusalReason",
        "StoreError",
    ),
    "fundingarb.hookspecs": ("hookimpl",),
    "fundingarb.plugins": (
        "Plugins",
        "load_plugins",
    ),
    "fundingarb.ports": (
        "AccountModes",
        "AccountSink",
        "AlertSink",
        "BookSink",
        "BotHandle",
        "Clock",
        "ExchangeAdapter",
        "Exit",
        "KeyPermissions",
        "MarketView",
        "OpenContext",
        "Proposals",
        "RateLimit",
        "RateSink",
        "RiskRule",
        "Secret",
        "Service",
        "Strategy",
    ),
    "fundingarb.settings": ("PluginSettings",),
}
"""Module -> the public names it defines."""

_WHERE = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "AccountModes",
    "AccountSink",
    "Alert",
    "AlertSink",
    "AuthenticationFailed",
    "BadMessage",
    "Balance",
    "BookSink",
    "Bot",
    "BotHandle",
    "Clock",
    "CloseReason",
    "Component",
    "Config",
    "ConfigError",
    "EntryRules",
    "ExchangeAdapter",
    "ExchangeError",
    "ExchangePosition",
    "ExchangeUnavailable",
    "Exit",
    "Extras",
    "FeeTier",
    "Fill",
    "FillKind",
    "FundingArbError",
    "FundingPayment",
    "FundingRate",
    "FundingSpread",
    "Hedge",
    "HedgePlan",
    "Instrument",
    "KeyPermissions",
    "LegPlan",
    "MarketView",
    "NewOrder",
    "OpenContext",
    "OrderBook",
    "OrderRefused",
    "OrderReport",
    "OrderSide",
    "OrderState",
    "OutcomeUnknown",
    "PluginError",
    "PluginSettings",
    "Plugins",
    "Portfolio",
    "Proposals",
    "Quote",
    "RateBook",
    "RateForecast",
    "RateLimit",
    "RateLimited",
    "RateSink",
    "Refusal",
    "RefusalReason",
    "RiskRule",
    "Secret",
    "Service",
    "SettledRate",
    "Severity",
    "Side",
    "SlippageModel",
    "StoreError",
    "Strategy",
    "Surroundings",
    "TimeInForce",
    "Valuation",
    "__version__",
    "hookimpl",
    "load_config",
    "load_plugins",
    "open_bot",
    "open_market_data",
    "read_ready_file",
    "run",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib_metadata import version

        return version("fundingarb-core")
    try:
        module = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module 'fundingarb' has no attribute {name!r}") from None
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
