"""The console script: what it imports, how it ends, what it says when something is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import MakePlugin, RunCli

HEAVY = {
    "aiohttp",
    "alembic",
    "anyio",
    "ccxt",
    "cryptography",
    "hypercorn",
    "msgspec",
    "pydantic",
    "quart",
    "rich",
    "sqlalchemy",
    "telegram",
    "yaml",
}


PROBE = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print(*sys.modules, file=sys.stderr)
"""


def imported_by(script: Path, *args: str) -> set[str]:
    """Top-level names of the modules that one run of the console script imports."""
    command = [sys.executable, "-c", PROBE, str(script), *args]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return {module.partition(".")[0] for module in result.stderr.split()}


def test_help_imports_nothing_heavy(fundingarb_script: Path) -> None:
    modules = imported_by(fundingarb_script, "--help")
    assert {"click", "fundingarb", "fundingarb_okx"} <= modules, "plugins are looked at, lightly"
    assert modules & HEAVY == set()


def test_plugins_imports_settings_but_no_adapter(fundingarb_script: Path) -> None:
    modules = imported_by(fundingarb_script, "plugins")
    assert "pydantic" in modules
    assert modules & (HEAVY - {"pydantic"}) == set()


def test_help_lists_every_command(run_cli: RunCli) -> None:
    result = run_cli("--help")
    assert (result.returncode, result.stderr) == (0, "")
    listed = [
        line.split()[0] for line in result.stdout.partition("Commands:")[2].splitlines() if line.strip()
    ]
    assert listed == [
        "backup", "completion", "config", "dashboard", "db", "demo", "doctor", "drill", "go-live", "init", "kill",
        "localnet", "pause", "plugins", "rates", "reconcile", "restore", "resume", "run", "status", "telegram", "unit",
        "vault", "watch",
    ]  # fmt: skip


def test_version(run_cli: RunCli) -> None:
    result = run_cli("--version")
    assert (result.returncode, result.stdout, result.stderr) == (0, "fundingarb 0.1.0\n", "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["no-such-command"], "No such command 'no-such-command'; see: fundingarb --help"),
        (["--no-such-option"], "No such option '--no-such-option'"),
        (["plugins", "--no-such-option"], "see: fundingarb plugins --help"),
        (["plugins", "surplus"], "surplus"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], says: str, run_cli: RunCli) -> None:
    result = run_cli(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert says in line


def test_without_a_command_the_help_is_shown(run_cli: RunCli) -> None:
    result = run_cli()
    assert result.returncode == 2
    assert "Commands:" in result.stderr


FAILING = """
import os
import signal
import sys

import anyio
from fundingarb.errors import ConfigError, FundingArbError

class Worse(FundingArbError):
    exit_status = 4

@hookimpl
def register_commands(cli):
    @cli.command("expected")
    def expected():
        raise ConfigError("the file\\nis empty; write something into it")

    @cli.command("own-status")
    def own_status():
        raise Worse("stuck")

    @cli.command("grouped")
    def grouped():
        async def body():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fail)
                await anyio.sleep_forever()

        async def fail():
            raise ConfigError("from a task")

        anyio.run(body)

    @cli.command("bug")
    def bug():
        raise ZeroDivisionError("division by zero")

    @cli.command("grouped-interrupt")
    def grouped_interrupt():
        if sys.version_info < (3, 11):
            from exceptiongroup import BaseExceptionGroup as Group
        else:
            Group = BaseExceptionGroup
        raise Group("several", [ConfigError("lost"), KeyboardInterrupt()])

    @cli.command("interrupted")
    def interrupted():
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits it ignored
        os.kill(os.getpid(), signal.SIGINT)
        import time
        time.sleep(10)
"""


@pytest.mark.parametrize(
    ("command", "status", "says"),
    [
        ("expected", 2, "error: the file is empty; write something into it\n"),
        ("own-status", 4, "error: stuck\n"),
        ("grouped", 2, "error: from a task\n"),
        ("interrupted", 130, "\n"),
        ("grouped-interrupt", 130, ""),
    ],
)
def test_an_expected_failure_is_its_line_and_its_status(
    command: str, status: int, says: str, make_plugin: MakePlugin, run_cli: RunCli, with_site: dict[str, str]
) -> None:
    make_plugin("acme-tools", FAILING)
    result = run_cli(command, env=with_site)
    assert (result.returncode, result.stdout, result.stderr) == (status, "", says)


def test_a_bug_is_one_line_and_the_traceback_is_for_debug(
    make_plugin: MakePlugin, run_cli: RunCli, with_site: dict[str, str]
) -> None:
    make_plugin("acme-tools", FAILING)
    result = run_cli("bug", env=with_site)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: unexpected ZeroDivisionError: division by zero; ")
    assert "--debug" in line

    result = run_cli("--debug", "bug", env=with_site)
    assert result.returncode == 1
    assert "Traceback (most recent call last):" in result.stderr
    assert result.stderr.splitlines()[-1] == line


def test_plugins_table(run_cli: RunCli) -> None:
    result = run_cli("plugins")
    assert (result.returncode, result.stderr) == (0, "")
    head, *rows = result.stdout.splitlines()
    assert head.split() == ["KIND", "NAME", "DISTRIBUTION", "VERSION", "SETTINGS"]
    cells = {tuple(row.split()[:4]) for row in rows}
    assert ("exchange", "okx", "fundingarb-okx", "0.1.0") in cells
    assert ("exchange", "dydx", "fundingarb-dydx", "0.1.0") in cells
    assert ("service", "dashboard", "fundingarb-dashboard", "0.1.0") in cells
    assert not any("cannot be used" in row for row in rows)


def test_plugins_as_json(run_cli: RunCli) -> None:
    result = run_cli("plugins", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    (dashboard,) = [one for one in json.loads(result.stdout) if one["name"] == "dashboard"]
    assert dashboard["distribution"] == "fundingarb-dashboard"
    assert dashboard["unavailable"] is None
    (port,) = [one for one in dashboard["settings"] if one["name"] == "port"]
    assert (port["name"], port["type"], port["required"]) == ("port", "int", False)


def test_a_closed_pipe_is_no_failure(fundingarb_script: Path) -> None:
    """`fundingarb plugins | head -0` must not end in a traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        result = subprocess.run(
            [str(fundingarb_script), "plugins"],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert result.stderr == ""
    assert result.returncode in (1, -signal.SIGPIPE)
