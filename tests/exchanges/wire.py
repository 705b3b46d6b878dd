"""Recorded exchange messages, found beside the checkout, and the mutations that parsers must survive."""

from __future__ import annotations

import copy
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from fundingarb.errors import BadMessage

Parser = Callable[[bytes], object]

FOLDER = Path(os.environ.get("FUNDINGARB_SHARED") or Path(__file__).parents[3] / "shared") / "wire"
ABSENT = pytest.mark.skip(
    reason="needs the recorded messages; point FUNDINGARB_SHARED at the folder that holds wire/"
)


@dataclass
class Taken:
    """What a stream decoder passed on."""

    values: list[object]


@dataclass(frozen=True)
class Subject:
    """The parsers of one exchange, each by endpoint or stream with a documented message, and how to find in a recorded
    file what they have to understand: ``answers`` gives (endpoint, answer), ``frames`` what streams sent, ``pushes``
    (stream, frame) of what ``streams`` must understand. Parsers of streams may raise ``refusals``.

    ``documented`` names the endpoints and streams of which nobody recorded a message: they rest on documentation only.
    ``unread`` are the adapter's calls, as ccxt names them, whose answers hold nothing that is used; ``aliases`` gives
    the endpoint of those whose name does not spell it.
    """

    exchange: str
    rest: dict[str, tuple[Parser, Any]]
    streams: dict[str, tuple[Parser, Any]]
    answers: Callable[[Path], Iterable[tuple[str, Any]]]
    frames: Callable[[Path], Iterable[bytes]]
    pushes: Callable[[Path], Iterable[tuple[str, bytes]]]
    refusals: tuple[type[Exception], ...]
    documented: frozenset[str]
    unread: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)

    def understood(self, path: Path) -> set[str]:
        """The endpoints and streams of which the file has messages that are understood: every answer must be, and of a
        stream one that brings something (others are of markets or of a form that is not asked for)."""
        found: set[str] = set()
        for endpoint, answer in self.answers(path):
            if endpoint in self.rest:
                parse, _ = self.rest[endpoint]
                assert outcome(parse, json.dumps(answer).encode()) is None, endpoint
                found.add(endpoint)
        for stream, frame in self.pushes(path):
            parse, _ = self.streams[stream]
            if outcome(parse, frame, self.refusals) is None:
                taken = parse(frame)
                assert isinstance(taken, Taken)
                if any(value is not None for value in taken.values):
                    found.add(stream)
        return found

    def unread_calls(self, sources: Iterable[Path]) -> set[str]:
        """The calls in the adapter's ``sources``, as ccxt names them, whose endpoint is not in ``rest``."""
        known = {_plain(endpoint) for endpoint in self.rest}
        named = (call for path in sources for call in _CALL.findall(path.read_text()))
        calls = {next(filter(None, groups)) for groups in named}
        return {call for call in calls if _plain(self.aliases.get(call, call)) not in known}


_CALL = re.compile(
    r'"((?:public|private|fapi|sapi|indexer|node)\w*(?:Get|Post|Put|Delete)\w+)"|signers\["(\w+)"\]'
)


def _plain(endpoint: str) -> str:
    """``GET /api/v5/trade/order`` and ccxt's ``privateGetTradeOrder`` are one."""
    if " " in endpoint:
        endpoint = re.sub(r"/(api/v5|[fs]api/v\d|v4)/", "/", endpoint)
    else:
        endpoint = re.sub(r"^[a-z]+(Public|Private)?(V\d)?(?=Get|Post|Put|Delete)", "", endpoint)
    return re.sub(r"\W", "", endpoint).lower()


def files(exchange: str) -> list[Path]:
    """The recorded files of ``exchange``; none where they are not at hand."""
    return sorted((FOLDER / exchange).glob("*.json"))


def documents(path: Path) -> Iterator[Any]:
    """Everything in a file that may have been a message: every object and array in it, from the whole downwards."""

    def walk(node: Any, depth: int) -> Iterator[Any]:
        if isinstance(node, (dict, list)) and depth < 7:
            yield node
            for child in node.values() if isinstance(node, dict) else node[:50]:
                yield from walk(child, depth + 1)

    yield from walk(json.loads(path.read_text()), 0)


