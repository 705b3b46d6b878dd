"""A seeded storm of faults, injected through the control API while the bot trades.

A recipe makes the faults of one incident. Times of the recipes are real seconds: what the localnet counts in simulated
time is multiplied by the speed. Incidents that make an exchange unreachable are noted with their time, because the time
to flat or hedged is only promised while it is reachable.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
from tests.campaigns.wire.venue import Venues

from fundingarb.ports import BotHandle

Body = dict[str, Any]

REFUSALS: Mapping[str, Sequence[tuple[str, str]]] = {
    "binance": (
        ("-2019", "Margin is insufficient."),
        ("-4131", "The counterparty's best price does not meet the PERCENT_PRICE filter limit."),
        ("-1008", "Server is currently overloaded with other requests."),
        ("-2027", "Exceeded the maximum allowable position at current leverage."),
    ),
    "bybit": (
        ("110007", "ab not enough for new order"),
        ("110090", "Order placement failed as your position may exceed the max limit."),
        ("110003", "Order price exceeds the allowable range."),
    ),
    "okx": (
        ("51008", "Order failed. Insufficient USDT margin in account"),
        ("51006", "Order price is not within the price limit"),
        ("51004", "Order failed. The position limit at this leverage is exceeded."),
        ("50061", "Sub-account rate limit exceeded."),
        ("51029", "Your order failed because contract being settled."),
    ),
    "dydx": (
        ("clob:10", "The next block height is greater than the GoodTilBlock of the message"),
        ("clob:2001", "Reduce-only orders cannot increase the position size"),
        ("sdk:20", "mempool is full"),
        ("sdk:30", "tx timeout height"),
        ("sdk:32", "incorrect account sequence"),
    ),
}
"""What each exchange says when it certainly has not taken an order."""

NOT_FOUND: Mapping[str, Body] = {
    "binance": {"code": "-2013", "message": "Order does not exist."},
    "bybit": {"code": "110001", "message": "order not exists or too late to cancel"},
    "okx": {"code": "51603", "message": "Order does not exist."},
    "dydx": {"status": 404, "message": "Unable to find order"},
}
TOO_LATE: Mapping[str, Sequence[Body]] = {
    "binance": ({"code": "-2011", "message": "Unknown order sent."},),
    "bybit": ({"code": "110001", "message": "order not exists or too late to cancel"},),
    "okx": (
        {
            "code": "51400",
            "message": "Cancellation failed as the order has been filled, canceled or does not exist.",
        },
        {"code": "51401", "message": "Cancellation failed as the order is already canceled."},
        {"code": "51402", "message": "Cancellation failed as the order is already completed."},
        {"code": "51410", "message": "Cancellation failed as the order is already in canceling status."},
    ),
    "dydx": (
        {"code": "clob:3006", "message": "Stateful order does not exist"},
        {"code": "clob:3010", "message": "Stateful cancel failed: the order was removed already"},
    ),
}
"""What each exchange says of an order that it does not find, and of one that is over when its cancel arrives."""
WRONG_FRAMES: Mapping[str, tuple[str, str]] = {
    "binance": (
        '[{"e":"markPriceUpdate","E":1,"s":"BTCUSDT","p":"1","i":"1","P":"1","r":"0.02","T":1900000000000},'
        '{"e":"markPriceUpdate","E":1,"s":"ETHUSDT","p":"1e9","i":"1e9","P":"1","r":"-0.02","T":1900000000000}]',
        "!markPrice@arr*",
    ),
    "bybit": (
        '{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","markPrice":"1","indexPrice":"1e9"},'
        '"cs":1,"ts":1}',
        "tickers.BTCUSDT",
    ),
    "okx": (
        '{"arg":{"channel":"mark-price","instId":"BTC-USDT-SWAP"},"data":[{"instType":"SWAP",'
        '"instId":"BTC-USDT-SWAP","markPx":"1","ts":"1"}]}',
        "mark-price:BTC-USDT-SWAP",
    ),
    "dydx": (
        '{"type":"channel_data","connection_id":"0","message_id":1,"id":"","channel":"v4_markets","version":"1.0.0",'
        '"contents":{"oraclePrices":{"BTC-USD":{"oraclePrice":"1","effectiveAt":"2026-01-05T00:00:00.000Z",'
        '"effectiveAtHeight":"1","marketId":0}},"trading":{"ETH-USD":{"nextFundingRate":"0.02"}}}}',
        "v4_markets*",
    ),
}
"""(frame, topic): market data that is wrong. What it is wrong about is in every following frame."""
SAID_UNKNOWN: Mapping[str, Sequence[Body]] = {
    "okx": (
        {"code": "50001", "message": "Service temporarily unavailable. Try again later"},
        {"code": "50013", "message": "Systems are busy. Please try again later."},
        {"code": "50026", "message": "System error. Try again later"},
        {"code": "51054", "message": "Request timed out. Please try again."},
        {"code": "51149", "message": "Order timed out. Please try again."},
    ),
}
"""What an exchange says, beside its usual words, when it may have done what was asked or not."""
STATES = ("clock_skew", "chain_stall", "indexer_lag")
"""Faults that are there as long as they are installed, whatever is asked."""
MISSING = 0.3
"""Share of incidents that are drawn from what has not happened yet, where everything has to."""
READS = ("positions.read", "orders.open", "fills.read", "ledger.read", "balance.read", "order.query")
WRITES = ("order.place", "order.place", "order.place", "order.cancel")


@dataclass
class Surroundings:
    """What a recipe may draw from."""

    rng: random.Random
    exchange: str
    speed: float
    symbols: Sequence[str]
    bot: BotHandle

    def between(self, low: float, high: float) -> float:
        return round(self.rng.uniform(low, high), 3)

    def on(self, kind: str, **fields: Any) -> Body:
        return {"kind": kind, "exchange": self.exchange, **fields}

    def leg(self) -> tuple[str, str] | None:
        """(account, symbol) of a leg that holds something on this exchange."""
        found = [
            (leg.plan.account, hedge.symbol)
            for hedge in self.bot.live_hedges()
            for leg in (hedge.long, hedge.short)
            if leg.filled > 0 and leg.plan.instrument.exchange == self.exchange
        ]
        return self.rng.choice(found) if found else None


@dataclass(frozen=True)
class Recipe:
    """``make`` gives an incident's faults; they last ``seconds`` at most. ``unreachable``: no promise meanwhile.

    ``exchanges`` are those it can happen to; none means all.
    """

    weight: float
    make: Callable[[Surroundings], list[Body]]
    seconds: tuple[float, float] = (4.0, 4.0)
    unreachable: bool = False
    exchanges: tuple[str, ...] = ()


def _operation(kind: str, operations: Sequence[str], **ranges: Any) -> Callable[[Surroundings], list[Body]]:
    """A fault of ``kind`` on one or two of the next such operations; ranges are drawn from."""

    def make(around: Surroundings) -> list[Body]:
        drawn = {
            name: around.between(*value) if isinstance(value, tuple) else value
            for name, value in ranges.items()
        }
        return [
            around.on(
                kind, operation=around.rng.choice(operations), count=around.rng.choice((1, 1, 2)), **drawn
            )
        ]

    return make


def _late_accept(around: Surroundings) -> list[Body]:
    """Executed within the request's expiry, or after it, when the exchange has to refuse."""
    seconds = around.between(0.2, 4.0) * around.speed
    return [around.on("late_accept", operation="order.place", count=1, seconds=seconds)]


