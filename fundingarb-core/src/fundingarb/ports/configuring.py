"""Changing the configuration of a bot that runs: what a service or a command may ask, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """One setting that differs. ``path`` is dotted; a side is None where the setting is not there. ``restart`` says
    that it is in force from the next start on."""

    path: str
    before: Any
    after: Any
    restart: bool


@dataclass(frozen=True, slots=True)
class ConfigCheck:
    """``errors`` are by dotted path, one line each that says what to do; ``changes`` against the newest revision."""

    errors: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[ConfigChange, ...] = ()


@dataclass(frozen=True, slots=True)
class ConfigApplied:
    """A configuration that was stored as ``revision``; the ``restart`` paths are in force from the next start on."""

    revision: int
    changes: tuple[ConfigChange, ...]

    @property
    def restart(self) -> tuple[str, ...]:
        return tuple(change.path for change in self.changes if change.restart)


@dataclass(frozen=True, slots=True)
class ConfigRevision:
    """A configuration as it was stored at ``at``. ``actor`` made it; None of what the program found when it started."""

    revision: int
    at: datetime
    document: Mapping[str, Any]
    actor: str | None = None


def with_setting(document: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    """A configuration's ``document`` with ``value`` at ``path``, which may be new; ``document`` stays as it is."""
    first, *rest = path
    if not rest:
        return {**document, first: value}
    inner = document.get(first)
    return {**document, first: with_setting(inner if isinstance(inner, Mapping) else {}, rest, value)}


class ConfigDesk(Protocol):
    """The configuration of a running bot. Documents are what JSON can carry, decimals as text, without secrets."""

    @property
    def revision(self) -> int:
        """The newest one."""
        ...

    @property
    def restart_keys(self) -> Sequence[str]:
        """Paths whose settings, and those below them, need a restart."""
        ...

    def document(self) -> Mapping[str, Any]:
        """The newest configuration."""
        ...

    def schema(self) -> Mapping[str, Any]:
        """JSON schema of the document, with the sections of the installed plugins."""
        ...

    def check(self, document: Mapping[str, Any]) -> ConfigCheck:
        """What is wrong with ``document``, and what it would change."""
        ...

    async def apply(self, document: Mapping[str, Any], actor: str, base_revision: int) -> ConfigApplied:
        """Put ``document`` in force between two decisions, write it to the file it came from, store and audit it.

        All of it or nothing. Raises ``ConfigRefused`` with every error, ``VersionConflict`` when ``base_revision`` is
        not the newest, ``ConfigError`` when the file cannot be written, ``StoreError``."""
        ...

    async def reload(self, actor: str) -> ConfigApplied:
        """Apply what the file it came from says now. Raises as ``apply``, and ``ConfigError`` without a file."""
        ...

    async def revisions(self, limit: int = 100) -> Sequence[ConfigRevision]:
        """The newest first. Raises ``StoreError``."""
        ...

    async def rollback(self, revision: int, actor: str) -> ConfigApplied:
        """Apply what an earlier revision said, as a new one. Raises as ``apply``."""
        ...
