"""One sentence on what the bot is waiting for."""

from __future__ import annotations

from decimal import Decimal

from fundingarb.domain.hedge import Mode
from fundingarb.engine.state import BotState
from fundingarb.engine.trading import TradingLoop


def waiting_for(state: BotState, loop: TradingLoop | None) -> str:
    """What has to happen next, as a person would say it; ``loop`` is None while the bot starts."""
    live = state.live()
    if any(hedge.intent.mode is not Mode.HOLDING for hedge in live):
        return "orders to fill"
    if loop is None:
        return "the exchanges to answer"
    entries = loop.entries
    if entries.off_reason and not live:
        return f"nothing: {entries.off_reason}"
    waiting = [refusal for refusal in entries.refusals.waiting.values() if refusal.gate == "window"]
    if waiting and not entries.off_reason:
        best = max(waiting, key=lambda refusal: refusal.net_usd or Decimal(0))
        return f"the entry window of {best.symbol}: {best.needed} UTC"
    if live:
        return "settlements, or a spread below tolerance"
    return "a spread that passes every gate"
