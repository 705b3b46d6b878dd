"""The whole program on offline exchanges with Telegram beside it: it tells of a hedge, is asked, and is killed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import anyio
import pytest
from tests.conftest import RunCli
from tests.system.programs import localnet, wait_for
from tests.system.test_control import ANY_SPREAD, Town
from tests.telegram.botapi import TOKEN, BotApi, Sent, bot_api
from tests.telegram.rig import OWNER, STRANGER, paired, settings

from fundingarb.domain.figures import money, price
from fundingarb.domain.hedge import Hedge, Status
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import Fill, FillKind
from fundingarb.engine.clock import SystemClock
from fundingarb.store import open_store

ALERTS = """\
alerts:
  telegram:
    token_file: {token}
    base_url: {url}
    state_folder: {folder}
"""


class Phone:
    """What the paired person has in hand."""

    def __init__(self, api: BotApi) -> None:
        self.api = api

    def got(self, where: Callable[[str], bool]) -> Sent | None:
        return next(
            (each for each in reversed(self.api.sent) if each.chat == OWNER and where(each.text)), None
        )

    def ask(self, text: str, begins: str) -> Sent:
        before = len(self.api.sent)
        self.api.write(OWNER, text)
        return wait_for(
            f"answer to {text}",
            lambda: next((each for each in self.api.sent[before:] if each.text.startswith(begins)), None),
            30,
        )


def figures(database: str) -> set[str]:
    """What the database says of open hedges, in the words of /positions; nothing while a fill is still to be booked."""

    async def read() -> set[str]:
        lines: set[str] = set()
        async with open_store(database, SystemClock()) as store:
            for hedge in (await store.glance()).hedges:
                if hedge.live and not hedge.complete_fills:
                    return set()
                if hedge.status in (Status.OPENING, Status.OPEN) and hedge.long.filled and hedge.short.filled:
                    fills, payments = await store.fills(hedge.id), await store.payments(hedge.id)
                    fees = sum((fill.fee for fill in fills), Decimal(0))
                    funding = sum((each.amount for each in payments), Decimal(0))
                    lines.add(f"Funding {money(funding)} | Fees {money(fees)}")
                    lines |= {_leg(hedge, side, fills) for side in Side}
        return lines

    def _leg(hedge: Hedge, side: Side, fills: Sequence[Fill]) -> str:
        leg = hedge.leg(side)
        own = [f for f in fills if f.account == leg.plan.account]
        assert all(f.kind is FillKind.TRADE for f in own)
        quantity = sum((f.quantity for f in own), Decimal(0))
        entry = sum((f.quantity * f.price for f in own), Decimal(0)) / quantity
        return f"{side.value} {leg.filled} on {leg.plan.account} @ {price(entry)}"

    return anyio.run(read)


@pytest.mark.slow
def test_a_bot_is_commanded_from_a_phone(tmp_path: Path, run_cli: RunCli) -> None:
    with localnet(tmp_path, "--seed", "7", "--speed", "100") as (ready, control), bot_api() as api:
        database = f"sqlite:///{tmp_path / 'bot.db'}"
        town = Town(tmp_path, ready, control, run_cli, database, ANY_SPREAD)
        made = settings(api, tmp_path)
        with town.config.open("a") as file:
            file.write(ALERTS.format(token=made.token_file, url=api.url, folder=tmp_path))
        paired(tmp_path)
        phone = Phone(api)
        with town.bot() as running:
            told = wait_for(
                "alert", lambda: phone.got(lambda text: text.startswith("🟢 INFO | Position Opened")), 120
            )
            assert told.silent
            assert re.search(
                r"Pair: \w+-USDT\nLong: \w+ @ \$[\d.,]+\nShort: \w+ @ \$[\d.,]+\nSize: \$", told.text
            )
            phone.ask("/pause", "Paused: ")
            wait_for("hedge", town.hedged)

            def equal() -> bool:
                before = figures(database)
                text = phone.ask("/positions", "").text
                return bool(before) and before == figures(database) and all(line in text for line in before)

            wait_for("positions that are those of the database", equal, 60)
            phone.ask("/status", "PAUSED on localnet")
            api.write(STRANGER, "/kill")
            asked = phone.ask("/kill", "🔴 KILL: cancel every order")
            assert " long on " in asked.text
            api.press(OWNER, asked, "Yes")
            flat = wait_for("flat", lambda: phone.got(lambda text: text.startswith("🔴 KILL: flat")), 60)
            assert flat.text.count("✅") >= 2
            assert town.flat()
            assert api.texts(STRANGER) == []
            assert any(
                text.startswith("🔴 CRITICAL | Kill Switch\nLatched by telegram:42")
                for text in api.texts(OWNER)
            )
            log = running.output
        assert TOKEN not in log
        assert f"telegram:{OWNER}" in str(audit(database))


def audit(database: str) -> list[tuple[str, str, bool]]:
    async def read() -> list[tuple[str, str, bool]]:
        async with open_store(database, SystemClock()) as store:
            return [(each.actor, each.command, each.ok) for each in await store.audited()]

    found = anyio.run(read)
    assert ("telegram:42", "KILL", True) in found
    assert ("telegram:42", "PAUSE", True) in found
    assert ("telegram:42", "TELEGRAM POSITIONS", True) in found
    return found
