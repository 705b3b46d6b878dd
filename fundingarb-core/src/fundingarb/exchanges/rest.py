"""REST through ccxt: its endpoints, addresses and signatures; our sending, our clock and our reading of failures.

A request ends in the body of a 2xx answer or in ``CallFailed``, which keeps what matters: whether it was sent at all,
the HTTP status and the exchange's own code from the body (ccxt's classes depend on the URL and lose it). Adapters turn
a failure into one of ``fundingarb.errors`` with ``read_error`` or, where an order may exist, with ``write_error``.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import anyio
import ccxt.async_support as ccxt  # type: ignore[import-untyped]
import certifi
from yarl import URL

from fundingarb.errors import (
    AuthenticationFailed,
    ExchangeError,
    ExchangeUnavailable,
    OrderRefused,
    OutcomeUnknown,
    RateLimited,
    RefusalReason,
)
from fundingarb.exchanges.guard import NO_HOSTS, NetworkGuard, WrongNetwork
from fundingarb.exchanges.parse import excerpt
from fundingarb.ports import Clock, OpenContext

__all__ = [
    "CallFailed",
    "ErrorCodes",
    "Meaning",
    "RestClient",
    "Skew",
    "new_session",
    "read_error",
    "write_error",
]


class Meaning(str, Enum):
    """What an exchange's error code says about the request that met it. A code not in the table has none."""

    REFUSED = "refused"  # certainly not carried out; the request or the account's state does not allow it
    AUTHENTICATION = "authentication"  # not carried out; key, signature or permission
    RATE_LIMITED = "rate limited"  # not carried out; too many requests
    CLOCK = "clock"  # not carried out; our time stamp is outside the window
    MISSING = "missing"  # there is no such (open) order
    DUPLICATE = "duplicate"  # the client order id is taken: the order may well be ours
    UNCHANGED = "unchanged"  # it is so already
    UNAVAILABLE = "unavailable"  # maintenance or overload; whether a write was carried out is not known


REFUSED, MISSING, DUPLICATE = Meaning.REFUSED, Meaning.MISSING, Meaning.DUPLICATE

_NOT_CARRIED_OUT = frozenset(
    {Meaning.REFUSED, Meaning.AUTHENTICATION, Meaning.RATE_LIMITED, Meaning.CLOCK, Meaning.MISSING}
)


@dataclass(frozen=True)
class ErrorCodes:
    """An exchange's own codes and what they mean. ``extract`` finds (code, message) in the body of an answer.

    ``codes`` holds for every request, ``place`` and ``cancel`` for a new order and a cancel beyond that; whatever is
    in neither leaves the outcome unknown. ``reasons`` (by code or exact text) says more of a refused order.
    ``messages`` gives a meaning to exact texts, whatever their code; ``statuses`` to HTTP statuses for which the
    exchange documents one, used when nothing else has. ``in_success``: errors also arrive with HTTP 200, where every
    code but "0" and "" is one.
    """

    codes: Mapping[str, Meaning]
    extract: Callable[[bytes], tuple[str, str]]
    place: Mapping[str, Meaning] = field(default_factory=dict)
    cancel: Mapping[str, Meaning] = field(default_factory=dict)
    reasons: Mapping[str, RefusalReason] = field(default_factory=dict)
    statuses: Mapping[int, Meaning] = field(default_factory=dict)
    messages: Mapping[str, Meaning] = field(default_factory=dict)
    in_success: bool = False

    def meaning(self, status: int, code: str, message: str) -> Meaning | None:
        """What an answer says about any request."""
        found = self.messages.get(message) or self.codes.get(code)
        return found or self.statuses.get(status)

    def placed(self, failure: CallFailed) -> Meaning | None:
        """What a failure says about a new order."""
        return self.place.get(failure.code) if failure.meaning is None else failure.meaning

    def cancelled(self, failure: CallFailed) -> Meaning | None:
        """What a failure says about a cancel."""
        return self.cancel.get(failure.code) if failure.meaning is None else failure.meaning

    def reason(self, failure: CallFailed) -> RefusalReason | None:
        return self.reasons.get(failure.code) or self.reasons.get(failure.said)


