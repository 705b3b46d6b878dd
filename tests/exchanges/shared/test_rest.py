"""What becomes of a request: three-valued for writes, typed errors for reads, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Any

import anyio
import pytest
from aiohttp import web

from fundingarb.errors import (
    AuthenticationFailed,
    ExchangeError,
    ExchangeUnavailable,
    OrderRefused,
    OutcomeUnknown,
    RateLimited,
)
from fundingarb.exchanges.rest import (
    CallFailed,
    ErrorCodes,
    Meaning,
    RestClient,
    Skew,
    new_session,
    read_error,
    write_error,
)
from fundingarb.ports import AccountCredentials, OpenContext, Secret
from fundingarb.testing import FakeClock

pytestmark = pytest.mark.anyio

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def extract(body: bytes) -> tuple[str, str]:
    code, _, message = body.decode().partition(" ")
    return (code, message) if code.lstrip("-").isdigit() else ("", body.decode())


CODES = ErrorCodes(
    codes={"-1": Meaning.REFUSED, "-2": Meaning.AUTHENTICATION, "-3": Meaning.RATE_LIMITED, "-4": Meaning.CLOCK,
           "-5": Meaning.UNAVAILABLE, "-6": Meaning.DUPLICATE, "-7": Meaning.MISSING, "-8": Meaning.UNCHANGED},
    extract=extract,
    statuses={429: Meaning.RATE_LIMITED},
    messages={"certainly not": Meaning.REFUSED},
)  # fmt: skip


def context(url: str) -> OpenContext:
    account = AccountCredentials("one", {"api_key": Secret("key"), "api_secret": Secret("canary-secret")})
    return OpenContext("binance", FakeClock(), "localnet", account, endpoints={"fapi": url})


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def client(
    url: str, *, codes: ErrorCodes = CODES, seconds: float = 5.0, headers: dict[str, str] | None = None
) -> AsyncIterator[RestClient]:
    where = context(url)
    session = new_session(where)
    options = {"recvWindow": 3000, "timeDifference": 0}
    rest = RestClient(
        "binanceusdm",
        where,
        session,
        codes,
        Skew(),
        roots={"fapi": url},
        options=options,
        timeout=seconds,
        headers=headers,
    )
    try:
        yield rest
    finally:
        await rest.close()
        await session.close()


def answering(status: int, body: str, **headers: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=body, headers=headers)

    return answer


async def failed(handler: Handler, endpoint: str = "fapiPrivatePostOrder", **more: Any) -> CallFailed:
    async with served(handler) as url, client(url, **more) as rest:
        with pytest.raises(CallFailed) as caught:
            await rest.write(endpoint, {"symbol": "BTCUSDT"})
    return caught.value


def order_error(failure: CallFailed) -> ExchangeError:
    """What a failed order is, by the codes of this test."""
    return write_error("x", failure, CODES.placed(failure), CODES.reason(failure))


WRITES = [
    (400, "-1 no", OrderRefused),
    (401, "-2 key", OrderRefused),
    (429, "too much", OrderRefused),
    (418, "-3 banned", OrderRefused),
    (400, "-4 late", OrderRefused),
    (400, "-7 gone", OrderRefused),
    (503, "certainly not", OrderRefused),
    (503, "perhaps", OutcomeUnknown),
    (503, "-5 overloaded", OutcomeUnknown),
    (400, "-6 duplicate", OutcomeUnknown),
    (400, "-99 never heard of", OutcomeUnknown),
    (500, "<html>", OutcomeUnknown),
    (302, "", OutcomeUnknown),
    (404, "", OutcomeUnknown),
]


@pytest.mark.parametrize(("status", "body", "kind"), WRITES)
async def test_only_listed_codes_refuse_an_order(status: int, body: str, kind: type[ExchangeError]) -> None:
    assert type(order_error(await failed(answering(status, body)))) is kind


READS = [
    (400, "-2 key", AuthenticationFailed),
    (429, "", RateLimited),
    (400, "-3 slow", RateLimited),
    (403, "<html>", RateLimited),
    (400, "-4 late", ExchangeUnavailable),
    (503, "", ExchangeUnavailable),
    (400, "-5 busy", ExchangeUnavailable),
    (400, "-99 never heard of", ExchangeError),
    (400, "-1 no", ExchangeError),
]


@pytest.mark.parametrize(("status", "body", "kind"), READS)
async def test_failed_reads(status: int, body: str, kind: type[ExchangeError]) -> None:
    failure = await failed(answering(status, body), "fapiPrivateGetOrder")
    assert type(read_error("x", failure)) is kind


async def test_the_code_is_the_exchanges_own() -> None:
    failure = await failed(answering(400, "-99 so they say"))
    assert failure.code == "-99"
    assert read_error("x", failure).code == "-99"
    assert "so they say" in str(failure)


async def test_retry_after_is_honoured() -> None:
    error = read_error("x", await failed(answering(429, "", **{"Retry-After": "17"})))
    assert isinstance(error, RateLimited)
    assert error.retry_after == 17


@pytest.mark.parametrize(("body", "cause"), [("-2 key", AuthenticationFailed), ("-3 slow", RateLimited)])
async def test_a_refusal_keeps_why_the_engine_should_care(body: str, cause: type[ExchangeError]) -> None:
    error = order_error(await failed(answering(400, body)))
    assert isinstance(error.__cause__, cause)


async def test_errors_inside_success_answers_count_where_the_exchange_sends_them() -> None:
    inside = ErrorCodes(codes=CODES.codes, extract=extract, in_success=True)
    assert (await failed(answering(200, "-1 no"), codes=inside)).meaning is Meaning.REFUSED
    async with served(answering(200, "0 fine")) as url, client(url, codes=inside) as rest:
        assert await rest.call("fapiPublicGetTime") == b"0 fine"


async def test_no_connection_means_not_sent_for_post_only() -> None:
    async with served(answering(200, "")) as url:
        nobody = url  # nobody listens there afterwards
    async with client(nobody) as rest:
        with pytest.raises(CallFailed, match="no connection") as post:
            await rest.write("fapiPrivatePostOrder")
        with pytest.raises(CallFailed) as delete:
            await rest.write("fapiPrivateDeleteOrder")
    assert not post.value.sent
    assert isinstance(order_error(post.value), OrderRefused)
    # aiohttp may have sent a DELETE once already, on a connection that went stale
    assert delete.value.sent
    assert isinstance(order_error(delete.value), OutcomeUnknown)
    assert isinstance(read_error("x", post.value), ExchangeUnavailable)


async def test_an_answer_that_never_comes_is_unknown() -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    failure = await failed(silent, seconds=0.2)
    assert failure.sent
    assert failure.status is None
    assert isinstance(order_error(failure), OutcomeUnknown)


async def test_a_dropped_connection_is_unknown() -> None:
    async def drop(request: web.Request) -> web.StreamResponse:
        await request.read()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    assert isinstance(order_error(await failed(drop)), OutcomeUnknown)


async def test_a_truncated_answer_is_unknown() -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"orderId": 1')
        assert request.transport is not None
        request.transport.abort()
        return response

    assert isinstance(order_error(await failed(cut)), OutcomeUnknown)


async def test_a_write_is_finished_when_its_task_is_cancelled() -> None:
    seen: list[str] = []
    got = anyio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        got.set()
        await asyncio.sleep(0.2)
        seen.append(request.method)
        return web.Response(text="done")

    answers: list[bytes] = []
    async with served(slow) as url, client(url) as rest:

        async def place() -> None:
            answers.append(await rest.write("fapiPrivatePostOrder"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(place)
            await got.wait()
            tasks.cancel_scope.cancel()
    assert seen == ["POST"]
    assert answers == [b"done"]


async def test_secrets_stay_out_of_what_can_be_printed() -> None:
    failure = await failed(answering(500, "oops"))
    texts = [str(failure), str(order_error(failure)), repr(failure), str(failure.__cause__)]
    assert not any("canary" in text or "signature" in text for text in texts)


async def test_headers_of_a_client_and_of_one_request() -> None:
    seen: list[tuple[str | None, str | None, bool]] = []

    async def handle(request: web.Request) -> web.Response:
        headers = request.headers
        seen.append((headers.get("x-always"), headers.get("x-once"), "X-MBX-APIKEY" in headers))
        return web.Response(text="{}")

    async with served(handle) as url, client(url, headers={"x-always": "1"}) as rest:
        await rest.call("fapiPublicGetTime")
        await rest.write("fapiPrivatePostOrder", {"symbol": "BTCUSDT"}, {"x-once": "2"})
        await rest.call("fapiPrivateGetOpenOrders")
    assert seen == [("1", None, False), ("1", "2", True), ("1", None, True)]


async def test_requests_carry_the_shared_clock_and_reach_only_the_given_root() -> None:
    seen: list[str] = []

    async def note(request: web.Request) -> web.StreamResponse:
        seen.append(request.path_qs)
        return web.Response(text="{}")

    async with served(note) as url, client(url) as rest:
        await rest.call("fapiPrivateV3GetAccount")
        assert set(rest.ccxt.urls["api"]) == {
            "fapiPublic", "fapiPublicV2", "fapiPublicV3", "fapiPrivate", "fapiPrivateV2", "fapiPrivateV3", "fapiData"
        }  # fmt: skip
        with pytest.raises(CallFailed, match="not sent"):
            await rest.call("sapiGetAccountApiRestrictions")
    (path,) = seen
    assert path.startswith("/fapi/v3/account?")
    assert f"timestamp={int(FakeClock().time() * 1000)}&" in path


def test_skew_is_measured_from_the_middle_of_the_exchange() -> None:
    skew = Skew()
    skew.measure(datetime(2026, 1, 1, 0, 0, 2, tzinfo=timezone.utc), 1767225600.0, 1767225601.0)
    assert skew.milliseconds == 1500


def test_an_endpoint_that_ccxt_does_not_know_is_a_bug_of_ours() -> None:
    from fundingarb.exchanges.rest import _entry

    with pytest.raises(AttributeError, match="no endpoint"):
        _entry(dict, "fapiPrivatePostNothing")
