"""Where things are that the configuration may leave out."""

from __future__ import annotations

from pathlib import Path

from fundingarb.config.schema import Config
from fundingarb.folders import USUAL_FOLDER

VAULT = USUAL_FOLDER / "credentials.vault"


def vault_file(config: Config) -> Path:
    """The credentials vault of ``config``."""
    return (config.vault or VAULT).expanduser()