class CallFailed(Exception):
    """A request without a usable answer. Stays inside adapters, which translate it.

    ``sent`` is False only when the request certainly never left (no connection). ``status`` is None without an answer.
    ``said`` is the exchange's own text, ``meaning`` what its code says about any request.
    """

    def __init__(
        self,
        message: str,
        *,
        sent: bool = True,
        status: int | None = None,
        code: str = "",
        said: str = "",
        meaning: Meaning | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.sent = sent
        self.status = status
        self.code = code
        self.said = said
        self.meaning = meaning
        self.retry_after = retry_after


@dataclass
class Skew:
    """How far the exchange's clock is ahead of ours, in milliseconds of the shared clock; signing adds it."""

    milliseconds: int = 0
    measured: bool = False

    def measure(self, server: datetime, asked: float, answered: float) -> None:
        """Note that the exchange read ``server`` somewhere between two readings (unix seconds) of our clock."""
        self.measured = True
        self.milliseconds = round((server.timestamp() - (asked + answered) / 2) * 1000)


@cache
def usual_authorities() -> ssl.SSLContext:
    """Trust in the usual authorities; reading them takes 30 ms, so every session shares it."""
    return ssl.create_default_context(cafile=certifi.where())


def new_session(context: OpenContext, guard: NetworkGuard | None = None) -> aiohttp.ClientSession:
    """A session with keep-alive that trusts the usual authorities, or the localnet's own, and sends nothing that
    ``guard`` refuses (None: a guard that knows no hosts but this machine's). The caller closes it."""
    guard = guard or NetworkGuard(context.name, context.network, NO_HOSTS)
    own = ssl.create_default_context(cafile=context.ca_file) if context.ca_file else None
    connector = aiohttp.TCPConnector(
        ssl=context.ssl or own or usual_authorities(), limit=0, keepalive_timeout=20
    )
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[guard.trace()]
    )


def rebase(url: str, root: str) -> str:
    """``url`` with the scheme and host of ``root``, its own path kept."""
    to, path = urlsplit(root), urlsplit(url)
    return urlunsplit((to.scheme, to.netloc, path.path, path.query, ""))


