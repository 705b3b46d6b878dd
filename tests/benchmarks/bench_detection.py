"""Detection alone: ten exchanges, a thousand symbols, one rate changes; which two exchanges are best now?

Updates come as they do from streams: frame by frame, each with one exchange's symbols in order; every rate in a frame
is another one than before. The floor answers the same question for the same updates by ``max`` and ``min`` over the
exchanges' columns. Rounds are interleaved, medians compared; both must find the same spreads, or the program fails.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from fundingarb.domain.instrument import Instrument
from fundingarb.domain.market import RateBook

EXCHANGES = 10
SYMBOLS = 1000
ROUNDS = 41
WARM_UP = 4
UPDATES = EXCHANGES * SYMBOLS
GOAL = 0.6
EIGHT_HOURS = timedelta(hours=8)
NEXT_SETTLEMENT = 1_800_000_000.0


def instrument(exchange: int, symbol: int) -> Instrument:
    base = f"D{symbol:04d}"
    tick, lot = Decimal("0.1"), Decimal("0.001")
    return Instrument(
        f"x{exchange}", f"{base}-USDT", f"{base}USDT", base, "USDT", tick, lot, lot, Decimal(5), EIGHT_HOURS
    )


Frames = list[list[float]]
"""Exchange -> symbol -> rate per eight hours."""


def frames(rng: random.Random, count: int) -> list[Frames]:
    """The rates of ``count`` moments: a level per symbol, each exchange near it, all of them moving a little."""
    level = [rng.gauss(0.0001, 0.0002) for _ in range(SYMBOLS)]
    now = [[each + rng.gauss(0.0, 0.00005) for each in level] for _ in range(EXCHANGES)]
    moments = []
    for _ in range(count):
        now = [[rate + rng.gauss(0.0, 0.00002) for rate in column] for column in now]
        moments.append(now)
    return moments


def scan(start: Frames) -> Callable[[Frames], float]:
    columns = [[rate / 28800.0 * 3600.0 for rate in column] for column in start]

    def run(moment: Frames) -> float:
        total = 0.0
        for own, frame in zip(columns, moment, strict=True):
            for symbol, rate in enumerate(frame):
                own[symbol] = rate / 28800.0 * 3600.0
                short = max(column[symbol] for column in columns)
                total += short - min(column[symbol] for column in columns)
        return total

    return run


def incremental(start: Frames) -> Callable[[Frames], float]:
    book = RateBook(
        instrument(exchange, symbol) for exchange in range(EXCHANGES) for symbol in range(SYMBOLS)
    )
    names = list(book.symbols)
    for exchange, column in enumerate(start):
        for symbol, rate in enumerate(column):
            book.update(exchange * SYMBOLS + symbol, rate, NEXT_SETTLEMENT, 1.0)
    update, best, hourly = book.update, book.best, book.hourly

    def run(moment: Frames) -> float:
        total = 0.0
        row = 0
        for frame in moment:
            for name, rate in zip(names, frame, strict=True):
                update(row, rate, NEXT_SETTLEMENT, 1.0)
                row += 1
                pair = best(name)
                if pair is not None:
                    long, short = pair
                    total += hourly[short] - hourly[long]
        return total

    return run


def timed(path: Callable[[Frames], float], moment: Frames) -> tuple[float, float]:
    started = time.perf_counter()
    result = path(moment)
    return time.perf_counter() - started, result


def main() -> None:
    start, *moments = frames(random.Random(3), 1 + 4)
    by_scan, by_book = scan(start), incremental(start)
    scanned: list[float] = []
    kept: list[float] = []
    for number in range(ROUNDS + WARM_UP):
        moment = moments[number % len(moments)]
        seconds, one = timed(by_scan, moment)
        others, other = timed(by_book, moment)
        if abs(one - other) > 1e-12 * UPDATES:
            raise SystemExit(f"round {number}: spreads add up to {other}, a scan over all rates finds {one}")
        if number >= WARM_UP:
            scanned.append(seconds)
            kept.append(others)
    least, ours = statistics.median(scanned), statistics.median(kept)
    result = {
        "path": "detection-best-pair",
        "floor_ms": round(least / UPDATES * 1e3, 6),
        "ms": round(ours / UPDATES * 1e3, 6),
        "ratio": round(ours / least, 2),
        "goal": GOAL,
    }
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
