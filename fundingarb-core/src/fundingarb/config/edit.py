"""Changing settings in the text of a configuration file: comments, order and everything else stay as they are."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from fundingarb.config.reader import scalar
from fundingarb.errors import ConfigError


def edited(text: str, paths: Iterable[str], document: Mapping[str, Any]) -> str:
    """``text`` with the settings at ``paths`` (dotted) as ``document`` has them. Raises ``ConfigError``."""
    for path in paths:
        try:
            text = _set(text, path.split("."), document)
        except yaml.YAMLError:
            raise ConfigError(
                f"{path}: the file is written in a way that is not edited here; change it there by hand"
            ) from None
    return text


def _set(text: str, path: list[str], document: Mapping[str, Any]) -> str:
    root = yaml.compose(text, Loader=yaml.BaseLoader)
    if not isinstance(root, yaml.MappingNode):
        return f"{text.rstrip()}\n{_lines(_there(document, path), document, 0)}".lstrip("\n")
    if path[:2] == ["services", "dashboard"] and _entry(root, "dashboard"):
        document, path = {"dashboard": document.get("services", {}).get("dashboard")}, path[1:]
    path = _there(document, path)
    node: yaml.MappingNode = root
    for depth, key in enumerate(path):
        entry = _entry(node, key)
        if entry is None:
            return _insert(text, node, path, depth, document)
        key_node, value = entry
        there, wanted = _find(document, path[: depth + 1])
        last = depth == len(path) - 1
        if not last and isinstance(value, yaml.MappingNode) and value.value:
            node = value
        elif not last and _empty(value) and there:
            end = _line_end(text, key_node.end_mark.index)
            indent = key_node.start_mark.column + 2
            return text[:end] + "\n" + _lines(path[depth + 1 :], wanted, indent).rstrip("\n") + text[end:]
        else:
            return _replace(text, key_node, value, wanted if there else None)
    return text


def _entry(node: yaml.MappingNode, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    return next((entry for entry in node.value if entry[0].value.lower() == key.lower()), None)


def _find(document: Any, path: list[str]) -> tuple[bool, Any]:
    for part in path:
        if not isinstance(document, Mapping) or part not in document:
            return False, None
        document = document[part]
    return True, document


def _there(document: Mapping[str, Any], path: list[str]) -> list[str]:
    """``path``, or of a setting that is gone what it was in: that is written anew, and nothing around it."""
    while len(path) > 1 and not _find(document, path)[0]:
        path = path[:-1]
    return path


def _empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and scalar(node.value) is None


def _insert(
    text: str, node: yaml.MappingNode, path: list[str], depth: int, document: Mapping[str, Any]
) -> str:
    """A new entry behind the last one of ``node``."""
    _, section = _find(document, path[:depth])
    if node.flow_style:
        value = _find(section, path[depth : depth + 1])[1]
        end = node.end_mark.index - 1
        comma = ", " if node.value else ""
        return f"{text[:end].rstrip()}{comma}{path[depth]}: {flow(value)}{text[end:]}"
    lines = _lines(path[depth:], section, node.value[0][0].start_mark.column)
    if depth == 0:
        return f"{text.rstrip()}\n{lines}"
    end = _line_end(text, _end(node))
    return text[:end] + "\n" + lines.rstrip("\n") + text[end:]


def _replace(text: str, key_node: yaml.Node, value: yaml.Node, wanted: Any) -> str:
    colon = text.index(":", key_node.end_mark.index) + 1
    end = colon if _empty(value) and value.start_mark.index == value.end_mark.index else _end(value)
    return f"{text[:colon]} {flow(wanted)}{text[end:]}"


def _end(node: yaml.Node) -> int:
    """Where the text of ``node`` ends: a block's own mark is behind the comments that follow it."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        key, value = node.value[-1]
        return max(_end(key), _end(value))
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    return int(node.end_mark.index)


def _line_end(text: str, index: int) -> int:
    found = text.find("\n", index)
    return len(text) if found < 0 else found


def _lines(path: list[str], document: Any, indent: int) -> str:
    """The setting at ``path`` of ``document`` in block style, a line per level."""
    lines = []
    for depth, key in enumerate(path):
        document = _find(document, [key])[1]
        tail = f" {flow(document)}" if depth == len(path) - 1 else ""
        lines.append(f"{' ' * (indent + 2 * depth)}{key}:{tail}")
    return "\n".join(lines) + "\n"


def flow(value: Any) -> str:
    """``value`` on one line; text that is a number is written as one."""
    plain = yaml.dump(
        _numbers(value),
        Dumper=_Dumper,
        default_flow_style=True,
        width=10**9,
        sort_keys=False,
        allow_unicode=True,
    )
    return plain.removesuffix("\n").removesuffix("...").strip()


class _Number(str):
    """A number as it was written; YAML's own floats would round it."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Knows numbers that are text."""


def _number(dumper: yaml.SafeDumper, data: _Number) -> yaml.ScalarNode:
    kind = "float" if "." in data or "e" in data.lower() else "int"
    return dumper.represent_scalar(f"tag:yaml.org,2002:{kind}", str(data))


_Dumper.add_representer(_Number, _number)


def _numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_numbers(item) for item in value]
    if isinstance(value, str) and isinstance(scalar(value), Decimal | int) and scalar(value) is not True:
        return _Number(value)
    return value


@contextmanager
def replacement(path: Path, text: str) -> Iterator[Callable[[], None]]:
    """``text`` on disk beside the file at ``path``; what is given puts it in its place, the old or the new is there
    whatever happens in between. Left without that, nothing has happened. Raises ``ConfigError``."""
    target, name = path.resolve(), ""

    def put() -> None:
        os.replace(name, target)

    try:
        try:
            mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, mode)
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise ConfigError(f"{path}: cannot be written: {reason}; nothing was changed") from None
        yield put
    finally:
        if name:
            Path(name).unlink(missing_ok=True)
