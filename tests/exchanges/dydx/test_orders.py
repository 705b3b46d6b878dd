"""Placing, cancelling and finding orders against an indexer and a node that say what a test wants them to."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.exchanges.dydx import samples
from tests.exchanges.dydx.test_transactions import KEY, order, signer

from fundingarb.domain.order import OrderReport, OrderState, TimeInForce
from fundingarb.errors import (
    AuthenticationFailed,
    BadMessage,
    ConfigError,
    ExchangeUnavailable,
    OrderRefused,
    OutcomeUnknown,
)
from fundingarb.exchanges.rest import CallFailed, RestClient
from fundingarb.ports import AccountCredentials, KeyPermissions, OpenContext, RemembersOrders, Secret
from fundingarb.testing import FakeClock
from fundingarb_dydx import ids
from fundingarb_dydx.adapter import DydxAdapter
from fundingarb_dydx.errors import CODES
from fundingarb_dydx.ids import LONG_TERM, SHORT_TERM
from fundingarb_dydx.localnet.transactions import CancelOrder, PlaceOrder, clob_messages, decode_transaction
from fundingarb_dydx.settings import DydxSettings

pytestmark = pytest.mark.anyio
PUBLIC_KEY = signer().public_key


@dataclass
class Chain:
    """Indexer and node. ``orders`` and ``fills`` are what the indexer has, ``sent`` what the node was handed."""

    height: int = 1000
    chain: str = "dydx-testnet-4"
    key: str = PUBLIC_KEY
    orders: dict[str, samples.Json] = field(default_factory=dict)
    fills: list[samples.Json] = field(default_factory=list)
    positions: list[samples.Json] = field(default_factory=list)
    sent: list[Any] = field(default_factory=list)
    reply: Callable[[], Any] = lambda: samples.BROADCAST
    down: bool = False

    async def call(self, client: RestClient, endpoint: str, params: Any = None, headers: Any = None) -> bytes:
        request = client._sign(endpoint, params)
        path, query = (
            urlsplit(request["url"]).path.removeprefix("/v4"),
            parse_qs(urlsplit(request["url"]).query),
        )
        if self.down:
            raise CallFailed("no answer")
        if request["method"] == "POST":
            call = json.loads(request["body"])
            assert (path, call["method"]) == ("/", "broadcast_tx_sync")
            transaction = decode_transaction(base64.b64decode(call["params"]["tx"]))
            self.sent += clob_messages(transaction)
            answer = self.reply()
        elif path.startswith("/orders/"):
            answer = self.orders.get(path.removeprefix("/orders/"))
            if answer is None:
                raise CallFailed("not found", status=404, meaning=CODES.statuses[404])
        else:
            answer = {
                "/perpetualMarkets": samples.MARKETS,
                "/height": {"height": str(self.height), "time": samples.HEIGHT["time"]},
                "/time": samples.TIME,
                "/fills": {"fills": self.fills},
                "/perpetualPositions": {"positions": self.positions},
                "/orders": list(self.orders.values()),
                "/status": {"result": {"node_info": {"network": self.chain}}},
                f"/cosmos/auth/v1beta1/account_info/{samples.ADDRESS}": {
                    "info": {**samples.ACCOUNT["info"], "pub_key": {"key": self.key}}
                },
            }[path]
        assert query is not None
        body = json.dumps(answer).encode()
        code, said = CODES.extract(body)
        if code:
            meaning = CODES.meaning(200, code, said)
            raise CallFailed(said, status=200, code=code, said=said, meaning=meaning)
        return body


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> Chain:
    made = Chain()

    async def call(client: RestClient, endpoint: str, params: Any = None, headers: Any = None) -> bytes:
        return await made.call(client, endpoint, params, headers)

    monkeypatch.setattr(RestClient, "call", call)
    return made


def opened(**settings: Any) -> DydxAdapter:
    credentials = {"api_key": Secret(samples.ADDRESS), "api_secret": Secret(KEY)}
    context = OpenContext("dydx", FakeClock(), "testnet", AccountCredentials("main", credentials))
    return DydxAdapter(DydxSettings(**settings), context)


@pytest.fixture
async def adapter(chain: Chain) -> AsyncIterator[DydxAdapter]:
    async with opened() as made:
        yield made


def uuid_of(adapter: DydxAdapter, name: str, flags: int) -> str:
    return adapter.orders.names.order_id(name, 0, flags)


def listed(adapter: DydxAdapter, flags: int = SHORT_TERM, **changes: Any) -> dict[str, samples.Json]:
    """Our order as the indexer has it, under its UUID."""
    uuid = uuid_of(adapter, samples.NAME, flags)
    row = {**(samples.SHORT_TERM if flags == SHORT_TERM else samples.ORDER), "id": uuid}
    return {uuid: {**row, "goodTilBlock": "1004" if flags == SHORT_TERM else None, **changes}}


async def found(adapter: DydxAdapter) -> OrderReport | None:
    return await adapter.find_order("BTC-USDT", samples.NAME)


def wait(adapter: DydxAdapter, seconds: float) -> None:
    clock = adapter.clock
    assert isinstance(clock, FakeClock)
    clock.advance(seconds)


async def looked(adapter: DydxAdapter, looks: int) -> OrderReport | None:
    """What the last of so many looks says, a second apart; the ones before found nothing."""
    for _ in range(looks - 1):
        assert await found(adapter) is None
        wait(adapter, 1)
    return await found(adapter)


async def test_taken_up_is_not_filled(adapter: DydxAdapter, chain: Chain) -> None:
    report = await adapter.place_order(order())
    assert (report.state, report.filled) == (OrderState.OPEN, Decimal(0))
    assert report.exchange_order_id == uuid_of(adapter, samples.NAME, SHORT_TERM)
    (sent,) = chain.sent
    assert isinstance(sent, PlaceOrder)
    assert (sent.good_til, sent.id.flags) == (1004, SHORT_TERM)
    assert await found(adapter) is None, "the indexer has not heard of it, and the chain may still take it"


async def test_an_order_that_no_block_took_is_proved_by_the_height(
    adapter: DydxAdapter, chain: Chain
) -> None:
    chain.reply = lambda: {
        "jsonrpc": "2.0",
        "error": {"code": -32603, "message": "Internal error", "data": "?"},
    }
    with pytest.raises(OutcomeUnknown):
        await adapter.place_order(order())
    for chain.height in (1003, 1004, 1005, 1006):
        assert await looked(adapter, 4) is None
    chain.height = 1007
    report = await looked(adapter, 3)
    assert report is not None
    assert (report.state, report.filled) == (OrderState.CANCELLED, Decimal(0))
    assert await found(adapter) is None, "it was said once; afterwards the indexer knows none"


async def test_the_name_of_an_order_is_needed_until_its_end(
    adapter: DydxAdapter, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ids, "KEPT", 0)
    names = adapter.orders.names
    await adapter.place_order(order())
    assert await found(adapter) is None
    chain.height = 1007
    assert len(names) == 1
    assert await looked(adapter, 3) is not None
    assert len(names) == 0
    chain.reply = lambda: samples.refused("clob", 2003)
    with pytest.raises(OrderRefused):
        await adapter.place_order(order())
    assert len(names) == 0


async def test_looks_at_the_same_moment_are_one(adapter: DydxAdapter, chain: Chain) -> None:
    await adapter.place_order(order())
    chain.height = 1010
    for _ in range(5):
        assert await found(adapter) is None
    wait(adapter, 1)
    assert await found(adapter) is None
    wait(adapter, 1)
    assert await found(adapter) is not None


async def test_a_copy_that_is_ahead_of_the_others_proves_nothing(adapter: DydxAdapter, chain: Chain) -> None:
    """The height comes from one copy of the indexer; those with the order and its fills are further behind."""
    await adapter.place_order(order())
    chain.height = 1010
    assert await looked(adapter, 2) is None
    chain.orders = listed(adapter, status="FILLED", totalFilled=str(order().quantity))
    report = await found(adapter)
    assert report is not None
    assert (report.state, report.filled) == (OrderState.FILLED, order().quantity)


async def test_an_order_counts_from_the_highest_height_seen(adapter: DydxAdapter, chain: Chain) -> None:
    await adapter.read_height()
    wait(adapter, 5)
    chain.height = 990
    await adapter.place_order(order())
    (sent,) = chain.sent
    assert sent.good_til == 1004


async def test_a_copy_that_is_behind_the_others_takes_nothing_back(
    adapter: DydxAdapter, chain: Chain
) -> None:
    """Once the chain was past the last block it is, whatever an old copy says of its height."""
    await adapter.place_order(order())
    chain.height = 1010
    assert await found(adapter) is None
    wait(adapter, 1)
    chain.height = 1002
    assert await found(adapter) is None
    wait(adapter, 1)
    assert await found(adapter) is not None


async def test_a_long_term_order_that_no_block_took_is_refused(adapter: DydxAdapter, chain: Chain) -> None:
    await adapter.place_order(order(time_in_force=TimeInForce.GTC))
    chain.height = 1007
    report = await looked(adapter, 3)
    assert report is not None
    assert report.state is OrderState.REFUSED


async def test_an_order_that_arrived_meanwhile_is_not_taken_for_lost(
    adapter: DydxAdapter, chain: Chain
) -> None:
    """The indexer is asked again at the height that proves it: it may have had the order since."""
    await adapter.place_order(order(time_in_force=TimeInForce.GTC))
    there, answers = listed(adapter, LONG_TERM, totalFilled="0"), []
    original = chain.call

    async def late(client: RestClient, endpoint: str, params: Any = None, headers: Any = None) -> bytes:
        if endpoint == "indexerGetHeight":
            chain.height, chain.orders = 1010, there
        answers.append(endpoint)
        return await original(client, endpoint, params, headers)

    chain.call = late  # type: ignore[method-assign]
    report = await found(adapter)
    assert report is not None
    assert report.state is OrderState.OPEN
    assert answers.count("indexerGetOrdersOrderId") == 2


async def test_fills_of_an_order_that_is_gone_are_counted(adapter: DydxAdapter, chain: Chain) -> None:
    report = await adapter.place_order(order())
    fill = {
        **samples.FILL,
        "orderId": report.exchange_order_id,
        "size": "0.005",
        "createdAt": "2099-01-01T00:00:00.000Z",
    }
    chain.fills = [
        fill,
        {**fill, "id": "2", "size": "0.0073", "price": "43000"},
        {**fill, "id": "3", "orderId": "x"},
    ]
    chain.height = 1007
    for _ in range(2):
        told = await found(adapter)
        assert told is not None, "what it has filled is not held back"
        assert (told.state, told.filled) == (OrderState.OPEN, order().quantity)
        wait(adapter, 1)
    over = await found(adapter)
    assert over is not None
    assert (over.state, over.filled) == (OrderState.CANCELLED, order().quantity)
    assert over.average_price == (order().quantity * 43000 + 100 * Decimal("0.005")) / order().quantity


async def test_fills_that_are_still_coming_start_the_looks_again(adapter: DydxAdapter, chain: Chain) -> None:
    report = await adapter.place_order(order())
    fill = {**samples.FILL, "orderId": report.exchange_order_id, "createdAt": "2099-01-01T00:00:00.000Z"}
    chain.height = 1007
    assert await looked(adapter, 2) is None
    wait(adapter, 1)
    chain.fills = [{**fill, "size": "0.005"}]
    states = []
    for _ in range(3):
        told = await found(adapter)
        assert told is not None
        states.append((told.state, told.filled))
        wait(adapter, 1)
    assert states == [
        (state, Decimal("0.005")) for state in (OrderState.OPEN, OrderState.OPEN, OrderState.CANCELLED)
    ]


async def test_best_effort_cancelled_stays_open_until_its_last_block_has_passed(
    adapter: DydxAdapter, chain: Chain
) -> None:
    await adapter.place_order(order())
    chain.orders = listed(adapter, status="BEST_EFFORT_CANCELED")
    states = []
    for chain.height in (1004, 1004, 1004, 1004, 1005, 1005, 1005):
        adapter.heights._heard = float("-inf")  # no stream tells the height
        report = await found(adapter)
        assert report is not None
        states.append(report.state)
        wait(adapter, 1)
    assert states == [OrderState.OPEN] * 6 + [OrderState.CANCELLED], "and until it was seen so often enough"


async def test_after_a_restart_orders_have_their_names(chain: Chain) -> None:
    """What another process sent is known by the ids that the engine tells, and by nothing else."""
    async with opened() as before:
        await before.get_instruments()
        chain.orders = listed(before, LONG_TERM, totalFilled="0")
    async with opened() as after:
        assert isinstance(after, RemembersOrders)
        (unknown,) = await after.get_open_orders()
        assert unknown.client_id is not None
        assert unknown.client_id.startswith("fatestn"), "a bot's, whose order nobody here knows"
        after.remember_orders({samples.NAME: "BTC-USDT"})
        (known,) = await after.get_open_orders()
        assert known.client_id == samples.NAME
        fill = {**samples.FILL, "orderId": known.exchange_order_id}
        assert after.orders.names.name_of_fill(fill["orderId"], samples.NUMBER.metadata) == samples.NAME
        report = await found(after)
        assert report is not None
        assert report.client_id == samples.NAME
        assert await after.cancel_order("BTC-USDT", samples.NAME)
    (sent,) = chain.sent
    assert isinstance(sent, CancelOrder)
    assert (sent.id.client_id, sent.id.flags) == (samples.NUMBER.client_id, LONG_TERM)
    assert sent.good_til > 1_700_086_400, "at least as long as the order may rest"


async def test_somebody_elses_order_under_our_number_is_not_ours(adapter: DydxAdapter, chain: Chain) -> None:
    await adapter.get_instruments()
    chain.orders = listed(adapter, LONG_TERM, clientMetadata="1")
    assert await found(adapter) is None
    assert not await adapter.cancel_order("BTC-USDT", samples.NAME)
    (foreign,) = await adapter.get_open_orders()
    assert foreign.client_id is None
    assert await adapter.cancel_foreign(foreign), "by its own number it can be cancelled"
    assert [type(each) for each in chain.sent] == [CancelOrder]


async def test_a_number_that_is_taken_is_not_sent(
    adapter: DydxAdapter, chain: Chain, monkeypatch: Any
) -> None:
    monkeypatch.setattr(adapter.orders.names, "claim", lambda name, symbol: None)
    with pytest.raises(OrderRefused, match="another order's"):
        await adapter.place_order(order())
    assert chain.sent == []


async def test_a_market_order_has_a_worst_price(adapter: DydxAdapter, chain: Chain) -> None:
    report = await adapter.place_order(order(price=None))
    assert report.price == 45151, "5 % above the oracle price, on the tick"
    (sent,) = chain.sent
    assert sent.subticks == 45151 * 10**5


async def test_what_may_rest_cannot_be_reduce_only(adapter: DydxAdapter, chain: Chain) -> None:
    with pytest.raises(OrderRefused, match="not sent"):
        await adapter.place_order(order(time_in_force=TimeInForce.GTC, reduce_only=True))
    assert chain.sent == []


@pytest.mark.parametrize("code", [("clob", 2001), ("clob", 10)])
async def test_what_checktx_refuses_does_not_exist(
    adapter: DydxAdapter, chain: Chain, code: tuple[str, int]
) -> None:
    chain.reply = lambda: samples.refused(*code)
    with pytest.raises(OrderRefused):
        await adapter.place_order(order())
    chain.height = 1010
    assert await found(adapter) is None


async def test_nothing_is_signed_for_another_chain(adapter: DydxAdapter, chain: Chain) -> None:
    chain.chain = "dydx-mainnet-1"
    with pytest.raises(
        OrderRefused, match="is of chain dydx-mainnet-1, and network testnet is dydx-testnet-4"
    ):
        await adapter.place_order(order())
    with pytest.raises(AuthenticationFailed):
        await adapter.get_key_permissions()
    assert chain.sent == []


async def test_the_key_of_another_address_is_told(adapter: DydxAdapter, chain: Chain) -> None:
    chain.key = samples.ACCOUNT["info"]["pub_key"]["key"]
    with pytest.raises(AuthenticationFailed, match="not the key of"):
        await adapter.get_key_permissions()


@pytest.mark.parametrize("accepted", [False, True])
async def test_every_key_can_withdraw(chain: Chain, accepted: bool) -> None:
    from fundingarb.engine.checks import key_flaw

    async with opened(accept_key_that_can_withdraw=accepted) as made:
        may = await made.get_key_permissions()
    setting = "exchanges.dydx.accept_key_that_can_withdraw"
    assert may == KeyPermissions(True, True, False, True, accepted, setting)
    flaw = key_flaw(may, "dydx", live=True, rights_accepted=True)
    assert (flaw is None) is accepted
    assert flaw is None or f"{setting}: true" in flaw
    assert key_flaw(may, "dydx", live=False, rights_accepted=False) is None


async def test_orders_are_not_sent_without_a_height(adapter: DydxAdapter, chain: Chain) -> None:
    await adapter.get_key_permissions()
    await adapter.get_instruments()
    chain.down = True
    with pytest.raises(OrderRefused, match="not sent"):
        await adapter.place_order(order())
    with pytest.raises(ExchangeUnavailable):
        await found(adapter)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"api_key": "0xabc"}, "dydx1"),
        ({"api_secret": "abandon ability able"}, "no seed phrase"),
        (
            {"api_secret": "22" * 32},
            "^accounts.main: api_secret is the key of dydx1.*, not of the address in api_key; give .* its own key",
        ),
        ({"api_key": samples.ADDRESS[:-1] + "q"}, f"is the key of {samples.ADDRESS}, not of"),
        ({"subaccount": "one"}, "from 0 to 127"),
        ({"subaccount": "128"}, "from 0 to 127"),
    ],
)
async def test_credentials_that_cannot_be_used_are_told_before_anything_is_opened(
    changes: dict[str, str], problem: str
) -> None:
    values = {"api_key": samples.ADDRESS, "api_secret": KEY, **changes}
    account = AccountCredentials("main", {name: Secret(text) for name, text in values.items()})
    with pytest.raises((ConfigError, AuthenticationFailed), match=problem):
        DydxAdapter(DydxSettings.model_validate({}), OpenContext("dydx", FakeClock(), "testnet", account))


def traded(minute: int, side: str, size: str, price: str) -> samples.Json:
    at = f"2023-11-14T22:{minute:02d}:00.000Z"
    return {**samples.FILL, "id": str(minute), "side": side, "size": size, "price": price, "createdAt": at}


def moment(minute: int) -> datetime:
    return datetime(2023, 11, 14, 22, minute, tzinfo=timezone.utc)


OPENING, HALF, REST = (
    traded(0, "BUY", "2", "100"),
    traded(2, "SELL", "1", "110"),
    traded(5, "SELL", "1", "120"),
)
HELD = {**samples.POSITION, "createdAt": OPENING["createdAt"], "closedAt": None}


async def results(adapter: DydxAdapter, since: int) -> list[Decimal]:
    return [fill.realized_pnl for fill in await adapter.get_fills(moment(since))]


async def test_price_results_survive_a_reading_that_failed(
    chain: Chain, adapter: DydxAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the fills of a position are not reckoned with as if they were all."""
    chain.positions, chain.fills = [HELD], [HALF, OPENING]
    await adapter.get_fills(moment(0))
    chain.fills = [REST, HALF, OPENING]
    read = adapter.books.fill_rows

    async def fails(since: datetime, market: str | None = None) -> Any:
        if since < moment(3):
            raise ExchangeUnavailable("no answer")
        return await read(since, market)

    monkeypatch.setattr(adapter.books, "fill_rows", fails)
    with pytest.raises(ExchangeUnavailable):
        await adapter.get_fills(moment(3))
    monkeypatch.setattr(adapter.books, "fill_rows", read)
    assert await results(adapter, 1) == [10, 20]


