"""Balances, positions and margin of an account."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fundingarb.localnet.truth.types import AccountState, MarginMode, Position, PositionSide
from fundingarb_binance.localnet.context import Call, Context
from fundingarb_binance.localnet.contracts import Listing
from fundingarb_binance.localnet.gateway import Endpoint
from fundingarb_binance.localnet.numbers import money, plain
from fundingarb_binance.localnet.order_views import side_of

__all__ = ["Accounts", "max_notional"]

ZERO = Decimal(0)


def max_notional(listing: Listing, leverage: Decimal) -> int:
    """The largest position the brackets allow at a leverage."""
    caps = [tier.max_value for tier in listing.instrument.tiers if tier.max_leverage >= leverage]
    return int(max(caps))


@dataclass(frozen=True, slots=True)
class _Resting:
    """What the open orders of one contract (and side) would buy and sell for."""

    bids: Decimal
    asks: Decimal


class Accounts:
    """Handlers of account, balance and position endpoints; shared with the websocket API."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def endpoints(self) -> list[Endpoint]:
        def signed(path: str, work: Callable[[Call], Any], operation: str, weight: int = 5) -> Endpoint:
            return Endpoint("GET", path, work, operation, weight, 0, "signed")

        return [
            signed("/fapi/v1/account", self.account_v2, "account.read"),
            signed("/fapi/v2/account", self.account_v2, "account.read"),
            signed("/fapi/v3/account", self.account_v3, "account.read"),
            signed("/fapi/v1/balance", self.balance, "balance.read"),
            signed("/fapi/v2/balance", self.balance, "balance.read"),
            signed("/fapi/v3/balance", self.balance, "balance.read"),
            signed("/fapi/v1/positionRisk", self.positions_v2, "positions.read"),
            signed("/fapi/v2/positionRisk", self.positions_v2, "positions.read"),
            signed("/fapi/v3/positionRisk", self.positions_v3, "positions.read"),
            signed("/fapi/v1/adlQuantile", self.adl_quantile, "positions.read"),
        ]

    # -- balances --------------------------------------------------------------------------------------------

    def _state(self, account: str) -> tuple[AccountState, list[Position]]:
        return self.context.truth.state(account), self.context.truth.positions(account)

    def _asset(self, account: str) -> dict[str, Any]:
        state, positions = self._state(account)
        isolated = sum((p.isolated_margin for p in positions), start=ZERO)
        cross_profit = sum((p.unrealized for p in positions if p.margin_mode is MarginMode.CROSS), start=ZERO)
        return {
            "asset": state.asset,
            "walletBalance": money(state.wallet),
            "unrealizedProfit": money(state.unrealized),
            "marginBalance": money(state.equity),
            "maintMargin": money(state.maintenance_margin),
            "initialMargin": money(state.initial_margin),
            "positionInitialMargin": money(state.position_margin),
            "openOrderInitialMargin": money(state.order_margin),
            "crossWalletBalance": money(state.wallet - isolated),
            "crossUnPnl": money(cross_profit),
            "availableBalance": money(state.available),
            "maxWithdrawAmount": money(max(ZERO, min(state.available, state.wallet - isolated))),
            "updateTime": state.updated_ms,
        }

    def _totals(self, asset: dict[str, Any]) -> dict[str, Any]:
        return {
            "totalInitialMargin": asset["initialMargin"],
            "totalMaintMargin": asset["maintMargin"],
            "totalWalletBalance": asset["walletBalance"],
            "totalUnrealizedProfit": asset["unrealizedProfit"],
            "totalMarginBalance": asset["marginBalance"],
            "totalPositionInitialMargin": asset["positionInitialMargin"],
            "totalOpenOrderInitialMargin": asset["openOrderInitialMargin"],
            "totalCrossWalletBalance": asset["crossWalletBalance"],
            "totalCrossUnPnl": asset["crossUnPnl"],
            "availableBalance": asset["availableBalance"],
            "maxWithdrawAmount": asset["maxWithdrawAmount"],
        }

    def balance(self, call: Call) -> list[dict[str, Any]]:
        asset = self._asset(call.account)
        alias = hashlib.sha256(call.account.encode()).hexdigest()[:4]
        return [
            {
                "accountAlias": alias,
                "asset": asset["asset"],
                "balance": asset["walletBalance"],
                "crossWalletBalance": asset["crossWalletBalance"],
                "crossUnPnl": asset["crossUnPnl"],
                "availableBalance": asset["availableBalance"],
                "maxWithdrawAmount": asset["maxWithdrawAmount"],
                "marginAvailable": True,
                "updateTime": asset["updateTime"],
            }
        ]

    def account_v3(self, call: Call) -> dict[str, Any]:
        asset = self._asset(call.account)
        rows = [self._risk_v3(position) for position in self._shown(call.account, None)]
        names = (
            "symbol",
            "positionSide",
            "positionAmt",
            "unRealizedProfit",
            "isolatedMargin",
            "notional",
            "isolatedWallet",
            "initialMargin",
            "maintMargin",
            "updateTime",
        )
        positions = []
        for row in rows:
            kept = {name: row[name] for name in names}
            kept["unrealizedProfit"] = kept.pop("unRealizedProfit")
            positions.append(kept)
        return {**self._totals(asset), "assets": [asset], "positions": positions}

    def account_v3_over_websocket(self, call: Call) -> dict[str, Any]:
        """As over REST, but with ``marginAvailable`` at the assets."""
        account = self.account_v3(call)
        return {**account, "assets": [{**one, "marginAvailable": True} for one in account["assets"]]}

    def account_v2(self, call: Call) -> dict[str, Any]:
        asset = self._asset(call.account)
        positions = self.context.truth.positions(call.account, flat=True)
        return {
            "feeTier": 0,
            "feeBurn": True,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": False,
            "tradeGroupId": -1,
            "updateTime": 0,
            "multiAssetsMargin": False,
            **self._totals(asset),
            "assets": [{**asset, "marginAvailable": True}],
            "positions": [self._account_position_v2(position) for position in positions],
        }

    def _account_position_v2(self, position: Position) -> dict[str, Any]:
        listing = self.context.listings[position.instrument]
        resting = self._resting(position)
        order_margin = self._order_margin(position, resting)
        return {
            "symbol": position.instrument,
            "initialMargin": money(position.initial_margin + order_margin),
            "maintMargin": money(position.maintenance_margin),
            "unrealizedProfit": money(position.unrealized),
            "positionInitialMargin": money(position.initial_margin),
            "openOrderInitialMargin": money(order_margin),
            "leverage": str(int(position.leverage)),
            "isolated": position.margin_mode is MarginMode.ISOLATED,
            "entryPrice": plain(position.entry_price, 8),
            "breakEvenPrice": plain(position.break_even_price, 8),
            "maxNotional": str(max_notional(listing, position.leverage)),
            "bidNotional": plain(resting.bids, least=0),
            "askNotional": plain(resting.asks, least=0),
            "positionSide": side_of(position.side),
            "positionAmt": self.context.quantity(listing, position.quantity),
            "notional": plain(_notional(position), least=0),
            "isolatedWallet": plain(position.isolated_margin, least=0),
            "updateTime": position.updated_ms,
        }

    # -- positions -------------------------------------------------------------------------------------------

    def _shown(self, account: str, symbol: str | None) -> list[Position]:
        """Positions that are open or have open orders, as version 3 lists them."""
        truth = self.context.truth
        busy = {(order.instrument, order.position_side) for order in truth.open_orders(account, symbol)}
        return [
            position
            for position in truth.positions(account, symbol, flat=True)
            if position.quantity or (position.instrument, position.side) in busy
        ]

    def _symbol(self, call: Call) -> str | None:
        symbol = call.params.optional("symbol")
        return self.context.listing(symbol).id if symbol else None

    def positions_v3(self, call: Call) -> list[dict[str, Any]]:
        return [self._risk_v3(position) for position in self._shown(call.account, self._symbol(call))]

    def positions_v2(self, call: Call) -> list[dict[str, Any]]:
        positions = self.context.truth.positions(call.account, self._symbol(call), flat=True)
        if self.context.truth.hedge_mode(call.account):
            positions = [p for p in positions if p.side is not PositionSide.NET]
        return [self._risk_v2(position) for position in positions]

    def _risk(self, position: Position) -> dict[str, Any]:
        listing = self.context.listings[position.instrument]
        liquidation = position.liquidation_price
        return {
            "symbol": position.instrument,
            "positionSide": side_of(position.side),
            "positionAmt": self.context.quantity(listing, position.quantity),
            "entryPrice": plain(position.entry_price, 8),
            "breakEvenPrice": plain(position.break_even_price, 8),
            "markPrice": money(position.mark_price),
            "unRealizedProfit": money(position.unrealized),
            "liquidationPrice": "0"
            if liquidation is None or not position.quantity
            else plain(liquidation, 8),
            "isolatedMargin": money(_isolated_with_profit(position)),
            "notional": plain(_notional(position), least=0),
            "isolatedWallet": plain(position.isolated_margin, least=0),
            "updateTime": position.updated_ms,
        }

    def _risk_v2(self, position: Position) -> dict[str, Any]:
        listing = self.context.listings[position.instrument]
        isolated = position.margin_mode is MarginMode.ISOLATED
        return {
            **self._risk(position),
            "leverage": str(int(position.leverage)),
            "maxNotionalValue": str(max_notional(listing, position.leverage)),
            "marginType": "isolated" if isolated else "cross",
            "isAutoAddMargin": "false",
            "adlQuantile": position.adl_rank,
        }

    def _risk_v3(self, position: Position) -> dict[str, Any]:
        resting = self._resting(position)
        order_margin = self._order_margin(position, resting)
        return {
            **self._risk(position),
            "marginAsset": self.context.listings[position.instrument].instrument.settle,
            "initialMargin": money(position.initial_margin + order_margin),
            "maintMargin": money(position.maintenance_margin),
            "positionInitialMargin": money(position.initial_margin),
            "openOrderInitialMargin": money(order_margin),
            "adl": position.adl_rank,
            "bidNotional": plain(resting.bids, least=0),
            "askNotional": plain(resting.asks, least=0),
        }

    def _resting(self, position: Position) -> _Resting:
        bids = asks = ZERO
        for order in self.context.truth.open_orders(position.account, position.instrument):
            if order.position_side is position.side and not order.reduce_only:
                value = order.remaining * (order.price or ZERO)
                bids, asks = (bids + value, asks) if order.side.value == "BUY" else (bids, asks + value)
        return _Resting(bids, asks)

    @staticmethod
    def _order_margin(position: Position, resting: _Resting) -> Decimal:
        """Margin the open orders need beyond the position's own: the worse of both directions."""
        held = _notional(position)
        worst = max(abs(held), abs(held + resting.bids), abs(held - resting.asks))
        return (worst - abs(held)) / position.leverage

    def adl_quantile(self, call: Call) -> Any:
        symbol = self._symbol(call)
        ranks: dict[str, dict[str, int]] = {}
        for position in self.context.truth.positions(call.account, symbol, flat=symbol is not None):
            ranks.setdefault(position.instrument, {})[side_of(position.side)] = position.adl_rank
        if not self.context.truth.hedge_mode(call.account):
            for rank in ranks.values():
                rank.setdefault("LONG", 0)
                rank.setdefault("SHORT", 0)
        return [{"symbol": name, "adlQuantile": rank} for name, rank in ranks.items()]


def _notional(position: Position) -> Decimal:
    """Signed, as Binance shows it."""
    return position.value if position.quantity >= 0 else -position.value


def _isolated_with_profit(position: Position) -> Decimal:
    if position.margin_mode is not MarginMode.ISOLATED or not position.quantity:
        return ZERO
    return position.isolated_margin + position.unrealized
