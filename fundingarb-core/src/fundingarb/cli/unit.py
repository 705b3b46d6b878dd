"""``fundingarb unit``: the files that run the program as a service."""

from __future__ import annotations

import getpass
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fundingarb.cli.run import CONFIG
from fundingarb.deploy import KINDS

if TYPE_CHECKING:
    from fundingarb.config import Config

CREDENTIAL = "fundingarb-master-password"
PLACE = "/etc/credstore.encrypted"


@click.command("unit")
@click.argument("kind", type=click.Choice(list(KINDS)), default="run")
@CONFIG
@click.option("--user", help="Who it runs as; without it whoever asks.")
@click.option("--credential", default=f"{PLACE}/{CREDENTIAL}.cred", help="The encrypted master password.")
def unit_command(kind: str, config_file: Path | None, user: str | None, credential: str) -> None:
    """Print a systemd unit or a container file.

    run: the bot, started again after a crash, with the master password from a systemd encrypted credential. watch:
    fundingarb watch, which alerts when the bot is silent. container: a container file.
    """
    from fundingarb.app import load_config

    if kind == "container":
        click.echo(_container(), nl=False)
        return
    if config_file is None:
        raise click.UsageError("a unit needs --config FILE: what the service is to run")
    config, file = load_config(config_file), config_file.resolve()
    vault = config.network != "localnet" and kind == "run"
    from fundingarb.deploy import filled

    text = filled(
        kind,
        user=user or getpass.getuser(),
        folder=str(file.parent),
        command=_command(kind, file, vault),
        credential=f"LoadCredentialEncrypted={CREDENTIAL}:{credential}" if vault else "",
        writable=" ".join(sorted({_escaped(path) for path in _writable(config, file)})),
        home="read-only" if _at_home(file) else "true",
    )
    click.echo(text, nl=False)
    if vault:
        click.echo(
            "Encrypt the master password once, on the machine where it runs:\n"
            "  systemd-ask-password -n 'Master password:' | "
            f"sudo systemd-creds encrypt --name={CREDENTIAL} - {credential}",
            err=True,
        )


def _command(kind: str, file: Path, vault: bool) -> str:
    program = f"{sys.executable} -m fundingarb {kind} --config {shlex.quote(str(file))}"
    if not vault:
        return program
    # a descriptor and nothing else: neither arguments nor environment hold the password
    return f"/bin/sh -c 'exec {program} --password-fd 3 3<\"$${{CREDENTIALS_DIRECTORY}}/{CREDENTIAL}\"'"


def _writable(config: Config, file: Path) -> list[Path]:
    from fundingarb.app import backup_folder, beside_database, log_folder
    from fundingarb.folders import USUAL_FOLDER

    places = [file.parent, beside_database(config, ""), log_folder(config), backup_folder(config)]
    # what alert sinks remember: in their own folder, or in the usual one
    places += [
        Path(str(s["state_folder"])).expanduser() for s in config.alerts.values() if "state_folder" in s
    ]
    return [*places, USUAL_FOLDER.expanduser()]


def _escaped(path: Path) -> str:
    """``path`` as systemd wants it; a folder that is not there yet does not keep the service from starting."""
    return "-" + str(path.resolve()).replace("%", "%%").replace(" ", "\\x20")


def _at_home(file: Path) -> bool:
    """Whether the program or its files are where a service usually has no business."""
    places = (file, Path(sys.executable), Path(sys.prefix))
    return any(place.parts[1:2] and place.parts[1] in ("home", "root", "run") for place in places)


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
