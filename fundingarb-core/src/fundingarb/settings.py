"""The base of every plugin's settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

__all__ = ["PluginSettings"]


class PluginSettings(BaseModel):
    """A section of the configuration that belongs to one component.

    An unknown field is refused, so that a misspelt one is never a silent default; instances do not change. The
    validator is built when it is first used: listing what is installed does not pay for it. ``credentials`` are the
    keys that an account of an exchange has in the vault, ``optional_credentials`` those it may have besides.

    A path is a ``pathlib.Path``, also within a list or a nested model: then the systemd unit of ``fundingarb unit``
    lets the service see it. One whose name ends in ``folder`` it may write to. A path kept as text is not seen.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    credentials: ClassVar[Sequence[str]] = ("api_key", "api_secret")
    optional_credentials: ClassVar[Sequence[str]] = ()

    def vault_secrets(self) -> Sequence[str]:
        """Names of the vault's secrets that a component with these settings asks its context for: of an alert sink
        that names one, ``fundingarb watch`` opens the vault, and its service is given the master password."""
        return ()
