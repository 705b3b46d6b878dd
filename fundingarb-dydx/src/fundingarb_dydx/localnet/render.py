"""Orders, fills, positions and subaccounts in the indexer's words, for REST and streams alike."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from fundingarb.localnet.truth.types import Fill, FundingPayment, LedgerKind, LedgerRow
from fundingarb_dydx.localnet.contracts import EXPONENT, NAMESPACE, STEP_QUANTUMS, Perpetual
from fundingarb_dydx.localnet.desk import SUBACCOUNT, Desk
from fundingarb_dydx.localnet.orders import BEST_EFFORT_CANCELED, BEST_EFFORT_OPENED, Record
from fundingarb_dydx.localnet.positions import PositionRow
from fundingarb_dydx.localnet.transactions import IOC, POST_ONLY
from fundingarb_dydx.localnet.wire import iso, plain, rounded

__all__ = [
    "asset_position",
    "fill_row",
    "funding_row",
    "market_row",
    "order_row",
    "position_row",
    "subaccount",
    "transfer_row",
    "usdc",
]


# -- markets -----------------------------------------------------------------------------------------------------


def market_row(desk: Desk, perpetual: Perpetual) -> dict[str, Any]:
    """A market of ``/perpetualMarkets``. ``nextFundingRate`` is for the hour that is running."""
    truth, ticker, instrument = desk.truth, perpetual.ticker, perpetual.instrument
    view = truth.ticker(ticker)
    open_interest = plain(view.open_interest)
    return {
        "clobPairId": str(perpetual.clob_pair),
        "ticker": ticker,
        "status": "ACTIVE" if truth.trading(ticker) else "PAUSED",
        "oraclePrice": plain(desk.oracle(ticker)),
        "priceChange24H": plain(view.last - view.open_24h),
        "volume24H": rounded(view.turnover_24h, 4),
        "trades24H": _trades_24h(view.volume_24h, instrument.lot),
        "nextFundingRate": plain(truth.funding(ticker).rate),
        "initialMarginFraction": plain(perpetual.initial_margin),
        "maintenanceMarginFraction": plain(perpetual.maintenance_margin),
        "openInterest": open_interest,
        "atomicResolution": perpetual.resolution,
        "quantumConversionExponent": EXPONENT,
        "tickSize": plain(instrument.tick),
        "stepSize": plain(instrument.lot),
        "stepBaseQuantums": STEP_QUANTUMS,
        "subticksPerTick": perpetual.subticks_per_tick,
        "marketType": "CROSS",
        "openInterestLowerCap": "0",
        "openInterestUpperCap": "0",
        "baseOpenInterest": open_interest,
        "defaultFundingRate1H": "0",
    }


def _trades_24h(volume: Decimal, lot: Decimal) -> int:
    """The truth counts no trades; a hundred lots each."""
    return int(volume / lot / 100)


# -- orders and fills --------------------------------------------------------------------------------------------


def order_row(desk: Desk, record: Record, *, stream: bool) -> dict[str, Any]:
    """An order. One that only the cache knows has no heights and times. Streams leave out the subaccount's number, and
    what was filled of an order that they tell of by best effort: that is only what a node believes."""
    message = record.message
    row: dict[str, Any] = {
        "id": record.id,
        "subaccountId": desk.subaccount_id(record.account),
        "clientId": str(message.id.client_id),
        "clobPairId": str(message.id.clob_pair),
        "side": record.side.value,
        "size": plain(record.size),
        "totalFilled": plain(record.filled),
        "price": plain(record.price),
        "type": "LIMIT",
        "status": record.status,
        "timeInForce": "IOC" if message.time_in_force == IOC else "GTT",
        "reduceOnly": message.reduce_only,
        "orderFlags": str(message.id.flags),
        "clientMetadata": str(message.metadata),
        "postOnly": message.time_in_force == POST_ONLY,
        "ticker": record.perpetual.ticker,
    }
    if record.short_term:
        row["goodTilBlock"] = str(message.good_til)
    else:
        row["goodTilBlockTime"] = iso(message.good_til * 1000)
    if record.stored:
        row["createdAtHeight"] = str(record.created_height)
        row["updatedAt"] = iso(record.updated_ms)
        row["updatedAtHeight"] = str(record.updated_height)
    if message.router:
        row["orderRouterAddress"] = message.router
    if stream:
        if record.removal is not None:
            row["removalReason"] = record.removal
        if record.status == BEST_EFFORT_CANCELED:
            row["totalOptimisticFilled"] = plain(max(record.optimistic, record.filled))
        if record.status in (BEST_EFFORT_OPENED, BEST_EFFORT_CANCELED):
            del row["totalFilled"]
    else:
        row["subaccountNumber"] = message.id.subaccount
    return row


def _fill_type(fill: Fill) -> str:
    """Who is auto-deleveraged offsets a bankrupt position: DELEVERAGED is what happens to the bankrupt one."""
    return "LIQUIDATED" if fill.liquidation else "OFFSETTING" if fill.adl else "LIMIT"


def _fee(desk: Desk, fill: Fill) -> Decimal:
    """What the fill cost; of a liquidation also what the insurance fund took or put in, which is booked with it."""
    if not fill.liquidation:
        return fill.fee
    with_it = desk.truth.ledger(
        fill.account,
        kinds=(LedgerKind.LIQUIDATION_FEE, LedgerKind.INSURANCE),
        instrument=fill.instrument,
        start_ms=fill.time_ms,
        end_ms=fill.time_ms,
    )
    return fill.fee - sum((row.amount for row in with_it), Decimal(0))


def fill_row(desk: Desk, fill: Fill, record: Record | None, *, stream: bool) -> dict[str, Any]:
    """A fill. ``fee`` is positive when paid. Streams say ``ticker`` where REST says ``market``."""
    perpetual = desk.perpetuals[fill.instrument]
    height = str(desk.chain.height_at(fill.time_ms))
    row: dict[str, Any] = {
        "id": fill.id,
        "side": fill.side.value,
        "liquidity": "MAKER" if fill.maker else "TAKER",
        "type": _fill_type(fill),
        "price": plain(fill.price),
        "size": plain(fill.quantity),
        "fee": plain(_fee(desk, fill)),
        "affiliateRevShare": "0",
        "createdAt": iso(fill.time_ms),
        "createdAtHeight": height,
    }
    if record is not None:
        row["orderId"] = record.id
        row["clientMetadata"] = str(record.message.metadata)
    if not stream:
        row |= {"market": fill.instrument, "marketType": "PERPETUAL", "subaccountNumber": SUBACCOUNT}
        return row
    return row | {
        "subaccountId": desk.subaccount_id(fill.account),
        "clobPairId": str(perpetual.clob_pair),
        "ticker": fill.instrument,
        "quoteAmount": plain(fill.value),
        "eventId": event_id(int(height), fill.sequence),
        "transactionHash": record.hash if record is not None else "",
    }


def event_id(height: int, number: int) -> str:
    """Twelve bytes in hexadecimal: block, transaction, event."""
    return f"{height:08x}{2:08x}{number & 0xFFFFFFFF:08x}"


# -- positions and balances --------------------------------------------------------------------------------------


def position_row(desk: Desk, row: PositionRow, *, stream: bool) -> dict[str, Any]:
    """A position, open or not. ``size`` and ``maxSize`` are negative for shorts."""
    exit_price = row.exit_price
    shown: dict[str, Any] = {
        "market": row.instrument,
        "status": row.status,
        "side": "LONG" if row.long else "SHORT",
        "size": plain(row.size),
        "maxSize": plain(row.largest),
        "entryPrice": rounded(row.entry_price),
        "exitPrice": rounded(exit_price) if exit_price is not None else None,
        "realizedPnl": rounded(row.realized),
        "unrealizedPnl": rounded(row.unrealized(desk.oracle(row.instrument))),
        "sumOpen": plain(row.opened),
        "sumClose": plain(row.closed),
        "netFunding": plain(row.funding),
        "subaccountNumber": SUBACCOUNT,
    }
    if stream:
        address = desk.address(row.account)
        position = str(uuid.uuid5(NAMESPACE, f"{address}-{row.instrument}-{row.id}"))
        return {"address": address, "positionId": position} | shown
    return shown | {
        "createdAt": iso(row.created_ms),
        "createdAtHeight": str(desk.chain.height_at(row.created_ms)),
        "closedAt": iso(row.closed_ms) if row.closed_ms is not None else None,
    }


def usdc(desk: Desk, account: str) -> Decimal:
    """The USDC of a subaccount: what it would have if its positions were worth nothing."""
    truth = desk.truth
    amount = truth.state(account).wallet
    for position in truth.positions(account):
        amount += position.unrealized - position.quantity * position.mark_price
    return amount


def asset_position(desk: Desk, account: str) -> dict[str, Any]:
    amount = usdc(desk, account)
    return {
        "symbol": "USDC",
        "side": "LONG" if amount >= 0 else "SHORT",
        "size": rounded(abs(amount), 6),
        "assetId": "0",
        "subaccountNumber": SUBACCOUNT,
    }


def subaccount(desk: Desk, account: str) -> dict[str, Any]:
    """Equity, free collateral, open positions and USDC. Open orders lock nothing up."""
    state = desk.truth.state(account)
    rows = [row for row in desk.held(account) if row.closed_ms is None]
    height = str(desk.height)
    return {
        "address": desk.address(account),
        "subaccountNumber": SUBACCOUNT,
        "equity": plain(state.equity),
        "freeCollateral": plain(state.equity - state.position_margin),
        "openPerpetualPositions": {row.instrument: position_row(desk, row, stream=False) for row in rows},
        "assetPositions": {"USDC": asset_position(desk, account)},
        "marginEnabled": True,
        "updatedAtHeight": str(desk.chain.height_at(state.updated_ms)),
        "latestProcessedBlockHeight": height,
    }


# -- money -------------------------------------------------------------------------------------------------------


def funding_row(desk: Desk, payment: FundingPayment) -> dict[str, Any]:
    """A funding payment: ``payment`` is positive when received, ``size`` negative for a short.

    It was made when it was reckoned, a little after the block at whose height it counts.
    """
    perpetual = desk.perpetuals[payment.instrument]
    return {
        "createdAt": iso(payment.time_ms),
        "createdAtHeight": str(desk.chain.height_at(payment.settlement_ms)),
        "perpetualId": str(perpetual.clob_pair),
        "ticker": payment.instrument,
        "oraclePrice": plain(payment.price),
        "size": plain(payment.quantity),
        "side": "LONG" if payment.quantity > 0 else "SHORT",
        "rate": plain(payment.rate),
        "payment": plain(payment.amount),
        "subaccountNumber": str(SUBACCOUNT),
        "fundingIndex": "0",
    }


def transfer_row(desk: Desk, row: LedgerRow) -> dict[str, Any]:
    """A deposit to or a withdrawal from the subaccount, by the address itself."""
    address = desk.address(row.account)
    inside = {"address": address, "subaccountNumber": SUBACCOUNT}
    outside = {"address": address}
    deposit = row.amount >= 0
    return {
        "id": str(uuid.uuid5(NAMESPACE, f"transfer-{address}-{row.id}")),
        "sender": outside if deposit else inside,
        "recipient": inside if deposit else outside,
        "size": plain(abs(row.amount)),
        "createdAt": iso(row.time_ms),
        "createdAtHeight": str(desk.chain.height_at(row.time_ms)),
        "symbol": row.asset,
        "type": "DEPOSIT" if deposit else "WITHDRAWAL",
        "transactionHash": uuid.uuid5(NAMESPACE, f"transaction-{address}-{row.id}").hex.upper() * 2,
    }
