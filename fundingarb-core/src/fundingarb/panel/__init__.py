"""Commanding and inspecting a bot from outside it, whether it runs, hangs or is absent."""

from __future__ import annotations

from fundingarb.panel.compare import Row, side_by_side
from fundingarb.panel.panel import BotUnreachable, Holdings, NotFlat, Panel, open_panel, open_switch

__all__ = [
    "BotUnreachable",
    "Holdings",
    "NotFlat",
    "Panel",
    "Row",
    "open_panel",
    "open_switch",
    "side_by_side",
]
