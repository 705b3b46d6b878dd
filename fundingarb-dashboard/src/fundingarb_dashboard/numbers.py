"""Numbers as JSON has them (7.0 is a whole one, "7" and true are not), and those that are text so that nothing is lost.

What is refused is told in words: the pattern is for programs, in the API's document.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

__all__ = ["Fraction", "Pair", "Usd", "Whole"]

LARGEST = 2**31 - 1


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _written(pattern: str, wanted: str, *examples: str, longest: int | None = None) -> tuple[Any, Any]:
    """What a field is annotated with that takes text of this pattern, and says what is ``wanted`` of any other."""

    def check(value: object) -> object:
        right = isinstance(value, str) and re.fullmatch(pattern, value)
        if not right or (longest is not None and isinstance(value, str) and len(value) > longest):
            said = wanted if isinstance(value, str) else f"{wanted}; as text, in quotes"
            raise PydanticCustomError("written", "{said}", {"said": said})
        return value

    schema: dict[str, Any] = {"type": "string", "pattern": f"^{pattern}$", "examples": list(examples)}
    if longest is not None:
        schema["maxLength"] = longest
    return BeforeValidator(check), WithJsonSchema(schema)


_USD = _written(
    r"[1-9][0-9]{0,8}(\.[0-9]{1,8})?", "write 1 to 999999999 USD, at most 8 decimals", "10000", "2500.50"
)
_FRACTION = _written(
    r"(0|-?0\.0[0-9]{1,9})",
    "write 0 or a fraction below 0.1 either way, e.g. -0.0001, at most 10 decimals",
    "-0.0001",
)
_PAIR = _written(r"[A-Z0-9]+-[A-Z0-9]+", "write a pair in capitals, such as BTC-USDT", "BTC-USDT", longest=40)

Whole = Annotated[int, Field(ge=0, le=LARGEST, strict=True), BeforeValidator(_whole)]
"""From 0 on."""
Usd = Annotated[str, _USD[0], _USD[1]]
"""US dollars as text: one at least, less than a thousand million."""
Fraction = Annotated[str, _FRACTION[0], _FRACTION[1]]
"""A spread per 8 hours as text: a fraction of less than a tenth in either direction."""
Pair = Annotated[str, _PAIR[0], _PAIR[1]]
