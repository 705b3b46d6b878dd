"""From the parameters of an order to a request for the truth, with Binance's own checks in its order."""

from __future__ import annotations

import random
import re
from decimal import Decimal

from fundingarb.localnet.truth.types import (
    OrderRequest,
    OrderType,
    PositionSide,
    Reason,
    Refused,
    Side,
    TimeInForce,
)
from fundingarb_binance.localnet.answers import BinanceError, missing
from fundingarb_binance.localnet.context import Context
from fundingarb_binance.localnet.contracts import Listing
from fundingarb_binance.localnet.numbers import decimals_of
from fundingarb_binance.localnet.params import Params

__all__ = ["check_id", "order_request", "refused_order"]

_ID_RANGE = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"
_ID = re.compile(_ID_RANGE.replace("{1,36}", "+"))
_CONDITIONAL = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
_TIME_IN_FORCE = {
    "GTC": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    "GTX": TimeInForce.POST_ONLY,
    "GTD": TimeInForce.GTC,
}
_SELF_TRADE = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")
_GTD_LEAST_MS = 600_000


def check_id(params: Params, name: str) -> str | None:
    """A client order id that Binance would take."""
    value = params.optional(name)
    if value is None:
        return None
    if not _ID.match(value):
        raise BinanceError(
            -1100, f"Illegal characters found in parameter '{name}'; legal range is '{_ID_RANGE}'."
        )
    if len(value) > 36:
        raise BinanceError(-4015, "Client order id length should be less than 36 chars")
    return value


def order_request(context: Context, account: str, params: Params, ids: random.Random) -> OrderRequest:
    """The order asked for. Raises ``BinanceError`` for what never reaches the matching engine."""
    listing = context.required(params)
    side = _required_choice(params, "side", ("BUY", "SELL"), BinanceError(-1117, "Invalid side."))
    kind = _required_choice(
        params, "type", ("LIMIT", "MARKET", *_CONDITIONAL), BinanceError(-1116, "Invalid orderType.")
    )
    if kind in _CONDITIONAL:
        raise BinanceError(
            -4120,
            "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
        )
    tif = params.choice("timeInForce", _TIME_IN_FORCE, BinanceError(-1115, "Invalid timeInForce."))
    quantity, price = params.decimal("quantity"), params.decimal("price")
    client_id = check_id(params, "newClientOrderId")
    if params.boolean("closePosition"):
        raise BinanceError(-4136, f"Target strategy invalid for orderType '{kind}',closePosition 'true'.")
    if quantity is None:
        raise missing("quantity")
    if kind == "LIMIT":
        if tif is None:
            raise missing("timeInForce")
        if price is None:
            raise missing("price")
    else:
        for name in ("price", "timeInForce", "stopPrice"):
            if params.optional(name):
                raise BinanceError(-1106, f"Parameter '{name}' sent when not required.")
    _check_quantity(listing, quantity)
    if price is not None:
        _check_price(context, listing, Side(side), price)
    hedged = context.truth.hedge_mode(account)
    position_side, reduce_only = _position(params, hedged)
    expires, extra = _expiry(context, params, tif)
    mode = params.choice(
        "selfTradePreventionMode", _SELF_TRADE, BinanceError(-1130, "Invalid selfTradePreventionMode.")
    )
    if mode:
        extra["selfTradePreventionMode"] = mode
    return OrderRequest(
        instrument=listing.id,
        side=Side(side),
        quantity=quantity,
        type=OrderType(kind),
        price=price,
        time_in_force=_TIME_IN_FORCE[tif or "GTC"],
        reduce_only=reduce_only,
        position_side=position_side,
        client_id=client_id or _new_id(ids),
        expires_ms=expires,
        extra=extra,
    )


def _required_choice(params: Params, name: str, known: tuple[str, ...], error: BinanceError) -> str:
    params.required(name)
    return params.choice(name, known, error) or ""


def _new_id(ids: random.Random) -> str:
    """What Binance calls an order that its client did not name."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return "".join(ids.choice(alphabet) for _ in range(22))


def _check_quantity(listing: Listing, quantity: Decimal) -> None:
    if quantity <= 0:
        raise BinanceError(-4003, "Quantity less than or equal to zero.")
    if decimals_of(quantity.normalize()) > listing.quantity_precision:
        raise BinanceError(-1111, "Precision is over the maximum defined for this asset.")


def _check_price(context: Context, listing: Listing, side: Side, price: Decimal) -> None:
    if price <= 0:
        raise BinanceError(-4001, "Price less than 0.")
    if decimals_of(price.normalize()) > listing.price_precision:
        raise BinanceError(-1111, "Precision is over the maximum defined for this asset.")
    if price > listing.max_price:
        raise BinanceError(-4002, "Price greater than max price.")
    if price < listing.min_price:
        raise BinanceError(-4013, "Price less than min price.")
    if price % listing.instrument.tick:
        raise BinanceError(-4014, "Price not increased by tick size.")
    mark = context.truth.mark(listing.id)
    cap = mark * (1 + listing.instrument.price_band)
    floor = mark * (1 - listing.instrument.price_band)
    if side is Side.BUY and price > cap:
        raise BinanceError(-4016, f"Limit price can't be higher than {context.price(listing, cap)}.")
    if side is Side.SELL and price < floor:
        raise BinanceError(-4024, f"Limit price can't be lower than {context.price(listing, floor)}.")


def _position(params: Params, hedged: bool) -> tuple[PositionSide, bool]:
    named = params.choice(
        "positionSide", ("BOTH", "LONG", "SHORT"), BinanceError(-4060, "Invalid position side.")
    )
    reduce_only = params.boolean("reduceOnly", None)
    if hedged != (named in ("LONG", "SHORT")):
        raise BinanceError(-4061, "Order's position side does not match user's setting.")
    if hedged and reduce_only is not None:
        raise BinanceError(-1106, "Parameter 'reduceonly' sent when not required.")
    side = PositionSide(named) if hedged and named else PositionSide.NET
    return side, bool(reduce_only)


def _expiry(context: Context, params: Params, tif: str | None) -> tuple[int | None, dict[str, str]]:
    if tif != "GTD":
        return None, {}
    until = params.integer("goodTillDate")
    if until is None:
        raise missing("goodTillDate")
    if until <= context.truth.now_ms + _GTD_LEAST_MS:
        raise BinanceError(-4183, "GoodTillDate is invalid: it must be at least 600 seconds in the future.")
    until = until // 1000 * 1000
    return until, {"timeInForce": "GTD", "goodTillDate": str(until)}


def refused_order(context: Context, listing: Listing, refused: Refused) -> BinanceError | Refused:
    """A refusal with the figure Binance puts into its text."""
    if refused.reason is Reason.MIN_NOTIONAL and refused.code is None:
        least = listing.instrument.min_notional
        return BinanceError(
            -4164, f"Order's notional must be no smaller than {least:f} (unless you choose reduce only)."
        )
    return refused
