"""What OKX v5 sends, field by field: only what is used, under its own names.

Rows of REST and of the private stream have the same form.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")

Level = tuple[str, str, str, str]
"""Price, contracts, an obsolete zero, number of orders."""


class Answer(msgspec.Struct, Generic[T]):
    """The envelope of every answer. ``code`` was checked before."""

    data: list[T]
    code: str = "0"


class ServerTime(msgspec.Struct):
    ts: str


class Contract(msgspec.Struct):
    instId: str  # noqa: N815
    instFamily: str  # noqa: N815
    state: str
    ctType: str  # noqa: N815
    settleCcy: str  # noqa: N815
    ctVal: str  # noqa: N815
    ctValCcy: str  # noqa: N815
    tickSz: str  # noqa: N815
    lotSz: str  # noqa: N815
    minSz: str  # noqa: N815
    ctMult: str = ""  # noqa: N815
    uly: str = ""
    maxLmtSz: str = ""  # noqa: N815
    maxMktSz: str = ""  # noqa: N815
    expTime: str = ""  # noqa: N815
    ruleType: str = "normal"  # noqa: N815
    groupId: str = ""  # noqa: N815


class Funding(msgspec.Struct):
    instId: str  # noqa: N815
    fundingRate: str  # noqa: N815
    fundingTime: str  # noqa: N815
    nextFundingTime: str = ""  # noqa: N815
    nextFundingRate: str = ""  # noqa: N815


class SettledFunding(msgspec.Struct):
    instId: str  # noqa: N815
    fundingTime: str  # noqa: N815
    realizedRate: str  # noqa: N815


class MarkPrice(msgspec.Struct):
    instId: str  # noqa: N815
    markPx: str  # noqa: N815


class IndexPrice(msgspec.Struct):
    instId: str  # noqa: N815
    idxPx: str  # noqa: N815


class Depth(msgspec.Struct):
    bids: list[Level]
    asks: list[Level]
    seqId: int | str | None = None  # noqa: N815

    @property
    def number(self) -> int | None:
        """What the stream's changes refer to; None where it is missing or no number."""
        text = str(self.seqId)
        return int(text) if text.isascii() and text.lstrip("-").isdigit() else None


class Placed(msgspec.Struct):
    ordId: str  # noqa: N815
    sCode: str  # noqa: N815
    clOrdId: str = ""  # noqa: N815
    sMsg: str = ""  # noqa: N815


class Order(msgspec.Struct):
    instId: str  # noqa: N815
    ordId: str  # noqa: N815
    state: str
    side: str
    sz: str
    accFillSz: str  # noqa: N815
    clOrdId: str = ""  # noqa: N815
    px: str = ""
    avgPx: str = ""  # noqa: N815
    reduceOnly: str | bool = "false"  # noqa: N815
    cancelSourceReason: str = ""  # noqa: N815
    cancelSource: str = ""  # noqa: N815
    uTime: str = ""  # noqa: N815


class Position(msgspec.Struct):
    instId: str  # noqa: N815
    pos: str
    posSide: str  # noqa: N815
    mgnMode: str  # noqa: N815
    avgPx: str = ""  # noqa: N815
    markPx: str = ""  # noqa: N815
    liqPx: str = ""  # noqa: N815
    upl: str = ""
    lever: str = ""
    mmr: str = ""
    adl: str = ""


class Coin(msgspec.Struct):
    ccy: str
    cashBal: str  # noqa: N815
    eq: str
    availEq: str = ""  # noqa: N815
    availBal: str = ""  # noqa: N815
    mmr: str = ""


class Wallet(msgspec.Struct):
    details: list[Coin]
    availEq: str = ""  # noqa: N815
    mmr: str = ""


class Bill(msgspec.Struct):
    """A row of the account's bills. ``sz`` is contracts without a sign, ``fee`` negative when paid."""

    billId: str  # noqa: N815
    type: str
    subType: str  # noqa: N815
    ts: str
    ccy: str
    instId: str = ""  # noqa: N815
    pnl: str = ""
    fee: str = ""
    balChg: str = ""  # noqa: N815
    sz: str = ""
    px: str = ""
    ordId: str = ""  # noqa: N815
    clOrdId: str = ""  # noqa: N815
    tradeId: str = ""  # noqa: N815
    execType: str = ""  # noqa: N815
    fillTime: str = ""  # noqa: N815


class FeeGroup(msgspec.Struct):
    groupId: str  # noqa: N815
    maker: str
    taker: str


class Fees(msgspec.Struct):
    """Negative fractions are charged, positive ones are a rebate."""

    makerU: str = ""  # noqa: N815
    takerU: str = ""  # noqa: N815
    maker: str = ""
    taker: str = ""
    feeGroup: list[FeeGroup] = []  # noqa: N815


class Leverage(msgspec.Struct):
    lever: str
    mgnMode: str  # noqa: N815


class AccountConfig(msgspec.Struct):
    acctLv: str  # noqa: N815
    posMode: str  # noqa: N815
    perm: str = ""
    ip: str = ""