def answers(path: Path) -> Iterator[tuple[str, Any]]:
    """(``METHOD /path``, answer) of the REST answers whose endpoint the file names."""
    content = json.loads(path.read_text())
    if not isinstance(content, dict):
        return
    if "response" in content and "path" in content:
        yield f"{content['method']} {content['path']}", content["response"]
    for block in content.get("blocks", ()):
        for answer in [block.get("json"), *block.get("json_multi", ())]:
            if isinstance(answer, dict) and "retCode" in answer:
                yield content["endpoint"], answer


def frames(path: Path) -> Iterator[bytes]:
    """What servers sent over websockets, in a file that says so."""
    content = json.loads(path.read_text())
    if not isinstance(content, dict):
        return
    for frame in content.get("frames", ()):
        if str(frame.get("dir", "")).startswith("server"):
            yield json.dumps(frame["msg"], separators=(",", ":")).encode()
    if "websocket" in path.stem:
        for block in content.get("blocks", ()):
            for message in [block.get("json"), *block.get("json_multi", ())]:
                if isinstance(message, dict) and "text" not in message:
                    yield json.dumps(message, separators=(",", ":")).encode()


def outcome(parse: Parser, body: bytes, refusals: tuple[type[Exception], ...] = (BadMessage,)) -> str | None:
    """None when ``body`` was understood, else the reason it is quarantined with. Anything else is a crash.

    Answers are refused with ``BadMessage`` only; a stream's reader also quarantines msgspec's own ``ValueError``.
    """
    try:
        value = parse(body)
    except refusals as error:
        return f"{type(error).__name__}: {error}"
    assert_finite(value)
    return None


FRAME = (BadMessage, ValueError)


def assert_finite(value: object) -> None:
    """No number in ``value``, however deep, is NaN or infinite."""
    if isinstance(value, Decimal):
        assert value.is_finite()
    elif isinstance(value, float):
        assert math.isfinite(value)
    elif is_dataclass(value):
        for each in fields(value):
            assert_finite(getattr(value, each.name))
    elif isinstance(value, Mapping):
        for entry in value.values():
            assert_finite(entry)
    elif isinstance(value, (list, tuple)):
        for entry in value:
            assert_finite(entry)


NASTY: tuple[Any, ...] = (
    None, "", "NaN", "Infinity", "-inf", "1e400", "1e-400", "nan", "0x1", " ", "١", True, False, 0, -1, 2**63, 2**200,
    1e308, -1e-308, [], {}, [[]], {"a": 1}, ["x"], "BUY", "a" * 300, "1" * 300, "\ud7ff", 1.5, "-0", "1_0", "+1",
)  # fmt: skip


def paths(node: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside ``node``."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in items:
        yield (*here, key)
        yield from paths(child, (*here, key))


@st.composite
def mutations(draw: st.DrawFn, sample: Any) -> bytes:
    """``sample`` as JSON with one to three things wrong: values replaced or missing, keys twice, text damaged."""
    document = json.loads(json.dumps(sample))
    twice: list[tuple[str, Any]] = []
    for _ in range(draw(st.integers(1, 3))):
        places = list(paths(document))
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        parent = document
        for step in way:
            parent = parent[step]
        action = draw(st.sampled_from(("replace", "remove", "twice")))
        value = copy.deepcopy(draw(st.sampled_from(NASTY)))
        if action == "replace":
            parent[last] = value
        elif action == "remove":
            del parent[last]
        elif isinstance(last, str):
            twice.append((last, value))
    body = json.dumps(document, separators=(",", ":"))
    for key, value in twice:
        marker = f"{json.dumps(key)}:"
        body = body.replace(marker, f"{marker}{json.dumps(value)},{marker}", 1)
    raw = body.encode("utf-8", "replace")
    damage = draw(st.sampled_from(("none", "none", "none", "cut", "flip", "nan")))
    if damage == "cut":
        raw = raw[: draw(st.integers(0, len(raw)))]
    elif damage == "flip":
        place = draw(st.integers(0, len(raw) - 1))
        raw = raw[:place] + bytes([draw(st.integers(0, 255))]) + raw[place + 1 :]
    elif damage == "nan":
        raw = raw.replace(b'"', b"NaN", 1)
    return raw
