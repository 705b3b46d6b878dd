"""Keys, signatures and the time window of signed requests."""

from __future__ import annotations

import base64
import time
from urllib.parse import quote, urlencode

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.exchanges.binance.localnet.desk import Desk, open_desk

from fundingarb.localnet.faults import Fault, FaultKind

pytestmark = pytest.mark.anyio

ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}


def now() -> int:
    return round(time.time() * 1000)


async def balance(desk: Desk, query: str, key: str | None = None) -> tuple[int, int | None]:
    answer = await desk.send("GET", "/fapi/v3/balance", query, key=key)
    return answer.status, answer.code


async def test_a_good_signature_is_taken_from_query_body_or_both(desk: Desk) -> None:
    order = urlencode({**ORDER, "price": "49000.0", "quantity": "0.01", "timestamp": now()})
    in_query = await desk.send("POST", "order", f"{order}&signature={desk.sign(order)}")
    in_body = await desk.send("POST", "order", body=f"{order}&signature={desk.sign(order)}")
    head, tail = urlencode(ORDER), urlencode({"price": "49000.0", "quantity": "0.01", "timestamp": now()})
    split = await desk.send("POST", "order", head, f"{tail}&signature={desk.sign(head + tail)}")
    signed_in_query = await desk.send("POST", "order", f"{head}&signature={desk.sign(head + tail)}", tail)
    assert [one.status for one in (in_query, in_body, split, signed_in_query)] == [200] * 4
    assert len(desk.truth.open_orders(desk.name)) == 4


async def test_what_was_signed_is_what_was_sent(desk: Desk) -> None:
    """Escapes count as they were written, not as what they mean."""
    escaped = f"symbol=%42TCUSDT&timestamp={now()}"
    answer = await desk.send("GET", "/fapi/v3/positionRisk", f"{escaped}&signature={desk.sign(escaped)}")
    assert answer.status == 200
    plain = escaped.replace("%42", "B")
    answer = await desk.send("GET", "/fapi/v3/positionRisk", f"{escaped}&signature={desk.sign(plain)}")
    assert answer.code == -1022


async def test_wrong_signatures_are_refused(desk: Desk) -> None:
    query = f"timestamp={now()}"
    other = desk.alternative()
    assert await balance(desk, query) == (400, -1102)
    assert await balance(desk, f"{query}&signature={'0' * 64}") == (400, -1022)
    assert await balance(desk, f"{query}&signature={other.sign(query)}") == (400, -1022)
    assert await balance(desk, f"{query}&recvWindow=9&signature={desk.sign(query)}") == (400, -1022)


async def test_unknown_keys_are_refused(desk: Desk) -> None:
    query = desk.signed({})
    assert await balance(desk, query, key="") == (401, -2014)
    assert await balance(desk, query, key="short") == (401, -2014)
    assert await balance(desk, query, key="a" * 64) == (401, -2015)
    assert (await desk.send("POST", "listenKey", key="a" * 64)).code == -2015


async def test_the_window_is_kept(desk: Desk) -> None:
    assert (await desk.ask("GET", "/fapi/v3/balance", timestamp=now() - 4000)).status == 200
    assert (await desk.ask("GET", "/fapi/v3/balance", timestamp=now() - 6000)).code == -1021
    assert (await desk.ask("GET", "/fapi/v3/balance", timestamp=now() - 6000, recvWindow=9000)).status == 200
    assert (await desk.ask("GET", "/fapi/v3/balance", timestamp=now() - 500, recvWindow=100)).code == -1021
    assert (await desk.ask("GET", "/fapi/v3/balance", timestamp=now() + 2000)).code == -1021
    assert (await desk.ask("GET", "/fapi/v3/balance", recvWindow=60001)).code == -1131
    assert (await desk.ask("GET", "/fapi/v3/balance", timestamp="soon")).code == -1102


async def test_the_window_is_real_time_whatever_the_clock_does() -> None:
    """With a clock a hundred times as fast, 5 s of window are 500 s of the time in the stamps."""
    async with open_desk(speed=100) as desk:

        async def stamped(seconds: float) -> int | None:
            stamp = round((desk.net.clock.now() + seconds) * 1000)
            return (await desk.ask("GET", "/fapi/v3/balance", timestamp=stamp)).code

        assert await stamped(-400) is None
        assert await stamped(-600) == -1021
        assert await stamped(+50) is None
        assert await stamped(+200) == -1021


async def test_the_window_follows_the_exchange_clock(desk: Desk) -> None:
    desk.net.inject(Fault(FaultKind.CLOCK_SKEW, seconds=30))
    assert (await desk.ask("GET", "/fapi/v3/balance")).code == -1021
    shown = (await desk.public("time"))["serverTime"]
    assert 29_000 < shown - now() < 31_000
    assert (await desk.ask("GET", "/fapi/v3/balance", timestamp=shown)).status == 200


async def test_ed25519_keys_sign_too(desk: Desk) -> None:
    extra = desk.account["credentials"]
    private = load_pem_private_key(extra["ed25519_private_key"].encode(), None)
    query = f"timestamp={now()}"
    signature = base64.b64encode(private.sign(query.encode())).decode()  # type: ignore[union-attr,call-arg]
    key = extra["ed25519_api_key"]
    assert await balance(desk, f"{query}&signature={quote(signature, safe='')}", key) == (200, None)
    assert await balance(desk, f"{query}&signature={desk.sign(query)}", key) == (400, -1022)
