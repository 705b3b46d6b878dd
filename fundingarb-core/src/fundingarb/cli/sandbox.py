"""What a service has to see of the file system, and how a unit says it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    cannot make itself. ``home`` and ``temporary``: what ``ProtectHome`` and ``PrivateTmp`` have to be."""

    writable: Sequence[Path]
    missing: Sequence[Path]
    home: str
    temporary: str


def sandbox(kind: str, config: Config, file: Path, plugins: Plugins, *, vault: bool) -> Sandbox:
    """What ``fundingarb KIND`` with the configuration of ``file`` needs; ``vault``: it opens the vault, too.

    Relative paths are seen from the folder of ``file``, where the service runs. Raises ``ConfigError``.
    """
    from fundingarb.config.places import vault_file
    from fundingarb.folders import USUAL_FOLDER

    used = list(_settings_paths(kind, config, plugins))
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
    temporary = _any_below(seen, TEMPORARY)
    return Sandbox(
        [*writable, *(TEMPORARY if temporary else ())],
        [path for path in wanted if not any(each.is_dir() for each in (path, *_above(path, wanted)))],
        "read-only" if _any_below(seen, HOMES) else "true",
        "false" if temporary else "true",
    )


def _of_a_bot(config: Config, file: Path) -> Iterator[Path]:
    from fundingarb.app import backup_folder, beside_database, log_folder

    yield file.parent  # settings that are changed while it runs
    yield beside_database(config, "")
    yield log_folder(config)
    if config.backup.enabled:
        yield backup_folder(config)
    if config.logging.file is not None:
        yield config.logging.file.parent


def _settings_paths(kind: str, config: Config, plugins: Plugins) -> Iterator[tuple[str, Path]]:
    """Name and value of every path in the settings of the plugins that ``fundingarb KIND`` opens."""
    from fundingarb.plugins import validate_settings

    sections: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = [(config.alerts, plugins.alert_sinks)]
    if kind == "run":
        every = {**{name: {} for name in plugins.services}, **config.services}
        sections += [
            (every, plugins.services),
            (config.exchanges, plugins.exchanges),
            (config.risk, plugins.risk_rules),
        ]
    for given, installed in sections:
        for name, section in given.items():
            if name not in installed:
                continue  # the program itself says so
            settings = validate_settings(installed[name], section)
            for field in type(settings).model_fields:
                value = getattr(settings, field)
                if isinstance(value, Path):
                    yield field, value


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
