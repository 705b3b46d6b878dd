"""An example configuration file, written from the schema so that it is never out of date."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fundingarb.config.leverage import DEFAULT
from fundingarb.config.schema import Config

WIDTH = 100

ACCOUNTS = """
accounts:
  binance: {exchange: binance}
  bybit: {exchange: bybit}
"""

HEAD = """
Configuration of fundingarb. Every line that is commented out shows a default.
Order of precedence: command line, environment (FUNDINGARB__TRADING__MIN_NET_USD=5), this file, defaults.
Keys and passwords of exchanges do not belong here and are refused.
"""


def example_config() -> str:
    """The text of a configuration file with every setting, its meaning and its default."""
    lines = [f"# {line}" for line in HEAD.strip().splitlines()]
    for name, field in Config.model_fields.items():
        lines.append("")
        if isinstance(field.default, BaseModel):
            lines.append(f"# {type(field.default).__doc__}")
            lines.append(f"{name}:")
            for key, inner in type(field.default).model_fields.items():
                lines += _setting(key, inner, getattr(field.default, key), "  ")
            continue
        if name == "accounts":
            lines += [f"# {field.description}", *(f"# {line}" for line in ACCOUNTS.strip().splitlines())]
            continue
        lines += _setting(name, field, field.default, "")
    return "\n".join(lines) + "\n"


def _setting(name: str, field: FieldInfo, value: Any, indent: str) -> Iterator[str]:
    for line in textwrap.wrap(field.description or "", WIDTH - len(indent) - 2):
        yield f"{indent}# {line}"
    yield f"{indent}# {name}: {_yaml(value)}"


def _yaml(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    if isinstance(value, dict):
        if set(value) == {DEFAULT}:
            return _yaml(value[DEFAULT])
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    return str(value)
