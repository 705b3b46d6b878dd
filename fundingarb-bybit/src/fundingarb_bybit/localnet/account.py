"""The unified account: balance, positions, settings, executions, transaction log, keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fundingarb.localnet.truth.types import (
    FundingPayment,
    LedgerKind,
    LedgerRow,
    MarginMode,
)
from fundingarb_bybit.localnet.desk import DAY, Desk, Reply
from fundingarb_bybit.localnet.journal import ClosedProfit, Record
from fundingarb_bybit.localnet.market import instruments_info
from fundingarb_bybit.localnet.render import (
    CATEGORY,
    any_isolated,
    execution,
    funding_execution,
    funding_id,
    order_price,
    position_row,
    sequence_of,
    side_name,
    user_id,
    wallet_row,
)
from fundingarb_bybit.localnet.wire import (
    ApiError,
    fixed,
    identifier,
    money,
    number,
    page,
    plain,
    text,
    whole,
)

__all__ = [
    "account_info",
    "account_instruments",
    "closed_pnl",
    "coin_info",
    "dcp_info",
    "execution_list",
    "fee_rate",
    "key_info",
    "position_list",
    "set_leverage",
    "set_margin_mode",
    "switch_isolated",
    "switch_mode",
    "trading_stop",
    "transaction_log",
    "wallet_balance",
    "withdrawal",
]

ZERO = Decimal(0)
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
    protection = desk.protection(account)
    info = {
        "product": "DERIVATIVES",
        "dcpStatus": "ON" if protection.enabled else "OFF",
        "timeWindow": str(int(protection.window)),
    }
    return Reply({"dcpInfos": [info]}, message="success")


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
    """A key that may trade and read, and may not withdraw."""
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
            "ips": ["127.0.0.1"],
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


# -- positions ---------------------------------------------------------------------------------------------------


def position_list(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Of a symbol: always, flat or not. Of a settle coin: what is not flat."""
    desk.linear(params)
    truth = desk.truth
    if text(params, "symbol"):
        positions = truth.positions(account, desk.instrument(params).id, flat=True)
    elif text(params, "settleCoin"):
        settle = text(params, "settleCoin")
        positions = [
            position
            for position in truth.positions(account)
            if truth.instruments[position.instrument].settle == settle
        ]
    else:
        raise ApiError(10001, "Missing some parameters that must be filled in, symbol or settleCoin")
    taken, cursor = page(positions, lambda p: f"{p.instrument}-{p.side.value}", params, limit=20, highest=200)
    rows = [
        position_row(
            truth.instruments[position.instrument],
            position,
            sequence_of(desk.journal, account, position.instrument, position.side),
            stream=False,
        )
        for position in taken
    ]
    return {"list": rows, "nextPageCursor": cursor, "category": CATEGORY}


