"""Two exchanges between which a hedge pays, and the way to one that is open."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.domain.make import D, plan
from tests.engine.rig import Floor, Proposing

from fundingarb.domain.hedge import Mode
from fundingarb.domain.opportunity import EntryRules
from fundingarb.ports import AccountSink
from fundingarb.simulation.virtual import START
from fundingarb.testing import FakeExchange, RecordingAlertSink

T = START + timedelta(minutes=22)
RULES = EntryRules(target_size_usd=D(1000))
HEDGE = UUID(int=1)


def proposing(**changes: Any) -> Proposing:
    return Proposing([plan(**{"at": START, "settlement": T, **changes})])


def floor(strategy: Any = None, **settings: Any) -> Floor:
    made = Floor(strategy or proposing(), **settings)
    made.prices()
    made.rates("-0.001", "0.004", T)
    return made


def titles(sink: RecordingAlertSink) -> list[str]:
    return [alert.title for alert in sink.alerts]


def deafen(exchange: FakeExchange) -> None:
    """No account event of ``exchange`` arrives from now on."""

    class Nobody(list[AccountSink]):
        def append(self, sink: AccountSink) -> None:
            return

        def remove(self, sink: AccountSink) -> None:
            return

    exchange._account_sinks = Nobody()


async def opened(made: Floor) -> None:
    """Both legs filled: the resting first leg is hit once it is there."""
    await made.until(lambda: made.sent(made.alpha))
    await made.until(lambda: made.alpha.ledger.orders)
    made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
    await made.until(lambda: made.mode() is Mode.HOLDING)


async def booked(made: Floor) -> None:
    await made.until(lambda: made.hedge.complete_fills)
