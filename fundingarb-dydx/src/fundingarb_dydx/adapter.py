"""dYdX v4 perpetuals as an ``ExchangeAdapter``: the indexer tells, a node of the chain takes orders."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

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
)
from fundingarb.errors import AuthenticationFailed, BadMessage, ConfigError, ExchangeError
from fundingarb.exchanges import values
from fundingarb.exchanges.base import RestAdapter
from fundingarb.exchanges.rest import CallFailed
from fundingarb.ports import (
    AccountModes,
    AccountSink,
    BookSink,
    KeyPermissions,
    OpenContext,
    RateLimit,
    RateSink,
)
from fundingarb_dydx import feeds, ledger, margin, messages, schema
from fundingarb_dydx.chain import Heights
from fundingarb_dydx.errors import CODES
from fundingarb_dydx.ledger import Books
from fundingarb_dydx.networks import HOSTS, network_of
from fundingarb_dydx.orders import OrderDesk
from fundingarb_dydx.settings import DydxSettings
from fundingarb_dydx.transactions import Scale, address_of, public_key_of

T = TypeVar("T")

LAST_SUBACCOUNT = 127
"""Of those that share collateral between markets; the numbers beyond are for isolated positions."""

COSTS: Mapping[str, Mapping[str, float]] = {
    "place_order": {"node": 1, "orders": 1, "indexer": 1},
    "cancel_order": {"node": 1, "indexer": 1},
    "cancel_foreign": {"node": 1, "indexer": 1},
    "find_order": {"indexer": 2},
    "get_positions": {"indexer": 2},
    "get_balance": {"indexer": 2},
    "get_fills": {"indexer": 2},
    "get_symbol_fills": {"indexer": 1},
    "get_fee_tier": {"node": 1},
    "get_key_permissions": {"node": 1},
    "get_modes": {},
    "set_leverage": {},
    "set_margin_mode": {},
    "set_one_way_mode": {},
}


def subaccount_of(context: OpenContext) -> tuple[str, int]:
    """Address and number of the subaccount; ("", 0) without one. Raises for credentials that cannot be used."""
    if context.account is None:
        return "", 0
    values, name = context.account.values, context.account.name
    address = values["api_key"].reveal()
    if not address.startswith("dydx1"):
        raise ConfigError(f"accounts.{name}: api_key of dydx is the chain's address, dydx1...")
    own = address_of(public_key_of(values["api_secret"].reveal()))
    if own != address:
        raise AuthenticationFailed(
            f"accounts.{name}: api_secret is the key of {own}, not of the address in api_key; give an address and "
            "its own key (one that another account permitted cannot be used)",
            code="key",
        )
    number = values["subaccount"].reveal() if "subaccount" in values else "0"
    if not number.isascii() or not number.isdigit() or int(number) > LAST_SUBACCOUNT:
        raise ConfigError(f"accounts.{name}: subaccount of dydx is a number from 0 to {LAST_SUBACCOUNT}")
    return address, int(number)


class DydxAdapter(RestAdapter):
    """One dYdX subaccount; see ``fundingarb.ports.ExchangeAdapter`` for what the methods promise."""

    name = messages.EXCHANGE
    reads = "perpetuals of the subaccount"
    costs = COSTS
    limits: Sequence[RateLimit] = (
        RateLimit("indexer", 100, 10),
        RateLimit("node", 250, 10),
        RateLimit("orders", 40, 10),
    )

    def __init__(self, settings: DydxSettings, context: OpenContext) -> None:
        self.settings = settings
        self.network = network_of(context, settings)
        self.address, self.subaccount = subaccount_of(context)
        super().__init__(
            context,
            "dydx",
            CODES,
            roots=self.network.roots,
            options={},
            timeout=settings.request_timeout_seconds,
            order_expiry=None,
            hosts=HOSTS,
            streams=(self.network.stream,),
        )
        for client in (self.trading, self.polling):
            client.signers["feeTier"] = self._get(
                f"{self.network.node_rest}/dydxprotocol/v4/feetiers/user_fee_tier"
            )
            client.signers["broadcast"] = self._broadcast
            client.signers["nodeStatus"] = self._get(f"{self.network.node_rpc}/status")
        self.heights = Heights(context.clock.speed)
        self.orders = OrderDesk(self)
        self.books = Books(self)
        self._markets: dict[str, schema.Market] = {}

    def _get(self, address: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
        """A request to a node that ccxt does not know."""

        def sign(params: Mapping[str, Any]) -> dict[str, Any]:
            query = f"?{self.trading.ccxt.urlencode(dict(params))}" if params else ""
            return {"url": f"{address}{query}", "method": "GET", "body": None, "headers": None}

        return sign

    def _broadcast(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """A transaction (hexadecimal) to the node, as JSON-RPC."""
        encoded = base64.b64encode(bytes.fromhex(str(params["tx"]).removeprefix("0x"))).decode()
        call = {"jsonrpc": "2.0", "id": 1, "method": "broadcast_tx_sync", "params": {"tx": encoded}}
        headers = {"Content-Type": "application/json"}
        return {
            "url": f"{self.network.node_rpc}/",
            "method": "POST",
            "body": json.dumps(call),
            "headers": headers,
        }

    def cost(self, operation: str) -> Mapping[str, float]:
        return self.costs.get(operation, {"indexer": 1})

    def remember_orders(self, orders: Mapping[str, str]) -> None:
        """See ``ports.RemembersOrders``: the chain keeps numbers, and only known names stand behind them."""
        self.orders.names.remember(orders)

    # the chain
    @property
    def order_expiry(self) -> timedelta | None:
        """How long ago an order must have been sent for the chain to be past its last block by now.

        It is counted in blocks, so it is None while the chain stands still or too little of it was seen.
        """
        return self.heights.expiry(self.clock.monotonic())

    def note_height(self, height: int) -> None:
        """The indexer has this block."""
        self.heights.note(height, self.clock.monotonic())

    async def read_height(self) -> int:
        """The last block that the indexer has."""
        answer = await self.read("indexerGetHeight", schema.Height)
        height = messages.block(answer.height, "dydx height")
        self.note_height(height)
        return height

    def chain_seconds(self) -> int:
        """The chain's time in unix seconds, as far as it was measured."""
        return int(self.clock.time() + self.skew.milliseconds / 1000)

    async def read_known(self, endpoint: str, kind: type[T], params: Mapping[str, Any]) -> T | None:
        """``read`` where HTTP 404 is an answer: there is no such thing."""
        try:
            return await self.read(endpoint, kind, params)
        except ExchangeError as error:
            if isinstance(error.__cause__, CallFailed) and error.__cause__.status == 404:
                return None
            raise

    # public data
    async def read_time(self) -> datetime:
        return messages.time_of((await self.read("indexerGetTime", schema.Time)).iso, "dydx time")

    async def read_markets(self) -> Mapping[str, schema.Market]:
        """Ticker -> market, of all as they are now: oracle prices, rates and margin fractions change all the time."""
        answer = await self.read("indexerGetPerpetualMarkets", schema.Markets)
        self._markets = {market.ticker: market for market in messages.markets(answer.markets)}
        return self._markets

    async def get_instruments(self) -> Sequence[Instrument]:
        self._instruments.load(messages.instruments((await self.read_markets()).values()))
        known = (*self._instruments.known(), *self._instruments)
        self.orders.names.trade_on(
            {
                each.symbol: self.clob_pair_id(each.exchange_id)
                for each in known
                if each.exchange_id in self._markets
            }
        )
        return list(self._instruments)

    def scale(self, instrument: Instrument) -> Scale:
        """How the chain counts sizes and prices of ``instrument``."""
        return messages.scale(self._markets[instrument.exchange_id])

    def clob_pair_id(self, ticker: str) -> int:
        """The number of the order book of ``ticker``."""
        market = self._markets.get(ticker)
        if market is None:
            raise ExchangeError(f"dydx lists no {ticker}", code="unknown-symbol")
        return messages.index(market.clobPairId, f"{ticker} clobPairId")

    async def get_funding_rate(self, symbol: str) -> FundingRate:
        instrument = await self.instrument(symbol)
        market = (await self.read_markets()).get(instrument.exchange_id)
        if market is None:
            raise BadMessage(f"dydx: {instrument.exchange_id} is not listed any more")
        return messages.funding_rate(market, instrument, self.clock.now())

    async def get_funding_rates(self, symbols: Collection[str]) -> Sequence[FundingRate]:
        wanted = set(await self.ids_of(symbols))
        listed = (await self.read_markets()).values()
        rates = messages.funding_rates(listed, self.known, wanted, self.clock.now())
        if symbols and not rates:
            raise BadMessage("dydx: no rate of the symbols asked for can be used")
        return rates

    async def get_funding_history(self, symbol: str, since: datetime) -> Sequence[SettledRate]:
        instrument = await self.instrument(symbol)

        async def read(params: dict[str, Any]) -> Sequence[schema.SettledFunding]:
            params = {"market": instrument.exchange_id, **params}
            return (
                await self.read("indexerGetHistoricalFundingMarket", schema.History, params)
            ).historicalFunding

        rows = await ledger.rows_since(
            read, since, "effectiveBeforeOrAt", lambda row: row.effectiveAt, lambda row: row.effectiveAt
        )
        return messages.settled(rows, symbol)

    async def get_orderbook(self, symbol: str, depth: int) -> OrderBook:
        instrument = await self.instrument(symbol)
        params = {"market": instrument.exchange_id}
        answer = await self.read("indexerGetOrderbooksPerpetualMarketMarket", schema.Depth, params)
        return messages.order_book(answer, instrument, self.clock.now(), depth)

    # orders
    async def send_order(self, order: NewOrder, instrument: Instrument) -> OrderReport:
        return await self.orders.send(order, instrument)

    async def send_cancel(self, instrument: Instrument, client_id: str) -> None:
        await self.orders.cancel(instrument, client_id)

    async def send_cancel_by_number(self, instrument: Instrument, exchange_order_id: str) -> None:
        await self.orders.cancel_by_number(exchange_order_id)

    async def find_order(self, symbol: str, client_id: str) -> OrderReport | None:
        return await self.orders.find(await self.instrument(symbol), client_id)

    async def get_open_orders(self) -> Sequence[OrderReport]:
        known = await self.instruments()
        params = {**self.mine, "status": "OPEN,BEST_EFFORT_OPENED,UNTRIGGERED"}
        rows = await self.read("indexerGetOrders", list[schema.Order], params)
        names, height = self.orders.names, self.heights.latest
        found = (
            messages.order_report(row, self.account, messages.name_of(row, names), known, height)
            for row in rows
        )
        return [report for report in found if not report.state.terminal]

    # account
    @property
    def mine(self) -> dict[str, Any]:
        """The parameters that name the subaccount; ``AuthenticationFailed`` without one."""
        return {"address": self.orders.signer.address, "subaccountNumber": self.subaccount}

    async def _subaccount(self) -> schema.Subaccount | None:
        """The subaccount; None when it never held anything."""
        path = "indexerGetAddressesAddressSubaccountNumberSubaccountNumber"
        answer = await self.read_known(path, schema.SubaccountAnswer, self.mine)
        return None if answer is None else answer.subaccount

    async def get_positions(self) -> Sequence[ExchangePosition]:
        known = await self.instruments()
        found = await self._subaccount()
        if found is None or not found.openPerpetualPositions:
            return []
        return margin.positions(found, self.account, await self.read_markets(), known)

    async def get_balance(self) -> Balance:
        known = await self.instruments()
        found = await self._subaccount()
        if found is None:
            return values.no_balance(self.account, messages.SETTLE)
        listed = await self.read_markets() if found.openPerpetualPositions else self._markets
        return margin.balance(found, self.account, listed, known)

    async def get_fills(self, since: datetime, symbol: str | None = None) -> Sequence[Fill]:
        await self.instruments()
        market = None if symbol is None else (await self.instrument(symbol)).exchange_id
        return await self.books.fills(since, market)

    async def get_funding_payments(self, since: datetime) -> Sequence[FundingPayment]:
        await self.instruments()
        return await self.books.payments(since)

    async def get_fee_tier(self, symbol: str) -> FeeTier:
        await self.instrument(symbol)
        params = {"user": self.orders.signer.address}
        return messages.fee_tier(await self.read("feeTier", schema.FeeTierAnswer, params))

    async def get_modes(self, symbol: str) -> AccountModes:
        """One position per market, all of them on the subaccount's collateral; nothing limits leverage but margin."""
        await self.instrument(symbol)
        return AccountModes(position_mode="one-way", margin_mode="cross", leverage=None)

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        """There is none to set; ``ExchangeError`` for more than the market's initial margin allows."""
        instrument = await self.instrument(symbol)
        initial, _ = messages.margin_fractions(self._markets[instrument.exchange_id])
        if leverage * initial > 1:
            raise ExchangeError(f"dydx allows a leverage of {int(1 / initial)} at most for {symbol}")

    async def set_margin_mode(self, symbol: str, mode: str) -> None:
        if mode != "cross":
            raise ExchangeError(
                "dydx: positions of a subaccount share its collateral; set margin_mode to cross"
            )

    async def set_one_way_mode(self) -> None:
        """It is the only mode."""

    async def get_key_permissions(self) -> KeyPermissions:
        """The key of a chain account can do everything with it, and works from everywhere."""
        await self.orders.account_number()
        return KeyPermissions(
            trade=True,
            withdraw=True,
            ip_restricted=False,
            transfer=True,
            accepted=self.settings.accept_key_that_can_withdraw,
            accept_with="exchanges.dydx.accept_key_that_can_withdraw",
        )

    # streams
    async def stream_rates(self, symbols: Sequence[str], sink: RateSink) -> None:
        await feeds.rates(self, symbols, sink)

    async def stream_books(self, symbols: Sequence[str], sink: BookSink) -> None:
        await feeds.books(self, symbols, sink)

    async def stream_account(self, sink: AccountSink) -> None:
        await feeds.account(self, sink)
