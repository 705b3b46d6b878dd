"""Orders and cancels on the chain, and what became of them: sent through a node, found in the indexer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from fundingarb.domain.instrument import Instrument
from fundingarb.domain.order import NewOrder, OrderReport, OrderSide, OrderState
from fundingarb.errors import AuthenticationFailed, ExchangeError, OrderRefused
from fundingarb.exchanges.rest import CallFailed, Meaning
from fundingarb_dydx import ledger, messages, schema, transactions
from fundingarb_dydx.ids import LONG_TERM, SHORT_TERM, OrderNames, number_of, subaccount_id
from fundingarb_dydx.transactions import Expiry, Signer

if TYPE_CHECKING:
    from fundingarb_dydx.adapter import DydxAdapter

WORST = Decimal("0.05")
"""How far from the oracle price an order without a price of its own may be filled: the chain knows no market orders."""
CANCEL_LIVES = 60
"""Seconds by which a cancel counts longer than the order it is for."""
MARGIN_BLOCKS = 2
LOOKS, LOOKS_APART = 3, 0.9
"""What the indexer does not say itself counts when so many looks, so many real seconds apart, say the same while the
chain is past an order's last block (by that margin, when the order is not to be found). The indexer answers from
several copies, each at a height of its own: that one of them is past the block does not say that of the one with the
order, or of the one with its fills."""
_CERTAINLY_NOT = (
    Meaning.REFUSED,
    Meaning.AUTHENTICATION,
    Meaning.RATE_LIMITED,
    Meaning.CLOCK,
    Meaning.MISSING,
)


@dataclass(frozen=True, slots=True)
class Sent:
    """An order of this process: as it was sent, and the last block that could take it up."""

    order: NewOrder
    flags: int
    price: Decimal
    last_block: int
    expiry: Expiry
    at: datetime


@dataclass(frozen=True, slots=True)
class Looks:
    """Looks in a row at an order past its last block that found it filled by so much, the last one at ``at``."""

    filled: Decimal
    count: int = 0
    at: float = float("-inf")


class OrderDesk:
    """The orders of one subaccount. Raises what ``RestAdapter`` expects of its hooks."""

    def __init__(self, adapter: DydxAdapter) -> None:
        self._adapter = adapter
        self.names = OrderNames(subaccount_id(adapter.address, adapter.subaccount))
        self._sent: dict[str, Sent] = {}
        self._looks: dict[str, Looks] = {}
        self._account_number: int | None = None
        self._signer: Signer | None = None
        if adapter.context.account is not None:
            secret = adapter.credential("api_secret")
            self._signer = Signer(adapter.trading.ccxt, adapter.address, secret, adapter.network.chain_id)

    @property
    def signer(self) -> Signer:
        """The account's key; ``AuthenticationFailed`` for an adapter that only reads public data."""
        if self._signer is None:
            raise AuthenticationFailed("dydx: this needs an account; add credentials for one")
        return self._signer

    # the account on the chain
    async def check_chain(self) -> None:
        """``AuthenticationFailed`` when the node is of another chain than the network: no signature counts there."""
        network = self._adapter.network
        answer = await self._adapter.read("nodeStatus", schema.NodeAnswer)
        found = answer.result.node_info.network
        if found != network.chain_id:
            raise AuthenticationFailed(
                f"dydx: the node at {network.node_rpc} is of chain {found}, and network "
                f"{self._adapter.context.network} is {network.chain_id}; correct the node_rpc_url of dydx"
            )

    async def account_number(self) -> int:
        """The chain's number of the address, asked for once. ``AuthenticationFailed`` when its key is not ours."""
        if self._account_number is None:
            signer = self.signer
            await self.check_chain()
            path, params = (
                "nodeRestGetCosmosAuthV1beta1AccountInfoDydxAddress",
                {"dydxAddress": signer.address},
            )
            info = (await self._adapter.read(path, schema.AccountAnswer, params)).info
            if info.pub_key is not None and info.pub_key.key and info.pub_key.key != signer.public_key:
                raise AuthenticationFailed(f"dydx: api_secret is not the key of {signer.address}", code="key")
            self._account_number = messages.block(info.account_number, "account_number")
        return self._account_number

    async def _height(self) -> int:
        """The height to count from; read when the stream has not told it just now, and never below one seen before: a
        copy that is behind the others would have an order end before it is sent."""
        heights = self._adapter.heights
        if heights.fresh(self._adapter.clock.monotonic()) is None:
            await self._adapter.read_height()
        return heights.latest or 0

    async def _broadcast(self, signed: str) -> None:
        """Hand a transaction to the node, as JSON-RPC: a GET (ccxt's way) would be repeated by the HTTP client when its
        connection drops, and nobody would know whether the first one had arrived."""
        await self._adapter.write("broadcast", schema.BroadcastAnswer, {"tx": signed})

    # placing
    async def send(self, order: NewOrder, instrument: Instrument) -> OrderReport:
        """Everything up to the broadcast may fail without an order. Code 0 of the broadcast says that a node took it up
        and no more: whether it is in a block is asked of the indexer (``find``)."""
        try:
            message, sent, account_number = await self._prepare(order, instrument)
            signed = self.signer.sign(message, account_number, sent.last_block)
        except ExchangeError as error:
            raise OrderRefused(f"not sent: {error}", code=error.code) from error
        self._sent[order.client_id] = sent
        self.names.note_flags(order.client_id, sent.flags)
        try:
            await self._broadcast(signed)
        except CallFailed as failure:
            if not failure.sent or self._adapter.codes.placed(failure) in _CERTAINLY_NOT:
                self._over(order.client_id)
            raise
        return self._taken_up(sent, instrument)

    def _taken_up(self, sent: Sent, instrument: Instrument) -> OrderReport:
        adapter = self._adapter
        order_id = self._order_id(sent.order.client_id, instrument, sent.flags)
        return messages.taken_up(sent.order, order_id, adapter.account, sent.price, adapter.clock.now())

    async def _prepare(self, order: NewOrder, instrument: Instrument) -> tuple[dict[str, Any], Sent, int]:
        adapter = self._adapter
        account_number = await self.account_number()
        flags = transactions.flags_of(order)
        if flags == LONG_TERM and order.reduce_only:
            raise ExchangeError(
                "dydx: only an immediate-or-cancel order can be reduce-only", code="clob:9003"
            )
        number = self.names.claim(order.client_id, order.symbol)
        if number is None:
            raise ExchangeError(f"dydx: the number of {order.client_id} is another order's", code="number")
        price = order.price if order.price is not None else await self._worst_price(order, instrument)
        if flags == LONG_TERM and not adapter.skew.measured:
            await adapter.get_server_time()
        last_block = await self._height() + adapter.heights.window()
        expiry = Expiry(block=last_block)
        if flags == LONG_TERM:
            expiry = Expiry(time=adapter.chain_seconds() + adapter.settings.resting_order_seconds)
        scale = adapter.scale(instrument)
        message = transactions.place(adapter.address, adapter.subaccount, order, price, number, scale, expiry)
        return message, Sent(order, flags, price, last_block, expiry, adapter.clock.now()), account_number

    async def _worst_price(self, order: NewOrder, instrument: Instrument) -> Decimal:
        """The price of a market order: the worst to accept, from the oracle price as it is now."""
        market = (await self._adapter.read_markets()).get(instrument.exchange_id)
        if market is None:
            raise ExchangeError(
                f"dydx: {instrument.exchange_id} is not listed any more", code="unknown-symbol"
            )
        oracle = messages.oracle_price(market)
        if order.side is OrderSide.BUY:
            return instrument.price_up(oracle * (1 + WORST))
        return max(instrument.price_down(oracle * (1 - WORST)), instrument.tick)

    # cancelling
    async def cancel(self, instrument: Instrument, client_id: str) -> None:
        """Ask for the cancel of an order of ours; one of an earlier process is looked up first."""
        sent = self._sent.get(client_id)
        if sent is not None:
            await self._cancel(
                number_of(client_id).client_id, sent.flags, sent.expiry, instrument.exchange_id
            )
            return
        self.names.remember({client_id: instrument.symbol})
        order = await self._ours(client_id, instrument)
        if order is None:
            raise CallFailed(f"dydx knows no order {client_id}", sent=False, meaning=Meaning.MISSING)
        await self._cancel_listed(order)

    async def cancel_by_number(self, exchange_order_id: str) -> None:
        """Ask for the cancel of anybody's order on this subaccount."""
        order = await self._order(exchange_order_id)
        if order is None:
            raise CallFailed(f"dydx knows no order {exchange_order_id}", sent=False, meaning=Meaning.MISSING)
        await self._cancel_listed(order)

    async def _cancel_listed(self, order: schema.Order) -> None:
        if messages.order_state(order, self._adapter.heights.latest).terminal:
            raise CallFailed(f"dydx: order {order.id} is over", sent=False, meaning=Meaning.MISSING)
        flags = messages.index(order.orderFlags, "orderFlags")
        last = messages.block(order.goodTilBlock, "goodTilBlock") if order.goodTilBlock else None
        until = order.goodTilBlockTime
        time = int(messages.time_of(until, "goodTilBlockTime").timestamp()) if until else None
        await self._cancel(
            messages.index(order.clientId, "clientId"), flags, Expiry(last, time), order.ticker
        )

    async def _cancel(self, client_id: int, flags: int, expiry: Expiry, ticker: str) -> None:
        """A cancel has to count at least as long as its order."""
        adapter = self._adapter
        account_number = await self.account_number()
        last = await self._height() + adapter.heights.window()
        until = Expiry(block=max(last, expiry.block or 0))
        if flags != SHORT_TERM:
            until = Expiry(time=max(expiry.time or 0, adapter.chain_seconds()) + CANCEL_LIVES)
        clob = adapter.clob_pair_id(ticker)
        message = transactions.cancel(adapter.address, adapter.subaccount, client_id, flags, clob, until)
        try:
            await self._broadcast(self.signer.sign(message, account_number, last))
        except CallFailed as failure:
            if adapter.codes.cancelled(failure) is not Meaning.UNCHANGED:
                raise

    # finding
    def _order_id(self, client_id: str, instrument: Instrument, flags: int) -> str:
        return self.names.order_id(client_id, self._adapter.clob_pair_id(instrument.exchange_id), flags)

    async def _order(self, exchange_order_id: str) -> schema.Order | None:
        """The order of that UUID; None when the indexer knows none."""
        params = {"orderId": exchange_order_id}
        return await self._adapter.read_known("indexerGetOrdersOrderId", schema.Order, params)

    async def _ours(self, client_id: str, instrument: Instrument) -> schema.Order | None:
        """The order of that name; None when the indexer has none, or one of somebody else under its number."""
        for flags in self.names.flags(client_id):
            order = await self._order(self._order_id(client_id, instrument, flags))
            if order is not None and messages.name_of(order, self.names) == client_id:
                self.names.note_flags(client_id, flags)
                return order
        return None

    async def find(self, instrument: Instrument, client_id: str) -> OrderReport | None:
        """The order as the indexer has it. One that this process sent and that the indexer does not have is over once
        it was missed often enough while the chain is past its last block: the indexer keeps nothing of an immediate
        order that took nothing, so that this is how most of them are found out."""
        adapter = self._adapter
        self.names.remember({client_id: instrument.symbol})
        order, asked = await self._ours(client_id, instrument), adapter.clock.monotonic()
        if order is None:
            sent, _ = self._sent.get(client_id), await adapter.read_height()
            if sent is None or (adapter.heights.latest or 0) <= sent.last_block + MARGIN_BLOCKS:
                return None
            asked = adapter.clock.monotonic()
            order = await self._ours(client_id, instrument)  # as of that height, if it is the same copy
            if order is None:
                return await self._missed(sent, instrument, asked)
        if order.status.startswith("BEST_EFFORT"):
            await self._height()
        report = messages.order_report(
            order, adapter.account, client_id, adapter.known, adapter.heights.latest
        )
        if not report.state.terminal:
            return report
        if not messages.is_over(order) and not self._proved(client_id, report.filled, asked):
            return replace(report, state=OrderState.OPEN)
        return await self._priced(report, instrument)

    async def _missed(self, sent: Sent, instrument: Instrument, asked: float) -> OrderReport | None:
        """An order past its last block that a look at ``asked`` did not find: its fills, if there are any, and when it
        was missed often enough, its end. None while nothing is known of it."""
        report = self._taken_up(sent, instrument)
        filled, average = await self._filled(report.exchange_order_id, instrument, sent.at)
        report = replace(report, filled=filled, average_price=average)
        if not self._proved(sent.order.client_id, filled, asked):
            return report if filled else None
        self._over(sent.order.client_id)
        return replace(
            report,
            state=OrderState.CANCELLED if filled or sent.flags == SHORT_TERM else OrderState.REFUSED,
            reason=f"in no block up to {sent.last_block}" if not filled else "expired",
        )

    def _proved(self, client_id: str, filled: Decimal, asked: float) -> bool:
        """Whether this look, at ``asked``, is the last that it takes."""
        looks = self._looks.get(client_id)
        if looks is None or looks.filled != filled:
            looks = Looks(filled)
        if asked - looks.at >= LOOKS_APART:
            looks = Looks(filled, looks.count + 1, asked)
        self._looks[client_id] = looks
        if looks.count < LOOKS:
            return False
        del self._looks[client_id]
        return True

    def _over(self, client_id: str) -> Sent | None:
        """Nothing more becomes of the order: how it was sent, if this process sent it."""
        self._looks.pop(client_id, None)
        self.names.finish(client_id)
        return self._sent.pop(client_id, None)

    async def _priced(self, report: OrderReport, instrument: Instrument) -> OrderReport:
        """A finished order with its average price, which the indexer does not tell: from its fills."""
        sent = self._over(report.client_id or "")
        if not report.filled:
            return report
        since = sent.at if sent is not None else report.at or self._adapter.clock.now()
        filled, average = await self._filled(report.exchange_order_id, instrument, since)
        return replace(report, average_price=average) if filled >= report.filled else report

    async def _filled(
        self, order_id: str, instrument: Instrument, since: datetime
    ) -> tuple[Decimal, Decimal | None]:
        rows = await self._adapter.books.fill_rows(since - timedelta(minutes=1), instrument.exchange_id)
        return ledger.average_price(rows, order_id)
