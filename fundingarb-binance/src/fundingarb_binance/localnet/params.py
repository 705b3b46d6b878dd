"""Reading and checking request parameters the way Binance does."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from urllib.parse import parse_qsl

from aiohttp import web

from fundingarb_binance.localnet.answers import BinanceError, missing

__all__ = ["Params", "read", "signed_payload"]

_DECIMAL = re.compile(r"^([0-9]{1,20})(\.[0-9]{1,20})?$")
_SIGNATURE = re.compile(r"(^|&)signature=[^&]*")


class Params(Mapping[str, str]):
    """Parameters by name, as text. Empty ones count as not sent."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def optional(self, name: str) -> str | None:
        return self._values.get(name) or None

    def required(self, name: str) -> str:
        value = self._values.get(name)
        if not value:
            raise missing(name)
        return value

    def integer(self, name: str, default: int | None = None) -> int | None:
        """A whole number or ``default``; anything else is malformed."""
        value = self._values.get(name)
        if not value:
            return default
        try:
            return int(value)
        except ValueError:
            raise missing(name) from None

    def limit(self, default: int, highest: int, name: str = "limit") -> int:
        """A page size; more than ``highest`` is cut to it."""
        value = self.integer(name, default)
        if value is None or value < 1:
            raise BinanceError(-1130, f"Data sent for parameter '{name}' is not valid.")
        return min(value, highest)

    def decimal(self, name: str) -> Decimal | None:
        """A plain decimal number, without sign or exponent."""
        value = self._values.get(name)
        if not value:
            return None
        if not _DECIMAL.match(value):
            # A sign is told apart from garbage: it fails later, as too small.
            if re.match(r"^-[0-9]", value) and _DECIMAL.match(value[1:]):
                return Decimal(value)
            raise BinanceError(
                -1100,
                f"Illegal characters found in parameter '{name}'; legal range is "
                r"'^([0-9]{1,20})(\.[0-9]{1,20})?$'.",
            )
        return Decimal(value)

    def boolean(self, name: str, default: bool | None = False) -> bool | None:
        value = self._values.get(name)
        if not value:
            return default
        if value.lower() not in ("true", "false"):
            raise missing(name)
        return value.lower() == "true"

    def choice(self, name: str, known: Collection[str], error: BinanceError) -> str | None:
        """One of ``known``, or ``error``."""
        value = self._values.get(name)
        if not value:
            return None
        if value not in known:
            raise error
        return value


async def read(request: web.Request) -> Params:
    """Query and body together; the query wins where both name a parameter."""
    values = dict(parse_qsl(await request.text(), keep_blank_values=True))
    values |= parse_qsl(request.raw_path.partition("?")[2], keep_blank_values=True)
    return Params(values)


async def signed_payload(request: web.Request) -> str:
    """What a client signs: the query string and the body, as they were sent, without the signature."""
    query = request.raw_path.partition("?")[2]
    return "".join(_SIGNATURE.sub("", part).lstrip("&") for part in (query, await request.text()))