def _reject(around: Surroundings) -> list[Body]:
    code, message = around.rng.choice(REFUSALS.get(around.exchange, (("", "refused"),)))
    return [
        around.on(
            "reject", operation="order.place", count=around.rng.choice((1, 2, 3)), code=code, message=message
        )
    ]


def _unknown(around: Surroundings) -> list[Body]:
    """Executed or not, the answer leaves it open."""
    said = around.rng.choice((*SAID_UNKNOWN.get(around.exchange, ()), {}))
    kind = around.rng.choice(("unknown_error", "unknown_error", "reject")) if said else "unknown_error"
    return [around.on(kind, operation=around.rng.choice(WRITES), count=around.rng.choice((1, 1, 2)), **said)]


def _not_found_yet(around: Surroundings) -> list[Body]:
    """The order was taken, its answer lost, and at first the exchange says it knows no such order."""
    said = NOT_FOUND.get(around.exchange, {})
    return [
        around.on("lost_reply", operation="order.place", count=1),
        around.on("reject", operation="order.query", count=around.rng.choice((1, 2, 3)), **said),
    ]


def _cancel_too_late(around: Surroundings) -> list[Body]:
    said = around.rng.choice(TOO_LATE.get(around.exchange, ({},)))
    return [around.on("reject", operation="order.cancel", count=1, **said)]


