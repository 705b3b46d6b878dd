"""What Bybit v5 sends over REST, field by field: only what is used, under its own names."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Answer(msgspec.Struct, Generic[T]):
    """The envelope of every answer. ``retCode`` was checked before."""

    result: T
    retCode: int = 0  # noqa: N815


class Page(msgspec.Struct, Generic[T]):
    """A list with the cursor of its next page (empty on the last)."""

    rows: list[T] = msgspec.field(name="list")
    nextPageCursor: str = ""  # noqa: N815


class ServerTime(msgspec.Struct):
    timeNano: str  # noqa: N815


class PriceFilter(msgspec.Struct):
    tickSize: str  # noqa: N815


class LotSizeFilter(msgspec.Struct):
    qtyStep: str  # noqa: N815
    minOrderQty: str  # noqa: N815
    maxOrderQty: str = ""  # noqa: N815
    maxMktOrderQty: str = ""  # noqa: N815
    minNotionalValue: str = ""  # noqa: N815


class Contract(msgspec.Struct):
    symbol: str
    contractType: str  # noqa: N815
    status: str
    baseCoin: str  # noqa: N815
    quoteCoin: str  # noqa: N815
    settleCoin: str  # noqa: N815
    priceFilter: PriceFilter  # noqa: N815
    lotSizeFilter: LotSizeFilter  # noqa: N815
    fundingInterval: int  # noqa: N815
    upperFundingRate: str = ""  # noqa: N815
    lowerFundingRate: str = ""  # noqa: N815
    deliveryTime: str = "0"  # noqa: N815
    isPreListing: bool = False  # noqa: N815


class Ticker(msgspec.Struct):
    symbol: str
    fundingRate: str = ""  # noqa: N815
    nextFundingTime: str = ""  # noqa: N815
    fundingIntervalHour: str = ""  # noqa: N815
    markPrice: str = ""  # noqa: N815
    indexPrice: str = ""  # noqa: N815


class SettledFunding(msgspec.Struct):
    symbol: str
    fundingRate: str  # noqa: N815
    fundingRateTimestamp: str  # noqa: N815


class Depth(msgspec.Struct):
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class Created(msgspec.Struct):
    orderId: str  # noqa: N815
    orderLinkId: str = ""  # noqa: N815


class Order(msgspec.Struct):
    symbol: str
    orderId: str  # noqa: N815
    orderStatus: str  # noqa: N815
    side: str
    qty: str
    cumExecQty: str  # noqa: N815
    orderLinkId: str = ""  # noqa: N815
    price: str = ""
    avgPrice: str = ""  # noqa: N815
    reduceOnly: bool = False  # noqa: N815
    rejectReason: str = ""  # noqa: N815
    cancelType: str = ""  # noqa: N815
    updatedTime: str = ""  # noqa: N815


class Position(msgspec.Struct):
    symbol: str
    side: str
    size: str
    positionIdx: int = 0  # noqa: N815
    avgPrice: str = ""  # noqa: N815
    markPrice: str = ""  # noqa: N815
    liqPrice: str = ""  # noqa: N815
    unrealisedPnl: str = ""  # noqa: N815
    leverage: str = ""
    positionMM: str = ""  # noqa: N815
    adlRankIndicator: int | None = None  # noqa: N815


class Coin(msgspec.Struct):
    coin: str
    walletBalance: str  # noqa: N815
    equity: str
    totalPositionMM: str = ""  # noqa: N815
    totalPositionIM: str = ""  # noqa: N815
    totalOrderIM: str = ""  # noqa: N815


class Wallet(msgspec.Struct):
    coin: list[Coin]
    totalAvailableBalance: str = ""  # noqa: N815


class LedgerRow(msgspec.Struct):
    """A row of the transaction log: ``change = cashFlow + funding - fee``, as documented."""

    symbol: str
    side: str
    type: str
    change: str
    cashFlow: str  # noqa: N815
    transactionTime: str  # noqa: N815
    currency: str
    tradeId: str = ""  # noqa: N815
    orderId: str = ""  # noqa: N815
    orderLinkId: str = ""  # noqa: N815
    funding: str = ""
    fee: str = ""
    qty: str = ""
    tradePrice: str = ""  # noqa: N815
    id: str = ""


class FeeRate(msgspec.Struct):
    symbol: str
    takerFeeRate: str  # noqa: N815
    makerFeeRate: str  # noqa: N815


class Protection(msgspec.Struct):
    product: str
    dcpStatus: str  # noqa: N815
    timeWindow: str  # noqa: N815


class Protections(msgspec.Struct):
    dcpInfos: list[Protection]  # noqa: N815


class AccountInfo(msgspec.Struct):
    marginMode: str  # noqa: N815
    unifiedMarginStatus: int | None = None  # noqa: N815


class ApiKey(msgspec.Struct):
    readOnly: int  # noqa: N815
    permissions: dict[str, list[str] | None]
    ips: list[str] = []
