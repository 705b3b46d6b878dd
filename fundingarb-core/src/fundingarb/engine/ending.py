"""A clean end: nothing rests, nothing is naked, what was filled is on disk; and the last words."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import anyio

from fundingarb.domain.events import Alert
from fundingarb.domain.hedge import Hedge, Mode
from fundingarb.engine.accounts import AccountReader
from fundingarb.engine.settlements import Settlements
from fundingarb.engine.state import BotState
from fundingarb.engine.trading import TradingLoop
from fundingarb.errors import ExchangeError, StoreError
from fundingarb.ports import AlertSink, Clock

log = logging.getLogger("fundingarb.ending")

#: Real seconds that stopping waits for what is under way; and for a leg that is naked or an order in doubt, which takes
#: as long as a proof does.
STOP_SECONDS = 10.0
STOP_UNEVEN = 60.0
#: Real seconds that a sink has for the last words.
LAST_WORDS = 5.0


async def settle(
    loop: TradingLoop,
    state: BotState,
    readers: Mapping[str, AccountReader],
    settlements: Settlements,
    clock: Clock,
) -> None:
    """No resting entry is left behind, and what was filled is on disk. Raises ``StoreError`` when it cannot be."""
    loop.entries.stopping = True
    patient_until = clock.monotonic() + STOP_SECONDS
    while any(_under_way(hedge) for hedge in state.live()):
        if clock.monotonic() > patient_until and not any(map(_uneven, state.live())):
            break
        loop.wake()
        await anyio.sleep(0.05)
    for reader in readers.values():
        try:
            await reader.collect_fills()
            await reader.collect_payments()
        except (ExchangeError, StoreError) as error:
            log.info("%s: %s", reader.account.name, error)
        except Exception:  # a mistake of an adapter, and no reason to end otherwise
            log.exception("%s: the last look failed", reader.account.name)
    try:
        await settlements.look()
    except StoreError as error:
        log.info("settlements: %s", error)
    await loop.flush()


def _under_way(hedge: Hedge) -> bool:
    """Whether something of ``hedge`` is still to be done before the bot may leave it alone."""
    return (
        hedge.intent.mode is not Mode.HOLDING
        or bool(hedge.unhedged)
        or any(order.remaining for order in hedge.orders)
    )


def _uneven(hedge: Hedge) -> bool:
    """Whether one leg is heavier, or an order in doubt may have made it so."""
    return bool(hedge.unhedged or hedge.long.unresolved or hedge.short.unresolved)


async def tell(alert: Alert, sinks: Mapping[str, AlertSink]) -> None:
    """An alert of a bot that has ended: nothing delivers it any more."""
    for name, sink in sinks.items():
        with anyio.move_on_after(LAST_WORDS):
            try:
                await sink.send(alert)
            except Exception as error:  # noqa: BLE001 - a sink that fails must not stop the others
                log.warning("alert sink %s: %s: %s", name, type(error).__name__, error)
