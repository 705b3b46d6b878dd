"""What the paired person asks for: answers with the bot's own figures, and a note of who asked for what."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.telegram.rig import OWNER, chatting

from fundingarb.domain.figures import money

pytestmark = pytest.mark.anyio


async def test_every_command_is_answered_and_noted(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.open_hedge()
        status = await chat.ask("/status", "RUNNING on localnet")
        assert "alpha (alpha): " in status
        assert "Streams: " in status
        (hedge,) = chat.floor.bot.live_hedges()
        view = await chat.floor.bot.hedge_view(hedge)
        positions = await chat.ask("/positions", f"{hedge.number}: BTC-USDT OPEN")
        assert f"LONG {hedge.long.filled} on alpha @ " in positions
        assert f"SHORT {hedge.short.filled} on beta @ " in positions
        assert f"Fees {money(view.fees)} | Price {money(view.price)}" in positions
        rates = await chat.ask("/rates", "Widest spreads per 8 h")
        assert "BTC-USDT 0.5000%: short beta, long alpha" in rates
        one = await chat.ask("/rates eth-usdt", "ETH-USDT: ")
        assert "alpha: -0.1000% per 8 h" in one
        pnl = await chat.ask("/pnl", "Realized: ")
        summary = await chat.floor.bot.summary()
        assert f"Fees: {money(summary.fees)}" in pnl
        assert "Open hedges: 1, closed: 0" in pnl
        assert "/kill" in await chat.ask("/help", "/status")
        noted = [(actor, what, ok) for actor, what, ok, _ in chat.noted if actor.startswith("telegram")]
        assert noted == [
            (f"telegram:{OWNER}", f"TELEGRAM {word}", True)
            for word in ("STATUS", "POSITIONS", "RATES", "RATES", "PNL", "HELP")
        ]


async def test_pause_pauses_also_after_a_restart_and_only_once(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.ask("/pause", "Paused: ")
        assert chat.floor.bot.status().state == "PAUSED"
        assert chat.floor.store.paused
        assert (f"telegram:{OWNER}", "PAUSE", True) in [each[:3] for each in chat.noted]
        assert len([each for each in chat.noted if "PAUSE" in each[1]]) == 1