class RestClient:
    """One ccxt instance, reduced to what it knows best: endpoints, addresses and signatures.

    ``kind`` is ccxt's name of the exchange. Use one client for trading and one for polling. ``roots`` (prefix of
    ccxt's address names -> scheme and host), where given, replaces hosts, and addresses without one are dropped, so
    that nothing can reach another network by accident. Requests go over ``session`` directly: ccxt's rate limiter
    would queue orders behind polls (the engine's request gate keeps the budgets), and its error classes depend on the
    address. ``headers`` go with every request.
    """

    def __init__(
        self,
        kind: str,
        context: OpenContext,
        session: aiohttp.ClientSession,
        codes: ErrorCodes,
        skew: Skew,
        *,
        roots: Mapping[str, str],
        options: Mapping[str, Any],
        timeout: float = 10.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._codes = codes
        self._headers = dict(headers or {})
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=timeout)
        self._endpoints: dict[str, tuple[str, Any, str]] = {}
        self.signers: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {}
        """Endpoints an adapter signs itself: parameters -> url, method, body and headers, as ccxt gives them."""
        credentials = context.account.values if context.account else {}
        config: dict[str, Any] = {"enableRateLimit": False, "options": dict(options)}
        for ours, theirs in (("api_key", "apiKey"), ("api_secret", "secret"), ("passphrase", "password")):
            if ours in credentials:
                config[theirs] = credentials[ours].reveal()
        self.ccxt = getattr(ccxt, kind)(config)
        _point(self.ccxt, roots)
        clock: Clock = context.clock
        self.ccxt.milliseconds = lambda: round(clock.time() * 1000) + skew.milliseconds

    async def call(
        self,
        endpoint: str,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """The body of a 2xx answer of ccxt's implicit ``endpoint`` (``fapiPrivatePostOrder``), or ``CallFailed``."""
        request = self._sign(endpoint, params)
        method, text = request["method"], request["body"]
        try:
            async with self._session.request(
                method,
                URL(request["url"], encoded=True),
                data=text.encode() if text else None,
                headers={**(request["headers"] or {}), **self._headers, **(headers or {})},
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                body = await response.read()
                status, answered = response.status, response.headers
        except WrongNetwork as error:
            raise CallFailed(str(error), sent=False, meaning=Meaning.AUTHENTICATION) from None
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            # aiohttp repeats all but POST on a connection that went stale, so that elsewhere a refused connection may
            # have been the second attempt.
            sent = not (isinstance(error, _NEVER_LEFT) and method == "POST")
            reason = "no answer" if sent else "no connection"
            raise CallFailed(f"{endpoint}: {reason} ({type(error).__name__})", sent=sent) from error
        if 200 <= status < 300 and not (self._codes.in_success and self._codes.extract(body)[0] not in _FINE):
            return body
        raise self._failure(endpoint, status, body, answered)

    async def write(
        self,
        endpoint: str,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """``call``, finished even when the caller is cancelled: what was sent must not be lost sight of."""
        body = b""
        with anyio.CancelScope(shield=True):
            body = await self.call(endpoint, params, headers)
        return body  # noqa: RET504 (inside the scope the type checker misses it)

    def addresses(self) -> list[str]:
        """Every address that a request can be built on."""
        found = self.ccxt.urls["api"].values()
        return [self.ccxt.implode_hostname(url) for url in found if isinstance(url, str)]

    async def close(self) -> None:
        """Let go of ccxt's own resources; the session stays the adapter's."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(5):
            self.ccxt.timeout_on_exit = 0
            await self.ccxt.close()

    def _sign(self, endpoint: str, params: Mapping[str, Any] | None) -> dict[str, Any]:
        own = self.signers.get(endpoint)
        if own is not None:
            return own(params or {})
        known = self._endpoints.get(endpoint)
        if known is None:
            known = self._endpoints[endpoint] = _entry(type(self.ccxt), endpoint)
        path, api, method = known
        try:
            return self.ccxt.sign(path, api, method, dict(params or {}))  # type: ignore[no-any-return]
        except ccxt.AuthenticationError as error:
            raise CallFailed(str(error), sent=False, meaning=Meaning.AUTHENTICATION) from None
        except ccxt.BaseError as error:
            raise CallFailed(f"{endpoint}: not sent: {error}", sent=False) from None

    def _failure(self, endpoint: str, status: int, body: bytes, headers: Mapping[str, str]) -> CallFailed:
        """What an answer that reports an error amounts to."""
        code, message = self._codes.extract(body)
        meaning = self._codes.meaning(status, code, message)
        said = f"{code} {message}".strip() or excerpt(body) or "no text"
        return CallFailed(
            f"{endpoint}: HTTP {status}: {said}",
            status=status,
            code=code,
            said=message,
            meaning=meaning,
            retry_after=_retry_after(headers),
        )


def _entry(kind: type, endpoint: str) -> tuple[str, Any, str]:
    """(path, api, method) of ccxt's implicit ``endpoint``, from the table its classes are generated with."""
    for each in kind.__mro__:
        entry: Any = vars(each).get(endpoint)
        if hasattr(entry, "path") and hasattr(entry, "api") and hasattr(entry, "method"):
            return entry.path, entry.api, entry.method
    raise AttributeError(f"ccxt's {kind.__name__} has no endpoint {endpoint}")


_FINE = ("", "0")

_NEVER_LEFT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


def _point(exchange: Any, roots: Mapping[str, str]) -> None:
    """Send the REST addresses whose name starts with a key of ``roots`` to that root, and forget all others."""
    if not roots:
        return
    addresses = exchange.urls["api"]
    for name, address in list(addresses.items()):
        root = next((root for prefix, root in roots.items() if name.startswith(prefix)), None)
        if root is None or not isinstance(address, str):
            del addresses[name]
        else:
            addresses[name] = rebase(exchange.implode_hostname(address), root)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    for name, value in headers.items():
        if name.lower() == "retry-after":
            try:
                return max(0.0, float(value))
            except ValueError:
                return None
    return None


def read_error(exchange: str, failure: CallFailed) -> ExchangeError:
    """What a failed read is to the engine."""
    text, code = f"{exchange}: {failure}", failure.code or None
    meaning = failure.meaning
    if meaning is Meaning.AUTHENTICATION:
        return AuthenticationFailed(text, code=code)
    if meaning is Meaning.RATE_LIMITED:
        return RateLimited(text, code=code, retry_after=failure.retry_after or 1.0)
    if meaning is Meaning.CLOCK:
        return ExchangeUnavailable(f"{text} (check this machine's clock)", code=code)
    if meaning is Meaning.UNAVAILABLE or failure.status is None or failure.status >= 500:
        return ExchangeUnavailable(text, code=code)
    if meaning is None and failure.status in (403, 429):
        return RateLimited(text, code=code, retry_after=failure.retry_after or 10.0)
    return ExchangeError(text, code=code)


def write_error(
    exchange: str, failure: CallFailed, meaning: Meaning | None, reason: RefusalReason | None = None
) -> OrderRefused | OutcomeUnknown:
    """What a failed order or cancel is, ``meaning`` being what the exchange's tables say of it: refused only when that
    is certain, otherwise unknown.

    A refusal for authentication or too many requests is raised ``from`` that error, so that the engine can also halt
    or slow down.
    """
    text, code = f"{exchange}: {failure}", failure.code or None
    if not failure.sent or meaning in _NOT_CARRIED_OUT:
        refused = OrderRefused(text, code=code, reason=reason)
        if meaning in (Meaning.AUTHENTICATION, Meaning.RATE_LIMITED, Meaning.CLOCK):
            refused.__cause__ = read_error(exchange, failure)
        return refused
    return OutcomeUnknown(text, code=code)
