"""Exact, suspicious parsing: a typed value or ``BadMessage``, never a NaN and never a surprise."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, TypeVar, cast

import msgspec

from fundingarb.errors import BadMessage

T = TypeVar("T")

_LARGEST = Decimal("1e30")
_SMALLEST_EXPONENT = -30
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LAST_MS = 4_102_444_800_000  # the year 2100


@lru_cache(maxsize=256)
def _decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode(kind: type[T], body: bytes | str, what: str) -> T:
    """``body`` as a ``kind`` (a msgspec struct or a generic of them); ``BadMessage`` names ``what`` and the reason."""
    try:
        return cast(T, _decoder(cast(Hashable, kind)).decode(body))
    except ValueError as error:
        raise BadMessage(f"{what}: {error}: {excerpt(body)}") from error


def each(
    rows: Iterable[msgspec.Raw],
    take: Callable[[bytes], T | None],
    rejected: Callable[[str, bytes], None] | None = None,
) -> list[T]:
    """What ``take`` makes of each row; None and rows that cannot be understood are left out.

    For lists in which one bad entry must not spoil the others. ``rejected`` hears the reason and the row.
    """
    found: list[T] = []
    for raw in rows:
        body = bytes(raw)
        try:
            value = take(body)
        except (BadMessage, ValueError) as error:
            if rejected is not None:
                rejected(str(error), body)
            continue
        if value is not None:
            found.append(value)
    return found


def hand_over(rows: Iterable[msgspec.Raw], take: Callable[[msgspec.Raw], object], what: str) -> None:
    """Give each row of a frame to ``take``. One bad row spoils no other: ``BadMessage`` is raised after the last."""
    problem: ValueError | BadMessage | None = None
    for row in rows:
        try:
            take(row)
        except (BadMessage, ValueError) as error:
            problem = error
    if problem is not None:
        raise BadMessage(f"{what}: {problem}") from problem


def excerpt(body: bytes | str, length: int = 200) -> str:
    """The beginning of ``body`` for a message, on one line."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    text = " ".join(text[: 2 * length].split())
    return text if len(text) <= length else text[:length] + "..."


def number(value: Decimal | str, what: str) -> Decimal:
    """A finite decimal of sane size; exact. The empty string is a ``BadMessage``, as is everything else."""
    if not isinstance(value, Decimal):
        try:
            value = Decimal(value)
        except InvalidOperation as error:
            raise BadMessage(f"{what}: {str(value)[:40]!r} is not a number") from error
    if not value.is_finite() or abs(value) > _LARGEST:
        raise BadMessage(f"{what}: {value} is not a usable number")
    if value and value.adjusted() < _SMALLEST_EXPONENT:
        raise BadMessage(f"{what}: {value} is not a usable number")
    return value


def positive(value: Decimal | str, what: str) -> Decimal:
    """A number above zero."""
    result = number(value, what)
    if result <= 0:
        raise BadMessage(f"{what}: {result} is not positive")
    return result


def fraction(value: Decimal | str, what: str) -> Decimal:
    """A funding rate or fee: a number between -1 and 1."""
    result = number(value, what)
    if abs(result) >= 1:
        raise BadMessage(f"{what}: {result} is not a plausible rate")
    return result


def one_of(table: Mapping[str, T], text: str, what: str) -> T:
    """What ``text`` stands for; a word that is not documented is a ``BadMessage``, never guessed."""
    try:
        return table[text]
    except KeyError:
        raise BadMessage(f"{what} {text!r} is not a documented one") from None


def optional(value: Decimal | str | None, what: str) -> Decimal | None:
    """A number, or None for null and the empty string."""
    return None if value is None or value == "" else number(value, what)


def optional_positive(value: Decimal | str | None, what: str) -> Decimal | None:
    """A number above zero, or None for null, the empty string and zero (how exchanges say "none")."""
    result = optional(value, what)
    return result if result is not None and result > 0 else None


def moment(milliseconds: int | str, what: str) -> datetime:
    """Unix milliseconds as aware UTC, exact to the millisecond."""
    try:
        value = int(milliseconds)
    except ValueError as error:
        raise BadMessage(f"{what}: {milliseconds!r} is not a time in milliseconds") from error
    if not 0 < value < _LAST_MS:
        raise BadMessage(f"{what}: {value} is not a time in milliseconds")
    return _EPOCH + timedelta(milliseconds=value)


def to_ms(at: datetime) -> int:
    """Aware time as unix milliseconds, rounded down."""
    return int(at.replace(microsecond=0).timestamp()) * 1000 + at.microsecond // 1000


def plain(value: Decimal) -> str:
    """``value`` as exchanges want it: no exponent, no trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
