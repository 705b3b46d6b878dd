"""From simulation to live: the journal of simulated hours, the review, and the switch."""

from __future__ import annotations

from fundingarb.golive.hours import SimulatedHours
from fundingarb.golive.switch import LiveSwitch

__all__ = ["LiveSwitch", "SimulatedHours"]
