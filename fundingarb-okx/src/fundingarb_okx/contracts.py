"""OKX's instruments with what one contract of each is: the one place where contracts become base units."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from fundingarb.domain.instrument import Instrument
from fundingarb.exchanges.symbols import InstrumentMap
from fundingarb.exchanges.values import Units


@dataclass(frozen=True, slots=True)
class Listed:
    """An instrument, the base units in one of its contracts, the id of its index and its group of trading fees."""

    instrument: Instrument
    size: Decimal
    index: str
    fee_group: str


class Contracts(InstrumentMap):
    """The instruments by symbol and by id, and their contracts by id."""

    __slots__ = ("_listed",)

    def __init__(self, listed: Iterable[Listed] = ()) -> None:
        super().__init__()
        self._listed: dict[str, Listed] = {}
        self.take(listed)

    def take(self, listed: Iterable[Listed], halted: Iterable[Listed] = ()) -> None:
        """These are traded now, instead of what was; of those ``halted`` is only known what a contract of them is."""
        traded, waiting = list(listed), list(halted)
        self._listed |= {each.instrument.exchange_id: each for each in (*waiting, *traded)}
        self.load(each.instrument for each in traded)
        self.remember(each.instrument for each in waiting)

    def remember(self, instruments: Iterable[Instrument]) -> None:
        """Only those of which the exchange has said what one contract is: without that their sizes mean nothing."""
        super().remember(each for each in instruments if each.exchange_id in self._listed)

    def listed(self, instrument: Instrument) -> Listed:
        return self._listed[instrument.exchange_id]

    def units(self, instrument: Instrument | None) -> Units:
        """The units of the exchange's quantities and prices; plain ones for what is not traded here."""
        found = None if instrument is None else self._listed.get(instrument.exchange_id)
        return Units() if found is None else Units(found.size, found.instrument.multiplier)
