"""Bybit linear perpetuals (unified account) as an ``ExchangeAdapter``."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import anyio
import msgspec

from fundingarb.domain.funding import FundingPayment, FundingRate, SettledRate
from fundingarb.domain.instrument import Instrument
from fundingarb.domain.market import OrderBook
from fundingarb.domain.order import (
    Balance,
    ExchangePosition,
    FeeTier,
    Fill,
    NewOrder,
    OrderReport,
    OrderSide,
    TimeInForce,
)
from fundingarb.errors import BadMessage, ExchangeError
from fundingarb.exchanges import values
from fundingarb.exchanges.base import RestAdapter, endpoint, expiry
from fundingarb.exchanges.guard import Hosts
from fundingarb.exchanges.parse import moment, plain, to_ms
from fundingarb.ports import (
    AccountModes,
    AccountSink,
    BookSink,
    KeyPermissions,
    OpenContext,
    RateLimit,
    RateSink,
)
from fundingarb_bybit import feeds, ledger, messages, schema
from fundingarb_bybit.errors import CODES
from fundingarb_bybit.schema import Answer, Page
from fundingarb_bybit.settings import BybitSettings

T = TypeVar("T")

_TIME_IN_FORCE = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.POST_ONLY: "PostOnly"}
_MARGIN = {"REGULAR_MARGIN": "cross", "ISOLATED_MARGIN": "isolated", "PORTFOLIO_MARGIN": "portfolio"}
_LINEAR = {"category": "linear"}

SHORTEST_WINDOW, LONGEST_WINDOW = 3, 300
"""Seconds that the disconnect protection may be set to."""

COSTS: Mapping[str, Mapping[str, float]] = {
    "get_instruments": {"ip": 2},
    "place_order": {"ip": 1, "orders": 1},
    "cancel_order": {"ip": 1, "cancels": 1},
    "find_order": {"ip": 3, "queries": 3},
    "get_open_orders": {"ip": 1, "queries": 1},
    "cancel_after": {"ip": 2, "settings": 1},
    "get_positions": {"ip": 1, "positions": 1},
    "get_balance": {"ip": 1, "wallet": 1},
    "get_fills": {"ip": 2, "ledger": 2},
    "get_symbol_fills": {"ip": 2, "ledger": 2},
    "get_funding_payments": {"ip": 1, "ledger": 1},
    "get_fee_tier": {"ip": 1, "fees": 1},
    "get_modes": {"ip": 2, "positions": 1},
    "set_leverage": {"ip": 1, "settings": 1},
    "set_margin_mode": {"ip": 2, "settings": 1},
    "set_one_way_mode": {"ip": 1, "settings": 1},
    "get_key_permissions": {"ip": 1, "fees": 1},
}


HOSTS = Hosts(
    live=("*.bybit.com", "*.bytick.com"),
    simulated=("api-testnet.*", "api-demo.*", "api-demo-testnet.*", "stream-testnet.*", "stream-demo.*"),
)


def roots(context: OpenContext, settings: BybitSettings) -> Mapping[str, str]:
    """Prefix of ccxt's address names -> scheme and host; empty for the real exchange."""
    if context.network == "mainnet":
        return {}
    rest = settings.testnet_rest_url if context.network == "testnet" else endpoint(context, "rest")
    return {"public": rest, "private": rest}


def stream_urls(context: OpenContext, settings: BybitSettings) -> tuple[str, str]:
    """Addresses of the public stream of linear contracts and of the private stream."""
    if context.network == "localnet":
        return endpoint(context, "public"), endpoint(context, "private")
    root = "wss://stream.bybit.com" if context.network == "mainnet" else settings.testnet_stream_url
    return f"{root}/v5/public/linear", f"{root}/v5/private"


