"""The exchange's clock and the key's permissions: entries wait for both, and stop while either is wrong."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest
from tests.domain.make import plan
from tests.engine.rig import Floor, Proposing

from fundingarb.domain.events import Severity
from fundingarb.domain.hedge import Mode
from fundingarb.engine.checks import key_flaw
from fundingarb.errors import ExchangeUnavailable
from fundingarb.ports import KeyPermissions
from fundingarb.simulation.virtual import START
from fundingarb.testing import RecordingAlertSink

pytestmark = pytest.mark.anyio
T = START + timedelta(minutes=22)


def floor(sink: RecordingAlertSink | None = None, **settings: Any) -> Floor:
    sinks = {} if sink is None else {"memory": sink}
    made = Floor(Proposing([plan(at=START, settlement=T)]), sinks=sinks, **settings)
    made.prices()
    made.rates("-0.001", "0.004", T)
    return made


def apart(made: Floor, seconds: float) -> None:
    made.beta.clock_offset = timedelta(seconds=seconds)


def titles(sink: RecordingAlertSink) -> list[str]:
    return [alert.title for alert in sink.alerts]


# the clock


@pytest.mark.parametrize("seconds", [1.2, -1.2])
async def test_no_entries_while_the_clocks_are_apart_and_again_when_they_agree(seconds: float) -> None:
    sink = RecordingAlertSink()
    made = floor(sink)
    apart(made, seconds)
    async with made.running() as bot:
        await anyio.sleep(90)
        assert not bot.state.hedges
        assert bot.state.accounts["beta"].halted == f"clock {seconds:+.2f} s apart"
        assert [a.severity for a in sink.alerts if a.title == "Clock Of beta Is Apart"] == [Severity.CRITICAL]
        apart(made, 0.3)
        await made.until(lambda: bot.state.hedges, within=15)
        assert "Clock Of beta Agrees Again" in titles(sink)


async def test_a_clock_that_drifts_is_a_warning_and_stops_nothing() -> None:
    sink = RecordingAlertSink()
    made = floor(sink)
    apart(made, 0.7)
    async with made.running() as bot:
        await made.until(lambda: bot.state.hedges, within=15)
        await anyio.sleep(200)
        assert titles(sink).count("Clock Of beta Drifts") == 1
        assert bot.state.accounts["beta"].halted is None


async def test_a_clock_that_jumps_is_noticed_within_a_minute_and_open_hedges_are_kept() -> None:
    made = floor()
    async with made.running() as bot:
        await made.until(lambda: made.alpha.ledger.orders)
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
        await made.until(lambda: made.mode() is Mode.HOLDING)
        apart(made, 30)
        await made.until(lambda: bot.state.accounts["beta"].halted, within=61)
        assert made.position == (10, -10)


async def test_when_this_computers_time_is_set_the_clocks_are_compared_at_once() -> None:
    made = floor()
    async with made.running() as bot:
        await made.until(lambda: bot.state.hedges)
        await anyio.sleep(5)
        made.clock.start += timedelta(seconds=30)
        for exchange in (made.alpha, made.beta):
            exchange.clock_offset = timedelta(seconds=-30)
        await made.until(lambda: all(a.halted for a in bot.state.accounts.values()), within=2)


async def test_a_slow_answer_proves_nothing() -> None:
    """Half of six seconds may be the answer's or the question's: what it says of the clock is worth nothing."""
    made = floor()
    read = made.beta.get_server_time

    async def slowly() -> datetime:
        found = await read()
        await anyio.sleep(6)
        return found

    made.beta.get_server_time = slowly  # type: ignore[method-assign]
    async with made.running() as bot:
        await anyio.sleep(30)
        assert bot.state.accounts["beta"].halted == "the exchange's clock was not measured yet"
        assert not bot.state.hedges
        made.beta.get_server_time = read  # type: ignore[method-assign]
        await made.until(lambda: bot.state.hedges, within=30)


async def test_entries_wait_for_the_first_measurement() -> None:
    made = floor()
    made.beta.fail("get_server_time", ExchangeUnavailable("no answer"), times=4)
    async with made.running() as bot:
        await anyio.sleep(1)
        assert not bot.state.hedges
        await made.until(lambda: bot.state.hedges, within=60)


# the key


UNKNOWN = "does not tell what the key may do"


@pytest.mark.parametrize(
    ("trade", "withdraw", "paper", "live"),
    [
        (True, False, None, None),
        (False, False, "the key may not trade", "the key may not trade"),
        (True, True, None, "the key may withdraw; make one that may only trade"),
        (None, False, None, UNKNOWN),
        (True, None, None, UNKNOWN),
    ],
)
def test_which_keys_are_refused(
    trade: bool | None, withdraw: bool | None, paper: str | None, live: str | None
) -> None:
    may = KeyPermissions(trade, withdraw, None)
    for flaw, wanted in (
        (key_flaw(may, "beta", live=False, rights_accepted=False), paper),
        (key_flaw(may, "beta", live=True, rights_accepted=False), live),
    ):
        assert (flaw is None) if wanted is None else (flaw is not None and wanted in flaw)
    accepted = key_flaw(may, "beta", live=True, rights_accepted=True)
    assert (accepted is None) is (live is None or live == UNKNOWN), "what is known is not accepted with it"


async def test_a_key_that_may_not_trade_halts_its_account_until_it_may() -> None:
    sink = RecordingAlertSink()
    made = floor(sink)
    made.beta.permissions = KeyPermissions(trade=False, withdraw=False, ip_restricted=None)
    async with made.running() as bot:
        await anyio.sleep(60)
        assert not bot.state.hedges
        assert "Key Of beta Is Refused" in titles(sink)
        assert str(bot.state.accounts["beta"].halted).startswith("the key may not trade")


async def test_a_key_that_may_withdraw_is_a_warning_without_real_money() -> None:
    sink = RecordingAlertSink()
    made = floor(sink)
    made.beta.permissions = KeyPermissions(trade=True, withdraw=True, ip_restricted=None)
    async with made.running() as bot:
        await made.until(lambda: bot.state.hedges, within=15)
        assert titles(sink).count("Key Of beta May Withdraw") == 1


async def test_with_real_money_a_key_of_unknown_rights_waits_for_its_owner_to_accept_it() -> None:
    sink = RecordingAlertSink()
    made = floor(sink)
    made.network = "mainnet"
    made.beta.permissions = KeyPermissions(trade=None, withdraw=None, ip_restricted=None)
    async with made.running() as bot:
        await anyio.sleep(60)
        assert not bot.state.hedges
        assert "Key Of beta Is Refused" in titles(sink)
        assert "set accounts.beta.accept_unknown_rights: true" in str(bot.state.accounts["beta"].halted)
    made.rights_accepted = {"beta"}
    async with made.running() as bot:
        await made.until(lambda: bot.state.hedges, within=15)
        assert bot.state.accounts["beta"].halted is None
        assert titles(sink).count("Rights Of The Key Of beta Are Unknown") == 1
