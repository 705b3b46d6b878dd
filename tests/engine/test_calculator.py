"""The calculator and the candidates of the last scan: the strategy's own numbers, with everything that refuses."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from tests.domain.make import D
from tests.engine.rig import Floor, Proposing

from fundingarb.builtin.strategy import FundingSpread
from fundingarb.domain.opportunity import EntryRules
from fundingarb.errors import ConfigError
from fundingarb.simulation.virtual import START

pytestmark = pytest.mark.anyio
RULES = EntryRules(target_size_usd=D(1000))
LOT = r"BTC-USDT at 0\.01 USD is less than one lot of 0\.001, which is about \$0\.10; write more"
BOOK = r"BTC-USDT at 100000000 USD is more than the order book of alpha holds, about \$10,000\.00; write less"


def floor(strategy: Any = None, minutes: int = 60, **settings: Any) -> Floor:
    made = Floor(strategy or Proposing(), **settings)
    made.prices()
    made.rates("-0.001", "0.004", START + timedelta(minutes=minutes))
    return made


async def ready(made: Floor) -> None:
    await made.until(
        lambda: all(a.fees and a.balance and not a.halted for a in made.bot.state.accounts.values())
    )


async def test_a_hedge_in_numbers() -> None:
    made = floor()
    async with made.running() as bot:
        await ready(made)
        found = bot.calculate("BTC-USDT", "alpha", "beta", D(1000))
        valuation = found.valuation
        assert (valuation.quantity, valuation.notional) == (D(10), D(1000))
        assert valuation.spread_8h == D("0.005")
        assert sum(line.amount for line in found.fees) == valuation.fees == D(1000) * 4 * D("0.0005")
        assert [(line.side.value, line.entry) for line in found.fees] == [
            ("LONG", True),
            ("LONG", False),
            ("SHORT", True),
            ("SHORT", False),
        ]
        assert len(valuation.payments) == 18  # both legs, every eight hours for three days
        assert valuation.net == valuation.funding - valuation.fees - valuation.slippage - valuation.basis
        assert valuation.break_even_hours is not None
        assert [refusal.gate for refusal in found.refusals] == ["window"]
        turned = bot.calculate("BTC-USDT", "beta", "alpha", D(1000))
        assert turned.valuation.spread_8h == D("-0.005")
        assert turned.valuation.break_even_hours is None
        assert [refusal.gate for refusal in turned.refusals] == ["spread"]


async def test_the_first_leg_that_may_only_make_pays_as_a_maker() -> None:
    rules = EntryRules(post_only=True)
    made = floor(rules=[])
    made.settings = replace(made.settings, rules=rules)
    async with made.running() as bot:
        await ready(made)
        found = bot.calculate("BTC-USDT", "alpha", "beta", D(1000))
        assert sum(line.amount for line in found.fees) == found.valuation.fees
        assert sorted(line.fraction for line in found.fees)[0] == D("0.0002")


async def test_a_halted_account_or_a_pause_is_calculated_all_the_same() -> None:
    made = floor(minutes=17)
    async with made.running() as bot:
        await ready(made)
        bot.state.accounts["alpha"].halt("somebody", "look at it")
        await bot.pause("me")
        found = bot.calculate("BTC-USDT", "alpha", "beta", D(1000))
        assert [(one.gate, one.actual) for one in found.refusals] == [("paused", "paused")]


async def test_what_cannot_be_calculated_says_why() -> None:
    made = floor()
    async with made.running() as bot:
        await ready(made)
        for names, size, text in (
            (("gamma", "beta"), "1000", "gamma is not configured; there are alpha, beta"),
            (("alpha", "alpha"), "1000", "long and short must be different accounts; both are alpha"),
            (("alpha", "beta"), "0.01", LOT),
            (("alpha", "beta"), "100000000", BOOK),
        ):
            with pytest.raises(ConfigError, match=text):
                bot.calculate("BTC-USDT", *names, D(size))
        with pytest.raises(
            ConfigError, match=r"ETH-USDT is not traded here; write one of BTC-USDT, or add it"
        ):
            bot.calculate("ETH-USDT", "alpha", "beta", D(1000))
        bot.markets.unlist("beta", "BTC-USDT")
        with pytest.raises(ConfigError, match="beta does not list BTC-USDT any more; choose among alpha"):
            bot.calculate("BTC-USDT", "alpha", "beta", D(1000))


async def test_an_exchange_of_several_accounts_does_not_name_one() -> None:
    made = floor()
    async with made.running() as bot:
        await ready(made)
        accounts: Any = bot.state.accounts
        for name in ("gamma-b", "gamma-a"):
            accounts[name] = SimpleNamespace(name=name, exchange="gamma")
        with pytest.raises(ConfigError, match="gamma has several accounts; name one of gamma-a, gamma-b"):
            bot.calculate("BTC-USDT", "gamma", "beta", D(1000))
        for name in ("gamma-b", "gamma-a"):
            del accounts[name]


async def test_the_candidates_of_the_last_scan_best_first_with_what_refuses_them() -> None:
    made = floor(FundingSpread(RULES), symbols=("BTC-USDT", "ETH-USDT", "SOL-USDT"))
    soon = START + timedelta(minutes=25)
    for symbol, beta in (("ETH-USDT", "0.006"), ("SOL-USDT", "-0.00099")):
        made.prices(symbol=symbol)
        made.rates("-0.001", beta, soon, symbol=symbol)
    async with made.running() as bot:
        await ready(made)
        await anyio.sleep(2)
        found = bot.opportunities()
        assert found.scanned_at is not None
        assert [(row.symbol, row.gate) for row in found.rows] == [
            ("ETH-USDT", "window"),
            ("BTC-USDT", "window"),
            ("SOL-USDT", "spread"),
        ]
        best, _, worst = found.rows
        assert (best.long_exchange, best.short_exchange) == ("alpha", "beta")
        assert best.spread_8h == D("0.007")
        assert best.net is not None
        assert (worst.net, worst.needed) == (None, "0.00010000")
        await bot.pause("me")
        await anyio.sleep(6 * 60)  # inside the window of one of them
        first, *_ = bot.opportunities().rows
        assert (first.symbol, first.gate, first.actual) == ("ETH-USDT", "paused", "paused")
        assert first.size_usd == pytest.approx(D(1000), abs=D(1))
