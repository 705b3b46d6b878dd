"""Idempotency keys: a command that arrives twice is carried out once, and both get the same answer."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from quart import request

from fundingarb.errors import ExchangeError, FundingArbError, StoreError
from fundingarb_dashboard.answers import Problem, problem_of

__all__ = ["KEY", "KEYLESS", "Key", "Replies", "given_key", "key_of_request"]

KEPT = 1000
KEY = r"[A-Za-z0-9._:-]{8,64}"
KEYLESS = frozenset({"login", "logout", "config_check"})
"""Endpoints that are posted to and command nothing. Everything else that is posted to is a command."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What was asked under a key, and what came or will come of it; a refusal, once it is known to be one."""

    asked: bytes
    outcome: asyncio.Task[Any] | Problem


class Replies:
    """The outcomes of the last commands by their keys. What failed without a definite outcome may be asked again."""

    def __init__(self) -> None:
        self._replies: OrderedDict[str, Reply] = OrderedDict()

    async def once(self, key: Key, command: Callable[[], Awaitable[Any]]) -> Any:
        """The outcome of ``command``, or of the one that came under ``key`` before.

        Raises `Problem` 409 when that one was another command, and whatever the command raised.
        """
        known = self._replies.get(key.name)
        if known is not None and known.asked != key.asked:
            raise Problem(
                409, "this Idempotency-Key was used for another command; make a new one", code="key_reused"
            )
        if known is None:

            async def run() -> Any:
                return await command()

            outcome = asyncio.ensure_future(run())
            known = Reply(key.asked, outcome)
            self._replies[key.name] = known
            outcome.add_done_callback(lambda done: self._settle(key, done))
            while len(self._replies) > KEPT:
                self._replies.popitem(last=False)
        if isinstance(known.outcome, Problem):
            raise known.outcome.again()
        # Shielded: a browser that goes away does not break off what it has commanded.
        return await asyncio.shield(known.outcome)

    def _settle(self, key: Key, done: asyncio.Task[Any]) -> None:
        """Forget what has no definite outcome, and of a refusal all but what it says: an exception remembers where it
        came through, and a password may be there."""
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or (error is not None and not _definite(error)):
            self._replies.pop(key.name, None)
        elif error is not None and key.name in self._replies:
            self._replies[key.name] = Reply(key.asked, problem_of(error).again())


def _definite(error: BaseException) -> bool:
    """Whether ``error`` refuses what was asked, so that asking again would bring the same."""
    if isinstance(error, Problem):
        return error.status < 500
    return isinstance(error, FundingArbError) and not isinstance(error, (StoreError, ExchangeError))


@dataclass(frozen=True, slots=True)
class Key:
    """A command's key: ``name`` as it is told apart here, ``asked`` a digest of what is asked, and ``durable``, which
    the bot stores, so that the command is done once also over a restart."""

    name: str
    asked: bytes
    durable: str


def given_key() -> str:
    """The Idempotency-Key of the request at hand. Raises `Problem` 400 when it is missing or malformed."""
    given = request.headers.get("Idempotency-Key", "")
    if not re.fullmatch(KEY, given):
        raise Problem(
            400,
            "send the header Idempotency-Key: 8 to 64 letters, digits or ._:-, new for every command",
            code="idempotency_key",
            fields={"Idempotency-Key": "is malformed" if given else "is missing"},
        )
    return given


async def key_of_request(actor: str) -> Key:
    """The request's Idempotency-Key, as the actor's own. Raises `Problem` 400 when it is missing or malformed."""
    given = given_key()
    body: bytes = await request.get_data(cache=True, as_text=False)  # type: ignore[assignment]
    asked = hashlib.sha256(b"\n".join((request.method.encode(), request.path.encode(), body))).digest()
    name = f"{actor}\n{given}"
    return Key(name, asked, hashlib.sha256(name.encode() + b"\n" + asked).hexdigest())
