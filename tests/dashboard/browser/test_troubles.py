"""Real trouble of a real bot, as its own server tells it: what is wrong is said, with what to do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect
from tests.dashboard.browser.conftest import OpenDesk
from tests.dashboard.serving import browsing
from tests.dashboard.trading import market
from tests.engine.rig import Floor

from fundingarb.domain.control import ControlState
from fundingarb.engine.bot import Bot
from fundingarb.errors import StoreError


@dataclass
class RealBot:
    """A bot on two fake exchanges in a thread of its own, and the link to its dashboard."""

    loop: asyncio.AbstractEventLoop
    floor: Floor
    bot: Bot
    link: str

    def make(self, trouble: Callable[[RealBot], None]) -> None:
        """Have ``trouble`` in the bot's loop."""
        self.loop.call_soon_threadsafe(trouble, self)


@contextmanager
def real_bot() -> Iterator[RealBot]:
    """Runs while the block does."""
    loop, up, over = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    made: list[RealBot] = []

    async def run() -> None:
        floor = market()
        async with floor.running() as bot, browsing(bot) as browser:
            made.append(RealBot(loop, floor, bot, f"{browser.url}/#token={browser.token}"))
            up.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    assert up.wait(60)
    try:
        yield made[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(60)
        loop.close()


def silence(real: RealBot) -> None:
    """Alpha's rates are not heard any more, and its stream says so."""
    real.floor.alpha.rates.clear()
    real.bot.markets.disconnected("alpha.rates", "cut")
    real.bot.markets.stale_after = 1.0


def break_database(real: RealBot) -> None:
    """It answers nothing any more, while there is nothing to commit."""

    async def broken() -> ControlState:
        raise StoreError("no route to the database")

    real.floor.store.control = broken  # type: ignore[method-assign]


def halt(real: RealBot) -> None:
    real.bot.state.accounts["beta"].halt("foreign", "a position of ETH-USDT that is not ours; close it there")


@pytest.mark.parametrize(
    ("trouble", "said", "advice"),
    [
        (silence, "alpha is down.", "open hedges are kept"),
        (break_database, "The database is not reachable.", "No new hedges are opened until it is"),
        (halt, "Entries on beta are off.", "close it there"),
    ],
    ids=["stale stream", "database down", "halted account"],
)
def test_trouble_of_a_real_bot_is_said_with_what_to_do(
    trouble: Callable[[RealBot], None], said: str, advice: str, visit: OpenDesk
) -> None:
    with real_bot() as real, visit(real.link) as page:
        page.locator("#desk").wait_for()
        expect(page.locator(".link")).to_have_text("● LIVE")
        expect(page.locator(".panel-engine")).to_contain_text("RUNNING")
        expect(page.locator(".banner")).to_have_count(0)
        real.make(trouble)
        banner = page.locator(".banner", has_text=said)
        expect(banner).to_be_visible()
        expect(banner).to_contain_text(advice)
        if trouble is silence:
            stale_is_shown(page)


def stale_is_shown(page: Page) -> None:
    """In the table, in the header, at the exchange."""
    expect(page.locator(".exchanges li", has_text="alpha")).to_have_attribute("data-state", "down")
    expect(page.locator(".panel-rates .vt-body .vt-row", has_text="alpha").first).to_contain_text("! ")
