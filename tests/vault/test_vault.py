"""The vault's file: what is in it, who may read it, and what is left when a write is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

from fundingarb.errors import WrongPassword
from fundingarb.folders import make_private
from fundingarb.ports import Secret
from fundingarb.vault import LEAST_COSTS, LiveApproval, StoredAccount, Vault, VaultError

PASSWORD = "correct horse battery"
KEYS = {"api_key": Secret("key-of-binance"), "api_secret": Secret("secret-of-binance")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "private"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def vault(folder: Path) -> Vault:
    made = Vault.create(folder / "credentials.vault", PASSWORD, LEAST_COSTS)
    made.put_account(StoredAccount("binance", "binance", "testnet", KEYS))
    made.put_secret("telegram-token", Secret("123:ABC"))
    made.save()
    return made


def reopened(vault: Vault, password: str = PASSWORD) -> Vault:
    return Vault.open(vault.path, password)


def test_what_was_put_is_found_again(vault: Vault) -> None:
    vault.put_account(StoredAccount("binance", "binance", "mainnet", {"api_key": Secret("live")}))
    vault.approve(LiveApproval("digest", datetime(2026, 1, 5, tzinfo=timezone.utc), 24.5, "cli:me"))
    vault.save()
    found = reopened(vault)
    account = found.account("binance", "testnet")
    assert account is not None
    assert account.credentials.values["api_secret"].reveal() == "secret-of-binance"
    assert [(one.name, one.network) for one in found.accounts()] == [
        ("binance", "mainnet"),
        ("binance", "testnet"),
    ]
    assert found.secrets["telegram-token"].reveal() == "123:ABC"
    approval = found.approval("digest")
    assert approval is not None
    assert approval.hours == 24.5
    assert found.approval("other") is None
    assert found.journal_key.reveal() == vault.journal_key.reveal()
    assert vault.path.stat().st_mode & 0o777 == 0o600


def test_what_was_removed_is_gone(vault: Vault) -> None:
    vault.remove_account("binance", "testnet")
    vault.remove_secret("telegram-token")
    vault.save()
    assert not list(reopened(vault).accounts())
    assert not reopened(vault).secrets
    with pytest.raises(VaultError, match="no account binance on testnet"):
        vault.remove_account("binance", "testnet")
    with pytest.raises(VaultError, match="no secret telegram-token"):
        vault.remove_secret("telegram-token")


def test_nothing_shows_in_the_file_or_in_what_is_printed(vault: Vault) -> None:
    text = vault.path.read_bytes()
    for secret in ("secret-of-binance", "key-of-binance", "123:ABC", "binance", "telegram"):
        assert secret.encode() not in text
    assert "secret-of" not in repr(list(vault.accounts()))
    assert "123:ABC" not in repr(vault.secrets)


def test_rekeyed_it_opens_with_the_new_password_only(vault: Vault) -> None:
    vault.rekey("another battery staple", LEAST_COSTS)
    with pytest.raises(WrongPassword):
        reopened(vault)
    assert "telegram-token" in reopened(vault, "another battery staple").secrets


@pytest.mark.parametrize("password", ["short", "x" * 2000, "with\nline break in it"])
def test_a_weak_password_is_refused(folder: Path, password: str) -> None:
    with pytest.raises(VaultError, match="a master password has"):
        Vault.create(folder / "other.vault", password, LEAST_COSTS)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("name", ["", "A", "with space", "a" * 41, "../x", "a\n"])
def test_names_are_names(vault: Vault, name: str) -> None:
    with pytest.raises(VaultError, match="a name has"):
        vault.put_secret(name, Secret("x"))
    with pytest.raises(VaultError, match="a name has"):
        vault.put_account(StoredAccount(name, "binance", "testnet", KEYS))


@pytest.mark.parametrize("value", ["", "a\rb", "\n", "x" * 9000, "\x1b[31m"])
def test_values_are_plain_text_and_never_repeated(vault: Vault, value: str) -> None:
    with pytest.raises(VaultError) as caught:
        vault.put_secret("telegram-token", Secret(value))
    assert not value.strip() or value not in str(caught.value)


def test_keys_of_a_localnet_are_not_kept(vault: Vault) -> None:
    with pytest.raises(VaultError, match="not for localnet"):
        vault.put_account(StoredAccount("binance", "binance", "localnet", KEYS))


# who may read it


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777, 0o601, 0o700])
def test_a_loose_file_is_refused(vault: Vault, mode: int) -> None:
    vault.path.chmod(mode)
    with pytest.raises(VaultError, match="chmod 600"):
        reopened(vault)


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o711])
def test_a_loose_folder_is_refused(vault: Vault, mode: int) -> None:
    vault.path.parent.chmod(mode)
    with pytest.raises(VaultError, match="chmod 700"):
        reopened(vault)
    with pytest.raises(VaultError, match="chmod 700"):
        vault.save()


def test_a_link_is_refused(vault: Vault) -> None:
    link = vault.path.with_name("link.vault")
    link.symlink_to(vault.path)
    with pytest.raises(VaultError, match="symbolic link"):
        Vault.open(link, PASSWORD)
    with pytest.raises(VaultError, match="there is a file already"):
        Vault.create(link, PASSWORD, LEAST_COSTS)
    dangling = vault.path.with_name("dangling.vault")
    dangling.symlink_to(vault.path.with_name("nowhere"))
    with pytest.raises(VaultError, match="there is a file already"):
        Vault.create(dangling, PASSWORD, LEAST_COSTS)


def test_what_is_no_file_is_refused(folder: Path) -> None:
    (folder / "sub").mkdir(mode=0o700)
    os.mkfifo(folder / "pipe", 0o600)
    for name in ("sub", "pipe"):
        with pytest.raises(VaultError, match="is not a plain file"):
            Vault.open(folder / name, PASSWORD)
    with pytest.raises(VaultError, match="there is no vault"):
        Vault.open(folder / "missing", PASSWORD)
    (folder / "large").touch(mode=0o600)
    os.truncate(folder / "large", 2_000_000)
    with pytest.raises(VaultError, match="larger than"):
        Vault.open(folder / "large", PASSWORD)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_somebody_else_is_refused(vault: Vault) -> None:
    os.chown(vault.path, 12345, -1)
    with pytest.raises(VaultError, match="belongs to another user"):
        reopened(vault)


# writing


def test_one_that_was_changed_meanwhile_is_not_overwritten(vault: Vault) -> None:
    other = reopened(vault)
    other.put_secret("database-password", Secret("x"))
    other.save()
    with pytest.raises(VaultError, match="was changed meanwhile"):
        vault.save()
    assert "database-password" in reopened(vault).secrets


def test_what_a_killed_write_left_is_in_nobodys_way(vault: Vault) -> None:
    left = vault.path.with_name(f".{vault.path.name}.new")
    left.write_bytes(b"half")
    vault.save()
    assert not left.exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from fundingarb.folders import make_private
from fundingarb.ports import Secret
from fundingarb.vault import Vault

vault = Vault.open(Path(sys.argv[1]), sys.argv[2])
vault.put_secret("database-password", Secret("new"))
real = getattr(os, sys.argv[3])
calls = iter(range(100))

def dying(*arguments, **named):
    if next(calls) == int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **named)

setattr(os, sys.argv[3], dying)
vault.save()
"""


@pytest.mark.parametrize(
    ("call", "number", "new"),
    [("fchmod", 0, False), ("fsync", 0, False), ("replace", 0, False), ("fsync", 1, True)],
)
def test_killed_while_writing_it_is_the_old_one_or_the_new_one(
    vault: Vault, call: str, number: int, new: bool
) -> None:
    arguments = [sys.executable, "-c", KILLED, str(vault.path), PASSWORD, call, str(number)]
    ended = subprocess.run(arguments, check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    found = reopened(vault)
    assert ("database-password" in found.secrets) is new
    assert found.secrets["telegram-token"].reveal() == "123:ABC"
    found.put_secret("another", Secret("y"))
    found.save()
    assert "another" in reopened(vault).secrets


def test_folders_that_are_made_are_nobody_elses(tmp_path: Path) -> None:
    make_private(tmp_path / "one" / "two" / "three")
    for folder in ("one", "one/two", "one/two/three"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700
    vault = Vault.create(tmp_path / "a" / "b" / "credentials.vault", PASSWORD, LEAST_COSTS)
    assert not list(Vault.open(vault.path, PASSWORD).accounts())
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="exists"):
        make_private(tmp_path / "file")
