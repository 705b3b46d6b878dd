"""``fundingarb vault``: the file that holds keys and other secrets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fundingarb.cli.password import PASSWORD_FD, master_password, new_password

if TYPE_CHECKING:
    from fundingarb.ports import Secret
    from fundingarb.vault import Vault

CONFIG = click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The configuration whose vault is meant.",
)
FILE = click.option(
    "--file",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The vault itself. Default: ~/.fundingarb/credentials.vault",
)
NETWORK = click.option(
    "--network",
    type=click.Choice(["testnet", "mainnet"]),
    required=True,
    help="Where the keys are good for: testnet (simulation) or mainnet (live).",
)
VALUES_FD = click.option(
    "--values-fd",
    type=click.IntRange(min=0),
    metavar="N",
    help="Read what is secret as a JSON object from this file descriptor instead of asking for it.",
)
LARGEST = 65_536


@click.group("vault")
def vault_command() -> None:
    """Keep keys and passwords, encrypted.

    One file under one master password. Secrets are typed at a prompt that shows nothing, or come through a file
    descriptor; they are never arguments, environment variables or lines of the configuration.
    """


@vault_command.command("create")
@CONFIG
@FILE
@PASSWORD_FD
def create_command(config_file: Path | None, file: Path | None, password_fd: int | None) -> None:
    """Make an empty vault."""
    from fundingarb.vault import Vault, VaultError

    path = _path(config_file, file)
    if path.exists() or path.is_symlink():
        raise VaultError(f"{path}: there is a file already; name another one, or remove it")
    Vault.create(path, new_password(password_fd))
    click.echo(f"{path}: created; add keys with: fundingarb vault add account NAME")
    click.echo("Nobody can recover the password. Keep a copy of the file: without it the keys are gone.")


@vault_command.group("add")
def add_group() -> None:
    """Add keys of an account, or another secret; replaces what has the same name."""


@add_group.command("account")
@click.argument("name")
@click.option("--exchange", required=True, help="Name of the exchange, as `fundingarb plugins` lists it.")
@NETWORK
@CONFIG
@FILE
@PASSWORD_FD
@VALUES_FD
def add_account_command(
    name: str,
    exchange: str,
    network: str,
    config_file: Path | None,
    file: Path | None,
    password_fd: int | None,
    values_fd: int | None,
) -> None:
    """Add the keys of an account, called as in the configuration."""
    from fundingarb.vault import StoredAccount, VaultError

    fields, optional = fields_of(exchange)
    vault = _opened(config_file, file, password_fd)
    values = _values(fields, values_fd, optional)
    wrong = sorted({*fields} - {*values} | {*values} - {*fields, *optional})
    if wrong:
        more = f" and may have {', '.join(optional)}" if optional else ""
        raise VaultError(
            f"an account of {exchange} has {', '.join(fields)}{more}; correct {', '.join(wrong)}"
        )
    known = vault.account(name, network)
    vault.put_account(StoredAccount(name, exchange, network, values))
    vault.save()
    click.echo(f"{name}: {'keys replaced' if known else 'added'} ({exchange}, {network})")


@add_group.command("secret")
@click.argument("name")
@CONFIG
@FILE
@PASSWORD_FD
@VALUES_FD
def add_secret_command(
    name: str, config_file: Path | None, file: Path | None, password_fd: int | None, values_fd: int | None
) -> None:
    """Add another secret, such as telegram-token."""
    from fundingarb.vault import VaultError

    vault = _opened(config_file, file, password_fd)
    values = _values((name,), values_fd)
    if set(values) != {name}:
        raise VaultError(f"the JSON object has to have {name} and nothing else; correct it")
    known = name in vault.secrets
    vault.put_secret(name, values[name])
    vault.save()
    click.echo(f"{name}: {'replaced' if known else 'added'}")


@vault_command.group("remove")
def remove_group() -> None:
    """Remove keys of an account, or another secret."""


@remove_group.command("account")
@click.argument("name")
@NETWORK
@CONFIG
@FILE
@PASSWORD_FD
def remove_account_command(
    name: str, network: str, config_file: Path | None, file: Path | None, password_fd: int | None
) -> None:
    """Remove the keys of an account on one network."""
    vault = _opened(config_file, file, password_fd)
    vault.remove_account(name, network)
    vault.save()
    click.echo(f"{name}: removed ({network})")


@remove_group.command("secret")
@click.argument("name")
@CONFIG
@FILE
@PASSWORD_FD
def remove_secret_command(
    name: str, config_file: Path | None, file: Path | None, password_fd: int | None
) -> None:
    """Remove another secret."""
    vault = _opened(config_file, file, password_fd)
    vault.remove_secret(name)
    vault.save()
    click.echo(f"{name}: removed")


@vault_command.command("show")
@CONFIG
@FILE
@PASSWORD_FD
def show_command(config_file: Path | None, file: Path | None, password_fd: int | None) -> None:
    """List the names of what is in it, never a value."""
    vault = _opened(config_file, file, password_fd)
    for one in vault.accounts():
        click.echo(f"account {one.name}: {one.exchange}, {one.network} ({', '.join(one.values)})")
    for name in sorted(vault.secrets):
        click.echo(f"secret {name}")
    if not vault.secrets and not list(vault.accounts()):
        click.echo("nothing; add keys with: fundingarb vault add account NAME")


@vault_command.command("rekey")
@CONFIG
@FILE
@PASSWORD_FD
@click.option(
    "--new-password-fd",
    type=click.IntRange(min=0),
    metavar="N",
    help="Read the new master password from this file descriptor instead of asking for it.",
)
def rekey_command(
    config_file: Path | None, file: Path | None, password_fd: int | None, new_password_fd: int | None
) -> None:
    """Change the master password; everything is encrypted anew."""
    vault = _opened(config_file, file, password_fd)
    vault.rekey(new_password(new_password_fd))
    click.echo(f"{vault.path}: it has the new password; copies of the file still have the old one")


def _path(config_file: Path | None, file: Path | None) -> Path:
    from fundingarb.config.places import vault_file

    if file is not None:
        return file.expanduser()
    from fundingarb.config import load_essentials

    return vault_file(load_essentials(config_file)[0])


def _opened(config_file: Path | None, file: Path | None, password_fd: int | None) -> Vault:
    from fundingarb.vault import Vault
    from fundingarb.vault.hardening import harden

    harden()
    return Vault.open(_path(config_file, file), master_password(password_fd))


def fields_of(exchange: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the keys that an account of ``exchange`` has, and of those it may have besides."""
    from fundingarb.errors import ConfigError
    from fundingarb.plugins import load_plugins
    from fundingarb.settings import PluginSettings

    plugins = load_plugins()
    if exchange not in plugins.exchanges:
        known = ", ".join(sorted(plugins.exchanges)) or "none"
        raise ConfigError(f"no plugin for exchange {exchange} is installed; installed: {known}")
    settings = plugins.exchanges[exchange].component.settings
    if not issubclass(settings, PluginSettings):
        settings = PluginSettings
    return tuple(settings.credentials), tuple(settings.optional_credentials)


