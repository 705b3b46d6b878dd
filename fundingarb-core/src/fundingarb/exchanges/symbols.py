"""Our symbols and the exchanges' own: multiplier contracts (1000PEPE) become their base asset."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal

from fundingarb.domain.instrument import Instrument

_PREFIX = re.compile(r"^(10{3,6}(?=[A-Z])|1M(?=[A-Z]{4}))([A-Z0-9]+)$")
_SUFFIX = re.compile(r"^([A-Z]+)(1000)$")


def split_multiplier(base: str) -> tuple[str, Decimal]:
    """(base asset, base units in one exchange unit) of an exchange's base: ``1000PEPE`` is 1,000 PEPE.

    Prefixes 1000, 10000, 1000000 and 1M are understood, and the suffix 1000 (``SHIB1000``).
    """
    if match := _PREFIX.match(base):
        digits, rest = match.groups()
        return rest, Decimal(1_000_000) if digits == "1M" else Decimal(digits)
    if match := _SUFFIX.match(base):
        return match.group(1), Decimal(match.group(2))
    return base, Decimal(1)


def in_base_units(instrument: Instrument) -> Instrument:
    """``instrument``, given in the exchange's units, with base, symbol, prices and quantities per base unit."""
    base, multiplier = split_multiplier(instrument.base)
    if multiplier == 1:
        return instrument
    maximum, market = instrument.max_quantity, instrument.max_market_quantity
    return replace(
        instrument,
        symbol=f"{base}-{instrument.symbol.rpartition('-')[2]}",
        base=base,
        tick=instrument.tick / multiplier,
        lot=instrument.lot * multiplier,
        min_quantity=instrument.min_quantity * multiplier,
        max_quantity=None if maximum is None else maximum * multiplier,
        max_market_quantity=None if market is None else market * multiplier,
        multiplier=multiplier,
    )


class InstrumentMap:
    """The instruments of one exchange by our symbol and by the exchange's own id.

    Of two instruments with one symbol (``PEPE`` beside ``1000PEPE``) the one with the smaller multiplier is kept.
    Iterating yields those that are traded now. What was traded once stays known by its names: positions in it, and
    what the ledger says of them, are not something else because the exchange has halted or delisted it.
    """

    __slots__ = ("_by_id", "_by_symbol", "_traded")

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        self._traded: dict[str, Instrument] = {}
        self._by_symbol: dict[str, Instrument] = {}
        self._by_id: dict[str, Instrument] = {}
        self.load(instruments)

    def load(self, instruments: Iterable[Instrument]) -> None:
        """These are traded now, instead of what was; whoever holds this map sees them."""
        traded: dict[str, Instrument] = {}
        for instrument in instruments:
            known = traded.get(instrument.symbol)
            if known is None or instrument.multiplier < known.multiplier:
                traded[instrument.symbol] = instrument
        self._traded = traded
        self._by_symbol = {**self._by_symbol, **traded}
        self._by_id |= {instrument.exchange_id: instrument for instrument in traded.values()}

    def remember(self, instruments: Iterable[Instrument]) -> None:
        """These were traded once; they are known by their names unless something else bears them by now."""
        for instrument in instruments:
            self._by_symbol.setdefault(instrument.symbol, instrument)
            self._by_id.setdefault(instrument.exchange_id, instrument)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._traded.values())

    def known(self) -> Iterator[Instrument]:
        """Those that are traded now, and those that were."""
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._traded)

    def get(self, symbol: str) -> Instrument | None:
        return self._by_symbol.get(symbol)

    def by_id(self, exchange_id: str) -> Instrument | None:
        return self._by_id.get(exchange_id)

    def replace(self, instrument: Instrument) -> None:
        """Put a changed instrument (its interval, mostly) in place of the one of the same symbol and id."""
        self._by_symbol[instrument.symbol] = self._by_id[instrument.exchange_id] = instrument
        if instrument.symbol in self._traded:
            self._traded[instrument.symbol] = instrument
