"""One sentence on what the bot is waiting for."""

from __future__ import annotations

from decimal import Decimal

from fundingarb.domain.hedge import Mode
from fundingarb.engine.state import BotState
from fundingarb.engine.trading import TradingLoop


def waiting_for(state: BotState, loop: TradingLoop | None) -> str:
    """What has to happen next, as a person would say it; ``loop`` is None while the bot starts."""
    live = state.live()
    busy = [hedge for hedge in live if hedge.intent.mode is not Mode.HOLDING]
    if busy:
        gone = set() if loop is None else loop.markets.gone
        legs = (
            (leg.instrument.exchange, each.symbol)
            for each in busy
            for leg in (each.intent.long, each.intent.short)
        )
        halted = next((key for key in legs if key in gone), None)
        return "orders to fill" if halted is None else f"{halted[0]} to trade {halted[1]} again"
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
