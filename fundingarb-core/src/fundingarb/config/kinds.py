"""Kinds of settings, and what is refused as one. Fractions are fractions (0.0001 is one basis point)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
)
from pydantic_core import PydanticCustomError

from fundingarb.config.leverage import DEFAULT
from fundingarb.domain.opportunity import PRESETS

NETWORKS = ("localnet", "testnet", "mainnet")

SYMBOL = re.compile(r"[A-Z0-9]{1,20}-[A-Z0-9]{1,10}")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
SQL_URL = re.compile(r"(sqlite|postgresql|postgres|postgresql\+psycopg|sqlite\+pysqlite)://.*", re.DOTALL)


def problem(text: str, *key: str) -> PydanticCustomError:
    """A refusal; ``key`` leads from the value that is being validated to the one at fault."""
    return PydanticCustomError("config", "{text}", {"text": text, "key": list(key)})


def _symbol(value: str) -> str:
    symbol = value.upper()
    if SYMBOL.fullmatch(symbol):
        return symbol
    for settle in ("USDT", "USDC", "USD"):
        plain = re.sub(r"[^A-Z0-9]", "", symbol)
        if plain.endswith(settle) and len(plain) > len(settle):
            raise problem(f"is not a symbol; did you mean {plain[: -len(settle)]}-{settle}?")
    raise problem("is not a symbol; write it like BTC-USDT")


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise problem("is not a name; use lower-case letters, digits, - and _")
    return value


def _words(value: Any) -> Any:
    """A list may be written as one line with commas."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


def _section(value: Any) -> Any:
    return {} if value is None else value


def _by_symbol(value: Any) -> Any:
    """One value stands for ``{default: value}``; symbols are upper case."""
    if not isinstance(value, Mapping):
        return {DEFAULT: value}
    table: dict[str, Any] = {}
    for key, item in value.items():
        name = str(key)
        if name.lower() == DEFAULT:
            table[DEFAULT] = item
        elif SYMBOL.fullmatch(name.upper()):
            table[name.upper()] = item
        else:
            raise problem("is neither a symbol (such as BTC-USDT) nor `default`; correct the name", name)
    return table


def _preset(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    name = value.strip().lower()
    if name in PRESETS:
        return PRESETS[name]
    try:
        return Decimal(name)
    except InvalidOperation:
        raise problem(f"is neither a number nor one of {', '.join(PRESETS)}; write one of them") from None


def _unique(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise problem("is empty; name at least one symbol, such as BTC-USDT")
    for index, value in enumerate(values):
        if value in values[:index]:
            raise problem(f"has {value} twice; remove one")
    return values


def _path(value: Path) -> Path:
    if not str(value).isprintable():
        raise problem("is not a file name; remove the control characters")
    try:
        return value.expanduser()
    except RuntimeError:
        raise problem("is in the home folder of nobody; correct what follows the ~") from None


def _database(value: str) -> str:
    if not SQL_URL.fullmatch(value) or not value.isprintable():
        raise problem("is not a database URL; write sqlite:///FILE or postgresql://USER@HOST/NAME")
    return value


MAY_BE_EMPTY = BeforeValidator(_section)
"""Of a mapping: its heading may stand there with nothing below it."""

Symbol = Annotated[str, AfterValidator(_symbol)]
Name = Annotated[str, AfterValidator(_name)]
Usd = Annotated[Decimal, Field(ge=0, le=Decimal(10) ** 12)]
Spread = Annotated[Decimal, Field(ge=0, le=Decimal("0.1"))]
Ratio = Annotated[Decimal, Field(gt=0, le=1)]
Tolerance = Annotated[Decimal, BeforeValidator(_preset), Field(ge=Decimal("-0.1"), le=Decimal("0.1"))]
LeverageTable = Annotated[dict[str, Annotated[int, Field(ge=1, le=125)]], BeforeValidator(_by_symbol)]
Days = Annotated[int, Field(ge=1, le=36500)]
UserPath = Annotated[Path, AfterValidator(_path)]
RawSection = Annotated[dict[str, Any], MAY_BE_EMPTY]
RawSections = Annotated[dict[Name, RawSection], MAY_BE_EMPTY]
Names = Annotated[tuple[str, ...], BeforeValidator(_words)]
Symbols = Annotated[tuple[Symbol, ...], BeforeValidator(_words), AfterValidator(_unique)]
ToleranceTable = Annotated[dict[str, Tolerance], BeforeValidator(_by_symbol)]
DatabaseUrl = Annotated[str, AfterValidator(_database)]
