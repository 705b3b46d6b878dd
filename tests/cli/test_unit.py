"""The files that run the program as a service: systemd accepts them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.conftest import RunCli
from tests.needs import need

VAULT = "network: testnet\naccounts: {binance: {exchange: binance}, bybit: {exchange: bybit}}\n"


def printed(run_cli: RunCli, folder: Path, kind: str, config: str) -> str:
    file = folder / "fundingarb.yaml"
    file.write_text(config)
    done = run_cli("unit", kind, "--config", str(file), "--user", "daemon")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["run", "watch"])
@pytest.mark.parametrize("config", ["", VAULT], ids=["localnet", "vault"])
def test_systemd_accepts_the_unit(run_cli: RunCli, tmp_path: Path, kind: str, config: str) -> None:
    need(shutil.which("systemd-analyze"), "systemd-analyze", "apt-get install systemd")
    unit = tmp_path / f"fundingarb-{kind}.service"
    unit.write_text(printed(run_cli, tmp_path, kind, config))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, said) == (0, [])


def test_the_password_comes_from_an_encrypted_credential_and_a_descriptor(
    run_cli: RunCli, tmp_path: Path
) -> None:
    unit = printed(run_cli, tmp_path, "run", VAULT)
    assert "LoadCredentialEncrypted=fundingarb-master-password:/etc/credstore.encrypted/" in unit
    assert '--password-fd 3 3<"$${CREDENTIALS_DIRECTORY}/fundingarb-master-password"' in unit
    assert "Type=notify" in unit
    assert "WatchdogSec=30" in unit
    assert "Restart=on-failure" in unit
    local = printed(run_cli, tmp_path, "run", "")
    assert "--password-fd" not in local
    assert "LoadCredential" not in local


def test_the_shell_of_the_unit_hands_over_the_password(run_cli: RunCli, tmp_path: Path) -> None:
    """The start command as systemd runs it, with another program in place of the bot."""
    unit = printed(run_cli, tmp_path, "run", VAULT)
    line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    script = line.partition("'")[2].rpartition("'")[0].replace("$$", "$")
    before, _, after = script.partition("--password-fd 3")
    assert before.startswith("exec ")
    (tmp_path / "fundingarb-master-password").write_text("correct horse")
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec cat /dev/fd/3{after}"],
        env={"CREDENTIALS_DIRECTORY": str(tmp_path), "PATH": "/bin:/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "correct horse"


def test_a_container_file_with_what_is_installed(run_cli: RunCli) -> None:
    done = run_cli("unit", "container")
    assert done.returncode == 0, done.stderr
    assert "FROM docker.io/library/python:" in done.stdout
    assert '"fundingarb-binance==' in done.stdout
    assert "--password-fd 3 3</run/secrets/master-password" in done.stdout
    assert "$" not in done.stdout.split("FROM", 1)[1]


def test_a_unit_needs_a_configuration(run_cli: RunCli) -> None:
    assert "a unit needs --config FILE" in run_cli("unit").stderr
