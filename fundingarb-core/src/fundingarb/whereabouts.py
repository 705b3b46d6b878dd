"""Which bots run with a configuration's file, and on what: a note of each, beside the file, while it runs.

The file may be changed while a bot runs, by going live or by hand; whoever has to reach that bot looks here.
"""

from __future__ import annotations

import glob
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fundingarb.config import Config
from fundingarb.config.document import document_of, moved
from fundingarb.config.edit import replacement
from fundingarb.config.loader import ESSENTIAL
from fundingarb.config.schema import hide_password
from fundingarb.errors import ConfigError
from fundingarb.process import Process, running, this_process
from fundingarb.store.database import parse_url

__all__ = ["Note", "database_of", "elsewhere", "noted", "notes", "there"]

log = logging.getLogger("fundingarb.whereabouts")

FOLLOWED = ("network", "ready_file", "database", "accounts")
"""Sections that are those of the bot that runs, whatever its file says now."""


@dataclass(frozen=True)
class Note:
    """That ``process`` runs with ``settings``: the sections without which its positions cannot be found."""

    path: Path
    process: Process
    settings: Mapping[str, Any]

    @property
    def config(self) -> Config:
        """The bot's configuration, as far as it is noted."""
        return Config(**self.settings)

    @property
    def database(self) -> str:
        """The database in words, without a password."""
        return str(parse_url(self.settings["database"]["url"]))


def database_of(config: Config) -> str:
    """The database that ``config`` names, in words as those of ``Note.database``."""
    return str(parse_url(config.database.url))


@contextmanager
def noted(config: Config) -> Iterator[None]:
    """Note beside the file of ``config`` that this process has its lease, until the block is left."""
    origin = config.origin
    if origin is None or parse_url(config.database.url).memory:
        yield
        return
    file, me = origin.path.resolve(), this_process()
    path = file.with_name(f".{file.name}.{_plain(me.host)}-{me.pid}.running")
    mine = Note(path, me, _settings(config))
    try:
        _remove_ended(file, mine)
        with replacement(path, json.dumps({"process": me.dump(), "settings": mine.settings})) as put:
            put()
    except (ConfigError, OSError) as error:
        log.warning(
            "kill and status find this bot only while its file is not changed: no note of it: %s", error
        )
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _settings(config: Config) -> dict[str, Any]:
    """The essential sections, with names of files that mean the same for everybody. Without the database's password."""
    document = document_of(config)
    found = {name: document[name] for name in ESSENTIAL}
    for name in ("ready_file", "vault"):
        if found[name] is not None:
            found[name] = str(Path(found[name]).expanduser().resolve())
    file = parse_url(config.database.url).file
    if file is not None:
        found["database"] = {**found["database"], "file": str(file)}
    return found


def _remove_ended(file: Path, mine: Note) -> None:
    """Remove the notes of bots that have certainly ended: with the lease of their database here, nobody else has it."""
    for note in notes(file, ended=True):
        if note.database == mine.database or (note.process.here and not running(note.process)):
            note.path.unlink(missing_ok=True)


def notes(file: Path, *, ended: bool = False) -> list[Note]:
    """Notes beside ``file``, newest first: of bots that run here, or on another host as far as can be seen; with
    ``ended`` those of bots that do not run any more as well."""
    file = file.resolve()
    found: list[tuple[float, Note]] = []
    for path in file.parent.glob(f".{glob.escape(file.name)}.*.running"):
        try:
            note, at = _read(path), path.stat().st_mtime
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            ValidationError,
            ConfigError,
        ) as error:
            log.warning("%s is no note of a bot; remove it: %s", path, type(error).__name__)
            continue
        if ended or running(note.process) or not note.process.here:
            found.append((at, note))
    return [note for _, note in sorted(found, key=lambda each: each[0], reverse=True)]


def _read(path: Path) -> Note:
    content = json.loads(path.read_text(encoding="utf-8"))
    process, settings = Process.load(content["process"]), content["settings"]
    if process is None:
        raise ValueError(path)
    database = settings["database"]
    file = database.pop("file", None)
    if file is not None and str(parse_url(database["url"]).file) != file:
        database["url"] = f"sqlite:///{file}"  # written for another folder, or for another user
    note = Note(path, process, settings)
    _ = note.config, note.database
    return note


def there(config: Config | None, file: Path) -> tuple[Config | None, list[str]]:
    """``config`` as the bot has it that runs with ``file``, whatever that says now (None: it cannot be read).

    Unchanged where none runs. Also what a person has to know about it, a line each.
    """
    told = []
    here: list[Note] = []
    for note in notes(file):
        if note.process.here:
            here.append(note)
        elif config is None or note.database != database_of(config):
            told.append(
                f"{note.process} was started with {file} and may still trade on {note.database}: look there"
            )
    if not here:
        return config, told
    own = None if config is None else database_of(config)
    chosen = next((note for note in here if note.database == own), here[0])
    found = chosen.config
    if config is None:
        told.append(f"{file} cannot be used; going on with what {chosen.process} was started with")
    else:
        changed = [path for path in moved(found, config) if path != "database.url" or own != chosen.database]
        if changed:
            told.append(
                f"{file} was changed since {chosen.process} was started with it ({', '.join(changed)}): this goes to "
                f"that bot, which trades on network {found.network}, {chosen.database}; what the file names now is not "
                "touched"
            )
        update = {name: getattr(found, name) for name in FOLLOWED}
        if own == chosen.database or hide_password(config.database.url) == found.database.url:
            update["database"] = config.database
        found = config.model_copy(update=update).came_from(config.origin)
    told += [
        f"{note.process} runs with {file} too, on {note.database}; reach it with --set database.url="
        f"{note.settings['database']['url']}"
        for note in here
        if note is not chosen
    ]
    return found, told


def elsewhere(config: Config) -> list[Note]:
    """Notes of bots that were started with the file of ``config`` and have another database than it, newest first:
    of those that run here, and of those on other hosts, which may have ended. For whoever means what the file says."""
    if config.origin is None:
        return []
    own = database_of(config)
    return [note for note in notes(config.origin.path) if note.database != own]


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", text)
