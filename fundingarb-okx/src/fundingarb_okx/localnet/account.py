"""The account: configuration, balance, positions, leverage, position mode, fees."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from fundingarb.localnet.truth.rules import FeeTier
from fundingarb.localnet.truth.types import MarginMode, Reason, Refused
from fundingarb_okx.localnet import market
from fundingarb_okx.localnet.desk import SWAP, Desk
from fundingarb_okx.localnet.holdings import balance_row, position_row
from fundingarb_okx.localnet.journal import Closed
from fundingarb_okx.localnet.render import user_id
from fundingarb_okx.localnet.wire import (
    decimals_of,
    identifiers,
    money,
    number,
    page,
    parameter_error,
    plain,
    text,
)

__all__ = [
    "balance",
    "config",
    "currencies",
    "funding_balances",
    "instruments",
    "leverage_info",
    "max_available",
    "max_size",
    "permissions",
    "positions",
    "positions_history",
    "set_leverage",
    "set_position_mode",
    "trade_fee",
]

Rows = list[Any]
_MODES = {"cross": MarginMode.CROSS, "isolated": MarginMode.ISOLATED}
_POSITION_MODES = {"net_mode": False, "long_short_mode": True}
_COIN_MARGINED = FeeTier(Decimal("0.0002"), Decimal("0.0005"))
"""Fees of contracts margined in coins, which stand beside those of USDT contracts."""


def permissions(desk: Desk, account: str) -> str:
    """What the account's key may do: ``read_only,trade`` unless its credentials say otherwise."""
    extra = desk.truth.credentials(account).extra
    usual = ["read_only"]
    if extra.get("read_only") != "true":
        usual.append("trade")
    if "Withdraw" in extra.get("wallet_permissions", ""):
        usual.append("withdraw")
    return extra.get("perm", ",".join(usual))


def config(desk: Desk, account: str, params: Mapping[str, Any]) -> Rows:
    """A key bound to an address that may read and trade, unless the account's credentials say otherwise."""
    extra = desk.truth.credentials(account).extra
    uid = user_id(account)
    return [
        {
            "acctLv": extra.get("account_level", "2"),
            "acctStpMode": "cancel_maker",
            "autoLoan": False,
            "ctIsoMode": "automatic",
            "enableSpotBorrow": False,
            "feeType": "0",
            "greeksType": "PA",
            "ip": extra.get("ip", "" if extra.get("ip_restricted") == "false" else "127.0.0.1"),
            "kycLv": "3",
            "label": account,
            "level": "Lv1",
            "levelTmp": "",
            "liquidationGear": "-1",
            "mainUid": uid,
            "mgnIsoMode": "automatic",
            "opAuth": "0",
            "perm": permissions(desk, account),
            "posMode": "long_short_mode" if desk.truth.hedge_mode(account) else "net_mode",
            "roleType": "0",
            "settleCcy": "",
            "settleCcyList": [],
            "spotBorrowAutoRepay": False,
            "spotOffsetType": "",
            "spotRoleType": "0",
            "spotTraderInsts": [],
            "stgyType": "0",
            "traderInsts": [],
            "type": "0",
            "uid": uid,
        }
    ]


def balance(desk: Desk, account: str, params: Mapping[str, Any]) -> Rows:
    row = balance_row(desk.truth, account)
    coins = identifiers(params, "ccy", 20)
    if coins:
        row["details"] = [detail for detail in row["details"] if detail["ccy"] in coins]
    return [row]


def funding_balances(desk: Desk, account: str, params: Mapping[str, Any]) -> Rows:
    """The funding account is empty: everything is in the trading account."""
    return []


