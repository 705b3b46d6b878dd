"""The way in for REST requests: weights, bans, keys, signatures, and errors as Binance words them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web

from fundingarb.localnet.dialect import Route
from fundingarb.localnet.limits import LimitRule, RateLimiter
from fundingarb.localnet.truth.types import Refused
from fundingarb_binance.localnet.answers import BinanceError, answer, refusal
from fundingarb_binance.localnet.context import Call, Context
from fundingarb_binance.localnet.keys import Key, check_window
from fundingarb_binance.localnet.params import Params, read, signed_payload

__all__ = ["LIMITS", "Endpoint", "Gateway"]

Count = int | Callable[[Params], int]

LIMITS = (
    LimitRule("REQUEST_WEIGHT", 2400, 60, "ip"),
    LimitRule("ORDERS_1M", 1200, 60, "account"),
    LimitRule("ORDERS_10S", 300, 10, "account"),
)
_PATIENCE = 60
"""Requests over the limit within one minute after which the address is banned."""
_BAN_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One REST endpoint. ``weight`` and ``orders`` may depend on the parameters."""

    method: str
    path: str
    work: Callable[[Call], Any]
    operation: str
    weight: Count = 1
    orders: Count = 0
    security: Literal["none", "key", "signed"] = "none"


class Gateway:
    """Turns endpoints into routes."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.limiter = RateLimiter(LIMITS)
        self._banned_until: dict[str, float] = {}
        self._excess: dict[str, tuple[int, int]] = {}

    def routes(self, endpoints: Iterable[Endpoint]) -> list[Route]:
        return [Route(each.method, each.path, self._handler(each), each.operation) for each in endpoints]

    def _handler(self, endpoint: Endpoint) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            params = await read(request)
            headers: dict[str, str] = {}
            try:
                self.charge_weight(request.remote or "", _count(endpoint.weight, params), headers)
                call = await self._admit(endpoint, request, params, headers)
                return answer(endpoint.work(call), headers=headers)
            except BinanceError as error:
                return error.response(headers)
            except Refused as refused:
                return refusal(refused).response(headers)

        return handle

    async def _admit(
        self, endpoint: Endpoint, request: web.Request, params: Params, headers: dict[str, str]
    ) -> Call:
        if endpoint.security == "none":
            return Call(params)
        key = self.context.keys.require(request.headers.get("X-MBX-APIKEY"))
        if endpoint.security == "signed":
            self.check_signature(key, params, await signed_payload(request))
            self._check_permission(key, request.method)
        orders = _count(endpoint.orders, params)
        if orders:
            self.charge_orders(key.account, orders, headers)
        return Call(params, key.account, key.api_key)

    def _check_permission(self, key: Key, method: str) -> None:
        extra = self.context.truth.credentials(key.account).extra
        if method != "GET" and extra.get("read_only") == "true":
            raise BinanceError(-2015, "Invalid API-key, IP, or permissions for action.", 401)

    def check_signature(self, key: Key, params: Params, *payloads: str) -> None:
        """Refuse a missing or wrong signature, then a stamp outside of the window."""
        signature = params.required("signature")
        if not any(key.signed(payload, signature) for payload in payloads):
            raise BinanceError(-1022, "Signature for this request is not valid.")
        check_window(self.context.venue, params)

    def charge_weight(self, address: str, weight: int, headers: dict[str, str]) -> int:
        """Count a request against its address; too many are refused, and in the end banned."""
        real = self.context.venue.real()
        left = self._banned_until.get(address, 0.0) - real
        if left > 0:
            raise self._banned(left)
        state = self.limiter.charge("REQUEST_WEIGHT", address, weight, real)
        headers["X-MBX-USED-WEIGHT-1M"] = str(state.used)
        if state.exceeded:
            window = int(real // state.rule.seconds)
            before, count = self._excess.get(address, (window, 0))
            count = count + 1 if before == window else 1
            self._excess[address] = (window, count)
            if count > _PATIENCE:
                self._banned_until[address] = real + _BAN_SECONDS
                raise self._banned(_BAN_SECONDS)
            raise BinanceError(
                -1003,
                f"Too many requests; current limit of IP({address}) is {state.rule.limit} requests per minute. "
                "Please use the websocket for live updates to avoid polling the API.",
                429,
                {"Retry-After": str(math.ceil(state.retry_after))},
            )
        return state.used

    @staticmethod
    def _banned(seconds: float) -> BinanceError:
        until = round((time.time() + seconds) * 1000)
        return BinanceError(
            -1003,
            f"Way too many requests; IP banned until {until}. "
            "Please use the websocket for live updates to avoid bans.",
            418,
            {"Retry-After": str(math.ceil(seconds))},
        )

    def charge_orders(self, account: str, orders: int, headers: dict[str, str]) -> dict[str, int]:
        """Count new orders against their account."""
        real = self.context.venue.real()
        counts = {}
        for name, label, text in (("ORDERS_10S", "10S", "10 SECOND"), ("ORDERS_1M", "1M", "MINUTE")):
            state = self.limiter.charge(name, account, orders, real)
            headers[f"X-MBX-ORDER-COUNT-{label}"] = str(state.used)
            counts[name] = state.used
            if state.exceeded:
                raise BinanceError(
                    -1015,
                    f"Too many new orders; current limit is {state.rule.limit} orders per {text}.",
                    429,
                    {"Retry-After": str(math.ceil(state.retry_after))},
                )
        return counts


def _count(count: Count, params: Params) -> int:
    return count if isinstance(count, int) else count(params)
