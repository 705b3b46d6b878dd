"""The example of an exchange plugin passes the conformance suite, against the offline exchange it brings."""

from __future__ import annotations

from pathlib import Path

import pytest

from fundingarb.testing.conformance import Bench, Capability, Subject, run_all
from fundingarb.testing.conformance.pytest import AdapterConformance
from fundingarb.testing.conformance.table import insert, table
from fundingarb_hyperliquid.plugin import (
    HyperliquidLocalnetSettings,
    HyperliquidSettings,
    open_adapter,
    open_localnet,
)

LACKS = {
    Capability.PUBLIC_STREAMS: "the plugin asks again every second",
    Capability.ACCOUNT_STREAM: "the plugin asks again every second",
    Capability.INTERVALS: "every contract settles hourly",
    Capability.SIGNED_READS: "everybody may read any address",
    Capability.REQUEST_CLOCK: "a nonce may be two days old",
    Capability.CLIENT_ID_REUSE: "the documentation does not say what a repeated name is answered with",
    Capability.POSITION_MODE: "there is no hedge mode",
    Capability.KEY_PERMISSIONS: "an agent wallet always trades and never withdraws",
}

SUBJECT = Subject(
    "hyperliquid",
    open=lambda settings, context: open_adapter(HyperliquidSettings(**settings), context),
    dialect=lambda settings, context: open_localnet(HyperliquidLocalnetSettings(**settings), context),
    lacks=LACKS,
    quick={},
    forged={"api_secret": "0x" + "11" * 32},
)


class TestHyperliquid(AdapterConformance):
    subject = SUBJECT

    @pytest.mark.anyio
    async def test_the_table_in_the_readme_is_what_came_of_it(self, bench: Bench, root: Path) -> None:
        readme = (root / "examples/fundingarb-hyperliquid/README.md").read_text()
        assert readme == insert(readme, table(await run_all(bench))), "run: tox -e conformance"