def currencies(desk: Desk, account: str, params: Mapping[str, Any]) -> Rows:
    """The settle currency. Deposits and withdrawals are shut."""
    coin = desk.truth.rules.settle
    wanted = identifiers(params, "ccy", 20)
    row = {
        "burningFeeRate": "",
        "canDep": False,
        "canInternal": False,
        "canWd": False,
        "ccy": coin,
        "chain": f"{coin}-ERC20",
        "ctAddr": "",
        "depEstOpenTime": "",
        "depQuotaFixed": "",
        "depQuoteDailyLayer2": "",
        "fee": "3",
        "logoLink": "",
        "mainNet": False,
        "maxFee": "3",
        "maxFeeForCtAddr": "3",
        "maxWd": "1000000",
        "minDep": "1",
        "minDepArrivalConfirm": "64",
        "minFee": "3",
        "minFeeForCtAddr": "3",
        "minInternal": "",
        "minWd": "10",
        "minWdUnlockConfirm": "96",
        "name": "Tether",
        "needTag": False,
        "usedDepQuotaFixed": "",
        "usedWdQuota": "0",
        "wdEstOpenTime": "",
        "wdQuota": "0",
        "wdTickSz": "6",
    }
    return [row] if not wanted or coin in wanted else []


# -- positions -------------------------------------------------------------------------------------------------


def positions(desk: Desk, account: str, params: Mapping[str, Any]) -> Rows:
    """Open positions, newest first."""
    if desk.kind(params) not in ("", SWAP):
        return []
    wanted = identifiers(params, "instId", 10)
    ids = identifiers(params, "posId", 20)
    for name in wanted:
        desk.find(name)
    state = desk.truth.state(account)
    held = sorted(desk.truth.positions(account), key=lambda one: one.created_ms, reverse=True)
    rows = [position_row(desk, one, state) for one in held if not wanted or one.instrument in wanted]
    return [row for row in rows if not ids or row["posId"] in ids]


def _closed_row(closed: Closed) -> dict[str, Any]:
    span = closed.span
    profit = span.profit - span.fees + span.funding
    spent = span.open_value / closed.leverage if closed.leverage else Decimal(0)
    return {
        "cTime": str(span.opened_ms),
        "ccy": "USDT",
        "closeAvgPx": money(span.close_value / span.closed) if span.closed else "",
        "closeTotalPos": plain(span.closed),
        "direction": "long" if span.long else "short",
        "fee": money(-span.fees),
        "fundingFee": money(span.funding),
        "instId": closed.instrument,
        "instType": SWAP,
        "lever": plain(closed.leverage),
        "liqPenalty": "0",
        "mgnMode": "cross",
        "nonSettleAvgPx": "",
        "openAvgPx": money(span.open_value / span.opened) if span.opened else "",
        "openMaxPos": plain(span.largest),
        "pnl": money(span.profit),
        "pnlRatio": money(profit / spent) if spent else "0",
        "posId": span.id,
        "posSide": closed.side.value.lower(),
        "realizedPnl": money(profit),
        "settledPnl": "",
        "triggerPx": "",
        "type": closed.kind,
        "uTime": str(span.updated_ms),
        "uly": closed.instrument.removesuffix("-SWAP"),
    }


def positions_history(desk: Desk, account: str, params: Mapping[str, Any]) -> Rows:
    """Positions that are over, newest first; pages go by time."""
    chosen = {instrument.id for instrument in desk.chosen(params)}
    kind = text(params, "type")
    found = [
        closed
        for closed in reversed(desk.journal.past(account))
        if closed.instrument in chosen and (not kind or closed.kind == kind)
    ]
    return [_closed_row(closed) for closed in page(found, lambda one: one.span.updated_ms, params)]


# -- settings --------------------------------------------------------------------------------------------------


def _sides(desk: Desk, account: str, mode: str) -> list[str]:
    """Only isolated positions of long/short mode have a leverage for each side."""
    if mode == "isolated" and desk.truth.hedge_mode(account):
        return ["long", "short"]
    return ["net"]


def leverage_info(desk: Desk, account: str, params: Mapping[str, Any]) -> Rows:
    mode = text(params, "mgnMode")
    names = identifiers(params, "instId", 20)
    if mode not in _MODES:
        raise parameter_error("mgnMode")
    if not names:
        raise parameter_error("instId")
    return [
        {
            "ccy": "",
            "instId": desk.find(name).id,
            "lever": plain(desk.truth.leverage(account, name)),
            "mgnMode": mode,
            "posSide": side,
        }
        for name in names
        for side in _sides(desk, account, mode)
    ]


