"""Questions at a terminal, and what is taken for an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TypeVar

import click

T = TypeVar("T")


class Questions:
    """Asks at the terminal, or not at all."""

    def __init__(self, silent: bool) -> None:
        self.silent = silent

    def value(self, given: str | None, question: str, default: str, read: Callable[[str], T]) -> T:
        """What is ``given``, or else typed, as ``read`` makes it; what it refuses is asked for again."""
        if given is not None or self.silent:
            return read(default if given is None else given)
        answer: T = click.prompt(question, default=default, value_proc=read)
        return answer

    def secret(self, question: str) -> str:
        """Something that is not shown; empty where there is none."""
        if self.silent:
            return ""
        typed: str = click.prompt(question, default="", hide_input=True, show_default=False)
        return typed.strip()

    def sure(self, question: str, default: bool) -> bool:
        return default if self.silent else click.confirm(question, default=default)


def one_of(*names: str) -> Callable[[str], str]:
    def read(typed: str) -> str:
        if typed.strip().lower() not in names:
            raise click.BadParameter(f"{typed!r} is not one of {', '.join(names)}")
        return typed.strip().lower()

    return read


def two_or_more(usable: Sequence[str]) -> Callable[[str], list[str]]:
    def read(typed: str) -> list[str]:
        names = list(dict.fromkeys(name.strip().lower() for name in typed.split(",") if name.strip()))
        unknown = [name for name in names if name not in usable]
        if unknown:
            raise click.BadParameter(
                f"{', '.join(unknown)}: not installed; installed: {', '.join(usable) or 'none'}"
            )
        if len(names) < 2:
            raise click.BadParameter("a hedge needs two exchanges; name two or more, with commas")
        return names

    return read


def read_symbols(typed: str) -> list[str]:
    from pydantic import ValidationError

    from fundingarb.config.sections import TradingSection

    try:
        return list(TradingSection.model_validate({"symbols": typed}).symbols)
    except ValidationError as error:
        first = error.errors()[0]
        raise click.BadParameter(f"{first.get('input', typed)} {first['msg']}") from None


def usd(typed: str) -> Decimal:
    try:
        amount = Decimal(typed.strip().replace(",", "").removeprefix("$"))
    except ArithmeticError:
        raise click.BadParameter(f"{typed!r} is not an amount; write it like 5000") from None
    if not 0 < amount <= 10**12:
        raise click.BadParameter(f"{typed} is not an amount to trade with; write it like 5000")
    return amount
