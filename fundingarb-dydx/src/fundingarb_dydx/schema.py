"""What dYdX's indexer and nodes answer, field by field: only what is used, under its own names."""

from __future__ import annotations

import msgspec


class Time(msgspec.Struct):
    iso: str


class Height(msgspec.Struct):
    height: str


class Market(msgspec.Struct):
    ticker: str
    status: str
    clobPairId: str  # noqa: N815
    tickSize: str  # noqa: N815
    stepSize: str  # noqa: N815
    stepBaseQuantums: int  # noqa: N815
    subticksPerTick: int  # noqa: N815
    atomicResolution: int  # noqa: N815
    quantumConversionExponent: int  # noqa: N815
    initialMarginFraction: str  # noqa: N815
    maintenanceMarginFraction: str  # noqa: N815
    marketType: str = "CROSS"  # noqa: N815
    oraclePrice: str | None = None  # noqa: N815
    nextFundingRate: str | None = None  # noqa: N815


class Markets(msgspec.Struct):
    markets: dict[str, msgspec.Raw]


class SettledFunding(msgspec.Struct):
    ticker: str
    rate: str
    effectiveAt: str  # noqa: N815
    effectiveAtHeight: str = ""  # noqa: N815


class History(msgspec.Struct):
    historicalFunding: list[SettledFunding]  # noqa: N815


class Level(msgspec.Struct):
    price: str
    size: str


class Depth(msgspec.Struct):
    bids: list[Level]
    asks: list[Level]


class Order(msgspec.Struct):
    """An order, over REST and in the stream (which leaves out what has no value yet)."""

    id: str
    ticker: str
    side: str
    size: str
    price: str
    status: str
    orderFlags: str = "0"  # noqa: N815
    clientId: str = ""  # noqa: N815
    clobPairId: str = ""  # noqa: N815
    clientMetadata: str = "0"  # noqa: N815
    totalFilled: str | None = None  # noqa: N815
    reduceOnly: bool = False  # noqa: N815
    goodTilBlock: str | None = None  # noqa: N815
    goodTilBlockTime: str | None = None  # noqa: N815
    updatedAt: str | None = None  # noqa: N815
    removalReason: str = ""  # noqa: N815


class Position(msgspec.Struct):
    market: str
    side: str
    size: str
    entryPrice: str  # noqa: N815
    createdAt: str  # noqa: N815
    unrealizedPnl: str | None = None  # noqa: N815
    closedAt: str | None = None  # noqa: N815
    status: str = "OPEN"


class Positions(msgspec.Struct):
    positions: list[Position]


class Asset(msgspec.Struct):
    symbol: str
    side: str
    size: str


class Subaccount(msgspec.Struct):
    equity: str
    freeCollateral: str  # noqa: N815
    openPerpetualPositions: dict[str, Position]  # noqa: N815
    assetPositions: dict[str, Asset]  # noqa: N815


class SubaccountAnswer(msgspec.Struct):
    subaccount: Subaccount


class Fill(msgspec.Struct):
    """An execution. The stream says ``ticker`` where REST says ``market``, and has no metadata."""

    id: str
    side: str
    liquidity: str
    type: str
    price: str
    size: str
    createdAt: str  # noqa: N815
    fee: str = ""
    market: str = ""
    ticker: str = ""
    orderId: str | None = None  # noqa: N815
    clientMetadata: str | None = None  # noqa: N815
    createdAtHeight: str = ""  # noqa: N815

    @property
    def name(self) -> str:
        return self.market or self.ticker


class Fills(msgspec.Struct):
    fills: list[Fill]


class Payment(msgspec.Struct):
    ticker: str
    createdAt: str  # noqa: N815
    createdAtHeight: str  # noqa: N815
    payment: str
    rate: str = ""


class Payments(msgspec.Struct):
    fundingPayments: list[Payment]  # noqa: N815


class Party(msgspec.Struct):
    address: str
    subaccountNumber: int | None = None  # noqa: N815


class Transfer(msgspec.Struct):
    id: str
    sender: Party
    recipient: Party
    size: str
    symbol: str
    createdAt: str  # noqa: N815
    type: str


class Transfers(msgspec.Struct):
    transfers: list[Transfer]


class FeeTier(msgspec.Struct):
    maker_fee_ppm: int | str
    taker_fee_ppm: int | str


class FeeTierAnswer(msgspec.Struct):
    tier: FeeTier


class PublicKey(msgspec.Struct):
    key: str = ""


class AccountInfo(msgspec.Struct):
    address: str
    account_number: str
    sequence: str = "0"
    pub_key: PublicKey | None = None


class AccountAnswer(msgspec.Struct):
    info: AccountInfo


class NodeInfo(msgspec.Struct):
    network: str


class NodeStatus(msgspec.Struct):
    node_info: NodeInfo


class NodeAnswer(msgspec.Struct):
    result: NodeStatus


class Broadcast(msgspec.Struct):
    """Code 0: a node took the transaction up. It is in no block yet."""

    hash: str
    code: int = 0


class BroadcastAnswer(msgspec.Struct):
    result: Broadcast
