"""A program with one resting entry and its dead man's switch; it says so and then works until it is killed."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import anyio
from tests.domain.make import hedge

from fundingarb.domain.instrument import Side
from fundingarb.domain.order import NewOrder, OrderSide, Purpose
from fundingarb.engine import deadman
from fundingarb.engine.account import Account
from fundingarb.engine.clock import ScaledClock
from fundingarb.engine.gate import RequestGate
from fundingarb.engine.state import BotState
from fundingarb.plugins import load_plugins
from fundingarb.ports import AccountCredentials, ExchangeAdapter, OpenContext, Secret
from fundingarb.testing import RecordingAccountSink


async def main(given: dict[str, Any]) -> None:
    """Place, arm, wait for the end."""
    deadman.TIMER, deadman.RENEWAL = given["timer"], given["timer"] / 3
    component = load_plugins().exchanges[given["exchange"]].component
    credentials = {name: Secret(value) for name, value in given["credentials"].items()}
    clock = ScaledClock(given["epoch"], given["monotonic"], 1.0)
    account = AccountCredentials("alpha", credentials)
    context = OpenContext(given["exchange"], clock, "localnet", account, endpoints=given["endpoints"])
    async with component.open(component.settings(), context) as adapter, anyio.create_task_group() as tasks:
        state = await _resting(adapter, given["client_id"])
        gate = RequestGate(adapter.name, adapter.limits, clock)
        sink = RecordingAccountSink()
        tasks.start_soon(adapter.stream_account, sink)
        tasks.start_soon(deadman.DeadMan(state.accounts["alpha"], state, gate, clock).run)
        while not sink.ups:  # noqa: ASYNC110 (another task's sink)
            await anyio.sleep(0.05)
        await anyio.sleep(1.5)
        print("resting", len(await adapter.get_open_orders()), len(sink.ups), flush=True)
        await anyio.sleep_forever()


async def _resting(adapter: ExchangeAdapter, client_id: str) -> BotState:
    state = BotState(accounts={"alpha": Account("alpha", adapter)})
    made = hedge((Side.LONG, Purpose.ENTRY, "1", {"price": "960"}))
    (record,) = made.orders
    made = replace(made, orders=(replace(record, client_id=client_id),))
    state.hedges[made.id] = made
    assert record.price is not None
    order = NewOrder(
        client_id, made.symbol, OrderSide.BUY, record.quantity, record.price, record.time_in_force, False
    )
    await adapter.place_order(order)
    return state


if __name__ == "__main__":
    anyio.run(main, json.loads(sys.argv[1]))
