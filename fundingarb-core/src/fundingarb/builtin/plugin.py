"""The builtin components, registered like anybody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundingarb.component import Component
from fundingarb.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fundingarb.ports import AlertSink, RiskRule, Strategy


@hookimpl
def register_strategies() -> Iterable[Component[Strategy]]:
    from fundingarb.builtin import components, settings

    yield Component(
        "funding_spread",
        settings.FundingSpreadSettings,
        components.open_funding_spread,
        summary="short where funding is high, long where it is low, while it pays after every cost",
    )


@hookimpl
def register_risk_rules() -> Iterable[Component[RiskRule]]:
    from fundingarb.builtin import components, settings

    yield Component(
        "pair_cap", settings.RuleSettings, components.open_pair_cap, summary="largest notional per symbol"
    )
    yield Component(
        "margin", settings.RuleSettings, components.open_margin, summary="free margin on both accounts"
    )
    yield Component(
        "liquidation",
        settings.LiquidationSettings,
        components.open_liquidation,
        summary="distance to liquidation on both accounts",
    )
    yield Component(
        "delisting",
        settings.RuleSettings,
        components.open_delisting,
        summary="no delisting within the horizon",
    )
    yield Component(
        "order_rate",
        settings.OrderRateSettings,
        components.open_order_rate,
        summary="runaway guard: orders per minute",
    )
    yield Component(
        "round_trips",
        settings.RoundTripsSettings,
        components.open_round_trips,
        summary="runaway guard: round trips per symbol and hour",
    )
    yield Component(
        "daily_loss",
        settings.DailyLossSettings,
        components.open_daily_loss,
        summary="runaway guard: loss of the UTC day",
    )
    yield Component(
        "total_notional",
        settings.TotalNotionalSettings,
        components.open_total_notional,
        summary="runaway guard: notional over all and per account",
    )
    yield Component(
        "depeg",
        settings.DepegSettings,
        components.open_depeg,
        summary="currencies that legs settle in are worth the same; closes hedges when they are not",
    )


@hookimpl
def register_alert_sinks() -> Iterable[Component[AlertSink]]:
    from fundingarb.builtin import components, settings

    yield Component("log", settings.LogSinkSettings, components.open_log, summary="the program's log")
    yield Component(
        "telegram",
        settings.TelegramSettings,
        components.open_telegram,
        summary="one person on Telegram, who also commands the bot from there",
    )
    yield Component(
        "mail",
        settings.MailSettings,
        components.open_mail,
        summary="CRITICAL alerts by mail: a second way, for when Telegram is down",
    )
