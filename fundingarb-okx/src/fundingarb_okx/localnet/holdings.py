"""Positions and the balance in OKX's words, for REST and the private channels alike."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.types import AccountState, MarginMode, Position, PositionSide
from fundingarb_okx.localnet.desk import SWAP, Desk
from fundingarb_okx.localnet.render import margin_mode, position_side
from fundingarb_okx.localnet.wire import decimals_of, money, plain, rounded

__all__ = ["balance_row", "position_row"]

ZERO = Decimal(0)


def _ratio(above: Decimal, below: Decimal) -> str:
    return money(above / below) if below else ""


def position_row(desk: Desk, position: Position, state: AccountState | None = None) -> dict[str, Any]:
    """A position; ``pos`` is signed in net mode and never negative in long/short mode."""
    truth = desk.truth
    instrument = truth.instruments[position.instrument]
    span = desk.journal.span(position.account, position.instrument, position.side)
    ticker = truth.ticker(position.instrument)
    cross = position.margin_mode is MarginMode.CROSS
    state = state if state is not None else truth.state(position.account)
    net = position.side is PositionSide.NET
    size = position.quantity if net else abs(position.quantity)
    size_base = abs(position.quantity) * instrument.contract_size
    sign = 1 if position.quantity >= 0 else -1
    margin = position.initial_margin if cross else position.isolated_margin
    last_profit = (ticker.last - position.entry_price) * size_base * sign
    profit, fees, funding = (
        (span.profit, span.fees, span.funding) if span is not None else (position.realized, ZERO, ZERO)
    )
    equity = state.equity if cross else position.isolated_margin + position.unrealized
    needed = state.maintenance_margin if cross else position.maintenance_margin
    places = decimals_of(instrument.tick) + 4
    liquidation = position.liquidation_price
    return {
        "adl": str(position.adl_rank + 1) if position.quantity else "",
        "availPos": "" if net else plain(size),
        "avgPx": money(position.entry_price) if position.quantity else "",
        "baseBal": "",
        "baseBorrowed": "",
        "baseInterest": "",
        "bePx": money(position.break_even_price) if position.quantity else "",
        "bizRefId": "",
        "bizRefType": "",
        "cTime": str(position.created_ms),
        "ccy": instrument.settle,
        "clSpotInUseAmt": "",
        "closeOrderAlgo": [],
        "deltaBS": "",
        "deltaPA": "",
        "fee": money(-fees),
        "fundingFee": money(funding),
        "gammaBS": "",
        "gammaPA": "",
        "hedgedPos": "",
        "idxPx": plain(ticker.index),
        "imr": money(position.initial_margin) if cross else "",
        "instId": position.instrument,
        "instType": SWAP,
        "interest": "",
        "last": plain(ticker.last),
        "lever": plain(position.leverage),
        "liab": "",
        "liabCcy": "",
        "liqPenalty": "0",
        "liqPx": "" if liquidation is None or not position.quantity else rounded(liquidation, places),
        "margin": "" if cross else money(position.isolated_margin),
        "markPx": plain(position.mark_price),
        "maxSpotInUseAmt": "",
        "mgnMode": margin_mode(position.margin_mode),
        "mgnRatio": _ratio(equity, needed) if position.quantity else "",
        "mmr": money(position.maintenance_margin),
        "nonSettleAvgPx": "",
        "notionalUsd": money(position.value),
        "optVal": "",
        "pTime": desk.stamp(),
        "pendingCloseOrdLiabVal": "",
        "pnl": money(profit),
        "pos": plain(size),
        "posCcy": "",
        "posId": span.id if span is not None else "",
        "posSide": position_side(position.side),
        "quoteBal": "",
        "quoteBorrowed": "",
        "quoteInterest": "",
        "realizedPnl": money(profit - fees + funding),
        "settledPnl": "",
        "spotInUseAmt": "",
        "spotInUseCcy": "",
        "thetaBS": "",
        "thetaPA": "",
        "tradeId": span.trade_id if span is not None else "",
        "uTime": str(position.updated_ms),
        "upl": money(position.unrealized),
        "uplLastPx": money(last_profit),
        "uplRatio": _ratio(position.unrealized, margin) or "0",
        "uplRatioLastPx": _ratio(last_profit, margin) or "0",
        "usdPx": "",
        "vegaBS": "",
        "vegaPA": "",
    }


# -- balance ---------------------------------------------------------------------------------------------------


def balance_row(truth: Exchange, account: str) -> dict[str, Any]:
    """A futures-mode account: totals in USD (one USDT counts as one dollar) and the USDT balance.

    The fields of the account as a whole that only multi-currency accounts have are empty, as on OKX.
    """
    state = truth.state(account)
    updated = str(state.updated_ms)
    frozen = max(ZERO, state.equity - state.available)
    isolated = [p for p in truth.positions(account) if p.margin_mode is MarginMode.ISOLATED]
    locked = sum((p.isolated_margin for p in isolated), ZERO)
    isolated_profit = sum((p.unrealized for p in isolated), ZERO)
    notional = sum((p.value for p in truth.positions(account)), ZERO)
    detail = {
        "accAvgPx": "",
        "autoLendAmt": "0",
        "autoLendMtAmt": "0",
        "autoLendStatus": "off",
        "availBal": money(state.available),
        "availEq": money(state.available),
        "borrowFroz": "0",
        "cashBal": money(state.wallet),
        "ccy": state.asset,
        "clSpotInUseAmt": "",
        "colBorrAutoConversion": "0",
        "colRes": "0",
        "collateralEnabled": False,
        "collateralRestrict": False,
        "crossLiab": "",
        "disEq": money(state.equity),
        "eq": money(state.equity),
        "eqUsd": money(state.equity),
        "fixedBal": "0",
        "frozenBal": money(frozen),
        "frpType": "0",
        "imr": money(state.initial_margin),
        "interest": "",
        "isoEq": money(locked + isolated_profit),
        "isoLiab": "",
        "isoUpl": money(isolated_profit),
        "liab": "",
        "maxLoan": "",
        "maxSpotInUse": "",
        "maxSpotInUseAmt": "",
        "mgnRatio": _ratio(state.equity, state.maintenance_margin),
        "mmr": money(state.maintenance_margin),
        "notionalLever": _ratio(notional, state.equity) or "0",
        "openAvgPx": "",
        "ordFrozen": money(state.order_margin),
        "rewardBal": "0",
        "smtSyncEq": "0",
        "spotBal": "",
        "spotCopyTradingEq": "0",
        "spotInUseAmt": "",
        "spotIsoBal": "0",
        "spotUpl": "",
        "spotUplRatio": "",
        "stgyEq": "0",
        "totalPnl": "",
        "totalPnlRatio": "",
        "twap": "0",
        "uTime": updated,
        "upl": money(state.unrealized),
        "uplLiab": "",
    }
    return {
        "adjEq": "",
        "availEq": "",
        "borrowFroz": "",
        "delta": "",
        "deltaLever": "",
        "deltaNeutralStatus": "",
        "details": [detail],
        "imr": "",
        "isoEq": money(locked + isolated_profit),
        "mgnRatio": "",
        "mmr": "",
        "notionalUsd": "",
        "notionalUsdForBorrow": "",
        "notionalUsdForFutures": "",
        "notionalUsdForOption": "",
        "notionalUsdForSwap": "",
        "ordFroz": "",
        "totalEq": money(state.equity),
        "uTime": updated,
        "upl": "",
    }
