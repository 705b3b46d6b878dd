"""The files that run the program as a service: systemd accepts them."""

from __future__ import annotations

import getpass
import pwd
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import RunCli
from tests.needs import need

from fundingarb.cli.sandbox import TEMPORARY, Sandbox, sandbox
from fundingarb.component import Component
from fundingarb.config import parse_config
from fundingarb.plugins import Plugins, load_plugins
from fundingarb.settings import PluginSettings

VAULT = "network: testnet\naccounts: {binance: {exchange: binance}, bybit: {exchange: bybit}}\n"


def printed(run_cli: RunCli, folder: Path, kind: str, config: str) -> str:
    file = folder / "fundingarb.yaml"
    file.write_text(config)
    done = run_cli("unit", kind, "--config", str(file), "--user", "daemon")
    assert done.returncode == 0, done.stderr
    return done.stdout


def setting(unit: str, name: str) -> str:
    """The value of ``name`` as it stands in the unit."""
    return next(line.partition("=")[2] for line in unit.splitlines() if line.startswith(f"{name}="))


def words(text: str) -> list[str]:
    """As systemd reads a list: quotes and backslashes as a shell's, %% is a %."""
    return [each.replace("%%", "%") for each in shlex.split(text)]


def exec_start(unit: str) -> list[str]:
    """What systemd executes."""
    assert not re.search(r"(?<!\$)\$(?!\$)", setting(unit, "ExecStart").replace("$$", "")), (
        "a variable of systemd"
    )
    return [each.replace("$$", "$") for each in words(setting(unit, "ExecStart"))]


def writable(unit: str) -> set[Path]:
    found = words(setting(unit, "ReadWritePaths"))
    assert all(each.startswith("-/") for each in found)
    return {Path(each[1:]) for each in found}


@pytest.mark.parametrize("kind", ["run", "watch"])
@pytest.mark.parametrize("config", ["", VAULT], ids=["localnet", "vault"])
def test_systemd_accepts_the_unit(run_cli: RunCli, tmp_path: Path, kind: str, config: str) -> None:
    systemd_accepts(tmp_path / f"fundingarb-{kind}.service", printed(run_cli, tmp_path, kind, config))


def systemd_accepts(unit: Path, text: str) -> None:
    need(shutil.which("systemd-analyze"), "systemd-analyze", "apt-get install systemd")
    unit.write_text(text)
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
    assert '--password-fd 3 3<\\"$${CREDENTIALS_DIRECTORY}/fundingarb-master-password\\"' in unit
    assert "Type=notify" in unit
    assert "WatchdogSec=30" in unit
    assert "Restart=on-failure" in unit
    local = printed(run_cli, tmp_path, "run", "")
    assert "--password-fd" not in local
    assert "LoadCredential" not in local


