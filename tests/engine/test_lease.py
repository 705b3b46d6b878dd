"""The lease in the engine: no exposure without it, and a bot that was replaced ends without another word."""

from __future__ import annotations

from decimal import Decimal

import anyio
import pytest
from tests.engine.stage import floor, opened

from fundingarb.cli import leaves
from fundingarb.domain.events import Severity
from fundingarb.domain.hedge import Mode
from fundingarb.errors import ConfigError, LeaseTaken
from fundingarb.testing import RecordingAlertSink

pytestmark = pytest.mark.anyio


class Borrowed:
    """A lease that a test takes away."""

    def __init__(self) -> None:
        self.fresh = True
        self.taken = anyio.Event()

    async def keep(self) -> str:
        await self.taken.wait()
        self.fresh = False
        return "account alpha is traded by process 7 on elsewhere"


async def test_nothing_is_opened_while_the_lease_is_not_confirmed() -> None:
    made = floor()
    made.lease = lease = Borrowed()
    lease.fresh = False
    async with made.running() as bot:
        await anyio.sleep(5)
        assert made.sent(made.alpha) == []
        assert bot.loop.entries.off_reason == "the lease of the database is not confirmed"
        with pytest.raises(ConfigError, match="lease of the database is not confirmed"):
            await bot.open_hedge("BTC-USDT", "alpha", "beta", Decimal(500))
        lease.fresh = True
        await opened(made)
        assert made.position == (10, -10)


async def test_what_waited_for_its_place_is_looked_at_again_before_it_leaves() -> None:
    """The order was committed while the lease was good; it does not leave after."""
    made = floor()
    made.lease = lease = Borrowed()
    async with made.running() as bot:
        send = bot.loop.executor.send

        def stale(record: object) -> None:
            lease.fresh = False
            send(record)  # type: ignore[arg-type]

        bot.loop.executor.send = stale  # type: ignore[method-assign]
        await made.until(lambda: made.bot.state.hedges and made.mode() is Mode.DONE)
        assert made.sent(made.alpha) == []
        assert "the lease of the database is not confirmed" in made.hedge.orders[0].reason


async def test_a_bot_that_was_replaced_says_so_and_sends_nothing_more() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    made.lease = lease = Borrowed()

    async def until_replaced() -> None:
        async with made.running():
            await made.until(lambda: made.alpha.ledger.orders)
            lease.taken.set()
            await anyio.sleep(60)
            pytest.fail("it goes on")

    with pytest.raises(Exception, match="unhandled errors") as caught:
        await until_replaced()
    (error,) = leaves(caught.value)
    assert isinstance(error, LeaseTaken)
    assert "process 7 on elsewhere; this bot has ended" in str(error)
    assert "cancel_order" not in {name for name, _ in made.alpha.calls}, "what rests is the other bot's now"
    assert (sink.alerts[-1].title, sink.alerts[-1].severity) == ("Lease Lost", Severity.CRITICAL)
