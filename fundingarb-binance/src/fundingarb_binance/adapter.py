"""Binance USD-M perpetuals as an ``ExchangeAdapter``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

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
    TimeInForce,
)
from fundingarb.errors import BadMessage, ExchangeError, ExchangeUnavailable
from fundingarb.exchanges import values
from fundingarb.exchanges.base import RestAdapter, endpoint, expiry
from fundingarb.exchanges.guard import Hosts
from fundingarb.exchanges.parse import moment, plain, positive, to_ms
from fundingarb.ports import (
    AccountModes,
    AccountSink,
    BookSink,
    KeyPermissions,
    OpenContext,
    RateLimit,
    RateSink,
)
from fundingarb_binance import feeds, ledger, messages, schema, signing
from fundingarb_binance.errors import CODES
from fundingarb_binance.settings import BinanceSettings

_TIME_IN_FORCE = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.POST_ONLY: "GTX"}
_DEPTHS = (5, 10, 20, 50, 100, 500, 1000)
_MARGIN = {"CROSSED": "cross", "ISOLATED": "isolated"}

QUERY_LAG_SECONDS = 60.0
"""Real seconds for which an order query may lag behind the trade ledger."""

COSTS: Mapping[str, Mapping[str, float]] = {
    "get_server_time": {"ip": 1},
    "get_instruments": {"ip": 1, "funding": 1},
    "get_funding_rate": {"ip": 1},
    "get_funding_rates": {"ip": 10},
    "get_funding_history": {"funding": 1},
    "get_orderbook": {"ip": 5},
    "place_order": {"orders": 1, "orders-minute": 1},
    "cancel_order": {"ip": 1},
    "find_order": {"ip": 1},
    "get_open_orders": {"ip": 40},
    "cancel_after": {"ip": 10},
    "get_positions": {"ip": 5},
    "get_balance": {"ip": 5},
    "get_fills": {"ip": 37},
    "get_symbol_fills": {"ip": 5},
    "get_funding_payments": {"ip": 30},
    "get_fee_tier": {"ip": 20},
    "get_modes": {"ip": 10},
    "get_key_permissions": {},
}


HOSTS = Hosts(
    live=("*.binance.com",),
    simulated=("demo-*.binance.com", "testnet.*", "*.binancefuture.com", "*.binance.vision"),
)


def roots(context: OpenContext, settings: BinanceSettings) -> Mapping[str, str]:
    """Prefix of ccxt's address names -> scheme and host; empty for the real exchange."""
    if context.network == "mainnet":
        return {}
    if context.network == "testnet":
        return {"fapi": settings.testnet_rest_url}
    rest = endpoint(context, "fapi")
    return {"fapi": rest, "sapi": context.endpoints.get("sapi") or rest}


def stream_root(context: OpenContext, settings: BinanceSettings) -> str:
    """Scheme and host of the streams."""
    if context.network == "mainnet":
        return "wss://fstream.binance.com"
    if context.network == "testnet":
        return settings.testnet_stream_url
    return endpoint(context, "stream")


def _traded(income: Sequence[schema.Income]) -> list[str]:
    """Ids of symbols that were traded: every trade posts a commission row, and a result when it closes."""
    return list(dict.fromkeys(row.symbol for row in income if row.symbol and row.tradeId))


