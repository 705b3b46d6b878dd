"""A day of trading on the seeded model, reduced to a hash. Run as a program it prints the hash."""

from __future__ import annotations

import hashlib
import random
import sys
from decimal import Decimal

import msgspec
from tests.localnet.toy import RULES, contract

from fundingarb.localnet.models.seeded import SeededModel
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.report import plain
from fundingarb.localnet.truth.types import Credentials, OrderRequest, OrderType, Refused, Side


def story(seed: int, *, extra_steps: bool = False) -> str:
    """Trade on two exchanges for a simulated day; the hash of all events and of the final truth."""
    model = SeededModel(seed, exchanges=("toy", "other"))
    digest = hashlib.sha256()
    for name in ("toy", "other"):
        exchange = Exchange(
            name, RULES, [contract(one) for one in model.listed(name)], model, start=model.start, seed=seed
        )
        exchange.add_account(name, Credentials(f"key-{name}", "secret"), Decimal(100_000))
        exchange.subscribe(lambda event: digest.update(repr(event).encode()))
        rng = random.Random(seed)
        for number in range(60):
            wait = rng.uniform(1, 2400)
            if extra_steps:
                for part in range(1, 7):
                    exchange.advance(exchange.now + wait * part / 1000)
                    exchange.book(rng_free(exchange, number))
            trade(exchange, name, rng)
            exchange.advance(model.start + 1440 * (number + 1))
        digest.update(msgspec.json.encode(plain(exchange.report())))
    return digest.hexdigest()


def rng_free(exchange: Exchange, number: int) -> str:
    """An instrument, without touching the story's random numbers."""
    names = list(exchange.instruments)
    return names[number % len(names)]


def trade(exchange: Exchange, account: str, rng: random.Random) -> None:
    """One random order at the time the story is at."""
    key = rng.choice(list(exchange.instruments))
    instrument = exchange.instruments[key]
    side = rng.choice((Side.BUY, Side.SELL))
    quantity = instrument.lot * max(
        1, int(Decimal(rng.randint(200, 5000)) / exchange.mark(key) / instrument.lot)
    )
    book = exchange.book(key, 1)
    price = (book.bids if side is Side.BUY else book.asks)[0][0]
    limit = rng.random() < 0.6
    try:
        exchange.place(
            account,
            OrderRequest(
                key,
                side,
                quantity,
                OrderType.LIMIT if limit else OrderType.MARKET,
                price if limit else None,
            ),
        )
    except Refused:
        return


if __name__ == "__main__":
    print(story(int(sys.argv[1])))
