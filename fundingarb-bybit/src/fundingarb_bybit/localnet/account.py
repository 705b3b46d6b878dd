"""The unified account: balance, fees, margin mode, keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fundingarb.localnet.truth.types import MarginMode
from fundingarb_bybit.localnet.desk import Desk, Reply
from fundingarb_bybit.localnet.market import instruments_info
from fundingarb_bybit.localnet.render import CATEGORY, any_isolated, user_id, wallet_row
from fundingarb_bybit.localnet.wire import ApiError, money, plain, text

__all__ = [
    "account_info",
    "account_instruments",
    "coin_info",
    "dcp_info",
    "fee_rate",
    "key_info",
    "set_margin_mode",
    "wallet_balance",
    "withdrawal",
]

_MODES = {"REGULAR_MARGIN": MarginMode.CROSS, "ISOLATED_MARGIN": MarginMode.ISOLATED}


# -- balance and account -----------------------------------------------------------------------------------------


def wallet_balance(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    if text(params, "accountType") != "UNIFIED":
        raise ApiError(10001, "accountType only support UNIFIED.")
    row = wallet_row(desk.truth, account)
    coins = {coin.strip() for coin in text(params, "coin").split(",") if coin.strip()}
    if coins:
        row["coin"] = [coin for coin in row["coin"] if coin["coin"] in coins]
    return {"list": [row]}


def fee_rate(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    if desk.category(params, default=CATEGORY) != CATEGORY:
        return {"list": []}
    base = text(params, "baseCoin")
    if text(params, "symbol"):
        chosen = [desk.instrument(params)]
    else:
        chosen = [i for i in desk.truth.instruments.values() if not base or i.base == base]
    rows = []
    for instrument in chosen:
        fees = desk.truth.fees(account, instrument.id)
        rows.append(
            {
                "symbol": instrument.id,
                "takerFeeRate": plain(fees.taker),
                "makerFeeRate": plain(fees.maker),
            }
        )
    return {"list": rows}


def account_info(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    protection = desk.protection(account)
    return {
        "marginMode": "ISOLATED_MARGIN" if any_isolated(desk.truth, account) else "REGULAR_MARGIN",
        "updatedTime": str(desk.truth.state(account).updated_ms),
        # 5: unified trading account 2.0
        "unifiedMarginStatus": 5,
        "dcpStatus": "ON" if protection.enabled else "OFF",
        "timeWindow": int(protection.window),
        "smpGroup": 0,
        "isMasterTrader": False,
        "spotHedgingStatus": "OFF",
    }


def dcp_info(desk: Desk, account: str, params: Mapping[str, Any]) -> Reply:
    """Empty for an account that was not granted the protection."""
    protection = desk.protection(account)
    info = {"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": str(int(protection.window))}
    return Reply({"dcpInfos": [info] if protection.enabled else []}, message="success")


def set_margin_mode(desk: Desk, account: str, params: Mapping[str, Any]) -> Reply:
    """Account-wide, as in a unified account."""
    asked = text(params, "setMarginMode")
    if asked == "PORTFOLIO_MARGIN":
        reason = {"reasonCode": "3400000", "reasonMsg": "Portfolio margin is not offered by this localnet"}
        raise ApiError(3400045, "Set margin mode failed", result={"reasons": [reason]})
    mode = _MODES.get(asked)
    if mode is None:
        raise ApiError(10001, "params error: setMarginMode invalid")
    desk.truth.set_margin_mode(account, mode)
    return Reply({"reasons": []}, message="Request accepted")


def withdrawal(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """What could be moved out of the unified account."""
    available = money(desk.truth.state(account).available)
    coins = [coin for coin in text(params, "coinName").split(",") if coin]
    settle = desk.truth.rules.settle
    return {
        "availableWithdrawal": available if settle in coins[:1] else "0",
        "availableWithdrawalMap": {coin: available if coin == settle else "0" for coin in coins},
    }


def key_info(desk: Desk, account: str, params: Mapping[str, Any]) -> Reply:
    """A key that may trade and read, and may not withdraw, unless the account's credentials say otherwise."""
    credentials = desk.truth.credentials(account)
    wallet = [name for name in credentials.extra.get("wallet_permissions", "").split(",") if name]
    read_only = credentials.extra.get("read_only") == "true"
    return Reply(
        {
            "id": str(user_id(account) % 100_000_000),
            "note": account,
            "apiKey": credentials.api_key,
            "readOnly": 1 if read_only else 0,
            "secret": "",
            "permissions": {
                "ContractTrade": ["Order", "Position"],
                "Spot": [],
                "Wallet": wallet,
                "Options": [],
                "Derivatives": ["DerivativesTrade"],
                "CopyTrading": [],
                "BlockTrade": [],
                "Exchange": [],
                "NFT": [],
                "Affiliate": [],
                "Earn": [],
            },
            "ips": ["*"] if credentials.extra.get("ip_restricted") == "false" else ["127.0.0.1"],
            "type": 1,
            "deadlineDay": 365,
            "expiredAt": "2099-01-01T00:00:00Z",
            "createdAt": "2024-01-01T00:00:00Z",
            "unified": 0,
            "uta": 1,
            "userID": user_id(account),
            "inviterID": 0,
            "vipLevel": "No VIP",
            "mktMakerLevel": "0",
            "affiliateID": 0,
            "rsaPublicKey": "",
            "isMaster": True,
            "parentUid": "0",
            "kycLevel": "LEVEL_DEFAULT",
            "kycRegion": "",
        },
        message="",
    )


def coin_info(desk: Desk, account: str, params: Mapping[str, Any]) -> Reply:
    """The settle coin. Deposits and withdrawals are shut."""
    wanted = text(params, "coin")
    coin = desk.truth.rules.settle
    chain = {
        "chainType": "Ethereum (ERC20)",
        "confirmation": "6",
        "withdrawFee": "3",
        "depositMin": "0",
        "withdrawMin": "10",
        "chain": "ETH",
        "chainDeposit": "0",
        "chainWithdraw": "0",
        "minAccuracy": "6",
        "withdrawPercentageFee": "0",
        "contractAddress": "",
        "safeConfirmNumber": "65",
    }
    rows = [{"name": coin, "coin": coin, "remainAmount": "0", "chains": [chain]}]
    return Reply({"rows": rows if wanted in ("", coin) else []}, message="")


def account_instruments(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The public list plus what only an account sees."""
    result = instruments_info(desk, params)
    for row in result["list"]:
        row["myRpiPermission"] = False
    return result
