"""The messages of the market streams."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from fundingarb.localnet.truth.events import Liquidated
from fundingarb.localnet.truth.views import BookView, Candle, Level, Trade
from fundingarb_binance.localnet.context import Context
from fundingarb_binance.localnet.contracts import Listing
from fundingarb_binance.localnet.exchange_info import PERPETUAL_DELIVERY_MS
from fundingarb_binance.localnet.market import INTERVALS, Market, update_id
from fundingarb_binance.localnet.numbers import fixed, money

__all__ = ["Messages"]

_DAY_MS = 86_400_000


class Messages:
    """Renders what the truth shows of a contract, one message a method."""

    def __init__(self, context: Context, market: Market) -> None:
        self.context = context
        self.market = market

    def mark_price(self, listing: Listing) -> dict[str, Any]:
        """``markPriceUpdate``."""
        funding = self.context.truth.funding(listing.id)
        mark, index = self.market.mark(listing), self.market.index(listing)
        return {
            "e": "markPriceUpdate",
            "E": self.context.venue.server_ms(),
            "s": listing.id,
            "p": mark,
            "ap": mark,
            "i": index,
            "P": index,
            "r": money(funding.rate),
            "T": funding.next_ms,
            "st": 1,
        }

    def quote(self, listing: Listing, book: BookView) -> dict[str, Any]:
        """``bookTicker``."""
        nothing = (Decimal(0), Decimal(0))
        bid = book.bids[0] if book.bids else nothing
        ask = book.asks[0] if book.asks else nothing
        return {
            "e": "bookTicker",
            "u": update_id(book.version),
            "s": listing.id,
            "ps": listing.id,
            "b": self.context.price(listing, bid[0]),
            "B": self.context.quantity(listing, bid[1]),
            "a": self.context.price(listing, ask[0]),
            "A": self.context.quantity(listing, ask[1]),
            "T": book.time_ms,
            "E": self.context.venue.server_ms(),
            "st": 1,
        }

    def book_change(
        self, listing: Listing, previous: int, book: BookView, bids: Iterable[Level], asks: Iterable[Level]
    ) -> dict[str, Any]:
        """``depthUpdate``: changes since a version, or the top of the book."""
        return {
            "e": "depthUpdate",
            "E": self.context.venue.server_ms(),
            "T": book.time_ms,
            "s": listing.id,
            "ps": listing.id,
            "U": update_id(previous) + 1,
            "u": update_id(book.version),
            "pu": update_id(previous),
            "b": self.market.levels(listing, tuple(bids)),
            "a": self.market.levels(listing, tuple(asks)),
            "st": 1,
        }

    def agg_trade(self, listing: Listing, number: int, trade: Trade) -> dict[str, Any]:
        """``aggTrade``."""
        size = self.context.quantity(listing, trade.quantity)
        return {
            "e": "aggTrade",
            "E": self.context.venue.server_ms(),
            "a": number,
            "s": listing.id,
            "p": self.context.price(listing, trade.price),
            "q": size,
            "nq": size,
            "f": number,
            "l": number,
            "T": trade.time_ms,
            "m": trade.side.value == "SELL",
            "st": 1,
        }

    def trade(self, listing: Listing, number: int, trade: Trade) -> dict[str, Any]:
        """``trade``."""
        return {
            "e": "trade",
            "E": self.context.venue.server_ms(),
            "T": trade.time_ms,
            "s": listing.id,
            "t": number,
            "p": self.context.price(listing, trade.price),
            "q": self.context.quantity(listing, trade.quantity),
            "X": "MARKET",
            "m": trade.side.value == "SELL",
        }

    def mini_ticker(self, listing: Listing) -> dict[str, Any]:
        """``24hrMiniTicker``."""
        ticker = self.context.truth.ticker(listing.id)
        price = self.context.price
        return {
            "e": "24hrMiniTicker",
            "E": self.context.venue.server_ms(),
            "s": listing.id,
            "ps": listing.id,
            "c": price(listing, ticker.last),
            "o": price(listing, ticker.open_24h),
            "h": price(listing, ticker.high_24h),
            "l": price(listing, ticker.low_24h),
            "v": self.context.quantity(listing, ticker.volume_24h),
            "q": fixed(ticker.turnover_24h, 2),
            "st": 1,
        }

    def ticker(self, listing: Listing) -> dict[str, Any]:
        """``24hrTicker``."""
        ticker = self.context.truth.ticker(listing.id)
        price = self.context.price
        change = ticker.last - ticker.open_24h
        first, last, count = self.market.trade_ids(listing)
        average = ticker.turnover_24h / ticker.volume_24h if ticker.volume_24h else ticker.last
        return {
            **self.mini_ticker(listing),
            "e": "24hrTicker",
            "p": price(listing, change),
            "P": fixed(change / ticker.open_24h * 100 if ticker.open_24h else Decimal(0), 3),
            "w": price(listing, average),
            "Q": self.context.quantity(listing, ticker.last_quantity),
            "O": ticker.time_ms - _DAY_MS,
            "C": ticker.time_ms,
            "F": first,
            "L": last,
            "n": count,
        }

    def candle(self, listing: Listing, candle: Candle, interval: str, closed: bool) -> dict[str, Any]:
        """``kline``."""
        row = self.market.kline(listing, candle, INTERVALS[interval] * 1000, "last")
        return {
            "e": "kline",
            "E": self.context.venue.server_ms(),
            "s": listing.id,
            "k": {
                "t": row[0],
                "T": row[6],
                "s": listing.id,
                "i": interval,
                "f": 0,
                "L": 0,
                "o": row[1],
                "c": row[4],
                "h": row[2],
                "l": row[3],
                "v": row[5],
                "n": row[8],
                "x": closed,
                "q": row[7],
                "V": row[9],
                "Q": row[10],
                "B": row[11],
            },
        }

    def force_order(self, event: Liquidated) -> dict[str, Any]:
        """``forceOrder``: a liquidation."""
        listing = self.context.listings[event.instrument]
        price = self.context.price(listing, event.price)
        quantity = self.context.quantity(listing, event.quantity)
        body = {
            "s": event.instrument,
            "S": event.side.value,
            "o": "LIMIT",
            "f": "IOC",
            "q": quantity,
            "p": price,
            "ap": price,
            "X": "FILLED",
            "l": quantity,
            "z": quantity,
            "T": event.time_ms,
        }
        return {
            "e": "forceOrder",
            "E": self.context.venue.server_ms(),
            "o": body,
            "ps": event.instrument,
            "st": 1,
        }

    def contract_info(self, listing: Listing) -> dict[str, Any]:
        """``contractInfo``: a contract whose rules changed."""
        brackets: list[dict[str, Any]] = []
        floor = 0
        tiers = listing.instrument.tiers
        for number, tier in enumerate(tiers, start=1):
            after = tiers[number].max_leverage + 1 if number < len(tiers) else 1
            brackets.append(
                {
                    "bs": number,
                    "bnf": floor,
                    "bnc": int(tier.max_value),
                    "mmr": float(tier.maintenance_rate),
                    "cf": float(tier.deduction),
                    "mi": after,
                    "ma": tier.max_leverage,
                }
            )
            floor = int(tier.max_value)
        return {
            "e": "contractInfo",
            "E": self.context.venue.server_ms(),
            "s": listing.id,
            "ps": listing.id,
            "ct": "PERPETUAL",
            "dt": PERPETUAL_DELIVERY_MS,
            "ot": listing.instrument.listed_ms,
            "cs": "TRADING",
            "bks": brackets,
            "st": 1,
        }
