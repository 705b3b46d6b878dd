"""Putting the configuration together: command line over environment over file over defaults.

Whatever is wrong is one ConfigError of one line: where (file and line, environment variable or override), which key,
what the problem is and what to do.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from fundingarb.config.leverage import DEFAULT
from fundingarb.config.reader import Path_, Source, dotted, printable, read_file, read_text, scalar
from fundingarb.config.schema import SOURCES, Config, Origin, network_of
from fundingarb.errors import ConfigError

PREFIX = "FUNDINGARB__"
"""Environment variables that are settings: FUNDINGARB__TRADING__MIN_NET_USD is trading.min_net_usd."""

CREDENTIALS = re.compile(
    r"(api_?)?(secret|passphrase)(_?key)?|api_?key|(private|signing|wallet)_?key|password|mnemonic|seed(_?phrase)?"
    r"|(bot_?|api_?|access_?)?token|credentials?"
)
"""Keys that would hold a secret: such values have no place in a file or an environment that anybody can read."""

TELLING = re.compile(r"(?=[A-Za-z0-9+/=_-]{16})[0-9+/=_-]*[A-Za-z]")
"""Looks like a key: no word that is worth repeating is so long."""

NEVER = re.compile(r"FUNDINGARB_[A-Z0-9_]*(PASSWORD|PASSPHRASE|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|MNEMONIC)")
"""Environment variables of ours that somebody would put a secret into, hoping that it is read."""

ESSENTIAL = ("network", "ready_file", "vault", "database", "accounts", "exchanges", "plugins")
"""Sections without which positions can not be found: a mistake there is never left out."""


def load_config(
    path: Path | str | None = None,
    overrides: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
) -> Config:
    """The configuration of ``path`` (None: no file), changed by ``env`` (None: this process's) and ``overrides``.

    ``overrides`` are nested mappings or dotted keys (``{"trading.min_net_usd": 5}``). Raises ConfigError.
    """
    over, around = _overrides(overrides or {}), _environment(os.environ if env is None else env)
    if path is None:
        return _load([over, around, Source("")])
    file = read_file(Path(path))
    network = network_of(file.data)
    return _load([over, around, file]).came_from(
        Origin(Path(path), lambda text: _load([over, around, read_text(text, str(path))]), network)
    )


def parse_config(text: str, name: str = "configuration") -> Config:
    """The configuration that a file with this text would give. Raises ConfigError."""
    return _load([Source(""), Source(""), read_text(text, name)])


def load_essentials(
    path: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> tuple[Config, list[str]]:
    """As ``load_config``, but what neither accounts nor database need and is wrong is left out; also what that is.

    For what has to work in an emergency. Raises ConfigError when accounts, exchanges, network or database are wrong.
    """
    layers = [
        _overrides(overrides or {}),
        _environment(os.environ if env is None else env),
        Source("") if path is None else read_file(Path(path)),
    ]
    left_out: list[str] = []
    while True:
        try:
            return _load(layers), left_out
        except _Wrong as wrong:
            if not wrong.where or wrong.where[0] in ESSENTIAL or not _leave_out(layers, wrong.where):
                raise
            left_out.append(str(wrong))


class _Wrong(ConfigError):
    """One setting at fault; ``where`` leads to it."""

    def __init__(self, text: str, where: Path_) -> None:
        super().__init__(text)
        self.where = where


def _leave_out(layers: list[Source], where: Path_) -> bool:
    """Take the setting at ``where`` out of ``layers``, or the innermost section around it; False when it is nowhere."""
    for depth in range(len(where), 0, -1):
        *sections, last = where[:depth]
        if any(isinstance(part, int) for part in where[:depth]):
            continue  # a list is left out as a whole
        found = False
        for layer in layers:
            if not _has(layer.data, where[:depth]):
                continue
            data = layer.data
            for part in sections:
                data = data[_key(data, part)]
            del data[_key(data, last)]
            found = True
        if found:
            return True
    return False


def _key(data: Mapping[str, Any], part: str | int) -> Any:
    """``part`` as it is written in ``data``."""
    return next(key for key in data if str(key).lower() == str(part).lower())


def _load(layers: list[Source]) -> Config:
    for layer in layers:
        for where, key in _keys(layer.data, ()):
            if len(where) > 1 and CREDENTIALS.fullmatch(key.lower().replace("-", "_")):
                raise _Wrong(
                    f"{_place(layers, where)}: {dotted(where)}: credentials are not read from here; remove it and "
                    "keep it in the vault: fundingarb vault add (on network localnet the ready file has them)",
                    where,
                )
    first, *rest = layers
    token = SOURCES.set(tuple(_Layer(layer.data) for layer in rest))
    try:
        return Config(**first.data)
    except ValidationError as error:
        raise _explain(error, layers) from None
    finally:
        SOURCES.reset(token)


class _Layer(PydanticBaseSettingsSource):
    """A source of settings that was read already."""

    def __init__(self, data: dict[str, Any]) -> None:
        super().__init__(Config)
        self._data = data

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._data.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._data


# layers


def _overrides(values: Mapping[str, Any]) -> Source:
    source = Source("overrides")
    for key, value in values.items():
        _put(source.data, str(key).split("."), value, f"override {printable(str(key))}")
    return source


def _environment(env: Mapping[str, str]) -> Source:
    source = Source("environment")
    for variable in sorted(env):
        if not variable.upper().startswith(PREFIX):
            if NEVER.fullmatch(variable.upper()):
                raise ConfigError(
                    f"environment variable {printable(variable)}: credentials are not read from here; unset it and "
                    "use the vault: fundingarb vault add (its password: --password-fd)"
                )
            continue
        parts = variable[len(PREFIX) :].lower().split("__")
        if not all(parts):
            raise ConfigError(f"environment variable {printable(variable)}: names no setting; unset it")
        text = env[variable].strip()
        value: Any = scalar(text)
        if text[:1] in ("[", "{"):
            value = read_text(f"value: {text}", f"environment variable {printable(variable)}").data["value"]
        _put(source.data, parts, value, f"environment variable {printable(variable)}")
    return source


def _put(data: dict[str, Any], parts: list[str], value: Any, what: str) -> None:
    *sections, last = parts
    for part in sections:
        data = data.setdefault(part, {})
        if not isinstance(data, dict):
            raise ConfigError(f"{what}: contradicts another one that sets {part} as a whole; remove one")
    if isinstance(value, Mapping):
        inner = data.setdefault(last, {})
        for key, item in value.items():
            _put(inner, [str(key)], item, what)
        return
    if last in data:
        raise ConfigError(f"{what}: contradicts another one that sets the same; remove one")
    data[last] = value


def _keys(value: Any, path: Path_) -> Iterator[tuple[Path_, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield (*path, str(key)), str(key)
            yield from _keys(item, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _keys(item, (*path, index))


# refusals


def _explain(error: ValidationError, layers: list[Source]) -> _Wrong:
    """The first problem, in the order of the file."""
    found = []
    for one in error.errors(include_url=False):
        where: Path_ = tuple(one["loc"])
        context = one.get("ctx", {})
        if one["type"] == "config":
            where = (*where, *context.get("key", ()))
        where = tuple(part for part in where if part != "[key]")
        if where[-1:] == (DEFAULT,) and not any(_has(layer.data, where) for layer in layers):
            where = where[:-1]  # one value was given, not a table by symbol
        found.append((_order(layers, where), where, one))
    _, where, first = min(found, key=lambda item: item[0])
    text = _problem(first["type"], where, first)
    return _Wrong(f"{_place(layers, where)}: {dotted(where) or 'the configuration'}: {text}", where)


def explain_all(error: ValidationError) -> dict[str, str]:
    """Every problem, by dotted path."""
    found: dict[str, str] = {}
    for one in error.errors(include_url=False):
        where: Path_ = tuple(one["loc"])
        if one["type"] == "config":
            where = (*where, *one.get("ctx", {}).get("key", ()))
        where = tuple(part for part in where if part != "[key]")
        path = dotted(where)
        found.setdefault(path, _problem(one["type"], where, one))
    return found


def _order(layers: list[Source], where: Path_) -> tuple[int, int]:
    for rank, layer in enumerate(layers[:2]):
        if _has(layer.data, where):
            return rank, 0
    return len(layers), _line(layers[-1], where)


def _place(layers: list[Source], where: Path_) -> str:
    """Where the value at ``where`` (or the innermost section around it) was given."""
    for depth in range(len(where), 0, -1):
        part = where[:depth]
        overrides, environment, file = layers
        if _has(overrides.data, part):
            return "command line"
        if _has(environment.data, part):
            name = "__".join(str(key) for key in part if isinstance(key, str)).upper()
            return f"environment variable {PREFIX}{printable(name)}"
        if _has(file.data, part):
            return f"{file.name}:{_line(file, part)}"
    return layers[-1].name or "configuration"


def _has(data: Any, where: Path_) -> bool:
    for part in where:
        if isinstance(data, Mapping):
            match = next((key for key in data if str(key).lower() == str(part).lower()), None)
            if match is None:
                return False
            data = data[match]
        elif isinstance(data, list | tuple) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return False
    return True


def _line(source: Source, where: Path_) -> int:
    for depth in range(len(where), -1, -1):
        wanted = tuple(str(part).lower() for part in where[:depth])
        for path, line in source.lines.items():
            if len(path) == depth and tuple(str(part).lower() for part in path) == wanted:
                return line
    return 1


def _problem(kind: str, where: Path_, error: Mapping[str, Any]) -> str:
    """What is wrong and what to do, for a person."""
    context = error.get("ctx", {})
    shown = _shown(where, error.get("input"))
    default = _default(where)
    hint = f"write a value such as {default}" if default else "correct it"
    if kind == "config":
        return f"{shown}{context['text']}"
    if kind == "extra_forbidden":
        return f"there is no such setting; {_suggest(where)}"
    if kind == "missing":
        return "is missing; add it"
    if kind in LIMITS:
        found = next(str(context[key]) for key in ("ge", "gt", "le", "lt") if key in context)
        bound = found.removeprefix("Decimal('").removesuffix("')")
        return f"{shown}must be {LIMITS[kind]} {bound}; {hint}"
    if kind == "literal_error":
        return f"{shown}must be one of {str(context['expected']).replace(chr(39), '')}; {hint}"
    for prefix, expected in EXPECTED:
        if kind.startswith(prefix):
            return f"{shown}is not {expected}; {hint}"
    return f"{shown}{printable(str(error['msg']), 120)}; {hint}"


LIMITS = {
    "greater_than_equal": "at least",
    "greater_than": "more than",
    "less_than_equal": "at most",
    "less_than": "less than",
}
EXPECTED = (
    ("int", "a whole number"),
    ("decimal", "a number"),
    ("finite", "a number"),
    ("float", "a number"),
    ("bool", "true or false"),
    ("dict", "a section"),
    ("model", "a section"),
    ("tuple", "a list"),
    ("list", "a list"),
    ("path", "a file name"),
    ("string", "text"),
)
"""Start of pydantic's error type -> what was expected."""


def _shown(where: Path_, value: Any) -> str:
    """The value as it was written; nothing for sections, for URLs, which may hold a password, and for what looks like
    a key that was pasted into the wrong place."""
    if value is None or isinstance(value, Mapping | list | tuple | BaseModel) or "url" in where:
        return ""
    text = str(value)
    return "" if TELLING.search(text) else f"{printable(text, 40)!r} "


def _default(where: Path_) -> str:
    model, name = _model_at(where)
    field = model.model_fields.get(name) if model is not None else None
    if field is None or field.is_required() or field.default is None:
        return ""
    if isinstance(field.default, BaseModel | dict):
        return ""
    if isinstance(field.default, tuple):
        return f"[{', '.join(field.default)}]"
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


def _suggest(where: Path_) -> str:
    model, name = _model_at(where)
    known = sorted(model.model_fields) if model is not None else []
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    elsewhere = [f"{section}.{name}" for section in Config.model_fields if _field_in(section, name)]
    if elsewhere:
        return f"did you mean {elsewhere[0]}?"
    return f"known here: {', '.join(known)}"


def _field_in(section: str, name: str) -> bool:
    inner = _section_model(Config.model_fields[section])
    return inner is not None and name in inner.model_fields


def _model_at(where: Path_) -> tuple[type[BaseModel] | None, str]:
    """The section a key is in, and the key."""
    model: type[BaseModel] | None = Config
    for part in where[:-1]:
        if model is None:
            break
        field = model.model_fields.get(str(part))
        if field is not None:
            model = _section_model(field)
    return model, str(where[-1]) if where else ""


def _section_model(field: FieldInfo) -> type[BaseModel] | None:
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
