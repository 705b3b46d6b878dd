"""The calculator and the candidates of the last scan: the strategy's own numbers, with everything that refuses."""

from __future__ import annotations

import re
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
from fundingarb.engine.asked import lacking
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
        several = "gamma has several accounts; name one of gamma-a, gamma-b"
        with pytest.raises(ConfigError, match=several):
            bot.calculate("BTC-USDT", "gamma", "beta", D(1000))
        with pytest.raises(ConfigError, match=several):
            await bot.open_hedge("BTC-USDT", "gamma", "beta", D(1000))
        for name in ("gamma-b", "gamma-a"):
            del accounts[name]


async def test_accounts_are_named_by_their_own_name_or_by_that_of_their_exchange() -> None:
    made = floor()
    async with made.running() as bot:
        accounts: Any = bot.state.accounts
        kept = dict(accounts)
        accounts.clear()
        for name, exchange in {"main": "okx", "second": "bybit", "third": "bybit", "bybit": "dydx"}.items():
            accounts[name] = SimpleNamespace(name=name, exchange=exchange)
        assert bot.account_named("okx") == "main"
        assert bot.account_named("third") == "third"
        assert bot.account_named("bybit") == "bybit", "the account of that name comes first"
        with pytest.raises(ConfigError, match="mars is not configured; there are bybit, main, second, third"):
            bot.account_named("mars")
        accounts.clear()
        accounts.update(kept)


async def test_what_is_not_known_is_named_one_by_one_with_what_to_do() -> None:
    made = floor()
    async with made.running() as bot:
        await ready(made)
        beta = bot.state.accounts["beta"]
        fees, beta.fees = beta.fees, {}
        with pytest.raises(ConfigError) as caught:
            bot.calculate("BTC-USDT", "alpha", "beta", D(1000))
        assert str(caught.value) == (
            "beta lacks the fee tier of BTC-USDT (not read yet); wait a moment and try again, and if it stays so look "
            "whether beta can be reached (fundingarb doctor)"
        )
        beta.fees, balance, beta.balance = fees, beta.balance, None
        markets = bot.markets

        def said() -> str | None:
            return lacking(bot.state, markets, beta, "BTC-USDT", to_open=True)

        assert said() == str(caught.value).replace("the fee tier of BTC-USDT", "its balance")
        beta.balance, beta.moves = balance, beta.moves + 1
        assert "lacks its balance (being read anew);" in str(said())
        beta.moves -= 1
        assert said() is None
        bot.state.down.add("beta")
        assert "lacks an answer of beta (its requests fail and are held back);" in str(said())
        bot.state.down.clear()
        beta.halt("test", "the ledger does not match")
        assert str(said()).startswith("beta takes no new hedge: the ledger does not match; try again when")
        beta.halt("test", None)
        book, rate = markets._books.pop(("beta", "BTC-USDT")), markets._heard.pop("beta")
        assert str(said()).startswith(
            "beta lacks a fresh funding rate of BTC-USDT (never heard yet), "
            "a fresh order book of BTC-USDT (none told yet); wait"
        )
        markets._books["beta", "BTC-USDT"], markets._heard["beta"] = (book[0], book[1] - 99), rate - 99
        assert re.search(r"\(beta not heard for \d\d+ s\), .*\(the last is \d\d+ s old\);", str(said()))
        markets._books["beta", "BTC-USDT"], markets._heard["beta"] = book, rate


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
