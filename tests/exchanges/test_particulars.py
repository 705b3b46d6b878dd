"""What is particular to one exchange, over real sockets; what all of them do is in test_conformance."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from decimal import Decimal

import anyio
import pytest
from tests.exchanges.subjects import BINANCE, BYBIT, OKX

from fundingarb.domain.order import OrderSide, OrderState, TimeInForce
from fundingarb.errors import ExchangeError, ExchangeUnavailable, OrderRefused, OutcomeUnknown, RefusalReason
from fundingarb.localnet.faults import FaultKind
from fundingarb.ports import KeyPermissions
from fundingarb.testing import RecordingAccountSink
from fundingarb.testing.conformance import Bench, open_bench
from fundingarb.testing.conformance.desk import Desk
from fundingarb.testing.conformance.words import eventually

pytestmark = pytest.mark.anyio

SUBJECTS = {subject.exchange: subject for subject in (BINANCE, BYBIT, OKX)}
ALL = pytest.mark.parametrize("exchange", SUBJECTS)
ONLY_BINANCE = pytest.mark.parametrize("exchange", ["binance"])
ONLY_BYBIT = pytest.mark.parametrize("exchange", ["bybit"])
ONLY_OKX = pytest.mark.parametrize("exchange", ["okx"])


@pytest.fixture(scope="module")
async def benches() -> AsyncIterator[dict[str, Bench]]:
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(open_bench(subject)) for name, subject in SUBJECTS.items()
        }


@pytest.fixture
async def desk(benches: dict[str, Bench], exchange: str) -> AsyncIterator[Desk]:
    async with benches[exchange].desk(60.0) as desk:
        yield desk


@ONLY_BINANCE
async def test_a_fill_waits_until_its_order_is_found(desk: Desk) -> None:
    """Binance's trade ledger does not name orders. A query that lags behind must not make the fill nobody's."""
    order = desk.order()
    desk.fault(FaultKind.LOST_REPLY, operation="order.place")
    with pytest.raises(OutcomeUnknown):
        await desk.adapter.place_order(order)
    desk.fault(FaultKind.REJECT, operation="order.query", code="-2013", message="Order does not exist.")
    with pytest.raises(ExchangeUnavailable, match="not found yet"):
        await desk.adapter.get_fills(desk.started)
    (fill,) = await desk.adapter.get_fills(desk.started)
    assert (fill.client_id, fill.quantity) == (order.client_id, order.quantity)


@ONLY_BINANCE
async def test_a_post_only_order_that_would_take_is_refused(desk: Desk) -> None:
    with pytest.raises(OrderRefused) as refused:
        await desk.adapter.place_order(desk.order(tif=TimeInForce.POST_ONLY))
    assert refused.value.code == "-5022"


@pytest.mark.parametrize(("exchange", "why"), [("bybit", "PostOnly"), ("okx", "cancel source 31")])
async def test_a_post_only_order_that_would_take_is_cancelled(desk: Desk, why: str) -> None:
    report = await desk.done(desk.order(tif=TimeInForce.POST_ONLY))
    assert report.state is OrderState.CANCELLED
    assert why in report.reason


CODES_OF_ORDERS = [
    ("binance", "-2022", OrderRefused, RefusalReason.REDUCE_ONLY),
    ("binance", "-4061", OrderRefused, RefusalReason.POSITION_MODE),
    ("binance", "-2019", OrderRefused, None),
    ("binance", "-1008", OrderRefused, None),
    ("binance", "-1007", OutcomeUnknown, None),
    ("bybit", "110017", OrderRefused, RefusalReason.REDUCE_ONLY),
    ("bybit", "110007", OrderRefused, None),
    ("bybit", "10016", OutcomeUnknown, None),
    ("bybit", "110001", OutcomeUnknown, None),
    ("okx", "51169", OrderRefused, RefusalReason.REDUCE_ONLY),
    ("okx", "51008", OrderRefused, None),
    ("okx", "50036", OrderRefused, None),
    ("okx", "51149", OutcomeUnknown, None),
    ("okx", "50004", OutcomeUnknown, None),
    ("okx", "51603", OutcomeUnknown, None),
]


@pytest.mark.parametrize(("exchange", "code", "kind", "reason"), CODES_OF_ORDERS)
async def test_what_a_code_says_of_an_order(
    desk: Desk, code: str, kind: type[ExchangeError], reason: RefusalReason | None
) -> None:
    desk.fault(FaultKind.REJECT, operation="order.place", code=code)
    with pytest.raises(ExchangeError) as failed:
        await desk.adapter.place_order(desk.order())
    assert (type(failed.value), failed.value.code) == (kind, code)
    assert getattr(failed.value, "reason", None) is reason


@ALL
async def test_positions_carry_what_margin_health_needs(desk: Desk) -> None:
    await desk.done(desk.order(quantity=desk.size(20_000)))
    (held,) = await desk.adapter.get_positions()
    assert held.liquidation_price is None or held.liquidation_price < 1000
    assert held.mark == 1000
    assert held.maintenance_margin is not None
    assert 0 < held.maintenance_margin < held.quantity * 1000 / 10
    assert held.adl_rank in range(1, 6)


@ALL
async def test_all_permissions_of_a_key(desk: Desk) -> None:
    """Who may trade on OKX may also move money between accounts of one's own."""
    permissions = await desk.adapter.get_key_permissions()
    transfer = desk.exchange == "okx"
    assert permissions == KeyPermissions(trade=True, withdraw=False, ip_restricted=True, transfer=transfer)
    assert desk.adapter.cost("place_order")["orders"] == 1