def _frames(kind: str, **fields: Any) -> Callable[[Surroundings], list[Body]]:
    def make(around: Surroundings) -> list[Body]:
        return [around.on(kind, probability=around.between(0.05, 0.5), **fields)]

    return make


def _account_silent(around: Surroundings) -> list[Body]:
    """Nothing of what happens to the account is told: only asking helps."""
    return [{"kind": "frame_lost", "account": around.exchange, "probability": around.rng.choice((0.5, 1.0))}]


def _frames_wrong(around: Surroundings) -> list[Body]:
    """Prices that were never true, in frames that look right; the next frame is right again."""
    message, topic = WRONG_FRAMES.get(around.exchange, ("{}", "*"))
    return [around.on("frame_malformed", topic=topic, message=message, count=around.rng.choice((1, 3, 10)))]


def _price_gap(around: Surroundings) -> list[Body]:
    return [
        {
            "kind": "price_gap",
            "symbol": around.rng.choice(around.symbols),
            "factor": around.between(0.97, 1.03),
        }
    ]


def _basis_gap(around: Surroundings) -> list[Body]:
    symbol, factor = around.rng.choice(around.symbols), around.between(0.997, 1.003)
    return [around.on("price_gap", symbol=symbol, factor=factor)]


def _interval(around: Surroundings) -> list[Body]:
    return [
        around.on(
            "funding_interval", symbol=around.rng.choice(around.symbols), hours=around.rng.choice((1, 4, 8))
        )
    ]


def _forced(kind: str) -> Callable[[Surroundings], list[Body]]:
    def make(around: Surroundings) -> list[Body]:
        leg = around.leg()
        if leg is None:
            return []
        fraction = {"fraction": around.between(0.1, 1.0)} if kind == "adl" else {}
        return [{"kind": kind, "account": leg[0], "symbol": leg[1], **fraction}]

    return make


RECIPES: Mapping[str, Recipe] = {
    "latency": Recipe(3, _operation("latency", (*WRITES, "order.query"), seconds=(0.05, 2.0))),
    "lost_reply": Recipe(3, _operation("lost_reply", WRITES)),
    "lost_request": Recipe(1.5, _operation("lost_request", WRITES)),
    "late_accept": Recipe(2, _late_accept),
    "server_error": Recipe(2, _operation("http_error", WRITES, status=502)),
    "unknown_error": Recipe(2, _unknown),
    "rate_limited": Recipe(1, _operation("rate_limited", ("*",), retry_after=(0.2, 1.5))),
    "reject": Recipe(2, _reject),
    "not_found_yet": Recipe(2, _not_found_yet),
    "cancel_too_late": Recipe(1, _cancel_too_late),
    "partial_fill": Recipe(3, _operation("partial_fill", ("order.place",), fraction=(0.05, 0.95))),
    "reads_fail": Recipe(2, _operation("http_error", READS, status=503)),
    "reads_lost": Recipe(1, _operation("lost_reply", READS)),
    "reads_slow": Recipe(1, _operation("latency", READS, seconds=(0.5, 3.0))),
    "slow": Recipe(1, lambda a: [a.on("latency", seconds=a.between(0.1, 0.6), jitter=0.4)], (1.0, 4.0)),
    "banned": Recipe(0.3, lambda a: [a.on("banned", count=1, seconds=a.between(1.0, 3.0))], (4.0, 4.0), True),
    "maintenance": Recipe(0.3, lambda a: [a.on("maintenance")], (2.0, 6.0), True),
    "frames_twice": Recipe(1, _frames("frame_duplicate")),
    "frames_out_of_order": Recipe(1, _frames("frame_reorder")),
    "frames_malformed": Recipe(1, _frames("frame_malformed")),
    "frames_lost": Recipe(1, _frames("frame_lost")),
    "account_frames_lost": Recipe(1, _account_silent),
    "frames_wrong": Recipe(1, _frames_wrong),
    "disconnect": Recipe(1.5, lambda a: [a.on("stream_disconnect", count=a.rng.choice((1, 2, 6)))]),
    "stall": Recipe(0.5, lambda a: [a.on("stream_stall", count=2, seconds=a.between(1.0, 20.0))]),
    "skew": Recipe(0.4, lambda a: [a.on("clock_skew", seconds=a.between(-2.0, 2.0))], (3.0, 8.0)),
    "price_gap": Recipe(1, _price_gap),
    "basis_gap": Recipe(1, _basis_gap),
    "interval": Recipe(0.3, _interval),
    "chain_stall": Recipe(0.7, lambda a: [a.on("chain_stall")], (0.3, 6.0), True, ("dydx",)),
    "indexer_lag": Recipe(
        1, lambda a: [a.on("indexer_lag", seconds=a.between(0.1, 2.0))], (1.0, 6.0), exchanges=("dydx",)
    ),
    "liquidation": Recipe(0.5, _forced("liquidation")),
    "adl": Recipe(0.7, _forced("adl")),
}


