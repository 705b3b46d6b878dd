"""Orders, executions, positions and the wallet in Bybit's words.

REST answers pad prices and quantities to the contract's decimals; the private streams send them without zeros at
the end. Both carry the same fields otherwise, a few named below apart.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.rules import Instrument
from fundingarb.localnet.truth.types import (
    FundingPayment,
    LedgerKind,
    MarginMode,
    Order,
    OrderStatus,
    OrderType,
    Position,
    PositionSide,
    Reason,
    Side,
    TimeInForce,
)
from fundingarb_bybit.localnet.contracts import price_decimals, quantity_decimals
from fundingarb_bybit.localnet.journal import Record
from fundingarb_bybit.localnet.wire import fixed, identifier, money, plain

__all__ = [
    "CATEGORY",
    "execution",
    "funding_execution",
    "funding_id",
    "order_row",
    "position_index",
    "position_row",
    "side_name",
    "user_id",
    "wallet_row",
]

CATEGORY = "linear"
ZERO = Decimal(0)

_STATUS = {
    OrderStatus.NEW: "New",
    OrderStatus.PARTIALLY_FILLED: "PartiallyFilled",
    OrderStatus.FILLED: "Filled",
    # "In derivatives, orders with this status may have an executed qty"
    OrderStatus.CANCELED: "Cancelled",
    OrderStatus.EXPIRED: "Cancelled",
    OrderStatus.REJECTED: "Rejected",
}
_TIME_IN_FORCE = {
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.POST_ONLY: "PostOnly",
}
_INDEX = {PositionSide.NET: 0, PositionSide.LONG: 1, PositionSide.SHORT: 2}
_CANCEL_TYPES = {
    Reason.CANCELLED_BY_USER: "CancelByUser",
    Reason.REDUCE_ONLY: "CancelByReduceOnly",
    Reason.DEAD_MAN: "CancelByDCP",
    Reason.LIQUIDATION: "CancelByPrepareLiq",
}
_REJECT_REASONS = {
    Reason.CANCELLED_BY_USER: "EC_PerCancelRequest",
    Reason.DEAD_MAN: "EC_PerCancelRequest",
    Reason.REDUCE_ONLY: "EC_PerCancelRequest",
    Reason.LIQUIDATION: "EC_PerCancelRequest",
    Reason.POST_ONLY_WOULD_TAKE: "EC_PostOnlyWillTakeLiquidity",
    Reason.NOT_FILLABLE: "EC_CancelForNoFullFill",
    Reason.NO_LIQUIDITY: "EC_NoImmediateQtyToFill",
}


def side_name(side: Side) -> str:
    return "Buy" if side is Side.BUY else "Sell"


def position_index(side: PositionSide) -> int:
    """0 one-way, 1 the long side of hedge mode, 2 its short side."""
    return _INDEX[side]


def user_id(account: str) -> int:
    """The UID of an account."""
    return 100_000_000 + zlib.crc32(account.encode()) % 900_000_000


def _formats(
    instrument: Instrument, padded: bool
) -> tuple[Callable[[Decimal], str], Callable[[Decimal], str]]:
    """How prices and quantities are written."""
    if not padded:
        return plain, plain
    price, quantity = price_decimals(instrument), quantity_decimals(instrument)
    return (lambda value: fixed(value, price)), (lambda value: fixed(value, quantity))


def _create_type(order: Order) -> str:
    if order.liquidation:
        return "CreateByTakeOver_PassThrough"
    return "CreateByAdl_PassThrough" if order.adl else "CreateByUser"


def order_price(order: Order) -> Decimal:
    """The limit, or the worst price Bybit turned a market order into when it took it."""
    if order.price is not None:
        return order.price
    return Decimal(order.extra.get("worstPrice", "0"))


def order_row(instrument: Instrument, order: Order, *, padded: bool) -> dict[str, Any]:
    """An order as REST lists it; ``padded`` False for the private stream."""
    price, quantity = _formats(instrument, padded)
    open_ = order.status.open
    leaves = order.remaining if open_ else ZERO
    extra = order.extra
    return {
        "symbol": order.instrument,
        "orderId": order.id,
        "orderLinkId": order.client_id,
        "blockTradeId": "",
        "side": side_name(order.side),
        "positionIdx": position_index(order.position_side),
        "orderStatus": _STATUS[order.status],
        "orderType": "Market" if order.type is OrderType.MARKET else "Limit",
        # "Market order will always use IOC"
        "timeInForce": "IOC" if order.type is OrderType.MARKET else _TIME_IN_FORCE[order.time_in_force],
        "price": price(order_price(order)),
        "qty": quantity(order.quantity),
        "leavesQty": quantity(leaves),
        "leavesValue": money(leaves * order_price(order)),
        "cumExecQty": quantity(order.filled),
        "cumExecValue": money(order.filled_value),
        "cumExecFee": money(order.fee),
        # "UTA: returns "" for those orders without avg price"
        "avgPrice": money(order.average_price) if order.filled else "",
        "cancelType": _CANCEL_TYPES.get(order.reason, "UNKNOWN") if order.reason else "UNKNOWN",
        "rejectReason": _REJECT_REASONS.get(order.reason, "EC_Others") if order.reason else "EC_NoError",
        "createType": _create_type(order),
        "isLeverage": "",
        "stopOrderType": "",
        "orderIv": "",
        "marketUnit": "",
        "triggerPrice": "",
        "triggerDirection": 0,
        "triggerBy": "",
        "takeProfit": extra.get("takeProfit", ""),
        "stopLoss": extra.get("stopLoss", ""),
        "tpslMode": extra.get("tpslMode", ""),
        "tpLimitPrice": extra.get("tpLimitPrice", ""),
        "slLimitPrice": extra.get("slLimitPrice", ""),
        "tpTriggerBy": extra.get("tpTriggerBy", ""),
        "slTriggerBy": extra.get("slTriggerBy", ""),
        "ocoTriggerBy": "",
        "lastPriceOnCreated": extra.get("lastPrice", ""),
        "reduceOnly": order.reduce_only,
        "closeOnTrigger": extra.get("closeOnTrigger") == "true",
        "placeType": "",
        "smpType": "None",
        "smpGroup": 0,
        "smpOrderId": "",
        "slippageToleranceType": "UNKNOWN",
        "slippageTolerance": "",
        "extraFees": "",
        "cumFeeDetail": {instrument.settle: money(order.fee)} if order.filled else {},
        "rpiTakerAccess": False,
        "rpiMatchedQty": "0",
        "createdTime": str(order.created_ms),
        "updatedTime": str(order.updated_ms),
    }


def execution(instrument: Instrument, record: Record, *, stream: bool) -> dict[str, Any]:
    """A fill as the trade history lists it, or as the execution stream sends it."""
    fill, order = record.fill, record.order
    kind = "BustTrade" if fill.liquidation else "AdlTrade" if fill.adl else "Trade"
    row: dict[str, Any] = {
        "symbol": fill.instrument,
        "orderId": fill.order_id,
        "orderLinkId": fill.client_id,
        "side": side_name(fill.side),
        "orderPrice": plain(order_price(order)),
        "orderQty": plain(order.quantity),
        "leavesQty": plain(order.remaining),
        "createType": _create_type(order),
        "orderType": "Market" if order.type is OrderType.MARKET else "Limit",
        "stopOrderType": "UNKNOWN",
        "execFee": money(fill.fee),
        "execId": fill.id,
        "execPrice": plain(fill.price),
        "execQty": plain(fill.quantity),
        "execType": kind,
        "execValue": money(fill.value),
        "execTime": str(fill.time_ms),
        "feeCurrency": fill.fee_asset if stream else "",
        "isMaker": fill.maker,
        "feeRate": plain(fill.fee_rate),
        "tradeIv": "",
        "markIv": "",
        "markPrice": fixed(record.mark, price_decimals(instrument)),
        "indexPrice": "",
        "underlyingPrice": "",
        "blockTradeId": "",
        "closedSize": plain(fill.closed_quantity),
        "marketUnit": "",
        "seq": fill.sequence,
    }
    if stream:
        row |= {"category": CATEGORY, "isLeverage": "0", "execPnl": money(fill.realized), "extraFees": []}
    else:
        row["extraFees"] = ""
    return row


def funding_id(payment: FundingPayment) -> str:
    """The execution id of a funding payment; the transaction log repeats it as trade id."""
    return identifier("funding", payment.ledger_id)


def funding_execution(instrument: Instrument, payment: FundingPayment, *, stream: bool) -> dict[str, Any]:
    """A funding payment as an execution: ``execFee`` positive when paid, negative when received.

    (The transaction log's ``funding`` has the opposite sign.) ``side`` is that of the position.
    """
    size = abs(payment.quantity)
    row: dict[str, Any] = {
        "symbol": payment.instrument,
        "orderId": identifier("settlement", payment.ledger_id),
        "orderLinkId": "",
        "side": "Buy" if payment.quantity > 0 else "Sell",
        "orderPrice": "0",
        "orderQty": "0",
        "leavesQty": "0",
        "createType": "",
        "orderType": "UNKNOWN",
        "stopOrderType": "UNKNOWN",
        "execFee": money(-payment.amount),
        "execId": funding_id(payment),
        "execPrice": plain(payment.price),
        "execQty": plain(size),
        "execType": "Funding",
        "execValue": money(size * payment.price * instrument.contract_size),
        "execTime": str(payment.settlement_ms),
        "feeCurrency": instrument.settle if stream else "",
        "isMaker": False,
        "feeRate": plain(payment.rate),
        "tradeIv": "",
        "markIv": "",
        "markPrice": fixed(payment.price, price_decimals(instrument)),
        "indexPrice": "",
        "underlyingPrice": "",
        "blockTradeId": "",
        "closedSize": "0",
        "marketUnit": "",
        "seq": payment.ledger_id,
    }
    if stream:
        row |= {"category": CATEGORY, "isLeverage": "0", "execPnl": "0", "extraFees": []}
    else:
        row["extraFees"] = ""
    return row


def _risk(instrument: Instrument, leverage: Decimal) -> tuple[int, str]:
    """Risk id and limit: the highest tier that allows the leverage."""
    chosen = 0
    for index, tier in enumerate(instrument.tiers):
        if tier.max_leverage >= leverage:
            chosen = index
    return chosen + 1, plain(instrument.tiers[chosen].max_value)


def position_row(instrument: Instrument, position: Position, seq: int, *, stream: bool) -> dict[str, Any]:
    """A position, flat ones included, as /v5/position/list and the position stream show it.

    A flat one has empty strings where REST has nothing to say, zeros on the stream.
    """
    price, _ = _formats(instrument, not stream)
    flat = not position.quantity
    none = "0" if stream else ""
    risk_id, risk_limit = _risk(instrument, position.leverage)
    liquidation = position.liquidation_price
    liq_price = none if liquidation is None or flat else fixed(liquidation, price_decimals(instrument))
    margin = position.isolated_margin or position.initial_margin

    def amount(value: Decimal) -> str:
        return none if flat else money(value)

    row: dict[str, Any] = {
        "positionIdx": position_index(position.side),
        "riskId": risk_id,
        "riskLimitValue": risk_limit,
        "symbol": position.instrument,
        "side": "" if flat else "Buy" if position.quantity > 0 else "Sell",
        "size": plain(abs(position.quantity)),
        "entryPrice" if stream else "avgPrice": "0" if flat else money(position.entry_price),
        "positionValue": amount(abs(position.quantity) * position.entry_price * instrument.contract_size),
        # "UTA: depreciated, always 0"
        "tradeMode": 0,
        "positionStatus": "Normal",
        "autoAddMargin": 0,
        "adlRankIndicator": 0 if flat else position.adl_rank + 1,
        "leverage": plain(position.leverage),
        "breakEvenPrice": none if flat else money(position.break_even_price),
        "positionBalance": "0" if flat else money(margin),
        "markPrice": price(position.mark_price),
        "liqPrice": liq_price,
        "bustPrice": "",
        "positionMM": amount(position.maintenance_margin),
        "positionMMByMp": amount(position.maintenance_margin),
        "positionIM": amount(position.initial_margin),
        "positionIMByMp": amount(position.initial_margin),
        "tpslMode": "Full",
        "takeProfit": none,
        "stopLoss": none,
        "trailingStop": "0",
        "unrealisedPnl": amount(position.unrealized),
        "curRealisedPnl": money(position.realized),
        "cumRealisedPnl": money(position.cumulative_realized),
        "seq": seq,
        "isReduceOnly": False,
        "leverageSysUpdatedTime": "",
        "mmrSysUpdatedTime": "",
        "sessionAvgPrice": "0" if stream else "",
        "createdTime": str(position.created_ms or 0),
        "updatedTime": str(position.updated_ms or 0),
    }
    if stream:
        row["category"] = CATEGORY
    else:
        # The documentation lists the field under this second name, too.
        row["mmrSysUpdateTime"] = ""
    return row


def wallet_row(truth: Exchange, account: str) -> dict[str, Any]:
    """The unified account: totals in USD (one USDT counts as one dollar) and the USDT wallet."""
    state = truth.state(account)
    moved = sum((row.amount for row in truth.ledger(account, kinds=(LedgerKind.TRANSFER,))), ZERO)
    realised = state.wallet - truth.starting_balance(account) - moved
    isolated = any_isolated(truth, account)

    def total(value: Decimal) -> str:
        # "In isolated margin mode this field is """
        return "" if isolated else money(value)

    def rate(value: Decimal) -> str:
        return "" if isolated else money(value / state.equity if state.equity > 0 else ZERO, 4)

    coin = {
        "coin": state.asset,
        "equity": money(state.equity),
        "usdValue": money(state.equity),
        "walletBalance": money(state.wallet),
        "availableToWithdraw": "",
        "availableToBorrow": "",
        "borrowAmount": "0",
        "accruedInterest": "0",
        "totalOrderIM": money(state.order_margin),
        "totalPositionIM": money(state.position_margin),
        "totalPositionMM": money(state.maintenance_margin),
        "unrealisedPnl": money(state.unrealized),
        "cumRealisedPnl": money(realised),
        "bonus": "0",
        "collateralSwitch": True,
        "marginCollateral": True,
        "locked": "0",
        "spotHedgingQty": "0",
        "spotBorrow": "0",
    }
    return {
        "accountType": "UNIFIED",
        "accountLTV": "0",
        "accountIMRate": rate(state.initial_margin),
        "accountIMRateByMp": rate(state.initial_margin),
        "accountMMRate": rate(state.maintenance_margin),
        "accountMMRateByMp": rate(state.maintenance_margin),
        "totalEquity": money(state.equity),
        "totalWalletBalance": money(state.wallet),
        "totalMarginBalance": total(state.equity),
        "totalAvailableBalance": total(state.available),
        "totalPerpUPL": money(state.unrealized),
        "totalInitialMargin": total(state.initial_margin),
        "totalInitialMarginByMp": total(state.initial_margin),
        "totalMaintenanceMargin": total(state.maintenance_margin),
        "totalMaintenanceMarginByMp": total(state.maintenance_margin),
        "coin": [coin],
    }


def any_isolated(truth: Exchange, account: str) -> bool:
    """Whether the account is in isolated margin mode (account-wide in a unified account)."""
    first = next(iter(truth.instruments), None)
    return first is not None and truth.margin_mode(account, first) is MarginMode.ISOLATED
