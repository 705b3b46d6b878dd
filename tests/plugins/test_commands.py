"""Subcommands that plugins bring."""

from __future__ import annotations

import pytest
from tests.conftest import MakePlugin, RunCli

GREET = """
import click

@hookimpl
def register_commands(cli):
    @cli.command("greet")
    @click.argument("name")
    def greet(name):
        "Say hello."
        click.echo(f"hello {name}")
"""


def test_a_plugins_command_is_listed_and_runs(
    make_plugin: MakePlugin, run_cli: RunCli, with_site: dict[str, str]
) -> None:
    make_plugin("acme-tools", GREET)
    listed = run_cli("--help", env=with_site)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert ["greet", "Say", "hello."] in [line.split() for line in listed.stdout.splitlines()]
    ran = run_cli("greet", "you", env=with_site)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "hello you\n", "")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (GREET.replace('"greet"', '"plugins"'), "a command 'plugins' already"),
        ("@hookimpl\ndef register_commands(cli):\n    raise OSError('no')\n", "OSError: no"),
    ],
    ids=["taken name", "raising hook"],
)
def test_commands_that_cannot_be_added(
    source: str, says: str, make_plugin: MakePlugin, run_cli: RunCli, with_site: dict[str, str]
) -> None:
    make_plugin("acme-tools", source)
    result = run_cli("no-such-command", env=with_site)
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: acme-tools 1.2.3: ")
    assert says in line


def test_two_plugins_with_one_command(
    make_plugin: MakePlugin, run_cli: RunCli, with_site: dict[str, str]
) -> None:
    make_plugin("acme-one", GREET)
    make_plugin("acme-two", GREET)
    result = run_cli("greet", "you", env=with_site)
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: acme-two 1.2.3: ")
    assert "'greet'" in line
