"""The answers of Hyperliquid's two endpoints, as far as they are used. Fields are called as the exchange calls them."""

from __future__ import annotations

import msgspec


class Asset(msgspec.Struct, rename="camel"):
    name: str
    sz_decimals: int
    is_delisted: bool | None = None


class Meta(msgspec.Struct):
    universe: list[Asset]


class Context(msgspec.Struct, rename="camel"):
    funding: str
    mark_px: str
    oracle_px: str


class Level(msgspec.Struct):
    px: str
    sz: str


class Book(msgspec.Struct):
    levels: tuple[list[Level], list[Level]]


class Order(msgspec.Struct, rename="camel"):
    coin: str
    side: str
    limit_px: str
    sz: str
    oid: int
    timestamp: int
    orig_sz: str
    reduce_only: bool = False
    cloid: str | None = None


class FoundOrder(msgspec.Struct):
    order: Order
    status: str


class OrderStatus(msgspec.Struct):
    status: str
    order: FoundOrder | None = None


class UserFill(msgspec.Struct, rename="camel"):
    coin: str
    px: str
    sz: str
    side: str
    time: int
    dir: str
    closed_pnl: str
    oid: int
    crossed: bool
    fee: str
    tid: int
    cloid: str | None = None
    liquidation: dict[str, object] | None = None


class Settled(msgspec.Struct, rename="camel"):
    time: int
    funding_rate: str


class Status(msgspec.Struct):
    time: int


class Leverage(msgspec.Struct):
    type: str
    value: int


class Position(msgspec.Struct, rename="camel"):
    coin: str
    szi: str
    leverage: Leverage
    entry_px: str
    position_value: str
    unrealized_pnl: str
    liquidation_px: str | None = None


class HeldPosition(msgspec.Struct):
    position: Position


class Margin(msgspec.Struct, rename="camel"):
    account_value: str


class Account(msgspec.Struct, rename="camel"):
    margin_summary: Margin
    withdrawable: str
    asset_positions: list[HeldPosition]
    cross_maintenance_margin_used: str = ""


class FundingDelta(msgspec.Struct, rename="camel"):
    coin: str
    usdc: str
    funding_rate: str


class Funding(msgspec.Struct):
    time: int
    delta: FundingDelta


class Fees(msgspec.Struct, rename="camel"):
    user_cross_rate: str
    user_add_rate: str


class AssetData(msgspec.Struct):
    leverage: Leverage


class Resting(msgspec.Struct):
    oid: int


class Filled(msgspec.Struct, rename="camel"):
    oid: int
    total_sz: str
    avg_px: str


class PlacedStatus(msgspec.Struct):
    resting: Resting | None = None
    filled: Filled | None = None


class Statuses(msgspec.Struct):
    statuses: list[PlacedStatus]


class Data(msgspec.Struct):
    data: Statuses


class Placed(msgspec.Struct):
    response: Data


class Done(msgspec.Struct):
    """Some other action was carried out; an error would have been found by ``errors.extract``."""

    status: str
