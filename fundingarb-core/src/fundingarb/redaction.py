"""Keeping secrets out of whatever is written, sent or shown: values that are known to be secret, however disguised.

Every ``ports.Secret`` is known here from the moment it is made. What leaves the program as text (log lines, messages of
exceptions, alerts, crash reports) goes through ``redacted`` on its way out.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

__all__ = ["HIDDEN", "hide", "redacted"]

HIDDEN = "***"
SHORTEST = 6
"""Values with fewer characters are no secrets, and would blot out words."""
LINE = 16
"""A line of a secret with several (a private key) is one by itself when it is at least so long."""

_forms: tuple[str, ...] = ()
_known: set[str] = set()
_lock = threading.Lock()


def hide(value: str) -> None:
    """Have ``redacted`` hide ``value`` from now on, as it is, in base64, in hex, URL-encoded, and quoted."""
    global _forms
    if len(value.strip()) < SHORTEST or value in _known:
        return
    with _lock:
        _known.add(value)
        found = {*_forms, *_disguises(value)}
        for line in value.splitlines() if "\n" in value else ():
            if len(line.strip()) >= LINE and not line.startswith("-----"):
                found.update(_disguises(line.strip()))
        _forms = tuple(sorted(found, key=lambda form: (-len(form), form)))


def redacted(text: str) -> str:
    """``text`` with *** for every secret that is known, in whatever form."""
    for form in _forms:
        if form in text:
            text = text.replace(form, HIDDEN)
    return text


def _disguises(value: str) -> Iterator[str]:
    raw = value.encode("utf-8", "surrogatepass")
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield repr(value)[1:-1]
    yield raw.hex()
    yield raw.hex().upper()
    for encoded in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
        yield encoded
        yield _lower(encoded)
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            yield from _in_base64(encode(bytes(before) + raw).decode(), before, len(raw))


def _in_base64(text: str, before: int, length: int) -> Iterator[str]:
    """What is the same in the base64 of any text that holds the value behind ``before`` bytes (modulo 3)."""
    first, last = -(-before * 8 // 6), (before + length) * 8 // 6
    yield text[first:last]
    if not before:
        yield text  # alone, to its last character
        yield text.rstrip("=")


def _lower(encoded: str) -> str:
    """Percent escapes in lower case, as some libraries write them."""
    head, *rest = encoded.split("%")
    return "%".join([head, *(part[:2].lower() + part[2:] for part in rest)])
