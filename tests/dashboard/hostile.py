"""Requests and frames that nobody sane would send, made from the API's own document and at random."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import aiohttp
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import ignored_auth

__all__ = ["bombard", "throw_cases"]

#: What ends the session under test, or what the throttle is there to refuse.
LEFT_OUT = {"/api/logout", "/api/login"}
SECRETS = ("Traceback", "site-packages", "$argon2id$")


def throw_cases(
    url: str, document: Mapping[str, Any], cases: int, headers: Mapping[str, str], *, logged_in: bool
) -> Counter[int]:
    """About ``cases`` requests, valid and not, spread over every operation; returns how often each status came.

    Every answer is held against the document with all of Schemathesis' checks. A stranger's request must be refused.
    """
    schema = schemathesis.openapi.from_dict(dict(document))
    schema.config.update(base_url=url, request_timeout=60)
    operations = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
    wanted = [each for each in operations if not (logged_in and each.path in LEFT_OUT)]
    each_gets = max(1, cases // (2 * len(wanted)))
    seen: Counter[int] = Counter()
    for operation in wanted:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            _throw(operation, mode, each_gets, dict(headers), logged_in, seen)
    return seen


def _throw(
    operation: APIOperation[Any, Any, Any, Any],
    mode: Any,
    cases: int,
    headers: dict[str, str],
    logged_in: bool,
    seen: Counter[int],
) -> None:
    documented = {str(status) for status in operation.definition.raw["responses"]}

    @settings(
        max_examples=cases, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Any) -> None:
        response = case.call(headers={**headers, "Idempotency-Key": f"key-{random.random():.16f}"})
        seen[response.status_code] += 1
        text = response.content.decode("utf-8", "replace")
        assert not any(secret in text for secret in SECRETS), text
        assert response.status_code != 500, text
        if not logged_in and case.operation.path != "/api/health":
            assert response.status_code >= 400, (case.method, case.path, response.status_code)
        if mode is GenerationMode.POSITIVE or not logged_in:
            # With the session in every request, an invalid one is never tried; strangers do that.
            case.validate_response(response, excluded_checks=[ignored_auth] if logged_in else None)
        else:
            assert str(response.status_code) in documented, response.status_code

    try:
        one()
    except Unsatisfiable:  # an operation without parameters cannot be asked wrongly
        return
    except Exception as error:
        raise AssertionError(
            f"{operation.method.upper()} {operation.path} ({mode.value}): {error}"
        ) from error


async def bombard(url: str, cookie: str, frames: int, seed: int = 1) -> Counter[str]:
    """``frames`` malformed websocket frames over as many connections as it takes; returns how the connections ended."""
    host, _, port = url.removeprefix("http://").partition(":")
    rng = random.Random(seed)
    ended: Counter[str] = Counter()
    sent = 0
    while sent < frames:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(_handshake(url, port, cookie))
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            assert b" 101 " in head.splitlines()[0], head
            for _ in range(min(rng.randint(1, 60), frames - sent)):
                writer.write(malformed(rng))
                sent += 1
                await writer.drain()
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 60)
            ended["closed"] += 1
        except (OSError, asyncio.IncompleteReadError):
            ended["reset"] += 1
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    return ended


def _handshake(url: str, port: str, cookie: str) -> bytes:
    return (
        f"GET /api/ws HTTP/1.1\r\nHost: {url.removeprefix('http://')}\r\nOrigin: {url}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Cookie: fundingarb_{port}={cookie}\r\n\r\n"
    ).encode()


def malformed(rng: random.Random) -> bytes:
    """A frame with something wrong: opcode, flags, length, mask, text that is no UTF-8, or a message we do not know."""
    kind = rng.randrange(6)
    payload = rng.randbytes(rng.choice((0, 1, 7, 125, 126, 2000)))
    if kind == 0:
        return rng.randbytes(rng.randint(1, 40))
    if kind == 1:
        return frame(payload, opcode=rng.randrange(16), reserved=rng.randrange(8), masked=rng.random() < 0.9)
    if kind == 2:
        return frame(payload, opcode=1)
    if kind == 3:
        return frame(payload, opcode=rng.choice((0, 8, 9, 10)), final=rng.random() < 0.5)
    if kind == 4:
        text = rng.choice(
            ('{"type":"SUBSCRIBE","pairs":', "[[[[", '{"type":"PING"}x', "\ud7ff", '{"type":1}', "nul")
        )
        return frame(text.encode() * rng.randint(1, 5), opcode=1)
    return frame(payload, opcode=1, claimed=rng.choice((0, 2**16, 2**31, 2**63)))


def frame(
    payload: bytes,
    *,
    opcode: int,
    final: bool = True,
    reserved: int = 0,
    masked: bool = True,
    claimed: int | None = None,
) -> bytes:
    """A client's websocket frame as it would be, or not quite."""
    length = len(payload) if claimed is None else claimed
    head = bytes([(0x80 if final else 0) | reserved << 4 | opcode])
    mask = 0x80 if masked else 0
    if length < 126 and claimed is None:
        head += bytes([mask | length])
    elif length < 2**16:
        head += bytes([mask | 126]) + length.to_bytes(2, "big")
    else:
        head += bytes([mask | 127]) + length.to_bytes(8, "big")
    return head + (b"\0\0\0\0" if masked else b"") + payload


async def alive(session: aiohttp.ClientSession, url: str) -> float:
    """Seconds until the health endpoint has answered 200."""
    began = time.perf_counter()
    async with session.get(f"{url}/api/health") as response:
        assert response.status == 200
    return time.perf_counter() - began
