"""How the builtin components are opened. What they are made of is imported then: listing them costs nothing."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from fundingarb.builtin.settings import (
        DailyLossSettings,
        DepegSettings,
        FundingSpreadSettings,
        LiquidationSettings,
        LogSinkSettings,
        MailSettings,
        OrderRateSettings,
        RoundTripsSettings,
        RuleSettings,
        TelegramSettings,
        TotalNotionalSettings,
    )
    from fundingarb.ports import AlertSink, OpenContext, RiskRule, Strategy


@asynccontextmanager
async def open_funding_spread(
    _settings: FundingSpreadSettings, context: OpenContext
) -> AsyncIterator[Strategy]:
    from fundingarb.builtin.strategy import FundingSpread
    from fundingarb.domain.opportunity import DecayToMedian

    yield FundingSpread(
        context.rules, context.settlement_guard, forecast=DecayToMedian(context.forecast_half_life)
    )


@asynccontextmanager
async def open_pair_cap(settings: RuleSettings, context: OpenContext) -> AsyncIterator[RiskRule]:
    from fundingarb.builtin.risk import Always, PairCap

    yield PairCap(context.rules.max_position_per_pair_usd) if settings.enabled else Always()


@asynccontextmanager
async def open_margin(settings: RuleSettings, context: OpenContext) -> AsyncIterator[RiskRule]:
    from fundingarb.builtin.risk import Always, MarginAvailable

    rules = context.rules
    yield MarginAvailable(rules.margin_use, rules.fee_reserve) if settings.enabled else Always()


@asynccontextmanager
async def open_liquidation(settings: LiquidationSettings, _context: OpenContext) -> AsyncIterator[RiskRule]:
    from fundingarb.builtin.risk import Always, LiquidationDistance

    distances = (settings.min_distance, settings.maintenance_rate)
    yield LiquidationDistance(*distances) if settings.enabled else Always()


@asynccontextmanager
async def open_delisting(settings: RuleSettings, context: OpenContext) -> AsyncIterator[RiskRule]:
    from fundingarb.builtin.risk import Always, Delisting

    yield Delisting(context.rules.horizon) if settings.enabled else Always()


@asynccontextmanager
async def open_order_rate(settings: OrderRateSettings, _context: OpenContext) -> AsyncIterator[RiskRule]:
    from fundingarb.builtin.risk import Always, OrderRate

    yield OrderRate(settings.per_minute) if settings.enabled else Always()


@asynccontextmanager
async def open_round_trips(settings: RoundTripsSettings, _context: OpenContext) -> AsyncIterator[RiskRule]:
    from fundingarb.builtin.risk import Always, RoundTrips

    yield RoundTrips(settings.per_hour) if settings.enabled else Always()


@asynccontextmanager
async def open_daily_loss(settings: DailyLossSettings, _context: OpenContext) -> AsyncIterator[RiskRule]:
    from fundingarb.builtin.risk import Always, DailyLoss

    yield DailyLoss(settings.max_usd, settings.action == "kill") if settings.enabled else Always()


@asynccontextmanager
async def open_total_notional(
    settings: TotalNotionalSettings, _context: OpenContext
) -> AsyncIterator[RiskRule]:
    from fundingarb.builtin.risk import Always, TotalNotional

    limits = (settings.total_usd, settings.per_account_usd, settings.accounts)
    yield TotalNotional(*limits) if settings.enabled else Always()


@asynccontextmanager
async def open_depeg(settings: DepegSettings, _context: OpenContext) -> AsyncIterator[RiskRule]:
    from fundingarb.builtin.risk import Always, Depeg

    yield Depeg(settings.warn, settings.close) if settings.enabled else Always()


def open_log(settings: LogSinkSettings, context: OpenContext) -> AbstractAsyncContextManager[AlertSink]:
    from fundingarb.builtin import sinks

    return sinks.open_log(settings, context)


def open_telegram(settings: TelegramSettings, context: OpenContext) -> AbstractAsyncContextManager[AlertSink]:
    from fundingarb.builtin.telegram import sink

    return sink.open_telegram(settings, context)


def open_mail(settings: MailSettings, context: OpenContext) -> AbstractAsyncContextManager[AlertSink]:
    from fundingarb.builtin import mail

    return mail.open_mail(settings, context)
