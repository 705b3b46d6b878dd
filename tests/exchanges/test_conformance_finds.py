"""The suite has teeth: adapters that do one thing wrong fail the case that is about it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.exchanges.subjects import BYBIT

from fundingarb.errors import ExchangeError, OrderRefused, OutcomeUnknown
from fundingarb.ports import ExchangeAdapter, OpenContext
from fundingarb.testing.conformance import CASES, NotConformant, open_bench

pytestmark = pytest.mark.anyio

Method = Callable[..., Any]
Spoil = Callable[[ExchangeAdapter, Method], Method]


def changed(how: Callable[[Any], Any]) -> Spoil:
    """The method's answer, changed."""

    def spoil(adapter: ExchangeAdapter, right: Method) -> Method:
        async def wrong(*args: Any) -> Any:
            return how(await right(*args))

        return wrong

    return spoil


def swallowed(adapter: ExchangeAdapter, right: Method) -> Method:
    async def wrong(*args: Any) -> Any:
        try:
            return await right(*args)
        except ExchangeError:
            return []

    return wrong


def sent_again(adapter: ExchangeAdapter, right: Method) -> Method:
    async def wrong(order: Any) -> Any:
        try:
            return await right(order)
        except OutcomeUnknown:
            return await right(replace(order, client_id=order.client_id[::-1]))

    return wrong


def called_refused(adapter: ExchangeAdapter, right: Method) -> Method:
    async def wrong(order: Any) -> Any:
        try:
            return await right(order)
        except OutcomeUnknown as error:
            raise OrderRefused(str(error)) from error

    return wrong


def without_its_flag(adapter: ExchangeAdapter, right: Method) -> Method:
    async def wrong(order: Any) -> Any:
        return await right(replace(order, reduce_only=False))

    return wrong


def negated(rate: Any) -> Any:
    return replace(rate, rate=-rate.rate)


WRONG: list[tuple[str, str, Spoil]] = [
    ("C01", "get_instruments", changed(lambda all_: [replace(i, tick=Decimal(float(i.tick))) for i in all_])),
    ("C02", "get_funding_rate", changed(lambda rate: replace(rate, mark=rate.mark * 1000))),
    ("C03", "get_orderbook", changed(lambda book: replace(book, asks=book.asks[::-1]))),
    ("C04", "get_funding_rate", changed(lambda rate: replace(rate, interval=timedelta(hours=1)))),
    ("C05", "get_funding_rate", changed(negated)),
    ("C06", "get_funding_history", changed(lambda rows: rows[::-1])),
    ("C10", "get_positions", swallowed),
    ("C20", "find_order", changed(lambda r: r and replace(r, client_id=r.client_id.upper()))),
    ("C22", "cancel_order", changed(lambda done: True)),
    ("C25", "find_order", changed(lambda r: r and replace(r, filled=Decimal(0)))),
    ("C29", "place_order", without_its_flag),
    ("C40", "place_order", sent_again),
    ("C41", "place_order", called_refused),
    ("C60", "get_positions", changed(lambda held: [replace(p, quantity=abs(p.quantity)) for p in held])),
    (
        "C62",
        "get_fills",
        changed(lambda fills: [replace(f, fee=f.fee.quantize(Decimal("0.1"))) for f in fills]),
    ),
    ("C64", "get_funding_payments", changed(lambda rows: [replace(r, amount=-r.amount) for r in rows])),
    ("C66", "get_key_permissions", changed(lambda key: replace(key, withdraw=False))),
    ("C68", "get_fills", changed(lambda fills: fills[1:])),
]


@pytest.mark.parametrize(("number", "method", "spoil"), WRONG, ids=[f"{n}-{m}" for n, m, _ in WRONG])
async def test_a_wrong_adapter_fails_the_case(number: str, method: str, spoil: Spoil) -> None:
    @asynccontextmanager
    async def spoiled(settings: Mapping[str, Any], context: OpenContext) -> AsyncIterator[ExchangeAdapter]:
        async with BYBIT.adapter(context, settings) as adapter:
            setattr(adapter, method, spoil(adapter, getattr(adapter, method)))
            yield adapter

    async with open_bench(replace(BYBIT, open=spoiled)) as bench:
        with pytest.raises(NotConformant, match=number):
            await bench.run(CASES[number], 60.0)
        assert bench.results[number].verdict == "no"


def test_every_area_has_a_wrong_adapter() -> None:
    found: Sequence[str] = [number for number, _, _ in WRONG]
    assert len(set(found)) == len(found) >= 18