@ALL
async def test_what_a_liquidation_costs_beyond_the_trade(desk: Desk) -> None:
    await desk.done(desk.order())
    desk.fault(FaultKind.LIQUIDATION, symbol="BTC-USDT")
    fills = await desk.adapter.get_fills(desk.started)
    assert all(fill.fee > 0 for fill in fills)
    assert sum(fill.realized_pnl - fill.fee for fill in fills) == desk.change != Decimal(0)


@ONLY_BINANCE
async def test_an_expired_listen_key_is_replaced(desk: Desk) -> None:
    """Binance closes a user stream whose key is gone; the next connection asks for another key."""
    sink = RecordingAccountSink()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.adapter.stream_account, sink)
        await eventually("it is connected", lambda: len(sink.ups) == 1)
        await desk.adapter.polling.write("fapiPrivateDeleteListenKey")  # type: ignore[attr-defined]
        await eventually("it is connected again", lambda: len(sink.ups) == 2)
        await desk.done(desk.order())
        await eventually("a fill arrives", lambda: sink.fills)
        tasks.cancel_scope.cancel()
    assert len(sink.downs) == 1


@ONLY_OKX
async def test_quantities_on_the_wire_are_contracts(desk: Desk) -> None:
    """A hundredth of a coin and ten million coins are one contract each, whatever the adapter is asked in."""
    for symbol in ("BTC-USDT", "PEPE-USDT"):
        unit = desk.contract(symbol).unit
        assert unit != 1
        report = await desk.done(desk.order(symbol=symbol))
        taken = desk.taken[-1]
        assert (report.filled, taken.filled * unit) == (report.quantity, report.quantity)
        held = {position.symbol: position.quantity for position in await desk.adapter.get_positions()}
        assert held[symbol] == taken.filled * unit == desk.held(symbol)


@ONLY_OKX
async def test_what_reduces_has_the_margin_mode_of_the_position(desk: Desk) -> None:
    """OKX takes the mode with every order: one in another mode would not reduce but open."""
    await desk.adapter.set_margin_mode("BTC-USDT", "isolated")
    await desk.done(desk.order())
    async with desk.another(desk.credentials) as restarted:
        assert (await restarted.get_modes("BTC-USDT")).margin_mode == "isolated"
        (position,) = await restarted.get_positions()
        order = desk.order(OrderSide.SELL, position.quantity, reduce=True)
        await restarted.place_order(order)
        assert (await desk.over(order)).state is OrderState.FILLED
    assert desk.held() == 0


@ONLY_OKX
async def test_the_timer_stays_as_long_as_one_symbol_wants_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OKX has one timer for all symbols: one that is done must not take it off the others."""
    armed: list[tuple[str | None, bool, str | None]] = []

    def cancel_after(
        account: str, instrument: str | None, seconds: float | None, tag: str | None = None
    ) -> None:
        armed.append((instrument, seconds is not None, tag))

    monkeypatch.setattr(desk.truth, "cancel_after", cancel_after)
    for symbol in ("BTC-USDT", "PEPE-USDT"):
        await desk.adapter.cancel_after([symbol], 20)
    await desk.adapter.cancel_after(["BTC-USDT"], None)
    assert [on for _, on, _ in armed] == [True, True]
    await desk.adapter.cancel_after(["PEPE-USDT"], None)
    assert [on for _, on, _ in armed] == [True, True, False]
    await desk.adapter.place_order(desk.resting())
    await desk.adapter.place_order(desk.order())
    assert {(None, order.extra["tag"]) for order in desk.taken} == {(one, tag) for one, _, tag in armed}


@ONLY_OKX
async def test_an_account_without_swaps_is_refused(desk: Desk) -> None:
    desk.truth.credentials(desk.account).extra["account_level"] = "1"
    with pytest.raises(ExchangeError, match="Spot mode"):
        await desk.adapter.get_modes("BTC-USDT")


@ONLY_OKX
async def test_fees_of_many_symbols_are_one_request(desk: Desk) -> None:
    tiers = [await desk.adapter.get_fee_tier(symbol) for symbol in ("BTC-USDT", "PEPE-USDT") * 20]
    assert len(set(tiers)) == 1
    assert tiers[0].taker > tiers[0].maker > 0
    assert desk.adapter.cost("get_fee_tier") == {}
