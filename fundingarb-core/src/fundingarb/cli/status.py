"""``fundingarb status``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fundingarb.cli.run import (
    CONFIG,
    READY_FILE,
    SETTINGS,
    load_for_emergencies,
    load_surroundings,
    plugins_for_emergencies,
)

if TYPE_CHECKING:
    from fundingarb.domain.control import Latch
    from fundingarb.domain.hedge import Hedge
    from fundingarb.panel import Panel


@click.command("status")
@CONFIG
@SETTINGS
@READY_FILE
def status_command(config_file: Path | None, ready_file: Path | None) -> None:
    """Say what the bot is doing.

    Whether it runs, the kill switch, open hedges leg by leg, accounts. With no bot running, what is stored.
    """
    import anyio

    anyio.run(_status, config_file, ready_file)


async def _status(config_file: Path | None, ready_file: Path | None) -> None:
    from fundingarb.panel import open_panel

    config = load_for_emergencies(config_file)
    async with open_panel(
        config, load_surroundings(config, ready_file), plugins_for_emergencies(config)
    ) as panel:
        for line in await describe(panel):
            click.echo(line)


async def describe(panel: Panel) -> list[str]:
    """The whole answer, line by line."""
    from fundingarb.domain.control import CommandKind

    holder = await panel.holder()
    said: Mapping[str, Any] | None = None
    if holder is None:
        lines = ["bot: not running"]
    else:
        command = await panel.submit(CommandKind.STATUS)
        done = await panel.follow(command, lambda _: None) if await panel.taken(command) else None
        said = done.result if done is not None else None
        doing = "does not answer" if said is None else f"{said['text']}, waiting for {said['waiting_for']}"
        lines = [f"bot: {holder}, {doing}"]
    lines.append(_latch(await panel.store.latch()))
    pause = await panel.store.pause()
    if pause is not None and pause.on:
        lines.append(
            f"paused by {pause.actor} at {pause.at:%Y-%m-%d %H:%M:%S} UTC; fundingarb resume ends it"
        )
    lines += [f"not flat: {leg}" for leg in (said or {}).get("not_flat", ())]
    failed: Mapping[str, str] = (said or {}).get("failed_services", {})
    lines += [
        f"service {name}: has ended, {why}; restart the bot to have it back" for name, why in failed.items()
    ]
    hedges = await panel.hedges()
    lines += [line for hedge in hedges for line in _hedge(hedge)] or ["hedges: none open"]
    lines += (
        list(_accounts(said)) if said else [f"account {row.account}" for row in await panel.store.leases()]
    )
    return lines


def _latch(latch: Latch | None) -> str:
    if latch is None:
        return "kill switch: never used"
    state = "LATCHED" if latch.on else "released"
    return f"kill switch: {state} by {latch.actor} at {latch.at:%Y-%m-%d %H:%M:%S} UTC"


def _hedge(hedge: Hedge) -> Iterator[str]:
    reason = hedge.intent.close_reason
    why = f" ({reason.value.lower()})" if reason is not None else ""
    yield f"hedge {hedge.symbol}: {hedge.status.value}{why}, unhedged {hedge.unhedged}"
    for leg in (hedge.long, hedge.short):
        orders = len(leg.live) + len(leg.unresolved)
        pending = f", {orders} orders under way" if orders else ""
        yield f"  {leg.plan.side.value.lower()} {leg.filled} on {leg.plan.account}{pending}"


def _accounts(said: Mapping[str, Any]) -> Iterator[str]:
    for each in said["accounts"]:
        equity = "unknown" if each["balance"] is None else f"{each['balance']} {each['currency']}"
        halted = f"; entries off: {each['halted']}" if each["halted"] else ""
        yield f"account {each['account']} on {each['exchange']}: equity {equity}{halted}"
