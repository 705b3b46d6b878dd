"""The indexer's websocket: ``/v4/ws``.

A greeting, then for every subscription a message with what there is now and messages with what changes. Messages are
numbered by connection. A batched subscription gets its changes gathered, a few times a second. Of a book first the
bids change and then the asks, in messages of their own: a client that applies them one by one may see it crossed.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from fundingarb.localnet.streams import Session
from fundingarb.localnet.truth.views import BookView, Level
from fundingarb_dydx.localnet import accounts, market
from fundingarb_dydx.localnet.desk import SUBACCOUNT, Desk
from fundingarb_dydx.localnet.wire import ApiError, dumps, iso, plain

__all__ = ["Stream"]

ORDERBOOK, TRADES, MARKETS = "v4_orderbook", "v4_trades", "v4_markets"
SUBACCOUNTS, PARENTS = "v4_subaccounts", "v4_parent_subaccounts"
CANDLES, BLOCKS = "v4_candles", "v4_block_height"
VERSIONS = {SUBACCOUNTS: "3.0.0", PARENTS: "3.0.0", TRADES: "2.1.0"}
"""Message versions by channel; the others are at 1.0.0."""
WHOLE = {MARKETS, BLOCKS}
"""Channels without an id of their own."""
OPEN_STATUSES = "OPEN,UNTRIGGERED,BEST_EFFORT_OPENED,BEST_EFFORT_CANCELED"
MOST_LEVELS = 100
TRADING = (
    "priceChange24H",
    "volume24H",
    "trades24H",
    "nextFundingRate",
    "openInterest",
    "baseOpenInterest",
    "status",
)
"""Fields of a market that change."""
SUBSCRIPTIONS = {SUBACCOUNTS: 256, PARENTS: 256}
"""Most subscriptions of a connection by channel; 32 of the others."""
PING, PONG = 30.0, 10.0
BATCH = 0.25


class Stream:
    """The indexer's websocket of one venue."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._hub = desk.venue.hub
        self._books: dict[str, BookView] = {}
        self._trades: dict[str, str] = {}
        self._oracles: dict[str, str] = {}
        self._trading: dict[str, dict[str, Any]] = {}
        self._channels: Mapping[str, Callable[[str], dict[str, Any]]] = {
            ORDERBOOK: self._first_book,
            TRADES: self._first_trades,
            MARKETS: self._first_markets,
            SUBACCOUNTS: self._first_subaccount,
            PARENTS: self._first_subaccount,
            CANDLES: self._first_candles,
            BLOCKS: lambda _: market.height(desk, {}),
        }
        desk.venue.every(0.1, self._publish_books)
        desk.venue.every(0.25, self._publish_trades)
        desk.venue.every(1.0, self._publish_oracles)
        desk.venue.every(5.0, self._publish_trading)
        desk.venue.every(1.0, self._publish_candles)
        desk.venue.every(BATCH, self._flush)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        session = Session(self._desk.venue, request, ping_every=PING, pong_within=PONG)
        session.data |= {"id": str(uuid.uuid4()), "next": 0, "batches": {}}
        return await session.run(self._on_message, self._greet)

    # -- sending ---------------------------------------------------------------------------------------------

    def _greet(self, session: Session) -> None:
        self._send(session, "connected", "")

    @staticmethod
    def _send(session: Session, kind: str, topic: str, middle: str = "", contents: str | None = None) -> None:
        """One numbered message; ``middle`` is JSON between the head and the contents, with its comma."""
        number = session.data["next"]
        session.data["next"] = number + 1
        tail = f',"contents":{contents}' if contents is not None else ""
        head = f'{{"type":"{kind}","connection_id":"{session.data["id"]}","message_id":{number}'
        session.send(f"{head}{middle}{tail}}}", topic)

    @staticmethod
    def _named(channel: str, name: str, *, version: bool) -> str:
        shown = "" if channel == MARKETS else f'"id":{dumps(name)},'
        tail = f',"version":"{VERSIONS.get(channel, "1.0.0")}"' if version else ""
        return f',{shown}"channel":"{channel}"{tail}'

    def publish(self, channel: str, name: str, contents: Any) -> None:
        """Tell everyone who listens; encoded once."""
        topic = f"{channel}:{name}"
        if not self._hub.wanted(topic):
            return
        shown, middle = dumps(contents), self._named(channel, name, version=True)
        for session in self._hub.sessions:
            if topic not in session.topics:
                continue
            batch = session.data["batches"].get(topic)
            if batch is None:
                self._send(session, "channel_data", topic, middle, shown)
            else:
                batch.append(shown)

    def _flush(self) -> None:
        """Send what was gathered for batched subscriptions."""
        for session in self._hub.sessions:
            for topic, batch in session.data.get("batches", {}).items():
                if not batch:
                    continue
                channel, _, name = topic.partition(":")
                middle = self._named(channel, name, version=True)
                self._send(session, "channel_batch_data", topic, middle, f"[{','.join(batch)}]")
                batch.clear()

    # -- commands --------------------------------------------------------------------------------------------

    def _on_message(self, session: Session, text: str) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            self._refuse(session, "Invalid message: could not parse")
            return
        kind = message.get("type")
        if kind == "ping":
            number = message.get("id")
            self._send(session, "pong", "", f',"id":{dumps(number)}' if number is not None else "")
        elif kind == "subscribe":
            self._subscribe(session, message)
        elif kind == "unsubscribe":
            self._unsubscribe(session, message)
        else:
            self._refuse(session, f"Invalid message type: {kind}")

    def _refuse(self, session: Session, why: str) -> None:
        self._send(session, "error", "", f',"message":{dumps(why)}')

    def _subscribe(self, session: Session, message: Mapping[str, Any]) -> None:
        channel = str(message.get("channel"))
        first = self._channels.get(channel)
        if first is None:
            self._refuse(session, f"Invalid channel: {channel}")
            return
        name = channel if channel in WHOLE else str(message.get("id", ""))
        topic = f"{channel}:{name}"
        if topic in session.topics:
            self._refuse(session, f"Invalid subscribe message: already subscribed ({channel}-{name})")
            return
        limit = SUBSCRIPTIONS.get(channel, 32)
        if sum(1 for one in session.topics if one.startswith(f"{channel}:")) >= limit:
            self._refuse(session, f"Per-connection subscription limit reached for {channel} (limit={limit}).")
            return
        self._desk.venue.sync()
        try:
            contents = first(name)
        except ApiError:
            self._refuse(session, f"Invalid subscription id for channel: ({channel}-{name})")
            return
        if channel in (SUBACCOUNTS, PARENTS):
            account = self._desk.chain.accounts.get(name.partition("/")[0])
            session.account = account.name if account is not None else session.account
        middle = self._named(channel, name, version=False)
        self._send(session, "subscribed", topic, middle, dumps(contents))
        if message.get("batched") is True:
            session.data["batches"][topic] = []
        session.subscribe(topic)

    def _unsubscribe(self, session: Session, message: Mapping[str, Any]) -> None:
        channel = str(message.get("channel"))
        if channel not in self._channels:
            self._refuse(session, f"Invalid channel: {channel}")
            return
        name = channel if channel in WHOLE else str(message.get("id", ""))
        topic = f"{channel}:{name}"
        session.unsubscribe(topic)
        session.data["batches"].pop(topic, None)
        self._send(session, "unsubscribed", "", self._named(channel, name, version=False))

    # -- books -----------------------------------------------------------------------------------------------

    def _first_book(self, ticker: str) -> dict[str, Any]:
        topic = f"{ORDERBOOK}:{ticker}"
        if not self._hub.wanted(topic) or ticker not in self._books:
            self._books[ticker] = self._desk.truth.book(self._desk.perpetual(ticker).ticker, MOST_LEVELS)
        book = self._books[ticker]
        return {
            "bids": [{"price": plain(price), "size": plain(size)} for price, size in book.bids],
            "asks": [{"price": plain(price), "size": plain(size)} for price, size in book.asks],
        }

    def _publish_books(self) -> None:
        for topic in self._hub.topics(f"{ORDERBOOK}:"):
            ticker = topic.partition(":")[2]
            before, now = self._books[ticker], self._desk.truth.book(ticker, MOST_LEVELS)
            if before.version == now.version:
                continue
            self._books[ticker] = now
            for side in ("bids", "asks"):
                changed = _changes(getattr(before, side), getattr(now, side))
                if changed:
                    self.publish(ORDERBOOK, ticker, {side: changed})

    # -- trades and candles ----------------------------------------------------------------------------------

    def _first_trades(self, ticker: str) -> dict[str, Any]:
        found = market.trades(self._desk, {"ticker": ticker})
        if not self._hub.wanted(f"{TRADES}:{ticker}"):
            newest = self._desk.truth.trades(ticker, 1)
            self._trades[ticker] = newest[-1].id if newest else ""
        return found

    def _publish_trades(self) -> None:
        for topic in self._hub.topics(f"{TRADES}:"):
            ticker = topic.partition(":")[2]
            rows = self._desk.truth.trades(ticker, 100)
            ids = [row.id for row in rows]
            last = self._trades.get(ticker, "")
            fresh = rows[ids.index(last) + 1 :] if last in ids else rows
            if not fresh:
                continue
            self._trades[ticker] = fresh[-1].id
            shown = [market.trade_row(self._desk, row) for row in reversed(fresh)]
            self.publish(TRADES, ticker, {"trades": shown})

    def _first_candles(self, name: str) -> dict[str, Any]:
        ticker, _, resolution = name.partition("/")
        return market.candles(self._desk, {"ticker": ticker, "resolution": resolution})

    def _publish_candles(self) -> None:
        for topic in self._hub.topics(f"{CANDLES}:"):
            name = topic.partition(":")[2]
            ticker, _, resolution = name.partition("/")
            found = market.candles(self._desk, {"ticker": ticker, "resolution": resolution, "limit": "1"})
            for row in found["candles"]:
                self.publish(CANDLES, name, row)

    # -- markets and blocks ----------------------------------------------------------------------------------

    def _first_markets(self, name: str) -> dict[str, Any]:
        return market.perpetual_markets(self._desk, {})

    def _publish_oracles(self) -> None:
        if not self._hub.wanted(f"{MARKETS}:{MARKETS}"):
            return
        chain, changed = self._desk.chain, {}
        for ticker, perpetual in self._desk.perpetuals.items():
            price = plain(self._desk.oracle(ticker))
            if self._oracles.get(ticker) == price:
                continue
            self._oracles[ticker] = price
            changed[ticker] = {
                "oraclePrice": price,
                "effectiveAt": iso(chain.time_ms),
                "effectiveAtHeight": str(chain.height),
                "marketId": perpetual.clob_pair,
            }
        if changed:
            self.publish(MARKETS, MARKETS, {"oraclePrices": changed})

    def _publish_trading(self) -> None:
        if not self._hub.wanted(f"{MARKETS}:{MARKETS}"):
            return
        changed = {}
        for ticker, row in market.perpetual_markets(self._desk, {})["markets"].items():
            now = {name: row[name] for name in TRADING}
            before = self._trading.get(ticker, {})
            fields = {name: value for name, value in now.items() if before.get(name) != value}
            if fields:
                changed[ticker] = {"id": row["clobPairId"]} | fields
            self._trading[ticker] = now
        if changed:
            self.publish(MARKETS, MARKETS, {"trading": changed})

    def block(self) -> None:
        """Tell of a new block."""
        chain = self._desk.chain
        self.publish(BLOCKS, BLOCKS, {"blockHeight": str(chain.height), "time": iso(chain.time_ms)})

    # -- subaccounts -----------------------------------------------------------------------------------------

    def _first_subaccount(self, name: str) -> dict[str, Any]:
        address, _, number = name.partition("/")
        if not number.isdecimal():
            raise ApiError(400, "invalid subaccount")
        params = {"address": address, "subaccountNumber": number, "status": OPEN_STATUSES}
        try:
            found = accounts.subaccount_of(self._desk, params)
        except ApiError:
            # A subaccount that is not there yet can be listened to.
            return {}
        return found | {
            "orders": accounts.orders(self._desk, params),
            "blockHeight": str(self._desk.chain.height),
        }

    def tell(self, account: str, contents: Mapping[str, Any]) -> None:
        """Something about a subaccount."""
        name = f"{self._desk.address(account)}/{SUBACCOUNT}"
        shown = dict(contents) | {"blockHeight": str(self._desk.chain.height)}
        self.publish(SUBACCOUNTS, name, shown)
        self.publish(PARENTS, name, shown)


def _changes(before: tuple[Level, ...], now: tuple[Level, ...]) -> list[list[str]]:
    """Levels that appeared, changed or (size 0) went."""
    old, new = dict(before), dict(now)
    changed = [[plain(price), plain(size)] for price, size in now if old.get(price) != size]
    return changed + [[plain(price), "0"] for price, _ in before if price not in new]
