"""Leverage, margin type, position mode and the other settings of an account."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from fundingarb.localnet.truth.types import MarginMode, Reason, Refused
from fundingarb_binance.localnet.accounts import max_notional
from fundingarb_binance.localnet.answers import BinanceError, missing
from fundingarb_binance.localnet.context import Call, Context
from fundingarb_binance.localnet.contracts import Listing
from fundingarb_binance.localnet.exchange_info import RATE_LIMITS
from fundingarb_binance.localnet.gateway import Endpoint

__all__ = ["Modes"]

SUCCESS = {"code": 200, "msg": "success"}


class Modes:
    """Handlers of settings endpoints."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._fee_burn: dict[str, bool] = {}

    def endpoints(self) -> list[Endpoint]:
        def signed(
            method: str, path: str, work: Callable[[Call], Any], operation: str, weight: int = 1
        ) -> Endpoint:
            return Endpoint(method, f"/fapi/v1/{path}", work, operation, weight, 0, "signed")

        return [
            signed("POST", "leverage", self.set_leverage, "leverage.set"),
            signed("POST", "marginType", self.set_margin_type, "margin_mode.set"),
            signed("GET", "positionSide/dual", self.position_mode, "position_mode.read", 30),
            signed("POST", "positionSide/dual", self.set_position_mode, "position_mode.set"),
            signed("GET", "multiAssetsMargin", self.multi_assets, "account.read", 30),
            signed("POST", "multiAssetsMargin", self.set_multi_assets, "margin_mode.set"),
            signed("GET", "leverageBracket", self.brackets, "leverage.read"),
            signed("GET", "symbolConfig", self.symbol_config, "leverage.read", 5),
            signed("GET", "accountConfig", self.account_config, "account.read", 5),
            signed("GET", "commissionRate", self.commission_rate, "fees.read", 20),
            signed("GET", "apiTradingStatus", self.trading_status, "account.read"),
            signed("GET", "rateLimit/order", self.order_limits, "account.read"),
            signed("GET", "feeBurn", self.fee_burn, "account.read", 30),
            signed("POST", "feeBurn", self.set_fee_burn, "account.read"),
        ]

    # -- leverage --------------------------------------------------------------------------------------------

    def set_leverage(self, call: Call) -> dict[str, Any]:
        listing = self.context.required(call.params)
        leverage = call.params.integer("leverage")
        if leverage is None:
            raise missing("leverage")
        try:
            self.context.truth.set_leverage(call.account, listing.id, Decimal(leverage))
        except Refused as refused:
            if refused.reason is Reason.LEVERAGE_OUT_OF_RANGE:
                raise BinanceError(-4028, f"Leverage {leverage} is not valid") from None
            # Setting the leverage it already has is a success at Binance.
            if refused.reason is not Reason.NOT_MODIFIED or refused.code is not None:
                raise
        return {
            "symbol": listing.id,
            "leverage": leverage,
            "maxNotionalValue": str(max_notional(listing, Decimal(leverage))),
        }

    def brackets(self, call: Call) -> list[dict[str, Any]]:
        return [_brackets(listing) for listing in self.context.asked(call.params)]

    # -- margin and position modes ---------------------------------------------------------------------------

    def set_margin_type(self, call: Call) -> dict[str, Any]:
        listing = self.context.required(call.params)
        kind = call.params.required("marginType")
        if kind not in ("ISOLATED", "CROSSED"):
            raise BinanceError(-1130, "Data sent for parameter 'marginType' is not valid.")
        mode = MarginMode.ISOLATED if kind == "ISOLATED" else MarginMode.CROSS
        try:
            self.context.truth.set_margin_mode(call.account, mode, listing.id)
        except Refused as refused:
            if refused.code is None and refused.reason is Reason.NOT_MODIFIED:
                raise BinanceError(-4046, "No need to change margin type.") from None
            resting = self.context.truth.open_orders(call.account, listing.id)
            if refused.code is None and refused.reason is Reason.MARGIN_MODE_LOCKED and resting:
                raise BinanceError(
                    -4047, "Margin type cannot be changed if there exists open orders."
                ) from None
            raise
        return dict(SUCCESS)

    def position_mode(self, call: Call) -> dict[str, Any]:
        return {"dualSidePosition": self.context.truth.hedge_mode(call.account)}

    def set_position_mode(self, call: Call) -> dict[str, Any]:
        call.params.required("dualSidePosition")
        hedge = bool(call.params.boolean("dualSidePosition"))
        try:
            self.context.truth.set_hedge_mode(call.account, hedge)
        except Refused as refused:
            if refused.code is None and refused.reason is Reason.NOT_MODIFIED:
                raise BinanceError(-4059, "No need to change position side.") from None
            resting = self.context.truth.open_orders(call.account)
            if refused.code is None and refused.reason is Reason.POSITION_MODE_LOCKED and resting:
                raise BinanceError(
                    -4067, "Position side cannot be changed if there exists open orders."
                ) from None
            raise
        return dict(SUCCESS)

    def multi_assets(self, call: Call) -> dict[str, Any]:
        return {"multiAssetsMargin": False}

    def set_multi_assets(self, call: Call) -> dict[str, Any]:
        """Single-asset mode is the only one here; asking for it again is refused as on the exchange."""
        call.params.required("multiAssetsMargin")
        if call.params.boolean("multiAssetsMargin"):
            raise BinanceError(-4084, "Method is not allowed currently. Upcoming soon.")
        raise BinanceError(
            -4171, "Adjusted asset mode is currently set and does not need to be adjusted repeatedly."
        )

    # -- what an account is set to ---------------------------------------------------------------------------

    def symbol_config(self, call: Call) -> list[dict[str, Any]]:
        rows = []
        for listing in self.context.asked(call.params):
            leverage = self.context.truth.leverage(call.account, listing.id)
            isolated = self.context.truth.margin_mode(call.account, listing.id) is MarginMode.ISOLATED
            rows.append(
                {
                    "symbol": listing.id,
                    "marginType": "ISOLATED" if isolated else "CROSSED",
                    "isAutoAddMargin": False,
                    "leverage": int(leverage),
                    "maxNotionalValue": str(max_notional(listing, leverage)),
                }
            )
        return rows

    def account_config(self, call: Call) -> dict[str, Any]:
        return {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": False,
            "dualSidePosition": self.context.truth.hedge_mode(call.account),
            "updateTime": 0,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
        }

    def commission_rate(self, call: Call) -> dict[str, Any]:
        listing = self.context.required(call.params)
        fees = self.context.truth.fees(call.account, listing.id)
        return {
            "symbol": listing.id,
            "makerCommissionRate": f"{fees.maker:f}",
            "takerCommissionRate": f"{fees.taker:f}",
            "rpiCommissionRate": "0.000050",
        }

    def trading_status(self, call: Call) -> dict[str, Any]:
        return {"indicators": {}, "updateTime": self.context.venue.server_ms()}

    def order_limits(self, call: Call) -> list[dict[str, Any]]:
        return [limit for limit in RATE_LIMITS if limit["rateLimitType"] == "ORDERS"]

    def fee_burn(self, call: Call) -> dict[str, Any]:
        """Whether BNB would pay the fees; accounts here hold no BNB, so it changes nothing."""
        return {"feeBurn": self._fee_burn.get(call.account, True)}

    def set_fee_burn(self, call: Call) -> dict[str, Any]:
        call.params.required("feeBurn")
        self._fee_burn[call.account] = bool(call.params.boolean("feeBurn"))
        return dict(SUCCESS)


def _brackets(listing: Listing) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    floor = 0
    for number, tier in enumerate(listing.instrument.tiers, start=1):
        rows.append(
            {
                "bracket": number,
                "initialLeverage": tier.max_leverage,
                "notionalCap": int(tier.max_value),
                "notionalFloor": floor,
                "maintMarginRatio": float(tier.maintenance_rate),
                "cum": float(tier.deduction),
            }
        )
        floor = int(tier.max_value)
    return {"symbol": listing.id, "notionalCoef": 1.0, "brackets": rows}