@dataclass
class Storm:
    """Injects recipes until cancelled, ``every`` real seconds on average. ``fired`` counts what really happened.

    ``every_one``: a part of the incidents is drawn from what has not struck yet, so that the rare ones do in time.
    """

    venues: Venues
    bot: BotHandle
    symbols: Sequence[str]
    seed: int
    every: float = 0.5
    only: Collection[str] | None = None
    every_one: bool = False
    fired: Counter[str] = field(default_factory=Counter)
    struck: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(exchange, recipe) -> incidents in which all of its faults really happened."""
    unreachable: list[tuple[str, float, float]] = field(default_factory=list)
    """(exchange, from, to) in unix seconds of simulated time."""

    async def run(self) -> None:
        rng = random.Random(f"faults/{self.seed}")
        names = self._names()
        async with anyio.create_task_group() as tasks:
            while True:
                await anyio.sleep(rng.expovariate(1 / self.every))
                exchange = rng.choice([one for one in self.venues.exchanges if names[one]])
                weights = [RECIPES[name].weight for name in names[exchange]]
                name = rng.choices(names[exchange], weights)[0]
                if self.every_one and (lacking := self.never()) and rng.random() < MISSING:
                    exchange, name = rng.choice(lacking)
                around = Surroundings(rng, exchange, self.venues.speed, self.symbols, self.bot)
                seconds = around.between(*RECIPES[name].seconds)
                tasks.start_soon(self._incident, name, exchange, RECIPES[name].make(around), seconds)

    def _names(self) -> dict[str, list[str]]:
        """Exchange -> recipes that are used and can happen to it."""
        chosen = [name for name in RECIPES if self.only is None or name in self.only]
        return {
            exchange: [name for name in chosen if exchange in (RECIPES[name].exchanges or (exchange,))]
            for exchange in self.venues.exchanges
        }

    def never(self) -> list[tuple[str, str]]:
        """(exchange, recipe) of what could have happened and never really did."""
        return [
            (exchange, name)
            for exchange, names in self._names().items()
            for name in names
            if not self.struck[exchange, name]
        ]

    async def _incident(self, name: str, exchange: str, bodies: list[Body], seconds: float) -> None:
        clock = self.bot.clock
        started = clock.time()
        installed: list[int] = []
        at_once = 0
        for body in bodies:
            answer = await self.venues.post("/faults", body)
            kept = [fault["id"] for fault in answer.get("faults", ()) if fault["id"]]
            installed += kept
            at_once += "error" not in answer and not kept
        self.fired[name] += at_once
        try:
            await anyio.sleep(seconds)
        finally:
            with anyio.CancelScope(shield=True):
                happened = await self._clear(name, installed)
                self.struck[exchange, name] += bool(bodies) and at_once + happened == len(bodies)
        if RECIPES[name].unreachable:
            self.unreachable.append((exchange, started, clock.time()))

    async def _clear(self, name: str, installed: list[int]) -> int:
        """Take an incident's faults back; how many of them happened."""
        happened = 0
        if not installed:
            return happened
        for fault in (await self.venues.get("/faults"))["faults"]:
            if fault["id"] in installed:
                fired = fault["fired"] or fault["kind"] in STATES
                self.fired[name] += fired
                happened += bool(fired)
                await self.venues.post("/faults", {"clear": fault["id"]})
        return happened