def set_leverage(desk: Desk, account: str, params: Mapping[str, Any]) -> Rows:
    """The leverage of a contract; the same again is fine."""
    instrument = desk.instrument(params)
    leverage, mode = number(params, "lever"), text(params, "mgnMode")
    if leverage is None or leverage <= 0 or decimals_of(leverage) > 2:
        raise parameter_error("lever")
    if mode not in _MODES:
        raise parameter_error("mgnMode")
    side = text(params, "posSide")
    sides = _sides(desk, account, mode)
    if side not in ("", *sides, *(("long", "short", "net") if sides == ["net"] else ())):
        raise parameter_error("posSide")
    try:
        desk.truth.set_leverage(account, instrument.id, leverage)
    except Refused as refused:
        if refused.reason is not Reason.NOT_MODIFIED:
            raise
    return [{"instId": instrument.id, "lever": plain(leverage), "mgnMode": mode, "posSide": side or sides[0]}]


def set_position_mode(desk: Desk, account: str, params: Mapping[str, Any]) -> Rows:
    """Net or long/short mode of the account; the same again is fine."""
    mode = text(params, "posMode")
    if mode not in _POSITION_MODES:
        raise parameter_error("posMode")
    try:
        desk.truth.set_hedge_mode(account, _POSITION_MODES[mode])
    except Refused as refused:
        if refused.reason is not Reason.NOT_MODIFIED:
            raise
    return [{"posMode": mode}]


def trade_fee(desk: Desk, account: str, params: Mapping[str, Any]) -> Rows:
    """Fees as OKX writes them: negative when paid. Those of USDT contracts are ``makerU`` and ``takerU``."""
    kind = desk.kind(params, required=True)
    if kind != SWAP:
        return []
    chosen = desk.chosen(params)
    fees = desk.truth.fees(account, chosen[0].id if chosen else None)
    return [
        {
            "category": "1",
            "delivery": "",
            "exercise": "",
            "feeGroup": [{"groupId": "4", "maker": plain(-fees.maker), "taker": plain(-fees.taker)}],
            "fiat": [],
            "instType": kind,
            "level": "Lv1",
            "maker": plain(-_COIN_MARGINED.maker),
            "makerU": plain(-fees.maker),
            "makerUSDC": "",
            "ruleType": "normal",
            "taker": plain(-_COIN_MARGINED.taker),
            "takerU": plain(-fees.taker),
            "takerUSDC": "",
            "ts": desk.stamp(),
        }
    ]


def instruments(desk: Desk, account: str, params: Mapping[str, Any]) -> Rows:
    """The contracts that the account may trade: all of them."""
    return market.instruments(desk, params)


def max_available(desk: Desk, account: str, params: Mapping[str, Any]) -> Rows:
    """What may be spent on new positions, in the settle currency."""
    if text(params, "tdMode") not in _MODES:
        raise parameter_error("tdMode")
    names = identifiers(params, "instId", 5)
    if not names:
        raise parameter_error("instId")
    free = money(desk.truth.state(account).available)
    return [{"availBuy": free, "availSell": free, "instId": desk.find(name).id} for name in names]


def max_size(desk: Desk, account: str, params: Mapping[str, Any]) -> Rows:
    """What margin and leverage allow to buy and to sell, in whole lots."""
    if text(params, "tdMode") not in _MODES:
        raise parameter_error("tdMode")
    rows = []
    for name in identifiers(params, "instId", 5):
        instrument = desk.find(name)
        price = number(params, "px") or desk.truth.mark(name)
        worth = price * instrument.contract_size / desk.truth.leverage(account, name)
        size = desk.truth.state(account).available / worth // instrument.lot * instrument.lot
        rows.append({"ccy": "USDT", "instId": name, "maxBuy": plain(size), "maxSell": plain(size)})
    if not rows:
        raise parameter_error("instId")
    return rows
