"""The control API: read the truth, inject faults, move markets. JSON over HTTP, on loopback.

``GET /time``       simulated time and speed
``GET /truth``      every account: balances, positions, orders, fills, funding payments, ledger (``?account=NAME``)
``GET /markets``    prices, book tops and funding of every exchange (``?symbol=NAME``)
``GET /faults``     installed faults
``POST /faults``    install a fault (fields of ``faults.Fault``), ``{"clear": true}`` or ``{"clear": ID}``
``DELETE /faults``  clear all
``POST /market``    ``{symbol, exchange?, price | factor | spread_bps | depth | bids, asks | clear}``
``POST /funding``   ``{symbol, exchange?, rate?, interval_hours?, settlements? | clear}``
``POST /liquidate`` ``{account, symbol, side?}``
``POST /adl``       ``{account, symbol, quantity?, side?}``
``POST /transfer``  ``{account, amount}``
``POST /fees``      ``{account, maker, taker}``

Without ``exchange`` a market change happens on every exchange that lists the symbol. Errors are 400 with
``{"error": "one line"}``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from aiohttp import web

from fundingarb.localnet.clock import Clock, milliseconds
from fundingarb.localnet.errors import LocalnetError
from fundingarb.localnet.faults import IMMEDIATE, Fault, FaultKind
from fundingarb.localnet.streams import encode
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.report import iso, plain
from fundingarb.localnet.truth.rules import FeeTier
from fundingarb.localnet.truth.types import PositionSide, Refused
from fundingarb.localnet.venue import Venue

__all__ = ["Control"]

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Control:
    """What the control API does, also for use in process."""

    def __init__(self, venues: Mapping[str, Venue], clock: Clock) -> None:
        self._venues = venues
        self._clock = clock

    # -- reading ---------------------------------------------------------------------------------------------

    def time(self) -> dict[str, Any]:
        now = self._clock.now()
        return {"time": iso(milliseconds(now)), "unix": now, "speed": self._clock.speed}

    def truth(self, account: str | None = None) -> dict[str, Any]:
        """Every account (or one), keyed by its name."""
        accounts: dict[str, Any] = {}
        for name, venue in self._venues.items():
            venue.sync()
            for key, report in venue.truth.report()["accounts"].items():
                if account is None or key == account:
                    accounts[key] = {"exchange": name, **report}
        if account is not None and not accounts:
            raise LocalnetError(f"no account is called {account!r}")
        return {"time": self.time()["time"], "accounts": accounts}

    def markets(self, symbol: str | None = None) -> dict[str, Any]:
        """Prices and funding by exchange and symbol."""
        result: dict[str, Any] = {}
        for name, venue in self._venues.items():
            venue.sync()
            rows = result[name] = {}
            for key, instrument in venue.truth.instruments.items():
                if symbol is not None and symbol not in (key, instrument.symbol):
                    continue
                book = venue.truth.book(key, 5)
                rows[instrument.symbol] = {
                    "instrument": key,
                    "mark": f"{venue.truth.mark(key):f}",
                    "index": f"{venue.truth.index(key):f}",
                    "bids": plain(book.bids),
                    "asks": plain(book.asks),
                    "funding": plain(venue.truth.funding(key)),
                }
        return {"time": self.time()["time"], "exchanges": result}

    def faults(self) -> list[dict[str, Any]]:
        return [
            {**fault.to_json(), "exchange": name}
            for name, venue in self._venues.items()
            for fault in venue.faults.faults
        ]

    # -- faults ----------------------------------------------------------------------------------------------

    def install(self, fault: Fault) -> list[Fault]:
        """Install a fault (on every exchange it does not exclude), or let it happen if it is immediate."""
        if fault.exchange is not None:
            venues = [self._venue(fault.exchange)]
        elif fault.account is not None:
            venues = [self._venue_of_account(fault.account)]
        else:
            venues = list(self._venues.values())
        if fault.kind in IMMEDIATE:
            self._immediate(fault, venues)
            return [fault]
        installed = []
        for venue in venues:
            installed.append(venue.faults.install(replace(fault)))
            if fault.kind is FaultKind.MAINTENANCE:
                for session in venue.hub.sessions:
                    session.close(1012, "Service restart")
        return installed

    def clear(self, fault_id: int | None = None, exchange: str | None = None) -> int:
        """Remove faults; how many there were."""
        venues = self._venues.values() if exchange is None else [self._venue(exchange)]
        return sum(venue.faults.clear(fault_id) for venue in venues)

    def _immediate(self, fault: Fault, venues: Sequence[Venue]) -> None:
        if fault.symbol is None:
            raise LocalnetError(f"fault {fault.kind.value} needs a symbol")
        if fault.kind is FaultKind.PRICE_GAP:
            self._each(venues, fault.symbol, lambda truth, key: truth.move_price(key, factor=fault.factor))
        elif fault.kind is FaultKind.FUNDING_INTERVAL:
            self._each(
                venues, fault.symbol, lambda truth, key: truth.set_funding(key, interval_hours=fault.hours)
            )
        else:
            if fault.account is None:
                raise LocalnetError(f"fault {fault.kind.value} needs an account")
            self.close_by_force(fault)

    def close_by_force(self, fault: Fault) -> None:
        """Liquidate or deleverage the position the fault names."""
        truth = self._venue_of_account(fault.account or "").truth
        key = truth.instrument(fault.symbol or "").id
        if fault.kind is FaultKind.LIQUIDATION:
            truth.liquidate(fault.account or "", key)
            return
        held = sum((abs(one.quantity) for one in truth.positions(fault.account or "", key)), Decimal(0))
        truth.deleverage(fault.account or "", key, held * Decimal(str(fault.fraction)))

    # -- markets ---------------------------------------------------------------------------------------------

    def market(self, body: Mapping[str, Any]) -> None:
        """``POST /market``."""
        known = {
            "symbol",
            "exchange",
            "price",
            "factor",
            "spread_bps",
            "depth",
            "bids",
            "asks",
            "halted",
            "clear",
        }
        venues, symbol = self._target(body, known)
        if not isinstance(body.get("halted", False), bool):
            raise LocalnetError(f"halted must be true or false, not {body['halted']!r}")

        def change(truth: Exchange, key: str) -> None:
            if body.get("clear"):
                truth.clear_market(key)
            if "price" in body or "factor" in body:
                price = _decimal(body, "price") if "price" in body else None
                truth.move_price(key, price=price, factor=_number(body, "factor") if price is None else None)
            if "spread_bps" in body or "depth" in body:
                truth.set_liquidity(
                    key,
                    spread_bps=_number(body, "spread_bps") if "spread_bps" in body else None,
                    depth=_number(body, "depth") if "depth" in body else None,
                )
            if "bids" in body or "asks" in body:
                truth.set_book(key, _levels(body, "bids"), _levels(body, "asks"))
            if "halted" in body:
                truth.halt(key, body["halted"])

        self._each(venues, symbol, change)

    def funding(self, body: Mapping[str, Any]) -> None:
        """``POST /funding``."""
        known = {"symbol", "exchange", "rate", "interval_hours", "settlements", "clear"}
        venues, symbol = self._target(body, known)
        hours = body.get("interval_hours")
        if hours is not None and (not isinstance(hours, int) or hours < 1 or 24 % hours):
            raise LocalnetError(f"interval_hours must be a whole number that divides 24, not {hours!r}")

        def change(truth: Exchange, key: str) -> None:
            if body.get("clear"):
                truth.clear_market(key)
            truth.set_funding(
                key,
                rate=_decimal(body, "rate") if "rate" in body else None,
                interval_hours=hours,
                settlements=body.get("settlements"),
            )

        self._each(venues, symbol, change)

    def position(self, body: Mapping[str, Any], kind: FaultKind) -> None:
        """``POST /liquidate`` and ``POST /adl``."""
        account, symbol = str(body.get("account", "")), str(body.get("symbol", ""))
        truth = self._venue_of_account(account).truth
        side = PositionSide(str(body.get("side", "NET")).upper())
        key = truth.instrument(symbol).id
        if kind is FaultKind.LIQUIDATION:
            truth.liquidate(account, key, side)
        else:
            quantity = _decimal(body, "quantity") if "quantity" in body else None
            truth.deleverage(account, key, quantity, side)

    def transfer(self, body: Mapping[str, Any]) -> None:
        account = str(body.get("account", ""))
        self._venue_of_account(account).truth.transfer(account, _decimal(body, "amount"))

    def fees(self, body: Mapping[str, Any]) -> None:
        account = str(body.get("account", ""))
        tier = FeeTier(_decimal(body, "maker"), _decimal(body, "taker"))
        self._venue_of_account(account).truth.set_fees(account, tier)

    # -- inside ----------------------------------------------------------------------------------------------

    def _venue(self, exchange: str) -> Venue:
        venue = self._venues.get(exchange)
        if venue is None:
            raise LocalnetError(f"no exchange is called {exchange!r}; there are {', '.join(self._venues)}")
        venue.sync()
        return venue

    def _venue_of_account(self, account: str) -> Venue:
        for venue in self._venues.values():
            if account in venue.truth.accounts:
                venue.sync()
                return venue
        raise LocalnetError(f"no account is called {account!r}")

    def _target(self, body: Mapping[str, Any], known: set[str]) -> tuple[Sequence[Venue], str]:
        unknown = sorted(set(body) - known)
        if unknown:
            raise LocalnetError(f"unknown field {unknown[0]!r}; known: {', '.join(sorted(known))}")
        symbol = body.get("symbol")
        if not isinstance(symbol, str):
            raise LocalnetError("symbol is missing")
        exchange = body.get("exchange")
        return ([self._venue(exchange)] if exchange is not None else list(self._venues.values())), symbol

    def _each(self, venues: Sequence[Venue], symbol: str, change: Callable[[Exchange, str], None]) -> None:
        found = False
        for venue in venues:
            venue.sync()
            for key, instrument in venue.truth.instruments.items():
                if symbol in (key, instrument.symbol):
                    change(venue.truth, key)
                    found = True
        if not found:
            raise LocalnetError(f"no exchange lists {symbol!r}")

    # -- HTTP ------------------------------------------------------------------------------------------------

    def app(self) -> web.Application:
        """The control API as an application."""
        app = web.Application()
        routes: list[tuple[str, str, Callable[[web.Request, Any], Any]]] = [
            ("GET", "/time", lambda request, body: self.time()),
            ("GET", "/truth", lambda request, body: self.truth(request.query.get("account"))),
            ("GET", "/markets", lambda request, body: self.markets(request.query.get("symbol"))),
            ("GET", "/faults", lambda request, body: {"faults": self.faults()}),
            ("DELETE", "/faults", lambda request, body: {"cleared": self.clear()}),
            ("POST", "/faults", lambda request, body: self._post_faults(body)),
            ("POST", "/market", lambda request, body: self.market(body)),
            ("POST", "/funding", lambda request, body: self.funding(body)),
            ("POST", "/liquidate", lambda request, body: self.position(body, FaultKind.LIQUIDATION)),
            ("POST", "/adl", lambda request, body: self.position(body, FaultKind.ADL)),
            ("POST", "/transfer", lambda request, body: self.transfer(body)),
            ("POST", "/fees", lambda request, body: self.fees(body)),
        ]
        for method, path, action in routes:
            app.router.add_route(method, path, _handler(action))
        return app

    def _post_faults(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if "clear" in body:
            which = body["clear"]
            chosen = which if isinstance(which, int) and not isinstance(which, bool) else None
            return {"cleared": self.clear(chosen, body.get("exchange"))}
        return {"faults": [fault.to_json() for fault in self.install(Fault.from_json(body))]}


def _handler(action: Callable[[web.Request, Any], Any]) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        try:
            body: Any = {}
            if request.method == "POST":
                body = msgspec.json.decode(await request.read() or b"{}")
                if not isinstance(body, dict):
                    raise LocalnetError("the body must be a JSON object")
            answer, status = action(request, body), 200
        except (LocalnetError, Refused, ValueError, TypeError, msgspec.DecodeError) as error:
            answer, status = {"error": " ".join(str(error).split())}, 400
        data = encode(answer if answer is not None else {"ok": True})
        return web.Response(body=data, status=status, content_type="application/json")

    return handle


def _decimal(body: Mapping[str, Any], name: str) -> Decimal:
    value = body.get(name)
    try:
        result = Decimal(str(value))
    except InvalidOperation:
        raise LocalnetError(f"{name} must be a number, not {value!r}") from None
    if not result.is_finite():
        raise LocalnetError(f"{name} must be a finite number, not {value!r}")
    return result


def _number(body: Mapping[str, Any], name: str) -> float:
    return float(_decimal(body, name))


def _levels(body: Mapping[str, Any], name: str) -> list[tuple[Decimal, Decimal]] | None:
    rows = body.get(name)
    if rows is None:
        return None
    try:
        return [(Decimal(str(price)), Decimal(str(quantity))) for price, quantity in rows]
    except (ValueError, TypeError, InvalidOperation):
        raise LocalnetError(f"{name} must be a list of [price, quantity]") from None
