"""What ``fundingarb kill`` says that it closes before it asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

import pytest

from fundingarb.cli.kill import _what
from fundingarb.domain.hedge import Hedge
from fundingarb.domain.order import ExchangePosition
from fundingarb.errors import ConfigError
from fundingarb.panel import Holdings, Panel

pytestmark = pytest.mark.anyio

HELD = ExchangePosition("bybit", "main", "DOGE-USDT", Decimal(1000), Decimal("0.1"))


@dataclass
class Desk:
    """A panel of an account on which somebody holds something."""

    wrong: str = ""

    async def hedges(self) -> Sequence[Hedge]:
        return []

    async def holdings(self) -> Sequence[Holdings]:
        if self.wrong:
            raise ConfigError(self.wrong)
        return [Holdings("main", "bybit", [HELD], [])]


async def said(desk: Any, *, read: bool) -> list[str]:
    return await _what(cast(Panel, desk), read=read)


async def test_what_is_foreign_is_listed_where_it_can_be_read() -> None:
    assert await said(Desk(), read=True) == ["not of this bot: main DOGE-USDT 1000"]


async def test_where_it_takes_the_master_password_it_says_so() -> None:
    (line,) = await said(Desk(), read=False)
    assert "whoever opened it; it is named when it is closed (--password-fd has it listed before)" in line


async def test_what_keeps_it_from_being_read_does_not_keep_a_kill() -> None:
    (line,) = await said(Desk("the password is wrong"), read=True)
    assert line == "the accounts cannot be read (the password is wrong); whatever is there is closed too"
