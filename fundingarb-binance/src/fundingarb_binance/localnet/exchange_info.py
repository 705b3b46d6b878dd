"""``exchangeInfo``: every contract with its filters."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.rules import VenueRules
from fundingarb_binance.localnet.contracts import Listing
from fundingarb_binance.localnet.numbers import fixed

__all__ = ["RATE_LIMITS", "exchange_info"]

RATE_LIMITS: list[dict[str, Any]] = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
    {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
]
PERPETUAL_DELIVERY_MS = 4_133_404_800_000


def exchange_info(listings: list[Listing], truth: Exchange, now_ms: int) -> dict[str, Any]:
    """The whole answer."""
    rules = truth.rules
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": RATE_LIMITS,
        "exchangeFilters": [],
        "assets": [{"asset": rules.settle, "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [_symbol(listing, rules, trading=truth.trading(listing.id)) for listing in listings],
    }


def _symbol(listing: Listing, rules: VenueRules, *, trading: bool) -> dict[str, Any]:
    instrument = listing.instrument
    first = instrument.tiers[0]
    return {
        "symbol": instrument.id,
        "pair": instrument.id,
        "contractType": "PERPETUAL",
        "deliveryDate": PERPETUAL_DELIVERY_MS,
        "onboardDate": instrument.listed_ms,
        "status": "TRADING" if trading else "SETTLING",
        "maintMarginPercent": fixed(first.maintenance_rate * 100, 4),
        "requiredMarginPercent": fixed(Decimal(100) / rules.default_leverage, 4),
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.settle,
        "pricePrecision": listing.price_precision,
        "quantityPrecision": listing.quantity_precision,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"] if instrument.base == "BTC" else ["Layer-1"],
        "triggerProtect": fixed(instrument.price_band, 4),
        "liquidationFee": fixed(rules.liquidation_fee, 6),
        "marketTakeBound": fixed(instrument.price_band, 2),
        "maxMoveOrderLimit": 10000,
        "settlePlan": 0,
        "filters": _filters(listing),
        "orderTypes": [
            "LIMIT",
            "MARKET",
            "STOP",
            "STOP_MARKET",
            "TAKE_PROFIT",
            "TAKE_PROFIT_MARKET",
            "TRAILING_STOP_MARKET",
        ],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        "permissionSets": ["GRID", "COPY"],
    }


def _filters(listing: Listing) -> list[dict[str, Any]]:
    instrument = listing.instrument
    lot = f"{instrument.lot:f}"
    places = listing.quantity_precision
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": f"{listing.min_price:f}",
            "maxPrice": f"{listing.max_price:f}",
            "tickSize": f"{instrument.tick:f}",
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": fixed(instrument.min_quantity, places),
            "maxQty": f"{instrument.max_quantity.normalize():f}",
            "stepSize": lot,
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": fixed(instrument.min_quantity, places),
            "maxQty": f"{instrument.max_market_quantity.normalize():f}",
            "stepSize": lot,
        },
        {"filterType": "MAX_NUM_ORDERS", "limit": instrument.max_open_orders},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
        {"filterType": "MIN_NOTIONAL", "notional": f"{instrument.min_notional:f}"},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": fixed(1 + instrument.price_band, 4),
            "multiplierDown": fixed(1 - instrument.price_band, 4),
            "multiplierDecimal": "4",
        },
        {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
    ]
