"""Public REST: contracts, funding, prices, margin tiers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from fundingarb.localnet.truth.rules import Instrument
from fundingarb.localnet.truth.views import FundingView
from fundingarb_okx.localnet.contracts import family
from fundingarb_okx.localnet.desk import SWAP, Desk, price_limits
from fundingarb_okx.localnet.wire import ApiError, money, page, parameter_error, plain, text

__all__ = [
    "funding_history",
    "funding_rate",
    "funding_row",
    "index_row",
    "index_tickers",
    "instrument_row",
    "instruments",
    "mark_price",
    "mark_row",
    "open_interest",
    "open_interest_row",
    "position_tiers",
    "price_limit",
    "price_limit_row",
    "server_time",
    "system_status",
    "ticker",
    "ticker_row",
    "tickers",
]

Rows = list[Any]
HISTORY = 400


def server_time(desk: Desk, params: Mapping[str, Any]) -> Rows:
    return [{"ts": desk.stamp()}]


def system_status(desk: Desk, params: Mapping[str, Any]) -> Rows:
    """Announced maintenance: none."""
    return []


# -- contracts -------------------------------------------------------------------------------------------------


def instrument_row(desk: Desk, instrument: Instrument) -> dict[str, Any]:
    """A contract. ``ctVal`` is in the base currency; OKX's ``ctMult`` of USDT swaps is 1."""
    underlying = family(instrument)
    largest = plain(instrument.max_quantity)
    return {
        "alias": "",
        "auctionEndTime": "",
        "baseCcy": "",
        "category": "1",
        "contTdSwTime": str(instrument.listed_ms),
        "ctMult": "1",
        "ctType": "linear",
        "ctVal": plain(instrument.contract_size),
        "ctValCcy": instrument.base,
        "expTime": "",
        "futureSettlement": False,
        "groupId": "4",
        "instCategory": "1",
        "instFamily": underlying,
        "instId": instrument.id,
        "instIdCode": desk.codes[instrument.id],
        "instType": SWAP,
        "lever": str(instrument.max_leverage),
        "listTime": str(instrument.listed_ms),
        "lotSz": plain(instrument.lot),
        "maxIcebergSz": largest,
        "maxLmtAmt": "20000000",
        "maxLmtSz": largest,
        "maxMktAmt": "",
        "maxMktSz": plain(instrument.max_market_quantity),
        "maxPlatOILmt": "",
        "maxStopSz": plain(instrument.max_market_quantity),
        "maxTriggerSz": largest,
        "maxTwapSz": largest,
        "minSz": plain(instrument.min_quantity),
        "openType": "",
        "optType": "",
        "posLmtAmt": "",
        "posLmtPct": "",
        "preMktSwTime": "",
        "quoteCcy": "",
        "ruleType": "normal",
        "settleCcy": instrument.settle,
        "state": "live" if desk.truth.trading(instrument.id) else "suspend",
        "stk": "",
        "tickSz": plain(instrument.tick),
        "tradeQuoteCcyList": [],
        "uly": underlying,
        "upcChg": [],
    }


def instruments(desk: Desk, params: Mapping[str, Any]) -> Rows:
    chosen = desk.chosen(params, required=True)
    return [instrument_row(desk, instrument) for instrument in chosen]


def position_tiers(desk: Desk, params: Mapping[str, Any]) -> Rows:
    """Margin tiers, in contracts at the present mark."""
    kind = desk.kind(params, required=True)
    if text(params, "tdMode") not in ("cross", "isolated"):
        raise parameter_error("tdMode")
    if kind != SWAP:
        return []
    wanted = text(params, "instFamily") or text(params, "uly")
    if not wanted and not text(params, "instId"):
        raise parameter_error("instFamily")
    names = wanted.split(",") if wanted else [family(desk.instrument(params))]
    rows = []
    for name in names:
        listed = desk.by_family.get(name)
        if listed is None:
            raise ApiError(51014, "Index doesn't exist.")
        instrument = desk.truth.instruments[listed]
        worth = desk.truth.mark(listed) * instrument.contract_size
        below = Decimal(0)
        for number, tier in enumerate(instrument.tiers, 1):
            largest = tier.max_value / worth // 1
            rows.append(
                {
                    "baseMaxLoan": "",
                    "imr": money(Decimal(1) / tier.max_leverage, 6),
                    "instFamily": name,
                    "instId": "",
                    "maxLever": str(tier.max_leverage),
                    "maxSz": plain(largest),
                    "minSz": plain(below),
                    "mmr": plain(tier.maintenance_rate),
                    "optMgnFactor": "",
                    "quoteMaxLoan": "",
                    "tier": str(number),
                    "uly": name,
                }
            )
            below = largest + 1
    wanted_tier = text(params, "tier")
    return [row for row in rows if not wanted_tier or row["tier"] == wanted_tier]


# -- funding ---------------------------------------------------------------------------------------------------


def funding_row(desk: Desk, view: FundingView) -> dict[str, Any]:
    """``fundingRate`` is the running rate of the settlement at ``fundingTime``; the settled one stands beside it."""
    length = view.interval_hours * 3_600_000
    mark, index = desk.truth.mark(view.instrument), desk.truth.index(view.instrument)
    premium = (mark - index) / index if index else Decimal(0)
    return {
        "formulaType": "withRate",
        "fundingRate": plain(view.rate),
        "fundingTime": str(view.next_ms),
        "impactValue": "20000",
        "instId": view.instrument,
        "instType": SWAP,
        "interestRate": "0.0001",
        "maxFundingRate": plain(view.cap),
        "method": "current_period",
        "minFundingRate": plain(view.floor),
        "nextFundingRate": "",
        "nextFundingTime": str(view.next_ms + length),
        "premium": money(premium),
        "prevFundingTime": str(view.last_ms) if view.last_ms else "",
        "settFundingRate": plain(view.last_rate),
        "settState": "settled",
        "ts": desk.stamp(),
    }


