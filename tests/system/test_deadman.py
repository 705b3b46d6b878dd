"""A killed bot leaves nothing resting: the exchange cancels by itself."""

from __future__ import annotations

import json
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.localnet.still import StillModel

from fundingarb.localnet.models.base import ModelSymbol
from fundingarb.localnet.run import Localnet, Options, run_localnets
from fundingarb_binance.localnet.dialect import BinanceLocalnet
from fundingarb_bybit.localnet.dialect import BybitDialect
from fundingarb_okx.localnet.dialect import OkxDialect

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
CLIENT_ID = "fatestdeadman001"
BTC = ModelSymbol("BTC-USDT", "BTC", "USDT", 1000.0, major=True)


def orders(net: Localnet, account: str) -> dict[str, str]:
    """Client order id -> status, as the exchange has it."""
    rows = net.control.truth(account)["accounts"][account]["orders"]
    return {row["client_id"]: row["status"] for row in rows}


@pytest.mark.parametrize(("exchange", "timer"), [("binance", 5.0), ("bybit", 4.0), ("okx", 10.0)])
async def test_what_rests_when_the_bot_is_killed_is_cancelled_by_the_exchange(
    exchange: str, timer: float
) -> None:
    dialects: dict[str, Any] = {
        "binance": BinanceLocalnet,
        "bybit": lambda: BybitDialect(disconnect_protection=True),
        "okx": OkxDialect,
    }
    model = StillModel(symbols=[BTC])
    async with AsyncExitStack() as stack:
        net = await stack.enter_async_context(
            run_localnets({exchange: dialects[exchange]}, Options(), model=model)
        )
        served = net.ready["exchanges"][exchange]
        keys = served["accounts"][0]
        given = {
            "exchange": exchange, "timer": timer, "client_id": CLIENT_ID,
            "endpoints": served["endpoints"],
            "credentials": {"api_key": keys["api_key"], "api_secret": keys["api_secret"], **keys["credentials"]},
            "epoch": net.clock.epoch, "monotonic": net.clock.monotonic,
        }  # fmt: skip
        command = [sys.executable, "-m", "tests.system.resting", json.dumps(given)]
        async with await anyio.open_process(command, stderr=None, cwd=ROOT) as child:
            assert child.stdout is not None
            with anyio.fail_after(30):
                said = b""
                while b"\n" not in said:
                    said += await child.stdout.receive()
            assert said.split() == [b"resting", b"1", b"1"]
            await anyio.sleep(timer + 1)
            assert orders(net, keys["name"]) == {CLIENT_ID: "NEW"}, "a living bot keeps its order"
            child.kill()
            killed = time.monotonic()
        while orders(net, keys["name"]) != {CLIENT_ID: "CANCELED"}:
            assert time.monotonic() - killed < timer + 10
            await anyio.sleep(0.05)
