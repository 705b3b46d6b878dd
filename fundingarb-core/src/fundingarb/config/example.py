"""An example configuration file, written from the schema so that it is never out of date."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fundingarb.config.edit import flow
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


def example_config(chosen: Mapping[str, Any] | None = None) -> str:
    """The text of a configuration file with every setting, its meaning and its default.

    What ``chosen`` names (sections of settings, as the file has them) is set; everything else is commented out.
    """
    chosen = chosen or {}
    lines = [f"# {line}" for line in HEAD.strip().splitlines()]
    for name, field in Config.model_fields.items():
        lines.append("")
        if isinstance(field.default, BaseModel):
            lines.append(f"# {type(field.default).__doc__}")
            lines.append(f"{name}:")
            section = chosen.get(name, {})
            for key, inner in type(field.default).model_fields.items():
                lines += _setting(key, inner, getattr(field.default, key), "  ", section)
            continue
        if name == "accounts" and name not in chosen:
            lines += [f"# {field.description}", *(f"# {line}" for line in ACCOUNTS.strip().splitlines())]
            continue
        lines += _setting(name, field, field.default, "", chosen)
    return "\n".join(lines) + "\n"


def _setting(
    name: str, field: FieldInfo, default: Any, indent: str, chosen: Mapping[str, Any]
) -> Iterator[str]:
    for line in textwrap.wrap(field.description or "", WIDTH - len(indent) - 2):
        yield f"{indent}# {line}"
    if name not in chosen:
        yield f"{indent}# {name}: {_yaml(default)}"
    elif isinstance(chosen[name], Mapping):
        yield f"{indent}{name}:"
        yield from (f"{indent}  {key}: {flow(value)}" for key, value in chosen[name].items())
    else:
        yield f"{indent}{name}: {flow(chosen[name])}"


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