@pytest.mark.parametrize("known", [True, False])
async def test_a_list_that_is_behind_another_one_makes_no_price_result_zero(
    chain: Chain, adapter: DydxAdapter, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """What closes a position is shown, and not by the server that is asked for what came before it."""
    chain.positions, chain.fills = [HELD], [HALF, OPENING]
    if known:
        await adapter.get_fills(moment(0))
    chain.fills = [REST, HALF, OPENING]
    read = adapter.books.fill_rows

    async def behind(since: datetime, market: str | None = None) -> Any:
        rows = await read(since, market)
        return rows if since >= moment(3) else [row for row in rows if row.id != REST["id"]]

    monkeypatch.setattr(adapter.books, "fill_rows", behind)
    with pytest.raises(BadMessage, match="it is behind"):
        await adapter.get_fills(moment(3))
    monkeypatch.setattr(adapter.books, "fill_rows", read)
    assert await results(adapter, 3) == [20]


async def test_a_position_that_is_not_listed_yet_is_waited_for(chain: Chain, adapter: DydxAdapter) -> None:
    adapter.clock = FakeClock(moment(5) + timedelta(seconds=30))
    chain.fills = [REST, HALF, OPENING]
    with pytest.raises(BadMessage, match="lists no position"):
        await adapter.get_fills(moment(3))
    chain.positions = [HELD]
    assert await results(adapter, 3) == [20]


async def test_what_is_older_than_the_listed_positions_is_read_without_one(
    chain: Chain, adapter: DydxAdapter
) -> None:
    adapter.clock = FakeClock(moment(7))
    chain.fills = [REST, HALF, OPENING]
    assert await results(adapter, 0) == [0, 10, 20]