def test_the_shell_of_the_unit_hands_over_the_password(run_cli: RunCli, tmp_path: Path) -> None:
    """The start command as systemd runs it, with another program in place of the bot."""
    shell, option, script, name, *program = exec_start(printed(run_cli, tmp_path, "run", VAULT))
    assert program[1:4] == ["-m", "fundingarb", "run"]
    (tmp_path / "fundingarb-master-password").write_text("correct horse")
    done = subprocess.run(
        [shell, option, script, name, "/bin/sh", "-c", 'cat /dev/fd/3; printf " %s" "$@"', "sh"],
        env={"CREDENTIALS_DIRECTORY": str(tmp_path), "PATH": "/bin:/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "correct horse --password-fd 3"


ODD = 'a b\\c $HOME 100% "it\'s" {}'


@pytest.mark.parametrize("config", ["", VAULT], ids=["localnet", "vault"])
def test_odd_names_of_folders_arrive_as_they_are(run_cli: RunCli, tmp_path: Path, config: str) -> None:
    folder = tmp_path / ODD
    folder.mkdir()
    database = tmp_path / "data base"
    database.mkdir()
    url = f"database: {{url: 'sqlite:///{database}/bot.db'}}\n"
    unit = printed(run_cli, folder, "run", config + url)
    assert exec_start(unit)[-2:] == ["--config", f"{folder}/fundingarb.yaml"]
    assert setting(unit, "WorkingDirectory") == str(folder).replace("%", "%%")
    assert {database, folder} <= writable(unit)
    systemd_accepts(tmp_path / "fundingarb-odd.service", unit)


# what it may see and write


def test_every_folder_that_the_bot_writes_to_is_writable(run_cli: RunCli, tmp_path: Path) -> None:
    names = ("data", "keys", "log", "lines", "copies", "pairing")
    for name in names:
        (tmp_path / name).mkdir()
    unit = printed(
        run_cli, tmp_path, "run",
        VAULT + "database: {url: 'sqlite:///data/bot.db'}\n"
        f"vault: {tmp_path}/keys/credentials.vault\n"
        f"logging: {{folder: {tmp_path}/log, file: {tmp_path}/lines/bot.log}}\n"
        f"backup: {{folder: {tmp_path}/copies}}\n"
        f"alerts: {{telegram: {{chat_id: 1, state_folder: {tmp_path}/pairing}}}}\n",
    )  # fmt: skip
    # what is relative is seen from the folder that the service runs in
    assert writable(unit) >= {tmp_path, *(tmp_path / name for name in names)}


def test_a_watch_writes_where_its_sinks_do_and_nowhere_else(run_cli: RunCli, tmp_path: Path) -> None:
    alerts = f"alerts: {{telegram: {{chat_id: 1, state_folder: {tmp_path}}}}}\n"
    unit = printed(run_cli, tmp_path, "watch", f"database: {{url: 'sqlite:////srv/x/bot.db'}}\n{alerts}")
    assert tmp_path in writable(unit)
    assert Path("/srv/x") not in writable(unit)


HOME = Path("/home") / "bot"
NEEDED = {
    f"vault: {HOME}/.fundingarb/credentials.vault\n": "read-only",
    f"vault: {Path('/root') / 'credentials.vault'}\n": "read-only",
    "vault: /run/user/1000/credentials.vault\n": "read-only",
    "vault: /srv/keys/credentials.vault\n": "true",
    f"backup: {{folder: {HOME}/copies}}\n": "read-only",
    f"database: {{url: 'sqlite:///{HOME}/bot.db'}}\n": "read-only",
    f"services: {{dashboard: {{password_file: {HOME}/password}}}}\n": "read-only",
}


@pytest.mark.parametrize(("config", "home"), NEEDED.items())
def test_a_home_folder_that_is_needed_is_not_hidden(
    config: str, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/var/lib/bot")
    monkeypatch.setattr("fundingarb.cli.sandbox._program", lambda: iter([Path("/opt/bot/bin/python")]))
    box = boxed(VAULT + config, Path("/etc/fundingarb/fundingarb.yaml"))
    assert (box.home, box.temporary) == (home, "true")


def test_the_usual_folder_at_home_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configuration in /etc, Python in /opt, and the rest where it usually is."""
    monkeypatch.setattr("fundingarb.cli.sandbox._program", lambda: iter([Path("/opt/bot/bin/python")]))
    monkeypatch.setenv("HOME", str(HOME))
    box = boxed(VAULT, Path("/etc/fundingarb/fundingarb.yaml"))
    assert box.home == "read-only"
    assert HOME / ".fundingarb" in box.writable


def test_what_is_in_a_temporary_folder_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/var/lib/bot")
    monkeypatch.setattr("fundingarb.cli.sandbox._program", lambda: iter([]))
    box = boxed(f"ready_file: {TEMPORARY[0]}/ready.json\n", Path("/etc/fundingarb/fundingarb.yaml"))
    assert box.temporary == "false"
    assert TEMPORARY[0] in box.writable


def boxed(text: str, file: Path, plugins: Plugins | None = None) -> Sandbox:
    config = parse_config(text)
    return sandbox("run", config, file, plugins or load_plugins(), vault=config.network != "localnet")


class Place(PluginSettings):
    spool_folder: Path | None = None
    note: str = ""


class PostSettings(PluginSettings):
    """Of a plugin whose author has kept paths as text, and of one who has not."""

    spool: str = ""
    route: str = "/api/v1"
    places: tuple[Place, ...] = ()


def test_a_path_that_a_plugin_keeps_as_text_is_said_where_the_service_may_not_write(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", "/var/lib/bot")
    monkeypatch.setattr("fundingarb.cli.sandbox._program", lambda: iter([]))
    loaded = load_plugins()
    post: Component[Any] = Component("post", PostSettings, lambda *_: None)  # type: ignore[arg-type]
    sinks = {**loaded.alert_sinks, "post": replace(loaded.alert_sinks["log"], component=post)}
    plugins = replace(loaded, alert_sinks=sinks)
    file = Path("/etc/fundingarb/fundingarb.yaml")

    def told(section: str) -> list[str]:
        return list(boxed(f"alerts: {{post: {section}}}\n", file, plugins).unknown)

    assert told("{}") == told("{spool: /etc/fundingarb/spool}") == told("{spool: /9j4AAQ/secret}") == []
    (line,) = told("{spool: /srv/spool}")
    assert line == (
        "alerts.post.spool is a path kept as text, of a place that the service may read and not write to: choose one "
        "below /etc/fundingarb, or have the plugin's author declare it as pathlib.Path"
    )
    (line,) = told(f"{{places: [{{note: {Path('/root')}/spool}}]}}")
    assert line.startswith(
        "alerts.post.places.note is a path kept as text, of a place that the service may not see"
    )
    box = boxed("alerts: {post: {places: [{spool_folder: /srv/spool}]}}\n", file, plugins)
    assert (Path("/srv/spool") in box.writable, list(box.unknown)) == (True, [])


def test_a_folder_that_the_service_cannot_make_is_said(run_cli: RunCli, tmp_path: Path) -> None:
    file = tmp_path / "fundingarb.yaml"
    file.write_text(
        f"database: {{url: 'sqlite:///{tmp_path}/bot.db'}}\nbackup: {{folder: '{tmp_path}-disk/my copies'}}\n"
    )
    done = run_cli("unit", "run", "--config", str(file))
    assert f"warning: {tmp_path}-disk/my copies is not there, and the service cannot make it" in done.stderr
    assert f"install -d -m 700 -o root '{tmp_path}-disk/my copies'" in done.stderr.replace(
        getpass.getuser(), "root"
    )
    assert done.stderr.count("warning") == 1, "logs are made beside the database"


def test_the_home_is_that_of_the_user(run_cli: RunCli, tmp_path: Path) -> None:
    unit = printed(run_cli, tmp_path, "run", VAULT)
    assert Path(pwd.getpwnam("daemon").pw_dir, ".fundingarb") in writable(unit)
    file = tmp_path / "fundingarb.yaml"
    assert (
        "there is no user nobody-of-that-name"
        in run_cli("unit", "--config", str(file), "--user", "nobody-of-that-name").stderr
    )


# when the password is handed over

TELEGRAM = "alerts: {telegram: {chat_id: 1}}\n"


@pytest.mark.parametrize(
    ("kind", "config", "takes"),
    [
        ("watch", TELEGRAM, True),
        ("watch", VAULT + TELEGRAM, True),
        ("watch", VAULT, False),
        ("watch", "alerts: {telegram: {chat_id: 1, token_file: /x}}\n", False),
        ("watch", "alerts: {mail: {host: h, user: me, sender: a@example.org, to: [a@example.org]}}\n", True),
        ("watch", "alerts: {mail: {host: h, sender: a@example.org, to: [a@example.org]}}\n", False),
        ("watch", "vault: /srv/x.vault\n", True),
        ("run", TELEGRAM, True),
        ("run", "vault: /srv/x.vault\n", True),
        ("run", "database: {url: 'postgresql://me@h/d', password_in_vault: true}\n", True),
    ],
)
def test_whoever_opens_the_vault_is_given_the_password(
    run_cli: RunCli, tmp_path: Path, kind: str, config: str, takes: bool
) -> None:
    unit = printed(run_cli, tmp_path, kind, config)
    assert ("LoadCredentialEncrypted=fundingarb-master-password:" in unit) is takes
    assert ("--password-fd 3 3<" in unit) is takes


def test_a_container_file_with_what_is_installed(run_cli: RunCli) -> None:
    done = run_cli("unit", "container")
    assert done.returncode == 0, done.stderr
    assert "FROM docker.io/library/python:" in done.stdout
    assert '"fundingarb-binance==' in done.stdout
    assert "--password-fd 3 3</run/secrets/master-password" in done.stdout
    assert "$" not in done.stdout.split("FROM", 1)[1]


def test_a_unit_needs_a_configuration(run_cli: RunCli) -> None:
    assert "a unit needs --config FILE" in run_cli("unit").stderr