def funding_rate(desk: Desk, params: Mapping[str, Any]) -> Rows:
    """Of a contract, or of all with ``ANY``."""
    if text(params, "instId") == "ANY":
        return [funding_row(desk, desk.truth.funding(name)) for name in desk.truth.instruments]
    return [funding_row(desk, desk.truth.funding(desk.instrument(params).id))]


def funding_history(desk: Desk, params: Mapping[str, Any]) -> Rows:
    """Settlements of the last three months, newest first. ``realizedRate`` is what was paid."""
    instrument = desk.instrument(params)
    settled = desk.truth.funding_history(instrument.id, None, None, 1_000_000)
    rows = page(settled[::-1], lambda rate: rate.time_ms, params, default=HISTORY, highest=HISTORY)
    return [
        {
            "formulaType": "withRate",
            "fundingRate": plain(rate.rate),
            "fundingTime": str(rate.time_ms),
            "instId": instrument.id,
            "instType": SWAP,
            "method": "current_period",
            "realizedRate": plain(rate.rate),
        }
        for rate in rows
    ]


# -- prices ----------------------------------------------------------------------------------------------------


def ticker_row(desk: Desk, instrument: Instrument) -> dict[str, Any]:
    """Sizes and ``vol24h`` in contracts, ``volCcy24h`` in the base currency."""
    ticker = desk.truth.ticker(instrument.id)
    return {
        "instType": SWAP,
        "instId": instrument.id,
        "last": plain(ticker.last),
        "lastSz": plain(ticker.last_quantity),
        "askPx": plain(ticker.ask[0]),
        "askSz": plain(ticker.ask[1]),
        "bidPx": plain(ticker.bid[0]),
        "bidSz": plain(ticker.bid[1]),
        "open24h": plain(ticker.open_24h),
        "high24h": plain(ticker.high_24h),
        "low24h": plain(ticker.low_24h),
        "volCcy24h": plain(ticker.volume_24h * instrument.contract_size),
        "vol24h": plain(ticker.volume_24h),
        "ts": desk.stamp(),
        "sodUtc0": plain(ticker.open_24h),
        "sodUtc8": plain(ticker.open_24h),
    }


def tickers(desk: Desk, params: Mapping[str, Any]) -> Rows:
    return [ticker_row(desk, instrument) for instrument in desk.chosen(params, required=True)]


def ticker(desk: Desk, params: Mapping[str, Any]) -> Rows:
    return [ticker_row(desk, desk.instrument(params))]


def mark_row(desk: Desk, instrument: Instrument) -> dict[str, Any]:
    return {
        "instId": instrument.id,
        "instType": SWAP,
        "markPx": plain(desk.truth.mark(instrument.id)),
        "ts": desk.stamp(),
    }


def mark_price(desk: Desk, params: Mapping[str, Any]) -> Rows:
    return [mark_row(desk, instrument) for instrument in desk.chosen(params, required=True)]


def index_row(desk: Desk, instrument: Instrument) -> dict[str, Any]:
    """The index of a contract, called by its family: BTC-USDT."""
    ticker = desk.truth.ticker(instrument.id)
    return {
        "high24h": plain(ticker.high_24h),
        "idxPx": plain(ticker.index),
        "instId": family(instrument),
        "low24h": plain(ticker.low_24h),
        "open24h": plain(ticker.open_24h),
        "sodUtc0": plain(ticker.open_24h),
        "sodUtc8": plain(ticker.open_24h),
        "ts": desk.stamp(),
    }


def index_tickers(desk: Desk, params: Mapping[str, Any]) -> Rows:
    """One index, or all of a quote currency."""
    name, quote = text(params, "instId"), text(params, "quoteCcy")
    if not name and not quote:
        raise parameter_error("instId")
    if name and name not in desk.by_family:
        raise ApiError(51014, "Index doesn't exist.")
    return [
        index_row(desk, instrument)
        for instrument in desk.truth.instruments.values()
        if (family(instrument) == name if name else instrument.quote == quote)
    ]


def open_interest_row(desk: Desk, instrument: Instrument) -> dict[str, Any]:
    interest = desk.truth.ticker(instrument.id).open_interest
    base = interest * instrument.contract_size
    return {
        "instId": instrument.id,
        "instType": SWAP,
        "oi": plain(interest),
        "oiCcy": plain(base),
        "oiUsd": money(base * desk.truth.mark(instrument.id)),
        "ts": desk.stamp(),
    }


def open_interest(desk: Desk, params: Mapping[str, Any]) -> Rows:
    return [open_interest_row(desk, instrument) for instrument in desk.chosen(params, required=True)]


def price_limit_row(desk: Desk, instrument: Instrument) -> dict[str, Any]:
    high, low = price_limits(desk, instrument)
    return {
        "buyLmt": high,
        "enabled": True,
        "instId": instrument.id,
        "instType": SWAP,
        "sellLmt": low,
        "ts": desk.stamp(),
    }


def price_limit(desk: Desk, params: Mapping[str, Any]) -> Rows:
    return [price_limit_row(desk, desk.instrument(params))]
