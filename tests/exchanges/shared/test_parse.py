"""Exact, suspicious parsing."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundingarb.errors import BadMessage
from fundingarb.exchanges.parse import (
    decode,
    excerpt,
    moment,
    number,
    optional,
    optional_positive,
    plain,
    positive,
    to_ms,
)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-inf", "1e400", "1e-400", "", "abc", "0x10", "--1"])
def test_what_is_not_a_usable_number(text: str) -> None:
    with pytest.raises(BadMessage, match="price"):
        number(text, "price")


def test_numbers_are_exact() -> None:
    assert number("0.10000000000000000001", "x") == Decimal("0.10000000000000000001")
    assert number(Decimal("-5"), "x") == -5
    assert positive("0.1", "x") == Decimal("0.1")
    with pytest.raises(BadMessage):
        positive("0", "x")


def test_absent_numbers() -> None:
    assert optional("", "x") is None
    assert optional(None, "x") is None
    assert optional("0", "x") == 0
    assert optional_positive("0.0000", "x") is None
    assert optional_positive("2", "x") == 2
    with pytest.raises(BadMessage):
        optional("NaN", "x")


def test_moments_are_exact_to_the_millisecond() -> None:
    at = moment(1_700_000_000_123, "time")
    assert at == datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=timezone.utc)
    assert to_ms(at) == 1_700_000_000_123
    assert moment("1700000000123", "time") == at


@pytest.mark.parametrize("value", [0, -1, 10**15, "soon", ""])
def test_what_is_not_a_time(value: int | str) -> None:
    with pytest.raises(BadMessage, match="time"):
        moment(value, "time")


@given(st.integers(min_value=1, max_value=4_102_444_799_999))
def test_milliseconds_survive_the_round_trip(ms: int) -> None:
    assert to_ms(moment(ms, "t")) == ms


@given(st.datetimes(min_value=datetime(2001, 1, 1), max_value=datetime(2099, 1, 1)))  # noqa: DTZ001 (made aware below)
def test_to_ms_rounds_down(naive: datetime) -> None:
    at = naive.replace(tzinfo=timezone.utc)
    back = moment(to_ms(at), "t")
    assert timedelta(0) <= at - back < timedelta(milliseconds=1)


@given(st.decimals(min_value=Decimal("1e-12"), max_value=Decimal("1e12"), places=12))
def test_plain_text_is_the_same_number_without_an_exponent(value: Decimal) -> None:
    text = plain(value)
    assert Decimal(text) == value
    assert "E" not in text
    assert not ("." in text and text.endswith("0"))


def test_plain_keeps_whole_numbers() -> None:
    assert plain(Decimal("1E+3")) == "1000"
    assert plain(Decimal("100")) == "100"
    assert plain(Decimal("0.10")) == "0.1"


class Thing(msgspec.Struct):
    price: Decimal


def test_decoding_names_what_and_why() -> None:
    assert decode(Thing, b'{"price": "1.50"}', "thing").price == Decimal("1.50")
    assert decode(Thing, b'{"price": 1.10}', "thing").price == Decimal("1.10")
    with pytest.raises(BadMessage, match=r"thing: .*price"):
        decode(Thing, b'{"price": ""}', "thing")
    with pytest.raises(BadMessage, match="thing"):
        decode(Thing, b"<html>", "thing")


def test_excerpts_are_one_short_line() -> None:
    assert excerpt("a\n  b") == "a b"
    assert len(excerpt("x" * 10_000)) <= 210
    assert excerpt(b"\xff\xfe") != ""