class BinanceAdapter(RestAdapter):
    """One Binance account; see ``fundingarb.ports.ExchangeAdapter`` for what the methods promise."""

    name = messages.EXCHANGE
    reads = "USD-M futures"
    dead_man = True
    costs = COSTS
    limits: Sequence[RateLimit] = (
        RateLimit("ip", 2400, 60),
        RateLimit("orders", 300, 10),
        RateLimit("orders-minute", 1200, 60),
        RateLimit("funding", 500, 300),
    )

    def __init__(self, settings: BinanceSettings, context: OpenContext) -> None:
        self.settings = settings
        self.stream_root = stream_root(context, settings)
        super().__init__(
            context,
            "binanceusdm",
            CODES,
            roots=roots(context, settings),
            options={"recvWindow": settings.recv_window_ms, "timeDifference": 0},
            timeout=settings.request_timeout_seconds,
            order_expiry=expiry(settings.recv_window_ms),
            hosts=HOSTS,
            streams=(self.stream_root,),
        )
        self._client_ids: dict[str, str] = {}
        sign_order = signing.order_signer(self.trading.ccxt)
        if sign_order is not None:
            self.trading.signers[signing.ENDPOINT] = sign_order

    # public data
    async def read_time(self) -> datetime:
        return moment((await self.read("fapiPublicGetTime", schema.ServerTime)).serverTime, "serverTime")

    async def _funding_terms(self) -> dict[str, messages.FundingTerms]:
        return messages.funding_terms(await self.read("fapiPublicGetFundingInfo", list[schema.FundingInfo]))

    async def get_intervals(self) -> dict[str, timedelta]:
        """Exchange id -> interval of the symbols whose terms were adjusted; all others have eight hours."""
        return {name: terms.interval for name, terms in (await self._funding_terms()).items()}

    async def get_instruments(self) -> Sequence[Instrument]:
        info = await self.read("fapiPublicGetExchangeInfo", schema.ExchangeInfo)
        self._instruments.load(messages.instruments(info, await self._funding_terms()))
        return list(self._instruments)

    async def get_funding_rate(self, symbol: str) -> FundingRate:
        instrument = await self.instrument(symbol)
        row = await self.read(
            "fapiPublicGetPremiumIndex", schema.PremiumIndex, {"symbol": instrument.exchange_id}
        )
        return messages.funding_rate(row, instrument, self.clock.now())

    async def get_funding_rates(self, symbols: Collection[str]) -> Sequence[FundingRate]:
        wanted = set(await self.ids_of(symbols))
        rows = await self.read("fapiPublicGetPremiumIndex", list[msgspec.Raw])
        rates = messages.funding_rates(rows, self.known, wanted, self.clock.now())
        if symbols and not rates:
            raise BadMessage("binance: no rate of the symbols asked for can be used")
        return rates

    async def get_funding_history(self, symbol: str, since: datetime) -> Sequence[SettledRate]:
        instrument = await self.instrument(symbol)
        found: list[SettledRate] = []
        start = to_ms(since)
        while True:
            rows = await self.read(
                "fapiPublicGetFundingRate",
                list[schema.SettledFunding],
                {"symbol": instrument.exchange_id, "startTime": start, "limit": 1000},
            )
            found.extend(messages.settled(rows, instrument.symbol))
            if len(rows) < 1000:
                return found
            start = max(row.fundingTime for row in rows) + 1

    async def get_orderbook(self, symbol: str, depth: int) -> OrderBook:
        instrument = await self.instrument(symbol)
        limit = next((each for each in _DEPTHS if each >= depth), _DEPTHS[-1])
        book = await self.read(
            "fapiPublicGetDepth", schema.Depth, {"symbol": instrument.exchange_id, "limit": limit}
        )
        return values.order_book(instrument, book.bids, book.asks, self.clock.now(), depth=depth)

    # orders
    async def send_order(self, order: NewOrder, instrument: Instrument) -> OrderReport:
        params: dict[str, Any] = {
            "symbol": instrument.exchange_id,
            "side": order.side.value,
            "type": "MARKET" if order.price is None else "LIMIT",
            "quantity": plain(order.quantity / instrument.multiplier),
            "newClientOrderId": order.client_id,
            "newOrderRespType": "RESULT",
        }
        if order.price is not None:
            params["price"] = plain(order.price * instrument.multiplier)
            params["timeInForce"] = _TIME_IN_FORCE[order.time_in_force]
        if order.reduce_only:
            params["reduceOnly"] = "true"
        return self.report(await self.write(signing.ENDPOINT, schema.Order, params))

    async def send_cancel(self, instrument: Instrument, client_id: str) -> None:
        params = {"symbol": instrument.exchange_id, "origClientOrderId": client_id}
        await self.write("fapiPrivateDeleteOrder", schema.Order, params)

    async def send_cancel_by_number(self, instrument: Instrument, exchange_order_id: str) -> None:
        params = {"symbol": instrument.exchange_id, "orderId": exchange_order_id}
        await self.write("fapiPrivateDeleteOrder", schema.Order, params)

    async def find_order(self, symbol: str, client_id: str) -> OrderReport | None:
        instrument = await self.instrument(symbol)
        params = {"symbol": instrument.exchange_id, "origClientOrderId": client_id}
        try:
            return self.report(await self.read("fapiPrivateGetOrder", schema.Order, params))
        except ExchangeError as error:
            if error.code in ("-2013", "-2011"):
                return None
            raise

    async def get_open_orders(self) -> Sequence[OrderReport]:
        await self.instruments()
        rows = await self.read("fapiPrivateGetOpenOrders", list[schema.Order])
        return self.told([self.report(row) for row in rows])

    async def cancel_after(self, symbols: Collection[str], seconds: float | None) -> None:
        """One timer per symbol, over everything that rests there, whoever placed it."""
        milliseconds = 0 if seconds is None else max(1, round(seconds * 1000))
        for symbol in symbols:
            params = {
                "symbol": (await self.instrument(symbol)).exchange_id,
                "countdownTime": milliseconds,
            }
            await self.change("fapiPrivatePostCountdownCancelAll", params)

    def report(self, order: schema.Order) -> OrderReport:
        """``order`` as ours; remembers which client order id its number belongs to, for the trade ledger."""
        self.note_order(str(order.orderId), order.clientOrderId)
        return messages.order_report(order, self.account, self._instruments.by_id(order.symbol))

    def note_order(self, exchange_order_id: str, client_id: str) -> None:
        """Remember an order's name: the trade ledger gives only numbers."""
        self._client_ids[exchange_order_id] = client_id
        if len(self._client_ids) > 10_000:
            for key in list(self._client_ids)[:5_000]:
                del self._client_ids[key]

    # account
    async def get_positions(self) -> Sequence[ExchangePosition]:
        known = await self.instruments()
        rows = await self.read("fapiPrivateV3GetPositionRisk", list[schema.Position])
        found = (messages.position(row, self.account, known) for row in rows)
        return self.told([position for position in found if position.quantity])

    async def get_balance(self) -> Balance:
        answer = await self.read("fapiPrivateV3GetAccount", schema.Account)
        return messages.balance(answer, self.account)

    async def get_fills(self, since: datetime, symbol: str | None = None) -> Sequence[Fill]:
        known = await self.instruments()
        fills: list[Fill] = []
        if symbol is not None:
            instruments = [await self.instrument(symbol)]
        else:
            income = await self._income(since, None)
            instruments = [each for name in _traded(income) if (each := known.by_id(name)) is not None]
            for charged in income:
                instrument = known.by_id(charged.symbol)
                if charged.incomeType == "INSURANCE_CLEAR" and instrument is not None:
                    fills.append(messages.charge(charged, self.account, instrument))
        for instrument in instruments:
            rows = await ledger.trades_since(
                lambda params: self.read("fapiPrivateGetUserTrades", list[schema.UserTrade], params),
                instrument.exchange_id,
                since,
                self.clock.now(),
            )
            fills.extend([await self._fill(row, instrument) for row in rows])
        return sorted(fills, key=lambda fill: fill.at)

    async def _income(self, since: datetime, kind: str | None) -> list[schema.Income]:
        return await ledger.income_since(
            lambda params: self.read("fapiPrivateGetIncome", list[schema.Income], params),
            since,
            kind,
            self.clock.now,
        )

    async def _fill(self, row: schema.UserTrade, instrument: Instrument) -> Fill:
        client_id = self._client_ids.get(str(row.orderId)) or await self._client_id(row, instrument)
        fee = (
            None
            if row.commissionAsset == messages.SETTLE
            else await self.fee_in_usdt(row.commission, row.commissionAsset)
        )
        return messages.fill(row, self.account, instrument, client_id, fee)

    async def _client_id(self, row: schema.UserTrade, instrument: Instrument) -> str | None:
        """The name of the order of a trade; None once Binance has forgotten the order.

        The order of a trade that has just happened may not be found yet: booked without its name, the fill would
        belong to nobody for good, so it is read again later.
        """
        try:
            order = await self.read(
                "fapiPrivateGetOrder",
                schema.Order,
                {"symbol": instrument.exchange_id, "orderId": row.orderId},
            )
        except ExchangeError as error:
            if error.code != "-2013":
                raise
            age = (self.clock.time() - row.time / 1000) / self.clock.speed
            if age < QUERY_LAG_SECONDS:
                raise ExchangeUnavailable(
                    f"binance: the order of trade {row.id} is not found yet", code=error.code
                ) from error
            return None
        self.note_order(str(row.orderId), order.clientOrderId)
        return order.clientOrderId or None

    async def fee_in_usdt(self, amount: Decimal, asset: str) -> Decimal:
        """A commission charged in another asset (BNB), at that asset's mark when it is read.

        An estimate: the ledger has no USDT figure, and the fee did not come out of the USDT wallet.
        """
        symbol = {"symbol": f"{asset}{messages.SETTLE}"}
        try:
            row = await self.read("fapiPublicGetPremiumIndex", schema.PremiumIndex, symbol)
        except ExchangeError as error:
            if error.code != "-1121":
                raise
            raise ExchangeError(
                f"binance charged a fee in {asset}, which has no mark price to book it at; have fees charged in USDT",
                code=error.code,
            ) from error
        return amount * positive(row.markPrice, f"{asset} markPrice")

    async def get_funding_payments(self, since: datetime) -> Sequence[FundingPayment]:
        await self.instruments()
        rows = await self._income(since, "FUNDING_FEE")
        return [messages.payment(row, self.account, self.symbol_of(row.symbol)) for row in rows]

    async def get_fee_tier(self, symbol: str) -> FeeTier:
        params = {"symbol": (await self.instrument(symbol)).exchange_id}
        return messages.fee_tier(
            await self.read("fapiPrivateGetCommissionRate", schema.CommissionRate, params)
        )

    async def get_modes(self, symbol: str) -> AccountModes:
        params = {"symbol": (await self.instrument(symbol)).exchange_id}
        configs = await self.read("fapiPrivateGetSymbolConfig", list[schema.SymbolConfig], params)
        mode = await self.read("fapiPrivateGetAccountConfig", schema.AccountConfig)
        config = next((each for each in configs if each.symbol == params["symbol"]), None)
        return AccountModes(
            position_mode="hedge" if mode.dualSidePosition else "one-way",
            margin_mode=_MARGIN.get(config.marginType) if config else None,
            leverage=Decimal(config.leverage) if config else None,
        )

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        params = {"symbol": (await self.instrument(symbol)).exchange_id, "leverage": leverage}
        await self.change("fapiPrivatePostLeverage", params)

    async def set_margin_mode(self, symbol: str, mode: str) -> None:
        wanted = {ours: theirs for theirs, ours in _MARGIN.items()}[mode]
        params = {"symbol": (await self.instrument(symbol)).exchange_id, "marginType": wanted}
        await self.change("fapiPrivatePostMarginType", params)

    async def set_one_way_mode(self) -> None:
        await self.change("fapiPrivatePostPositionSideDual", {"dualSidePosition": "false"})

    async def get_key_permissions(self) -> KeyPermissions:
        if self.context.network == "testnet":
            return KeyPermissions(trade=None, withdraw=None, ip_restricted=None)
        return messages.permissions(await self.read("sapiGetAccountApiRestrictions", schema.ApiRestrictions))

    # streams
    async def stream_rates(self, symbols: Sequence[str], sink: RateSink) -> None:
        await feeds.rates(self, symbols, sink)

    async def stream_books(self, symbols: Sequence[str], sink: BookSink) -> None:
        await feeds.books(self, symbols, sink)

    async def stream_account(self, sink: AccountSink) -> None:
        await feeds.account(self, sink)