def _values(
    fields: tuple[str, ...], descriptor: int | None, optional: tuple[str, ...] = ()
) -> dict[str, Secret]:
    """What is secret: of the descriptor, or typed field by field."""
    from fundingarb.ports import Secret
    from fundingarb.vault import VaultError

    if descriptor is None:
        typed = {field: Secret(master_password(None, field).strip()) for field in fields}
        for field in optional:
            value = master_password(None, f"{field} (empty: none)").strip()
            if value:
                typed[field] = Secret(value)
        return typed
    given = read_values(descriptor)
    if not all(isinstance(value, str) for value in given.values()):
        raise VaultError(f"--values-fd {descriptor}: is not a JSON object of texts; correct it")
    return {name: Secret(value) for name, value in given.items()}


def read_values(descriptor: int) -> dict[str, Any]:
    """The JSON object of ``--values-fd``."""
    import json
    import os

    from fundingarb.vault import VaultError

    found = b""
    try:
        while len(found) < LARGEST and (part := os.read(descriptor, LARGEST)):
            found += part
        document = json.loads(found)
    except OSError as error:
        raise VaultError(
            f"--values-fd {descriptor}: {(error.strerror or 'cannot be read').lower()}; open it for reading"
        ) from None
    except (ValueError, RecursionError):
        raise VaultError(f"--values-fd {descriptor}: is not a JSON object; correct it") from None
    if not isinstance(document, dict):
        raise VaultError(f"--values-fd {descriptor}: is not a JSON object; correct it")
    return document
