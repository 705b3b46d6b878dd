"""``fundingarb unit``: the files that run the program as a service."""

from __future__ import annotations

import getpass
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fundingarb.cli.run import CONFIG
from fundingarb.deploy import KINDS

if TYPE_CHECKING:
    from fundingarb.config import Config
    from fundingarb.plugins import Plugins

CREDENTIAL = "fundingarb-master-password"
PLACE = "/etc/credstore.encrypted"


@click.command("unit")
@click.argument("kind", type=click.Choice(list(KINDS)), default="run")
@CONFIG
@click.option("--user", help="Who it runs as; without it whoever asks.")
@click.option("--credential", default=f"{PLACE}/{CREDENTIAL}.cred", help="The encrypted master password.")
def unit_command(kind: str, config_file: Path | None, user: str | None, credential: str) -> None:
    """Print a systemd unit or a container file.

    run: the bot, started again after a crash. watch: fundingarb watch, which alerts when the bot is silent. Either has
    the master password, where it opens the vault, from a systemd encrypted credential. container: a container file.
    """
    from fundingarb.app import load_config
    from fundingarb.cli.sandbox import command, plain, sandbox, word
    from fundingarb.deploy import filled
    from fundingarb.plugins import load_plugins

    if kind == "container":
        click.echo(_container(), nl=False)
        return
    if config_file is None:
        raise click.UsageError("a unit needs --config FILE: what the service is to run")
    _at_home_as(user)
    config, file = load_config(config_file), config_file.resolve()
    os.chdir(file.parent)  # where the service runs: what is relative is there
    plugins, user = load_plugins(config.plugins.allow), user or getpass.getuser()
    vault = _takes_password(kind, config, plugins)
    box = sandbox(kind, config, file, plugins, vault=vault)
    text = filled(
        kind,
        user=user,
        folder=plain(file.parent),
        command=command(_arguments(kind, file, vault)),
        credential=f"LoadCredentialEncrypted={CREDENTIAL}:{plain(credential)}" if vault else "",
        # a folder that is not there yet does not keep the service from starting
        writable=" ".join(word(f"-{path}") for path in box.writable),
        home=box.home,
        temporary=box.temporary,
    )
    click.echo(text, nl=False)
    for folder in box.missing:
        click.echo(
            f"warning: {folder} is not there, and the service cannot make it; before it starts:\n"
            f"  sudo install -d -m 700 -o {shlex.quote(user)} {shlex.quote(str(folder))}",
            err=True,
        )
    for line in box.unknown:
        click.echo(f"warning: {line}", err=True)
    if vault:
        click.echo(
            "Encrypt the master password once, on the machine where it runs:\n"
            "  systemd-ask-password -n 'Master password:' | "
            f"sudo systemd-creds encrypt --name={CREDENTIAL} - {shlex.quote(credential)}",
            err=True,
        )


def _at_home_as(user: str | None) -> None:
    """Have ~ mean what it does to the service: systemd has a user's home folder from the system."""
    import pwd

    if user is None or user == getpass.getuser():
        return
    try:
        os.environ["HOME"] = pwd.getpwnam(user).pw_dir
    except KeyError:
        click.echo(
            f"warning: there is no user {user} here; make it before the service starts, and print the unit then",
            err=True,
        )


def _takes_password(kind: str, config: Config, plugins: Plugins) -> bool:
    """Whether the program opens the vault, for which nobody is there to type the password."""
    from fundingarb.opening import sinks_take_secrets

    trades = config.network != "localnet" or config.database.password_in_vault
    return (kind == "run" and trades) or sinks_take_secrets(config, plugins)


def _arguments(kind: str, file: Path, vault: bool) -> list[str]:
    program = [sys.executable, "-m", "fundingarb", kind, "--config", str(file)]
    if not vault:
        return program
    # a descriptor and nothing else: neither arguments nor environment hold the password
    script = f'exec "$@" --password-fd 3 3<"${{CREDENTIALS_DIRECTORY}}/{CREDENTIAL}"'
    return ["/bin/sh", "-c", script, "sh", *program]


def _container() -> str:
    from importlib_metadata import distributions
    from importlib_metadata import version as version_of

    from fundingarb.deploy import filled

    names = sorted(
        f"{found.metadata['Name']}=={found.version}"
        for found in distributions()
        if str(found.metadata["Name"]).startswith("fundingarb-")
        and found.metadata["Name"] != "fundingarb-core"
    )
    packages = " ".join(f'"{name}"' for name in dict.fromkeys(names))
    return filled("container", version=version_of("fundingarb-core"), packages=packages)
