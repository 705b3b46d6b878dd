"""Commands of services: stored first, done once per key also over a restart, refused when stale, audited."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import anyio
import pytest
from tests.domain.make import D, plan
from tests.engine.rig import Floor, Proposing
from tests.engine.test_calculator import BOOK, LOT

from fundingarb.domain.control import Command, plain
from fundingarb.domain.hedge import CloseReason, Mode
from fundingarb.engine.deeds import tolerance_of
from fundingarb.errors import ConfigError, ExchangeUnavailable, StoreError, VersionConflict
from fundingarb.simulation.virtual import START

pytestmark = pytest.mark.anyio
T = START + timedelta(minutes=22)
ME = "dashboard:7"


def floor(*, proposing: bool = False, **settings: Any) -> Floor:
    made = Floor(Proposing([plan(at=START, settlement=T)] if proposing else []), **settings)
    made.prices()
    made.rates("-0.001", "0.004", T)
    return made


async def ready(made: Floor) -> None:
    await made.until(
        lambda: all(a.fees and a.balance and not a.halted for a in made.bot.state.accounts.values())
    )


async def held(made: Floor) -> None:
    await made.until(lambda: made.sent(made.alpha) and made.alpha.ledger.orders)
    made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
    await made.until(lambda: made.mode() is Mode.HOLDING and made.hedge.complete_fills)


# idempotency


async def test_a_key_opens_one_hedge_however_often_it_is_used() -> None:
    made = floor()
    opened: list[UUID] = []

    async def click(key: str) -> None:
        opened.append(await made.bot.open_hedge("BTC-USDT", "alpha", "beta", D(1000), ME, key))

    async with made.running() as bot:
        await ready(made)
        async with anyio.create_task_group() as clicks:
            for _ in range(5):
                clicks.start_soon(click, "one")
        await click("one")
        assert len(set(opened)) == 1
        assert list(bot.state.hedges) == opened[:1]
        assert opened[0] in made.store.intents, "stored when it is answered"
        with pytest.raises(ConfigError, match="one-per-symbol"):
            await bot.open_hedge("BTC-USDT", "alpha", "beta", D(1000), ME, "two")
        with pytest.raises(ConfigError, match="one-per-symbol"):
            await bot.open_hedge("BTC-USDT", "alpha", "beta", D(1000), ME, "two")
        with pytest.raises(ConfigError, match="used for another command"):
            await bot.open_hedge("BTC-USDT", "alpha", "beta", D(2000), ME, "one")
    async with made.running() as bot:
        assert await bot.open_hedge("BTC-USDT", "alpha", "beta", D(1000), ME, "one") == opened[0]
        assert len(bot.state.hedges) == 1


async def test_a_number_means_one_hedge_for_ever_also_over_a_restart() -> None:
    made = floor(symbols=("BTC-USDT", "ETH-USDT"))
    made.prices(symbol="ETH-USDT")
    made.rates("-0.001", "0.004", T, symbol="ETH-USDT")
    async with made.running() as bot:
        await ready(made)
        first = await bot.open_hedge("BTC-USDT", "alpha", "beta", D(1000), ME, "one")
        assert bot.state.hedges[first].number == 1
        view = await bot.hedge_view(bot.state.hedges[first])
        assert view.number == 1
    async with made.running() as bot:
        await ready(made)
        assert bot.state.hedges[first].number == 1
        await bot.close_hedge(first)
        await made.until(lambda: not bot.state.hedges[first].live)
        second = await bot.open_hedge("ETH-USDT", "alpha", "beta", D(1000), ME, "two")
        assert bot.state.hedges[second].number == 2, "1 may be in a command that somebody is typing"


async def test_what_is_not_known_for_the_moment_is_waited_for() -> None:
    """The balance of an account, say, which is read anew after a close."""
    made = floor()
    async with made.running() as bot:
        await ready(made)
        account = made.bot.state.accounts["alpha"]
        known, account.balance = account.balance, None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bot.open_hedge, "BTC-USDT", "alpha", "beta", D(1000), ME, "patient")
            await anyio.sleep(0.5)
            assert not bot.state.hedges
            account.balance = known
        assert len(bot.state.hedges) == 1
        made.beta.fail("get_balance", ExchangeUnavailable("down"), times=1000)
        made.bot.state.accounts["beta"].balance = None
        begun = anyio.current_time()
        with pytest.raises(ConfigError, match=r"^beta lacks its balance \(not read yet\), an answer of beta"):
            await bot.open_hedge("BTC-USDT", "beta", "alpha", D(1000), ME, "in vain")
        assert 4 < anyio.current_time() - begun < 6


async def test_what_cannot_be_opened_says_what_to_do_at_once() -> None:
    made = floor()
    async with made.running() as bot:
        await ready(made)
        for names, size, text in (
            (
                ("BTC-USDT", "alpha", "alpha"),
                1000,
                "long and short must be different accounts; both are alpha",
            ),
            (
                ("FOO-USDT", "alpha", "beta"),
                1000,
                "FOO-USDT is not traded here; write one of BTC-USDT, or add it",
            ),
            (("BTC-USDT", "alpha", "beta"), D("0.01"), LOT),
            (("BTC-USDT", "alpha", "beta"), 100000000, BOOK),
        ):
            begun = anyio.current_time()
            with pytest.raises(ConfigError, match=text):
                await bot.open_hedge(*names, D(size), ME, f"in vain {text}")
            assert anyio.current_time() - begun < 1, "nothing of it will be there in five seconds"
        bot.markets.unlist("beta", "BTC-USDT")
        with pytest.raises(ConfigError, match="beta does not list BTC-USDT any more; choose among alpha"):
            await bot.open_hedge("BTC-USDT", "alpha", "beta", D(1000), ME, "gone")


async def test_what_was_added_to_the_configuration_just_now_is_waited_for() -> None:
    made = floor()
    async with made.running() as bot:
        await ready(made)
        known = bot.markets.instruments.pop(("beta", "BTC-USDT"))
        begun = anyio.current_time()
        with pytest.raises(ConfigError, match="beta does not list BTC-USDT; choose among alpha"):
            await bot.open_hedge("BTC-USDT", "alpha", "beta", D(1000), ME, "early")
        assert 4 < anyio.current_time() - begun < 6
        bot.markets.list_instrument(known)
        await bot.open_hedge("BTC-USDT", "alpha", "beta", D(1000), ME, "in time")


async def test_a_crash_in_the_middle_of_a_command_is_answered_by_what_is_stored() -> None:
    made = floor()
    async with made.running() as bot:
        await ready(made)
        hedge_id = await bot.open_hedge("BTC-USDT", "alpha", "beta", D(1000), ME, "kept")
        kept = made.store.commands["kept"]
    # the result was not written, and of another command nothing but that it was taken
    made.store.commands["kept"] = Command(
        kept.id, "kept", kept.kind, ME, kept.created_at, kept.arguments, taken_at=kept.taken_at
    )
    lost = Command(UUID(int=99), "lost", kept.kind, ME, kept.created_at, kept.arguments, made.clock.now())
    made.store.commands["lost"] = lost
    async with made.running() as bot:
        assert await bot.open_hedge("BTC-USDT", "alpha", "beta", D(1000), ME, "kept") == hedge_id
        with pytest.raises(ConfigError, match="the bot ended while it was at it"):
            await bot.open_hedge("BTC-USDT", "alpha", "beta", D(1000), ME, "lost")


async def test_whoever_asked_may_go_away() -> None:
    made = floor()
    async with made.running() as bot:
        await ready(made)
        with anyio.move_on_after(0.001):
            await bot.open_hedge("BTC-USDT", "alpha", "beta", D(1000), ME, "gone")
        await made.until(lambda: made.store.commands["gone"].done_at)
        assert await bot.open_hedge("BTC-USDT", "alpha", "beta", D(1000), ME, "gone") in bot.state.hedges


async def test_a_bot_that_starts_takes_no_command_in() -> None:
    made = floor()
    async with made.running() as bot:
        bot.commands._tasks = None
        with pytest.raises(ConfigError, match="is starting"):
            await bot.pause(ME, "early")
        assert "early" not in made.store.commands


# compare and set


async def test_a_command_about_an_older_version_is_refused() -> None:
    made = floor(proposing=True)
    async with made.running() as bot:
        await held(made)
        hedge = made.hedge
        version = await bot.set_tolerance(hedge.id, "aggressive", hedge.intent.version, ME)
        assert version == hedge.intent.version + 1
        assert made.store.intents[hedge.id].tolerance == D("-0.0005")
        for command in (
            lambda: bot.set_tolerance(hedge.id, "0.0001", hedge.intent.version, ME),
            lambda: bot.close_hedge(hedge.id, version=hedge.intent.version, actor=ME),
        ):
            with pytest.raises(VersionConflict, match=f"version {version}, not {hedge.intent.version}"):
                await command()
        assert made.hedge.intent.tolerance == D("-0.0005")
        assert made.mode() is Mode.HOLDING
        await bot.close_hedge(hedge.id, version=version, actor=ME)
        await made.until(lambda: made.mode() is Mode.DONE)
        assert made.hedge.intent.close_reason is CloseReason.MANUAL
        with pytest.raises(ConfigError, match="no open hedge"):
            await bot.set_tolerance(hedge.id, "moderate", None, ME)


async def test_a_new_tolerance_shows_at_once() -> None:
    made = floor(proposing=True)
    async with made.running() as bot:
        await held(made)
        await bot.set_tolerance(made.hedge.id, "0.01", None, ME)
        view = await bot.hedge_view(made.hedge)
        assert (view.tolerance, view.preset) == (D("0.01"), None)
        assert view.exits[0].needed == "8-hour spread below 1.0000%"
        assert re.fullmatch(r"[+-]\d+\.\d{4}%", view.exits[0].actual)
        assert view.exits[1].needed.endswith("% to liquidation")


@pytest.mark.parametrize("value", ["", "NaN", "Infinity", "0.2", "-0.2", "bold"])
def test_what_is_no_tolerance(value: str) -> None:
    with pytest.raises(ConfigError, match="write one of them"):
        tolerance_of(value)


# the others


async def test_every_command_is_audited_with_who_what_and_what_came_of_it() -> None:
    made = floor()
    async with made.running() as bot:
        await ready(made)
        await bot.pause(ME)
        with pytest.raises(ConfigError):
            await bot.open_hedge("BTC-USDT", "alpha", "nobody", D(1000), ME)
        await bot.resume(ME)
        await bot.scan(ME)
        await bot.refresh("evil\r\nadmin: \x1b[2J")
        await bot.kill(ME)
        await made.until(lambda: bot.flattened)
        await made.until(lambda: made.store.noted[-1].command == "KILL")
        await bot.release(ME)
        noted = [(one.command, one.ok) for one in await bot.audit()]
        assert noted == [
            ("RELEASE", True),
            ("KILL", True),
            ("REFRESH", True),
            ("SCAN", True),
            ("UNPAUSE", True),
            ("OPEN", False),
            ("PAUSE", True),
        ]
        by_command = {one.command: one for one in made.store.noted}
        assert by_command["OPEN"].arguments["short"] == "nobody"
        assert "nobody is not configured" in by_command["OPEN"].result
        assert by_command["REFRESH"].actor == r"evil\r\nadmin: \x1b[2J"
        assert by_command["KILL"].actor == ME


async def test_a_scan_is_at_once() -> None:
    made = floor()
    async with made.running() as bot:
        await anyio.sleep(0.3)
        asked = made.strategy.asked  # type: ignore[attr-defined]
        await bot.scan(ME)
        await anyio.sleep(0.01)
        assert made.strategy.asked == asked + 1  # type: ignore[attr-defined]


async def test_a_refresh_reads_every_account() -> None:
    made = floor()
    async with made.running() as bot:
        await ready(made)
        await anyio.sleep(1.1)
        made.alpha.calls.clear()
        await bot.refresh(ME)
        await anyio.sleep(0.2)
        names = {name for name, _ in made.alpha.calls}
        assert {"get_fills", "get_funding_payments", "get_balance"} <= names


async def test_without_a_database_what_reduces_is_done_and_what_adds_is_not() -> None:
    made = floor(proposing=True)
    async with made.running() as bot:
        await held(made)
        made.store.failing = "disk full"
        with pytest.raises(StoreError, match="disk full"):
            await bot.set_tolerance(made.hedge.id, "moderate", None, ME)
        with pytest.raises(StoreError, match="disk full"):
            await bot.resume(ME)
        await bot.close_hedge(made.hedge.id, actor=ME)
        await made.until(lambda: made.position == (0, 0))
        assert made.store.noted == []
        made.store.failing = None
        await made.until(lambda: made.store.noted)
        assert [(one.command, one.actor, one.ok) for one in made.store.noted] == [("CLOSE", ME, True)]


async def test_a_database_that_hangs_holds_up_nothing_that_reduces() -> None:
    made = floor(proposing=True)
    async with made.running() as bot:
        await held(made)
        answers = anyio.Event()

        def hanging(write: Any) -> Any:
            async def late(*arguments: Any) -> Any:
                await answers.wait()
                return await write(*arguments)

            return late

        submit, set_paused = made.store.submit_command, made.store.set_paused
        made.store.submit_command = hanging(submit)  # type: ignore[method-assign]
        made.store.set_paused = hanging(set_paused)  # type: ignore[method-assign]
        with anyio.fail_after(10):
            await bot.close_hedge(made.hedge.id, actor=ME)
            await bot.pause(ME)
            await bot.kill(ME)
        assert bot.state.paused
        assert bot.killed
        await made.until(lambda: made.position == (0, 0), within=20)
        assert not made.store.paused
        answers.set()
        made.store.set_paused = set_paused  # type: ignore[method-assign]
        await made.until(lambda: made.store.paused)
        await made.until(lambda: {one.command for one in made.store.noted} >= {"CLOSE", "PAUSE"})


async def test_what_was_answered_with_a_failure_is_not_done_when_it_is_found_stored() -> None:
    made = floor()
    async with made.running() as bot:
        await ready(made)
        take = made.store.take_command

        async def lost(*_: Any) -> bool:
            raise StoreError("the connection is gone")

        made.store.take_command = lost  # type: ignore[method-assign, assignment]
        with pytest.raises(StoreError, match="is gone"):
            await bot.open_hedge("BTC-USDT", "alpha", "beta", D(1000), ME, "lost")
        made.store.take_command = take  # type: ignore[method-assign]
        await made.until(lambda: made.store.commands["lost"].done_at)
        assert not bot.state.hedges
        assert [(one.command, one.ok) for one in made.store.noted] == [("OPEN", False)]
        with pytest.raises(ConfigError, match="not done: the connection is gone"):
            await bot.open_hedge("BTC-USDT", "alpha", "beta", D(1000), ME, "lost")


async def test_a_command_whose_sender_goes_while_it_is_stored_has_an_end() -> None:
    made = floor()
    async with made.running() as bot:
        await ready(made)
        submit = made.store.submit_command

        async def slow(command: Command) -> Command:
            stored = await submit(command)
            await anyio.sleep(1)
            return stored

        made.store.submit_command = slow  # type: ignore[method-assign]
        with anyio.move_on_after(0.1):
            await bot.scan(ME, "gone")
        made.store.submit_command = submit  # type: ignore[method-assign]
        await made.until(lambda: made.store.commands["gone"].done_at, within=5)
        await bot.scan(ME, "gone")


async def test_a_kill_is_latched_before_it_is_noted() -> None:
    made = floor()
    async with made.running() as bot:
        made.store.failing = "disk full"
        await bot.kill(ME)
        assert bot.killed
        made.store.failing = None
        await made.until(lambda: made.store.killed)
        await made.until(lambda: made.store.noted)
        assert [(one.command, one.actor, one.ok) for one in made.store.noted] == [("KILL", ME, True)]


def test_text_of_others_is_one_plain_line() -> None:
    assert plain("a\nb\x1b[31m\u202e") == r"a\nb\x1b[31m\u202e"
    assert plain("é€") == "é€"
    assert len(plain("x" * 1000)) == 200
