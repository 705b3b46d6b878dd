"""``fundingarb vault``: what is typed is not shown, what is secret is in no argument and no environment."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from fundingarb.ports import Secret
from fundingarb.vault import LEAST_COSTS, StoredAccount, Vault

PASSWORD = "correct horse battery"
SECRET = "s3cret-of-the-account"
FUNDINGARB = (sys.executable, "-m", "fundingarb")


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    made = Vault.create(folder / "credentials.vault", PASSWORD, LEAST_COSTS)
    made.put_account(StoredAccount("binance", "binance", "testnet", {"api_key": Secret(SECRET)}))
    made.save()
    return made


def run(
    arguments: Sequence[str], *lines: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The program with ``lines`` each on a descriptor of its own, which {0}, {1} in the arguments name."""
    ends = [os.pipe() for _ in lines]
    for (_, write), line in zip(ends, lines, strict=True):
        os.write(write, line.encode())
        os.close(write)
    readers = [read for read, _ in ends]
    try:
        return subprocess.run(
            [*FUNDINGARB, *(argument.format(*readers) for argument in arguments)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
            pass_fds=readers, env={**os.environ, **(env or {})},
        )  # fmt: skip
    finally:
        for reader in readers:
            os.close(reader)


def refused(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert PASSWORD not in done.stderr
    assert SECRET not in done.stderr
    return done.stderr


def test_from_nothing_with_descriptors(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "credentials.vault")
    made = run(["vault", "create", "--file", path, "--password-fd", "{0}"], PASSWORD)
    assert made.returncode == 0, made.stderr
    keys = json.dumps({"api_key": "k", "api_secret": SECRET, "passphrase": "p"})
    account = [
        "vault",
        "add",
        "account",
        "okx-main",
        "--exchange",
        "okx",
        "--network",
        "testnet",
        "--file",
        path,
    ]
    added = run([*account, "--password-fd", "{0}", "--values-fd", "{1}"], PASSWORD + "\n", keys)
    assert (added.returncode, added.stdout) == (0, "okx-main: added (okx, testnet)\n"), added.stderr
    shown = run(["vault", "show", "--file", path, "--password-fd", "{0}"], PASSWORD)
    assert shown.stdout == "account okx-main: okx, testnet (api_key, api_secret, passphrase)\n"
    rekeyed = run(
        ["vault", "rekey", "--file", path, "--password-fd", "{0}", "--new-password-fd", "{1}"],
        PASSWORD,
        "another battery staple",
    )
    assert rekeyed.returncode == 0, rekeyed.stderr
    assert "does not open it" in refused(
        run(["vault", "show", "--file", path, "--password-fd", "{0}"], PASSWORD)
    )
    found = Vault.open(Path(path), "another battery staple").account("okx-main", "testnet")
    assert found is not None
    assert found.values["api_secret"].reveal() == SECRET


def test_without_a_terminal_there_has_to_be_a_descriptor(vault: Vault) -> None:
    assert "--password-fd" in refused(run(["vault", "show", "--file", str(vault.path)]))
    assert "open it for reading" in refused(
        run(["vault", "show", "--file", str(vault.path), "--password-fd", "77"])
    )
    assert "no password to read" in refused(
        run(["vault", "show", "--file", str(vault.path), "--password-fd", "{0}"], "")
    )


@pytest.mark.parametrize(
    "keys", ["{", "[]", '{"api_key": 5}', '{"api_key": "x"}', '{"api_key": "x", "api_secret": ""}']
)
def test_keys_that_are_none_are_refused(vault: Vault, keys: str) -> None:
    before = vault.path.read_bytes()
    account = [
        "vault",
        "add",
        "account",
        "b",
        "--exchange",
        "bybit",
        "--network",
        "mainnet",
        "--file",
        str(vault.path),
    ]
    refused(run([*account, "--password-fd", "{0}", "--values-fd", "{1}"], PASSWORD, keys))
    assert vault.path.read_bytes() == before


def test_an_exchange_that_is_not_installed_is_refused(vault: Vault) -> None:
    account = [
        "vault",
        "add",
        "account",
        "b",
        "--exchange",
        "nowhere",
        "--network",
        "mainnet",
        "--file",
        str(vault.path),
    ]
    assert "no plugin for exchange nowhere" in refused(run([*account, "--password-fd", "{0}"], PASSWORD))


@pytest.mark.parametrize(
    "variable",
    [
        "FUNDINGARB_PASSWORD",
        "FUNDINGARB_VAULT_PASSWORD",
        "FUNDINGARB_BINANCE_API_KEY",
        "FUNDINGARB__ACCOUNTS__BINANCE__API_SECRET",
        "FUNDINGARB_TELEGRAM_TOKEN",
    ],
)
def test_credentials_in_the_environment_are_refused(variable: str, tmp_path: Path) -> None:
    said = refused(run(["run"], env={variable: SECRET}))
    assert variable in said
    assert "vault" in said


def test_keys_in_the_configuration_are_refused(tmp_path: Path) -> None:
    config = tmp_path / "fundingarb.yaml"
    config.write_text(
        f"network: testnet\naccounts:\n  binance: {{exchange: binance, api_secret: {SECRET}}}\n"
    )
    said = refused(run(["run", "--config", str(config)]))
    assert "fundingarb.yaml:3: accounts.binance.api_secret: credentials are not read from here" in said


def test_a_start_on_testnet_takes_the_keys_of_the_vault(vault: Vault, tmp_path: Path) -> None:
    config = tmp_path / "fundingarb.yaml"
    config.write_text(
        f"network: testnet\nvault: {vault.path}\ndatabase: {{url: 'sqlite:///{tmp_path}/bot.db'}}\n"
        "accounts: {binance: {exchange: binance}, bybit: {exchange: bybit}}\n"
    )
    start = ["run", "--config", str(config), "--password-fd", "{0}"]
    assert "does not open it" in refused(run(start, PASSWORD + "x"))
    assert "fundingarb vault add account bybit --exchange bybit --network testnet" in refused(
        run(start, PASSWORD)
    )
    vault.path.chmod(0o644)
    assert "chmod 600" in refused(run(start, PASSWORD))


# the terminal


def typed(arguments: Sequence[str], answers: Sequence[tuple[str, str]]) -> tuple[int, str]:
    """(status, everything on the terminal) of the program on a pseudo-terminal, answering prompts in order."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [*FUNDINGARB, *arguments])
    shown, said, waiting = b"", 0, list(answers)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            part = os.read(terminal, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
        if waiting and waiting[0][0].encode() in shown[said:]:
            said = len(shown)
            command_line = Path(f"/proc/{child}/cmdline").read_bytes()
            assert PASSWORD.encode() not in command_line
            assert SECRET.encode() not in command_line
            os.write(terminal, waiting.pop(0)[1].encode() + b"\n")
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode()


def test_what_is_typed_is_not_shown(vault: Vault) -> None:
    account = [
        "vault",
        "add",
        "account",
        "bybit",
        "--exchange",
        "bybit",
        "--network",
        "mainnet",
        "--file",
        str(vault.path),
    ]
    status, shown = typed(
        account, [("Master password:", PASSWORD), ("api_key:", "key-of-bybit"), ("api_secret:", SECRET)]
    )
    assert status == 0, shown
    assert "bybit: added" in shown
    assert SECRET not in shown
    assert PASSWORD not in shown
    assert "key-of-bybit" not in shown
    found = Vault.open(vault.path, PASSWORD).account("bybit", "mainnet")
    assert found is not None
    assert found.values["api_secret"].reveal() == SECRET


def test_a_new_password_is_typed_twice(tmp_path: Path) -> None:
    path = tmp_path / "private" / "credentials.vault"
    status, shown = typed(
        ["vault", "create", "--file", str(path)],
        [("New master password:", PASSWORD), ("again:", PASSWORD + "x")],
    )
    assert status == 2
    assert "differ" in shown
    assert not path.exists()
    assert PASSWORD not in shown


def test_a_process_with_an_open_vault_leaves_no_core_file_and_shows_no_secret() -> None:
    script = (
        "import resource\nfrom fundingarb.vault.hardening import harden\nharden()\n"
        "assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)\n"
        "import ctypes, sys\nassert sys.platform != 'linux' or ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 0\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