def set_leverage(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    desk.linear(params)
    instrument = desk.instrument(params)
    buy, sell = number(params, "buyLeverage"), number(params, "sellLeverage")
    if buy is None or sell is None or buy < 1 or sell < 1:
        raise ApiError(10001, "buyLeverage or sellLeverage invalid")
    if buy != sell:
        raise ApiError(10001, "buy leverage must be equal to sell leverage")
    desk.truth.set_leverage(account, instrument.id, buy)
    return {}


def switch_isolated(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Only classic accounts switch contract by contract."""
    raise ApiError(100028, "unified account is forbidden")


def switch_mode(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """One-way (0) or hedge mode (3). The truth keeps one mode for the account, whatever symbol or coin is named."""
    desk.linear(params)
    if text(params, "symbol"):
        desk.instrument(params)
    elif not text(params, "coin"):
        raise ApiError(10001, "params error: symbol or coin is required")
    mode = whole(params, "mode")
    if mode not in (0, 3):
        raise ApiError(10001, "params error: mode invalid")
    desk.truth.set_hedge_mode(account, mode == 3)
    return {}


def trading_stop(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Accepted for an open position; the offline exchange triggers nothing by it."""
    desk.linear(params)
    instrument = desk.instrument(params)
    if not desk.truth.positions(account, instrument.id):
        raise ApiError(10001, "can not set tp/sl/ts for zero position")
    return {}


def _closed_row(closed: ClosedProfit, kind: str) -> dict[str, Any]:
    order = closed.order
    return {
        "symbol": order.instrument,
        "orderId": order.id,
        "side": side_name(order.side),
        "qty": plain(order.quantity),
        "orderPrice": plain(order_price(order)),
        "orderType": kind,
        "execType": closed.kind,
        "closedSize": plain(closed.quantity),
        "cumEntryValue": money(closed.entry_value),
        "avgEntryPrice": money(closed.entry_value / closed.quantity),
        "cumExitValue": money(closed.exit_value),
        "avgExitPrice": money(closed.exit_value / closed.quantity),
        "closedPnl": money(closed.profit),
        "fillCount": str(closed.fills),
        "leverage": plain(closed.leverage),
        "createdTime": str(closed.created_ms),
        "updatedTime": str(closed.updated_ms),
    }


def closed_pnl(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """What each closing order earned, fees of both sides included; newest first."""
    desk.linear(params)
    start, end = desk.window(params, default=7 * DAY, longest=7 * DAY)
    symbol = desk.instrument(params).id if text(params, "symbol") else ""
    found = [
        closed
        for closed in reversed(desk.journal.closed(account))
        if start <= closed.updated_ms <= end and (not symbol or closed.order.instrument == symbol)
    ]
    taken, cursor = page(found, lambda closed: closed.order.id, params, limit=50, highest=100)
    rows = [_closed_row(closed, closed.order.type.value.capitalize()) for closed in taken]
    return {"list": rows, "nextPageCursor": cursor, "category": CATEGORY}


# -- executions and ledger ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Execution:
    """A fill or a funding payment, with what it is sorted and found by."""

    time_ms: int
    sequence: int
    id: str
    instrument: str
    order_id: str
    link_id: str
    kind: str
    record: Record | None = None
    payment: FundingPayment | None = None


def _executions(desk: Desk, account: str) -> list[_Execution]:
    found = [
        _Execution(
            record.fill.time_ms,
            record.fill.sequence,
            record.fill.id,
            record.fill.instrument,
            record.fill.order_id,
            record.fill.client_id,
            "BustTrade" if record.fill.liquidation else "AdlTrade" if record.fill.adl else "Trade",
            record=record,
        )
        for record in desk.journal.records(account)
    ]
    found += [
        _Execution(
            payment.settlement_ms,
            payment.ledger_id,
            funding_id(payment),
            payment.instrument,
            identifier("settlement", payment.ledger_id),
            "",
            "Funding",
            payment=payment,
        )
        for payment in desk.truth.funding_payments(account)
    ]
    found.sort(key=lambda e: (e.time_ms, e.kind == "Funding", e.sequence), reverse=True)
    return found


def execution_list(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Fills and funding payments, newest first."""
    desk.linear(params)
    order_id, link_id = text(params, "orderId"), text(params, "orderLinkId")
    kind = text(params, "execType")
    found = _executions(desk, account)
    if order_id:
        found = [e for e in found if e.order_id == order_id]
    elif link_id:
        found = [e for e in found if e.link_id == link_id]
    else:
        start, end = desk.window(params, default=7 * DAY, longest=7 * DAY)
        found = [e for e in found if start <= e.time_ms <= end]
        symbol, base = text(params, "symbol"), text(params, "baseCoin")
        if symbol:
            name = desk.instrument(params).id
            found = [e for e in found if e.instrument == name]
        elif base:
            found = [e for e in found if desk.truth.instruments[e.instrument].base == base]
    if kind:
        found = [e for e in found if e.kind == kind]
    taken, cursor = page(found, lambda e: e.id, params, limit=50, highest=100)
    rows = []
    for entry in taken:
        instrument = desk.truth.instruments[entry.instrument]
        if entry.record is not None:
            rows.append(execution(instrument, entry.record, stream=False))
        elif entry.payment is not None:
            rows.append(funding_execution(instrument, entry.payment, stream=False))
    return {"nextPageCursor": cursor, "category": CATEGORY, "list": rows}


@dataclass(slots=True)
class _Entry:
    """One row of the transaction log: everything that one fill, settlement or transfer did to the wallet."""

    row: LedgerRow
    """The last ledger row of the entry; its balance is the entry's."""
    kind: str
    time_ms: int
    cash_flow: Decimal = ZERO
    fee: Decimal = ZERO
    funding: Decimal | None = None
    record: Record | None = None
    payment: FundingPayment | None = None


def _entries(desk: Desk, account: str) -> list[_Entry]:
    """Ledger rows joined as Bybit joins them: realised profit and fee of a fill are one row, ascending.

    change = cashFlow + funding - fee holds for each entry, and the changes add up to the balance.
    """
    payments = {payment.ledger_id: payment for payment in desk.truth.funding_payments(account)}
    entries: list[_Entry] = []
    by_fill: dict[str, _Entry] = {}
    for row in desk.truth.ledger(account):
        entry = by_fill.get(row.fill_id) if row.fill_id else None
        if entry is None:
            record = desk.journal.record(account, row.fill_id) if row.fill_id else None
            entry = _Entry(row, _kind(row, record), row.time_ms, record=record)
            if row.fill_id:
                by_fill[row.fill_id] = entry
            entries.append(entry)
        entry.row = row
        if row.kind is LedgerKind.COMMISSION:
            entry.fee -= row.amount
        elif row.kind is LedgerKind.FUNDING_FEE:
            entry.funding = (entry.funding or ZERO) + row.amount
            entry.payment = payments.get(row.id)
            if entry.payment is not None:
                entry.time_ms = entry.payment.settlement_ms
        else:
            entry.cash_flow += row.amount
    return entries


def _kind(row: LedgerRow, record: Record | None) -> str:
    if record is not None and record.fill.liquidation:
        return "LIQUIDATION"
    if record is not None and record.fill.adl:
        return "ADL"
    if row.kind is LedgerKind.FUNDING_FEE:
        return "SETTLEMENT"
    if row.kind is LedgerKind.TRANSFER:
        return "TRANSFER_IN" if row.amount >= 0 else "TRANSFER_OUT"
    if row.kind in (LedgerKind.LIQUIDATION_FEE, LedgerKind.INSURANCE):
        return "LIQUIDATION"
    return "TRADE"


def _entry_id(account: str, entry: _Entry) -> str:
    return f"{user_id(account)}_{entry.row.instrument or entry.row.asset}_{entry.row.id}"


def _log_row(account: str, entry: _Entry) -> dict[str, Any]:
    row, record, payment = entry.row, entry.record, entry.payment
    change = entry.cash_flow + (entry.funding or ZERO) - entry.fee
    side, size, quantity, price, rate = "None", "", "", "", ""
    order_id, link_id, trade_id = row.order_id, "", row.fill_id
    if record is not None:
        fill = record.fill
        side, size, quantity = side_name(fill.side), plain(record.size), plain(fill.quantity)
        price, rate, link_id = plain(fill.price), plain(fill.fee_rate), fill.client_id
    elif payment is not None:
        side = "Buy" if payment.quantity > 0 else "Sell"
        size, quantity = plain(payment.quantity), plain(abs(payment.quantity))
        price, rate = plain(payment.price), plain(payment.rate)
        order_id, trade_id = identifier("settlement", payment.ledger_id), funding_id(payment)
    return {
        "id": _entry_id(account, entry),
        "symbol": row.instrument,
        "category": CATEGORY if row.instrument else "",
        "side": side,
        "transactionTime": str(entry.time_ms),
        "type": entry.kind,
        "transSubType": "",
        "qty": quantity,
        "size": size,
        "currency": row.asset,
        "tradePrice": price,
        "funding": "" if entry.funding is None else money(entry.funding),
        "fee": fixed(entry.fee, 8),
        "cashFlow": money(entry.cash_flow),
        "change": money(change),
        "cashBalance": fixed(row.balance, 8),
        "feeRate": rate,
        "bonusChange": "",
        "tradeId": trade_id,
        "orderId": order_id,
        "orderLinkId": link_id,
        "extraFees": "",
    }


def transaction_log(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Every change of the wallet, newest first.

    ``funding`` is positive when received, ``fee`` positive when paid, change = cashFlow + funding - fee.
    """
    if text(params, "accountType") not in ("", "UNIFIED"):
        raise ApiError(10001, "accountType only support UNIFIED.")
    start, end = desk.window(params, default=DAY, longest=7 * DAY)
    kind, currency = text(params, "type"), text(params, "currency")
    category, base = text(params, "category"), text(params, "baseCoin")
    if category and category != CATEGORY:
        desk.category(params)
        return {"nextPageCursor": "", "list": []}
    found = []
    for entry in reversed(_entries(desk, account)):
        instrument = desk.truth.instruments.get(entry.row.instrument)
        if not start <= entry.time_ms <= end or (kind and entry.kind != kind):
            continue
        if (currency and entry.row.asset != currency) or (category and instrument is None):
            continue
        if base and (instrument is None or instrument.base != base):
            continue
        found.append(entry)
    taken, cursor = page(found, lambda entry: _entry_id(account, entry), params, limit=20, highest=50)
    return {"nextPageCursor": cursor, "list": [_log_row(account, entry) for entry in taken]}
