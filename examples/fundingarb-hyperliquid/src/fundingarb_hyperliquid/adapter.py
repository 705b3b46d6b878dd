"""Hyperliquid as an ``ExchangeAdapter``: what its two endpoints are asked, on the helpers that adapters share."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from fundingarb import (
    AccountModes,
    Balance,
    ExchangeError,
    ExchangePosition,
    FeeTier,
    Fill,
    FundingPayment,
    FundingRate,
    Instrument,
    KeyPermissions,
    NewOrder,
    OpenContext,
    OrderBook,
    OrderRefused,
    OrderReport,
    SettledRate,
)
from fundingarb.exchanges import values
from fundingarb.exchanges.base import RestAdapter, endpoint, expiry
from fundingarb.exchanges.guard import Hosts
from fundingarb.exchanges.paging import pages_since
from fundingarb.exchanges.parse import moment
from fundingarb.exchanges.polling import PolledStreams
from fundingarb.exchanges.rest import CallFailed, read_error
from fundingarb.ports import RateLimit
from fundingarb_hyperliquid import messages, schema
from fundingarb_hyperliquid.errors import CODES
from fundingarb_hyperliquid.plugin import HyperliquidSettings

T = TypeVar("T")

WEIGHTS = {
    "place_order": 1,
    "cancel_order": 1,
    "cancel_foreign": 1,
    "get_orderbook": 2,
    "get_positions": 2,
    "find_order": 22,
}


HOSTS = Hosts(live=("api.hyperliquid.xyz",), simulated=("api.hyperliquid-testnet.xyz",))


class HyperliquidAdapter(PolledStreams, RestAdapter):
    """One address. Credentials: ``api_key`` is the address, ``api_secret`` the private key of its agent wallet."""

    name = messages.EXCHANGE
    limits: Sequence[RateLimit] = (RateLimit("ip", 1200, 60),)

    def __init__(self, settings: HyperliquidSettings, context: OpenContext) -> None:
        roots = {"testnet": settings.testnet_url}
        if context.network == "localnet":
            roots["localnet"] = endpoint(context, "rest")
        root = roots.get(context.network)
        super().__init__(
            context,
            "hyperliquid",
            CODES,
            roots={"public": root, "private": root} if root else {},
            options={"sandboxMode": context.network != "mainnet"},
            timeout=settings.request_timeout_seconds,
            order_expiry=expiry(settings.order_window_ms),
            hosts=HOSTS,
        )
        self.window_ms = settings.order_window_ms
        self.assets: dict[str, int] = {}
        self.nonce = 0
        if context.account is not None:
            self.trading.ccxt.privateKey = self.credential("api_secret")

    def cost(self, operation: str) -> Mapping[str, float]:
        return {"ip": WEIGHTS.get(operation, 20)}

    # the two endpoints
    async def info(self, kind: type[T], what: str, **more: Any) -> T:
        return await self.read("publicPostInfo", kind, {"type": what, **more})

    async def mine(self, kind: type[T], what: str, **more: Any) -> T:
        """``info`` about this account's address."""
        return await self.info(kind, what, user=self.credential("api_key"), **more)

    async def act(self, kind: type[T], action: dict[str, Any]) -> T:
        """Sign ``action`` and send it once; the exchange does not take it later than the order window."""
        ccxt = self.trading.ccxt
        self.nonce = max(self.nonce + 1, ccxt.milliseconds())
        expires = self.nonce + round(self.window_ms * self.clock.speed)
        signature = ccxt.sign_l1_action(action, self.nonce, None, expires)
        signed = {"action": action, "nonce": self.nonce, "signature": signature, "expiresAfter": expires}
        return await self.write("privatePostExchange", kind, signed)

    # public data
    async def read_time(self) -> datetime:
        return moment((await self.info(schema.Status, "exchangeStatus")).time, "time")

    async def contexts(self) -> dict[str, schema.Context]:
        """What changes of every asset, by name; the list of instruments is learnt on the way."""
        meta, contexts = await self.info(tuple[schema.Meta, list[schema.Context]], "metaAndAssetCtxs")
        self.assets = {asset.name: number for number, asset in enumerate(meta.universe)}
        self._instruments.load(messages.instruments(meta, contexts))
        return {asset.name: context for asset, context in zip(meta.universe, contexts, strict=True)}

    async def get_instruments(self) -> Sequence[Instrument]:
        await self.contexts()
        return list(self.known)

    async def get_funding_rate(self, symbol: str) -> FundingRate:
        (rate,) = await self.get_funding_rates([(await self.instrument(symbol)).symbol])
        return rate

    async def get_funding_rates(self, symbols: Collection[str]) -> Sequence[FundingRate]:
        contexts, now = await self.contexts(), self.clock.now()
        listed = (self.known.get(symbol) for symbol in symbols)
        return [messages.funding_rate(one, contexts[one.exchange_id], now) for one in listed if one]

    async def get_funding_history(self, symbol: str, since: datetime) -> Sequence[SettledRate]:
        coin = (await self.instrument(symbol)).exchange_id

        async def page(start: int) -> list[schema.Settled]:
            return await self.info(list[schema.Settled], "fundingHistory", coin=coin, startTime=start)

        rows = await pages_since(page, since, time=lambda row: row.time, key=lambda row: row.time)
        return values.settled_rates(self.name, symbol, [(row.time, row.funding_rate) for row in rows])

    async def get_orderbook(self, symbol: str, depth: int) -> OrderBook:
        instrument = await self.instrument(symbol)
        book = await self.info(schema.Book, "l2Book", coin=instrument.exchange_id)
        bids, asks = ([(level.px, level.sz) for level in side] for side in book.levels)
        return values.order_book(instrument, bids, asks, self.clock.now(), depth=depth)

    # orders
    async def send_order(self, order: NewOrder, instrument: Instrument) -> OrderReport:
        try:
            mark = (await self.get_funding_rate(order.symbol)).mark if order.price is None else None
        except ExchangeError as error:
            raise OrderRefused(f"not sent: {error}", code=error.code) from error
        wire = messages.wire(order, instrument, self.assets[instrument.exchange_id], mark)
        answer = await self.act(schema.Placed, {"type": "order", "orders": [wire], "grouping": "na"})
        return messages.placed(answer, order, self.account, instrument, self.clock.now())

    async def send_cancel(self, instrument: Instrument, client_id: str) -> None:
        cancel = {"asset": self.assets[instrument.exchange_id], "cloid": messages.cloid(client_id)}
        await self.act(schema.Done, {"type": "cancelByCloid", "cancels": [cancel]})

    async def send_cancel_by_number(self, instrument: Instrument, exchange_order_id: str) -> None:
        cancel = {"a": self.assets[instrument.exchange_id], "o": int(exchange_order_id)}
        await self.act(schema.Done, {"type": "cancel", "cancels": [cancel]})

    async def find_order(self, symbol: str, client_id: str) -> OrderReport | None:
        found = (await self.mine(schema.OrderStatus, "orderStatus", oid=messages.cloid(client_id))).order
        if found is None:
            return None
        traded = found.order.sz != found.order.orig_sz
        fills = await self.get_fills(moment(found.order.timestamp, "order time"), symbol) if traded else ()
        return messages.order_report(found.order, found.status, self.account, await self.instruments(), fills)

    async def get_open_orders(self) -> Sequence[OrderReport]:
        known = await self.instruments()
        rows = await self.mine(list[schema.Order], "frontendOpenOrders")
        return [messages.order_report(row, "open", self.account, known) for row in rows]

    # account
    async def get_positions(self) -> Sequence[ExchangePosition]:
        known, state = await self.instruments(), await self.mine(schema.Account, "clearinghouseState")
        return [messages.position(row.position, self.account, known) for row in state.asset_positions]

    async def get_balance(self) -> Balance:
        return messages.balance(await self.mine(schema.Account, "clearinghouseState"), self.account)

    async def get_fills(self, since: datetime, symbol: str | None = None) -> Sequence[Fill]:
        known = await self.instruments()

        async def page(start: int) -> list[schema.UserFill]:
            return await self.mine(list[schema.UserFill], "userFillsByTime", startTime=start)

        rows = await pages_since(page, since, time=lambda row: row.time, key=lambda row: row.tid)
        fills = [messages.fill(row, self.account, one) for row in rows if (one := known.by_id(row.coin))]
        return [each for each in fills if symbol in (None, each.symbol)]

    async def get_funding_payments(self, since: datetime) -> Sequence[FundingPayment]:
        await self.instruments()

        async def page(start: int) -> list[schema.Funding]:
            return await self.mine(list[schema.Funding], "userFunding", startTime=start)

        rows = await pages_since(
            page, since, time=lambda row: row.time, key=lambda row: (row.time, row.delta.coin)
        )
        return [messages.payment(row, self.account, self.symbol_of(row.delta.coin)) for row in rows]

    async def get_fee_tier(self, symbol: str) -> FeeTier:
        fees = await self.mine(schema.Fees, "userFees")
        return FeeTier(Decimal(fees.user_add_rate), Decimal(fees.user_cross_rate))

    async def get_modes(self, symbol: str) -> AccountModes:
        coin = (await self.instrument(symbol)).exchange_id
        leverage = (await self.mine(schema.AssetData, "activeAssetData", coin=coin)).leverage
        return AccountModes("one-way", leverage.type, Decimal(leverage.value))

    async def _set_leverage(self, symbol: str, leverage: int, mode: str | None) -> None:
        """Leverage and margin mode are one setting."""
        asset = self.assets[(await self.instrument(symbol)).exchange_id]
        cross = (mode or "cross") == "cross"
        action = {"type": "updateLeverage", "asset": asset, "isCross": cross, "leverage": leverage}
        try:
            await self.act(schema.Done, action)
        except CallFailed as failure:
            raise read_error(self.name, failure) from failure

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        await self._set_leverage(symbol, leverage, (await self.get_modes(symbol)).margin_mode)

    async def set_margin_mode(self, symbol: str, mode: str) -> None:
        await self._set_leverage(symbol, int((await self.get_modes(symbol)).leverage or 1), mode)

    async def set_one_way_mode(self) -> None:
        """There is no other."""

    async def get_key_permissions(self) -> KeyPermissions:
        """An agent wallet trades and cannot withdraw; that the key given is one cannot be asked."""
        return KeyPermissions(trade=None, withdraw=None, ip_restricted=False)
