"""The master password on the command line: a prompt that shows nothing, or ``--password-fd``; the vault it opens."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fundingarb.config import Config
    from fundingarb.vault import Vault

PASSWORD_FD = click.option(
    "--password-fd",
    type=click.IntRange(min=0),
    metavar="N",
    help="Read the master password from this file descriptor instead of asking for it.",
)


def master_password(descriptor: int | None, what: str = "Master password") -> str:
    """The password of ``descriptor``, or what is typed. Raises ``VaultError`` without either."""
    from fundingarb.vault import VaultError, password_from_fd

    if descriptor is not None:
        return password_from_fd(descriptor)
    if not sys.stdin.isatty():
        raise VaultError(
            "there is no terminal to ask for the master password of the vault; give it with --password-fd N "
            "(such as: fundingarb run --password-fd 3 3< FILE)"
        )
    from getpass import getpass

    try:
        return getpass(f"{what}: ")
    except EOFError:
        raise VaultError("no password was typed; run the command again") from None


def new_password(descriptor: int | None) -> str:
    """A password for a vault, typed twice. Raises ``VaultError``."""
    from fundingarb.vault import VaultError, check_strength

    password = check_strength(master_password(descriptor, "New master password"))
    if descriptor is None and master_password(None, "The same again") != password:
        raise VaultError("the two passwords differ; run the command again")
    return password


def opener(config: Config, descriptor: int | None) -> Callable[[], Vault]:
    """Opens the vault of ``config``, asking for the password when it is first needed and only then."""
    from fundingarb.config.places import vault_file

    return partial(_opened, vault_file(config), descriptor)


@cache
def _opened(path: Path, descriptor: int | None) -> Vault:
    """Once per process: a descriptor is read once, and nobody types a password twice."""
    from fundingarb.vault import Vault
    from fundingarb.vault.files import read_private
    from fundingarb.vault.hardening import harden

    harden()
    read_private(path)  # nobody types a password for a vault that is not there, or is open to others
    return Vault.open(path, master_password(descriptor))


def database_password(config: Config, descriptor: int | None = None) -> None:
    """Where the configuration says so, have this process use the vault's database password. Raises ``ConfigError``."""
    if config.database.password_in_vault:
        from fundingarb.unlocking import take_database_password

        take_database_password(config, opener(config, descriptor))
