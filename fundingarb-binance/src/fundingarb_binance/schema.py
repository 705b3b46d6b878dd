"""What Binance USD-M sends over REST, field by field: only what is used, under its own names."""

from __future__ import annotations

from decimal import Decimal
from typing import TypeVar

import msgspec

T = TypeVar("T")


class ServerTime(msgspec.Struct):
    serverTime: int  # noqa: N815


class Filter(msgspec.Struct):
    filterType: str  # noqa: N815
    tickSize: str = ""  # noqa: N815
    stepSize: str = ""  # noqa: N815
    minQty: str = ""  # noqa: N815
    maxQty: str = ""  # noqa: N815
    notional: str = ""


class Symbol(msgspec.Struct):
    symbol: str
    baseAsset: str  # noqa: N815
    quoteAsset: str  # noqa: N815
    marginAsset: str  # noqa: N815
    contractType: str  # noqa: N815
    status: str
    filters: list[Filter]
    deliveryDate: int = 0  # noqa: N815


class ExchangeInfo(msgspec.Struct):
    """``symbols`` stay raw so that one that cannot be understood spoils no other."""

    symbols: list[msgspec.Raw]


class FundingInfo(msgspec.Struct):
    symbol: str
    fundingIntervalHours: int  # noqa: N815
    adjustedFundingRateCap: str = ""  # noqa: N815
    adjustedFundingRateFloor: str = ""  # noqa: N815


class PremiumIndex(msgspec.Struct):
    symbol: str
    lastFundingRate: str  # noqa: N815
    nextFundingTime: int  # noqa: N815
    markPrice: str = ""  # noqa: N815
    indexPrice: str = ""  # noqa: N815


class SettledFunding(msgspec.Struct):
    symbol: str
    fundingTime: int  # noqa: N815
    fundingRate: str  # noqa: N815


class Depth(msgspec.Struct):
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class Order(msgspec.Struct):
    symbol: str
    orderId: int  # noqa: N815
    clientOrderId: str  # noqa: N815
    status: str
    side: str
    origQty: Decimal  # noqa: N815
    executedQty: Decimal  # noqa: N815
    price: Decimal = Decimal(0)
    avgPrice: str = ""  # noqa: N815
    reduceOnly: bool = False  # noqa: N815
    updateTime: int = 0  # noqa: N815


class Position(msgspec.Struct):
    symbol: str
    positionAmt: Decimal  # noqa: N815
    entryPrice: Decimal  # noqa: N815
    markPrice: str = ""  # noqa: N815
    liquidationPrice: str = ""  # noqa: N815
    unRealizedProfit: Decimal = Decimal(0)  # noqa: N815
    leverage: str = ""
    maintMargin: str = ""  # noqa: N815
    adl: int | None = None


class Asset(msgspec.Struct):
    asset: str
    walletBalance: Decimal  # noqa: N815
    marginBalance: Decimal  # noqa: N815
    availableBalance: Decimal  # noqa: N815
    maintMargin: Decimal  # noqa: N815


class Account(msgspec.Struct):
    assets: list[Asset]


class UserTrade(msgspec.Struct):
    symbol: str
    id: int
    orderId: int  # noqa: N815
    side: str
    price: Decimal
    qty: Decimal
    realizedPnl: Decimal  # noqa: N815
    commission: Decimal
    commissionAsset: str  # noqa: N815
    time: int
    maker: bool = False


class Income(msgspec.Struct):
    incomeType: str  # noqa: N815
    income: Decimal
    asset: str
    time: int
    tranId: int | str  # noqa: N815
    symbol: str = ""
    tradeId: int | str | None = None  # noqa: N815


class CommissionRate(msgspec.Struct):
    makerCommissionRate: Decimal  # noqa: N815
    takerCommissionRate: Decimal  # noqa: N815


class SymbolConfig(msgspec.Struct):
    symbol: str
    marginType: str  # noqa: N815
    leverage: int


class AccountConfig(msgspec.Struct):
    dualSidePosition: bool  # noqa: N815


class ListenKey(msgspec.Struct):
    listenKey: str  # noqa: N815


class ApiRestrictions(msgspec.Struct):
    ipRestrict: bool | None = None  # noqa: N815
    enableWithdrawals: bool | None = None  # noqa: N815
    enableFutures: bool | None = None  # noqa: N815
    enableInternalTransfer: bool | None = None  # noqa: N815
    permitsUniversalTransfer: bool | None = None  # noqa: N815