class BybitAdapter(RestAdapter):
    """One Bybit unified account; see ``fundingarb.ports.ExchangeAdapter`` for what the methods promise."""

    name = messages.EXCHANGE
    reads = "linear contracts settled in USDT"
    dead_man = True
    shared_margin_mode = True
    costs = COSTS
    limits: Sequence[RateLimit] = (
        RateLimit("ip", 600, 5),
        RateLimit("orders", 10, 1),
        RateLimit("cancels", 10, 1),
        RateLimit("queries", 50, 1),
        RateLimit("positions", 50, 1),
        RateLimit("wallet", 50, 1),
        RateLimit("ledger", 30, 1),
        RateLimit("fees", 10, 1),
        RateLimit("settings", 10, 1),
    )

    def __init__(self, settings: BybitSettings, context: OpenContext) -> None:
        self.settings = settings
        self.public_stream, self.private_stream = stream_urls(context, settings)
        super().__init__(
            context,
            "bybit",
            CODES,
            roots=roots(context, settings),
            options={
                "recvWindow": settings.recv_window_ms,
                "timeDifference": 0,
                "enableUnifiedMargin": False,
                "enableUnifiedAccount": True,
                "unifiedMarginStatus": 6,
            },
            timeout=settings.request_timeout_seconds,
            order_expiry=expiry(settings.recv_window_ms),
            hosts=HOSTS,
            streams=(self.public_stream, self.private_stream),
        )
        self.protected = anyio.Event()
        """Set once the account stream is to count for the disconnect protection."""
        self._protection: int | None = None

    async def _page(self, endpoint: str, kind: type[T], params: Mapping[str, Any]) -> Page[T]:
        answer: Answer[Page[T]] = await self.read(endpoint, Answer[Page[kind]], {**_LINEAR, **params})  # type: ignore[valid-type]
        return answer.result

    async def _pages(self, endpoint: str, kind: type[T], params: Mapping[str, Any]) -> list[T]:
        """The entries of all pages."""
        found: list[T] = []
        cursor = ""
        while True:
            page = await self._page(endpoint, kind, {**params, "cursor": cursor} if cursor else params)
            found.extend(page.rows)
            if not page.nextPageCursor or page.nextPageCursor == cursor or not page.rows:
                return found
            cursor = page.nextPageCursor

    # public data
    async def read_time(self) -> datetime:
        answer = await self.read("publicGetV5MarketTime", Answer[schema.ServerTime])
        return moment(answer.result.timeNano[:-6], "timeNano")

    async def get_instruments(self) -> Sequence[Instrument]:
        rows = await self._pages("publicGetV5MarketInstrumentsInfo", msgspec.Raw, {"limit": 1000})
        self._instruments.load(messages.instruments(rows))
        return list(self._instruments)

    async def get_funding_rate(self, symbol: str) -> FundingRate:
        instrument = await self.instrument(symbol)
        page = await self._page("publicGetV5MarketTickers", schema.Ticker, {"symbol": instrument.exchange_id})
        for row in page.rows:
            if row.symbol == instrument.exchange_id:
                return messages.funding_rate(row, instrument, self.clock.now())
        raise BadMessage(f"bybit: asked for the ticker of {instrument.exchange_id}, got none")

    async def get_funding_rates(self, symbols: Collection[str]) -> Sequence[FundingRate]:
        wanted = set(await self.ids_of(symbols))
        rows = (await self._page("publicGetV5MarketTickers", msgspec.Raw, {})).rows
        rates = messages.funding_rates(rows, self.known, wanted, self.clock.now())
        if symbols and not rates:
            raise BadMessage("bybit: no rate of the symbols asked for can be used")
        return rates

    async def get_funding_history(self, symbol: str, since: datetime) -> Sequence[SettledRate]:
        instrument = await self.instrument(symbol)
        rows: dict[str, schema.SettledFunding] = {}
        end = to_ms(self.clock.now())
        while end >= to_ms(since):
            params = {
                "symbol": instrument.exchange_id,
                "startTime": to_ms(since),
                "endTime": end,
                "limit": 200,
            }
            page = await self._page("publicGetV5MarketFundingHistory", schema.SettledFunding, params)
            rows.update({row.fundingRateTimestamp: row for row in page.rows})
            if len(page.rows) < 200:
                break
            end = min(int(row.fundingRateTimestamp) for row in page.rows) - 1
        return messages.settled(rows.values(), instrument.symbol)

    async def get_orderbook(self, symbol: str, depth: int) -> OrderBook:
        instrument = await self.instrument(symbol)
        params = {**_LINEAR, "symbol": instrument.exchange_id, "limit": max(1, min(depth, 500))}
        answer = await self.read("publicGetV5MarketOrderbook", Answer[schema.Depth], params)
        book = answer.result
        return values.order_book(instrument, book.b, book.a, self.clock.now(), depth=depth)

    # orders
    async def send_order(self, order: NewOrder, instrument: Instrument) -> OrderReport:
        params: dict[str, Any] = {
            **_LINEAR,
            "symbol": instrument.exchange_id,
            "side": "Buy" if order.side is OrderSide.BUY else "Sell",
            "orderType": "Market" if order.price is None else "Limit",
            "qty": plain(order.quantity / instrument.multiplier),
            "positionIdx": 0,
            "orderLinkId": order.client_id,
        }
        if order.price is not None:
            params["price"] = plain(order.price * instrument.multiplier)
            params["timeInForce"] = _TIME_IN_FORCE[order.time_in_force]
        if order.reduce_only:
            params["reduceOnly"] = True
        answer = await self.write("privatePostV5OrderCreate", Answer[schema.Created], params)
        return messages.created(answer.result, order, self.account, self.clock.now())

    async def send_cancel(self, instrument: Instrument, client_id: str) -> None:
        params = {**_LINEAR, "symbol": instrument.exchange_id, "orderLinkId": client_id}
        await self.write("privatePostV5OrderCancel", Answer[schema.Created], params)

    async def send_cancel_by_number(self, instrument: Instrument, exchange_order_id: str) -> None:
        params = {**_LINEAR, "symbol": instrument.exchange_id, "orderId": exchange_order_id}
        await self.write("privatePostV5OrderCancel", Answer[schema.Created], params)

    async def find_order(self, symbol: str, client_id: str) -> OrderReport | None:
        """Open orders first, then the recent ones that are over, then history (which lags behind)."""
        instrument = await self.instrument(symbol)
        params = {"symbol": instrument.exchange_id, "orderLinkId": client_id}
        for path, extra in (
            ("privateGetV5OrderRealtime", {}),
            ("privateGetV5OrderRealtime", {"openOnly": 1}),
            ("privateGetV5OrderHistory", {}),
        ):
            try:
                page = await self._page(path, schema.Order, {**params, **extra})
            except ExchangeError as error:
                if error.code == "110001":
                    continue
                raise
            for row in page.rows:
                if row.orderLinkId == client_id:
                    return messages.order_report(row, self.account, self._instruments)
        return None

    async def get_open_orders(self) -> Sequence[OrderReport]:
        known = await self.instruments()
        params = {"settleCoin": messages.SETTLE, "limit": 50}
        rows = await self._pages("privateGetV5OrderRealtime", schema.Order, params)
        return self.told([messages.order_report(row, self.account, known) for row in rows])

    async def cancel_after(self, symbols: Collection[str], seconds: float | None) -> None:
        """Bybit's timer runs while no private connection with its topic is there, and covers every derivative order of
        the account. It needs no renewal and does no harm while connected, so it is never taken off. Only accounts to
        which Bybit granted it (DCP) have it.
        """
        if seconds is None:
            return
        window = min(max(math.ceil(seconds), SHORTEST_WINDOW), LONGEST_WINDOW)
        if window == self._protection:
            return
        info = await self.read("privateGetV5AccountQueryDcpInfo", Answer[schema.Protections])
        mine = [row for row in info.result.dcpInfos if (row.product, row.dcpStatus) == ("DERIVATIVES", "ON")]
        if not mine:
            raise ExchangeError(
                "bybit: this account has no disconnect protection (DCP) for derivatives, so resting orders outlive "
                "the bot; ask Bybit's client manager for it"
            )
        if mine[0].timeWindow != str(window):
            params = {"product": "DERIVATIVES", "timeWindow": window}
            await self.change("privatePostV5OrderDisconnectedCancelAll", params)
        self._protection = window
        self.protected.set()

    # account
    async def get_positions(self) -> Sequence[ExchangePosition]:
        known = await self.instruments()
        params = {"settleCoin": messages.SETTLE, "limit": 200}
        rows = await self._pages("privateGetV5PositionList", schema.Position, params)
        found = (messages.position(row, self.account, known) for row in rows)
        return self.told([position for position in found if position.quantity])

    async def get_balance(self) -> Balance:
        params = {"accountType": "UNIFIED", "coin": messages.SETTLE}
        answer = await self.read("privateGetV5AccountWalletBalance", Answer[Page[schema.Wallet]], params)
        return messages.balance(answer.result.rows, self.account)

    async def _ledger(self, since: datetime, kind: str | None) -> list[schema.LedgerRow]:
        async def read(params: dict[str, Any]) -> Page[schema.LedgerRow]:
            return await self._page("privateGetV5AccountTransactionLog", schema.LedgerRow, params)

        return await ledger.rows_since(read, since, self.clock.now() + timedelta(seconds=1), kind)

    async def get_fills(self, since: datetime, symbol: str | None = None) -> Sequence[Fill]:
        known = await self.instruments()
        fills: list[Fill] = []
        for row in await self._ledger(since, None):
            instrument = known.by_id(row.symbol)
            if instrument is not None and symbol in (None, instrument.symbol) and messages.is_fill(row):
                fills.append(messages.fill(row, self.account, instrument))
        return fills

    async def get_funding_payments(self, since: datetime) -> Sequence[FundingPayment]:
        await self.instruments()
        rows = await self._ledger(since, "SETTLEMENT")
        return [
            messages.payment(row, self.account, self.symbol_of(row.symbol))
            for row in rows
            if row.type == "SETTLEMENT"
        ]

    async def get_fee_tier(self, symbol: str) -> FeeTier:
        instrument = await self.instrument(symbol)
        page = await self._page(
            "privateGetV5AccountFeeRate", schema.FeeRate, {"symbol": instrument.exchange_id}
        )
        for row in page.rows:
            if row.symbol == instrument.exchange_id:
                return messages.fee_tier(row)
        raise BadMessage(f"bybit: asked for the fees of {instrument.exchange_id}, got none")

    async def _margin_mode(self) -> str | None:
        answer = await self.read("privateGetV5AccountInfo", Answer[schema.AccountInfo])
        return _MARGIN.get(answer.result.marginMode)

    async def get_modes(self, symbol: str) -> AccountModes:
        """Margin mode is the account's; an instrument with two position slots is in hedge mode."""
        instrument = await self.instrument(symbol)
        page = await self._page(
            "privateGetV5PositionList", schema.Position, {"symbol": instrument.exchange_id}
        )
        slots = {row.positionIdx for row in page.rows}
        leverages = [row.leverage for row in page.rows if row.leverage]
        return AccountModes(
            position_mode=None if not slots else "hedge" if slots & {1, 2} else "one-way",
            margin_mode=await self._margin_mode(),
            leverage=Decimal(leverages[0]) if leverages else None,
        )

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        instrument = await self.instrument(symbol)
        both = {"buyLeverage": str(leverage), "sellLeverage": str(leverage)}
        await self.change(
            "privatePostV5PositionSetLeverage", {**_LINEAR, "symbol": instrument.exchange_id, **both}
        )

    async def set_margin_mode(self, symbol: str, mode: str) -> None:
        """Account-wide on a unified account: it changes every symbol's mode."""
        if await self._margin_mode() == mode:
            return
        wanted = {ours: theirs for theirs, ours in _MARGIN.items()}[mode]
        await self.change("privatePostV5AccountSetMarginMode", {"setMarginMode": wanted})

    async def set_one_way_mode(self) -> None:
        await self.change("privatePostV5PositionSwitchMode", {**_LINEAR, "coin": messages.SETTLE, "mode": 0})

    async def get_key_permissions(self) -> KeyPermissions:
        answer = await self.read("privateGetV5UserQueryApi", Answer[schema.ApiKey])
        return messages.permissions(answer.result)

    # streams
    async def stream_rates(self, symbols: Sequence[str], sink: RateSink) -> None:
        await feeds.rates(self, symbols, sink)

    async def stream_books(self, symbols: Sequence[str], sink: BookSink) -> None:
        await feeds.books(self, symbols, sink)

    async def stream_account(self, sink: AccountSink) -> None:
        await feeds.account(self, sink)
