"""Column types that keep what they are given: exact money, aware times, UUID keys, JSON documents."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from sqlalchemy import JSON, NUMERIC, TIMESTAMP, Dialect, String, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator, TypeEngine

SCALE = 18
"""Digits after the decimal point; what is finer is rounded half even."""

WHOLE = 20
"""Digits before the decimal point; what is larger is refused."""

EXACT = Context(prec=SCALE + 3 * WHOLE, rounding=ROUND_HALF_EVEN)
STEP = Decimal(1).scaleb(-SCALE)


def exact_text(value: Decimal) -> str:
    """``value`` as plain digits, the same text for equal values: no exponent, no trailing zeros, no minus zero.

    Rounded half even to 18 decimal places. Raises ValueError for NaN, infinities and 10**20 or more.
    """
    if not value.is_finite():
        raise ValueError(f"{value} is not an amount")
    magnitude = value.adjusted()
    if not value or magnitude < -SCALE - 1:
        return "0"
    if magnitude >= WHOLE:
        raise ValueError(f"{value:.6e} is too large to store")
    text = f"{value:f}"
    whole, point, fraction = text.partition(".")
    if not point:
        return text
    if len(fraction) > SCALE:
        rounded = value.quantize(STEP, context=EXACT)
        if rounded.adjusted() >= WHOLE:
            raise ValueError(f"{value:.6e} is too large to store")
        whole, _, fraction = f"{rounded:f}".partition(".")
    fraction = fraction.rstrip("0")
    if fraction:
        return f"{whole}.{fraction}"
    return "0" if whole == "-0" else whole


def in_utc(value: datetime) -> datetime:
    """The same moment in UTC. Raises ValueError for a time without a zone."""
    if value.tzinfo is timezone.utc:
        return value
    if value.tzinfo is None:
        raise ValueError(f"{value} has no time zone")
    return value.astimezone(timezone.utc)


def time_text(value: datetime) -> str:
    """``value`` in UTC as ISO text to the microsecond. Raises ValueError for a time without a zone."""
    return in_utc(value).isoformat(timespec="microseconds")


class Money(TypeDecorator[Decimal]):
    """An exact decimal: NUMERIC(38,18) on PostgreSQL, its digits as text on SQLite.

    SQLite has no decimal type: its NUMERIC affinity turns digits into a binary float, so the column is a VARCHAR.
    Values that are equal are stored the same, and read back without trailing zeros on both.
    """

    impl = NUMERIC
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(NUMERIC(SCALE + WHOLE, SCALE))
        return dialect.type_descriptor(String(SCALE + WHOLE + 2))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        text = exact_text(value)
        return Decimal(text) if dialect.name == "postgresql" else text

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        if dialect.name == "postgresql":
            return super().bind_processor(dialect)
        return lambda value: None if value is None else exact_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        if value is None:
            return None
        return Decimal(exact_text(value)) if dialect.name == "postgresql" else Decimal(value)


class Instant(TypeDecorator[datetime]):
    """An aware time, UTC, to the microsecond: timestamptz on PostgreSQL, ISO text that sorts by time on SQLite."""

    impl = TIMESTAMP
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(String(32))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        return in_utc(value) if dialect.name == "postgresql" else time_text(value)

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        if dialect.name == "postgresql":
            return super().bind_processor(dialect)
        return lambda value: None if value is None else time_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return moment.astimezone(timezone.utc)


def storable(text: str) -> str:
    """``text`` without what PostgreSQL cannot hold: NUL characters and lone surrogates become question marks."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "?").encode("utf-8", "replace").decode("utf-8")


class Words(TypeDecorator[str]):
    """Text from outside (reasons, titles): whatever it holds, it never makes a commit fail."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value)


class Document(dict[str, Any]):
    """A JSON object that is not changed once it is made, so that its text is made only once."""

    __slots__ = ("text",)

    text: str


def text_once(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``convert`` (JSON to text), remembered by each ``Document``."""

    def text(value: Any) -> Any:
        if type(value) is not Document:
            return convert(value)
        try:
            return value.text
        except AttributeError:
            value.text = convert(value)
            return value.text

    return text


def document() -> TypeEngine[Any]:
    """A JSON document: JSONB on PostgreSQL, text on SQLite."""
    return JSON().with_variant(JSONB(), "postgresql")
