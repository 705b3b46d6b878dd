"""Reading the YAML file: exact numbers, a line number for every key, and no surprises of YAML 1.1.

Plain numbers become int or Decimal (never float), ``true``/``false`` and ``null``/``~`` are the only other words with a
meaning; ``yes``, ``on``, dates and base-60 numbers stay text. Tags, anchors, aliases and repeated keys are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from fundingarb.errors import ConfigError

LARGEST = 1_000_000
"""Bytes of a configuration file; more than this is some other file."""

DEEPEST = 20

Path_: TypeAlias = "tuple[str | int, ...]"

INTEGER = re.compile(r"[-+]?[0-9][0-9_]{0,17}")
NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]{1,6})?")
WORDS: dict[str, bool | None] = {
    word: value
    for names, value in ((("true", "True", "TRUE"), True), (("false", "False", "FALSE"), False))
    for word in names
} | dict.fromkeys(("", "~", "null", "Null", "NULL"))


@dataclass
class Source:
    """What a file says: ``data`` as plain Python values, and the line of every key and item in ``lines``."""

    name: str
    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[Path_, int] = field(default_factory=dict)


def read_file(path: Path) -> Source:
    """Read a configuration file. Raises ConfigError, one line with file and line number."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; correct --config") from None
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ConfigError(f"{path}: cannot be read: {reason}; correct --config") from None
    if len(raw) > LARGEST:
        raise ConfigError(f"{path}: is larger than {LARGEST:,} bytes; correct --config") from None
    return read_text(raw, str(path))


def read_text(raw: bytes | str, name: str) -> Source:
    """Read the text of a configuration file called ``name``. Raises ConfigError."""
    text = _decoded(raw, name) if isinstance(raw, bytes) else raw
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        line = 0 if error.problem_mark is None else error.problem_mark.line + 1
        problem = " ".join((error.problem or "syntax error").split())
        raise ConfigError(f"{name}:{line}: is not valid YAML: {problem}; correct the line") from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise ConfigError(f"{name}:{line}: holds a character YAML does not allow; remove it") from None
    except (RecursionError, ValueError):
        raise ConfigError(f"{name}: is nested too deeply; correct the file") from None
    source = Source(name)
    if root is None or (_plain(root) and root.value in WORDS):
        return source
    builder = _Builder(source)
    data = builder.value(root, ())
    if not isinstance(data, dict):
        raise ConfigError(
            f"{name}:{_line(root)}: is not a set of sections; write lines such as `network: localnet`"
        )
    source.data = data
    return source


def _decoded(raw: bytes, name: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(f"{name}:{line}: is not UTF-8 text; save the file as UTF-8") from None


def scalar(text: str) -> str | int | Decimal | bool | None:
    """What an unquoted word of the file means."""
    if text in WORDS:
        return WORDS[text]
    if INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    if NUMBER.fullmatch(text):
        return Decimal(text.replace("_", ""))
    return text


class _Builder:
    """Turns nodes into values; remembers where each was."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._seen: set[int] = set()

    def value(self, node: yaml.Node, path: Path_) -> Any:
        self._source.lines.setdefault(path, _line(node))
        if not isinstance(node, yaml.ScalarNode) or node.value:
            if id(node) in self._seen:
                raise self._refuse(node, path, "aliases are not supported; write the value out")
            self._seen.add(id(node))
        if len(path) > DEEPEST:
            raise self._refuse(node, path[:3], "is nested too deeply; correct the file")
        if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.rsplit(":", 1)[1] not in (
            "str",
            "seq",
            "map",
        ):
            raise self._refuse(node, path, "tags are not supported; write the plain value")
        if isinstance(node, yaml.MappingNode):
            return dict(self._items(node, path))
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return scalar(node.value) if _plain(node) else node.value

    def _items(self, node: yaml.MappingNode, path: Path_) -> Iterator[tuple[str, Any]]:
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or not key_node.value:
                raise self._refuse(key_node, path, "has a key that is not a word; correct the line")
            key = key_node.value
            where = (*path, key)
            if key in first:
                raise self._refuse(key_node, where, f"is there twice, first on line {first[key]}; remove one")
            first[key] = _line(key_node)
            self._source.lines[where] = _line(key_node)
            yield key, self.value(value_node, where)

    def _refuse(self, node: yaml.Node, path: Path_, problem: str) -> ConfigError:
        where = f" {dotted(path)}:" if path else ""
        return ConfigError(f"{self._source.name}:{_line(node)}:{where} {problem}")


PASTED = re.compile(r"(?=[A-Za-z0-9+/=]{16})[A-Za-z+/=]*[0-9]")
"""What a name never looks like, and a key that was pasted into the wrong place does."""


def dotted(path: Path_) -> str:
    """``("trading", "symbols", 0)`` as ``trading.symbols[0]``, printable and not too long; *** for pasted keys."""
    text = ""
    for part in path:
        if isinstance(part, str) and PASTED.search(part):
            part = "***"
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return printable(text)


def printable(text: str, longest: int = 80) -> str:
    """``text`` on one line: control characters escaped, cut to ``longest`` characters."""
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "replace").decode("ascii") for c in text
    )
    return shown if len(shown) <= longest else f"{shown[: longest - 3]}..."


def _plain(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
