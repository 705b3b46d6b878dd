"""What a service has to see of the file system, and how a unit says it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from fundingarb.errors import ConfigError

if TYPE_CHECKING:
    from fundingarb.config import Config
    from fundingarb.plugins import Plugins

HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
"""What ``ProtectHome=true`` hides; nothing below can be made visible again."""
TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - the places that ``PrivateTmp=true`` hides


@dataclass(frozen=True, slots=True)
class Sandbox:
    """``writable``: folders that the service may write to. ``missing``: those of them that are not there and that it
    cannot make itself. ``home`` and ``temporary``: what ``ProtectHome`` and ``PrivateTmp`` have to be. ``unknown``:
    a line for every setting of a plugin that is a path kept as text, of a place that the service may not write to."""

    writable: Sequence[Path]
    missing: Sequence[Path]
    home: str
    temporary: str
    unknown: Sequence[str] = ()


def sandbox(kind: str, config: Config, file: Path, plugins: Plugins, *, vault: bool) -> Sandbox:
    """What ``fundingarb KIND`` with the configuration of ``file`` needs; ``vault``: it opens the vault, too.

    Relative paths are seen from the folder of ``file``, where the service runs. Raises ``ConfigError``.
    """
    from fundingarb.config.places import vault_file
    from fundingarb.folders import USUAL_FOLDER

    settings = list(_settings(kind, config, plugins))
    used = [(name, value) for name, value in settings if isinstance(value, Path)]
    wanted = [path for name, path in used if name.endswith("folder")]
    read = [path for _, path in used]
    if kind == "run":
        wanted += _of_a_bot(config, file)
        wanted += [vault_file(config).parent] if vault else []  # going live is noted in the vault
        read += [config.ready_file] if config.ready_file else []
    elif vault:
        read.append(vault_file(config))

    def placed(path: Path) -> Path:
        return (file.parent / path.expanduser()).resolve()

    wanted = sorted({placed(path) for path in wanted})
    writable = sorted({*wanted, placed(USUAL_FOLDER)})
    # what is looked up is the name; what has to be visible is where links lead, too
    seen = {*(placed(path) for path in read), *(file.parent / path.expanduser() for path in read)}
    seen |= {file, *writable, *_program()}
    temporary, homes = _any_below(seen, TEMPORARY), _any_below(seen, HOMES)
    writable += TEMPORARY if temporary else ()
    hidden = [*(() if homes else HOMES), *(() if temporary else TEMPORARY)]
    return Sandbox(
        writable,
        [path for path in wanted if not any(each.is_dir() for each in (path, *_above(path, wanted)))],
        "read-only" if homes else "true",
        "false" if temporary else "true",
        list(_unknown(settings, writable, hidden)),
    )


def _unknown(
    settings: Iterable[tuple[str, object]], writable: Sequence[Path], hidden: Sequence[Path]
) -> Iterator[str]:
    """What is said of paths that a plugin keeps as text. Their values are not shown: text may be secret."""
    for name, value in settings:
        path = _path_in(value)
        if path is None or _any_below([path], writable):
            continue
        may = "not see" if _any_below([path], hidden) else "read and not write to"
        yield (
            f"{name} is a path kept as text, of a place that the service may {may}: choose one below {writable[0]}, "
            "or have the plugin's author declare it as pathlib.Path"
        )


def _path_in(value: object) -> Path | None:
    """The absolute path that a text is, as far as can be seen: its first folder exists. None for any other text."""
    if not isinstance(value, str) or not value.startswith(("/", "~/")) or "\0" in value:
        return None
    path = Path(os.path.normpath(Path(value).expanduser()))
    return path if len(path.parts) > 1 and Path(*path.parts[:2]).is_dir() else None


def _of_a_bot(config: Config, file: Path) -> Iterator[Path]:
    from fundingarb.app import backup_folder, beside_database, log_folder

    yield file.parent  # settings that are changed while it runs
    yield beside_database(config, "")
    yield log_folder(config)
    if config.backup.enabled:
        yield backup_folder(config)
    if config.logging.file is not None:
        yield config.logging.file.parent


def _settings(kind: str, config: Config, plugins: Plugins) -> Iterator[tuple[str, object]]:
    """Dotted name and value of every setting of the plugins that ``fundingarb KIND`` opens, those within others too."""
    from fundingarb.plugins import validate_settings

    sections: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = [
        ("alerts", config.alerts, plugins.alert_sinks)
    ]
    if kind == "run":
        every = {**{name: {} for name in plugins.services}, **config.services}
        sections += [
            ("services", every, plugins.services),
            ("exchanges", config.exchanges, plugins.exchanges),
            ("risk", config.risk, plugins.risk_rules),
        ]
    for title, given, installed in sections:
        for name, section in given.items():
            if name not in installed:
                continue  # the program itself says so
            yield from _within(f"{title}.{name}", validate_settings(installed[name], section))


def _within(name: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, BaseModel):
        for field in type(value).model_fields:
            yield from _within(f"{name}.{field}", getattr(value, field))
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _within(f"{name}.{key}", each)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for each in value:
            yield from _within(name, each)
    else:
        yield name, value


def _program() -> Iterator[Path]:
    """Where Python and everything that is loaded into it come from."""
    for place in (sys.executable, sys.prefix, sys.base_prefix):
        yield from (Path(place), Path(place).resolve())
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None):
            yield Path(str(module.__file__))


def _any_below(paths: Iterable[Path], roots: Sequence[Path]) -> bool:
    return any(path.is_relative_to(root) for path in paths for root in roots)


def _above(path: Path, folders: Sequence[Path]) -> Iterator[Path]:
    return (each for each in folders if each != path and path.is_relative_to(each))


# -- quoting -----------------------------------------------------------------------------------------------------


def plain(path: Path | str) -> str:
    """``path`` as the whole value of a setting in a unit. Raises ``ConfigError`` for one that a unit cannot hold."""
    text = str(path)
    if not text.isprintable() or text != text.strip() or text.endswith("\\"):
        raise ConfigError(f"{text!r}: a unit cannot hold such a name; rename it")
    return text.replace("%", "%%")


def word(text: Path | str) -> str:
    """``text`` as one word in a list of a unit."""
    safe = plain(text)
    if all(each.isalnum() or each in "/._-+:=@," or each == "%" for each in safe):
        return safe
    return '"' + safe.replace("\\", "\\\\").replace('"', '\\"') + '"'


def command(arguments: Sequence[str]) -> str:
    """``arguments`` as ``ExecStart`` wants them: nothing in them is taken for a variable."""
    first, *rest = arguments
    return " ".join([word(first), *(word(each.replace("$", "$$")) for each in rest)])
