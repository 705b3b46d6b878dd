"""Whose commands are taken: who sends the code of this machine, once, in time, in a private chat."""

from __future__ import annotations

import json
import os
import stat
import threading
from datetime import timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from tests.telegram.botapi import NAME, TOKEN, BotApi, bot_api, soon
from tests.telegram.rig import OWNER, STRANGER, chatting, paired, pairing, settings, token_file

from fundingarb.builtin.telegram.pairing import ALL_TRIES, LENGTH, LIFE, TRIES, Claim, shown, utc_now
from fundingarb.cli.telegram import telegram_group
from fundingarb.errors import ConfigError
from fundingarb.ports import Secret
from fundingarb.vault import LEAST_COSTS, Vault

NOW = utc_now()


def test_the_right_code_pairs_once(tmp_path: Path) -> None:
    made = pairing(tmp_path)
    assert made.claim("ABC", OWNER, "x", NOW) is Claim.IGNORED
    code = made.offer(NOW)
    assert code not in made.path.read_text()
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert made.claim(f" {shown(code).lower()} ", OWNER, "An\u202ena\n", NOW) is Claim.PAIRED
    assert made.claim(code, STRANGER, "x", NOW) is Claim.IGNORED
    assert made.owner is not None
    assert (made.owner.user_id, made.owner.name) == (OWNER, "An\\u202ena\\n")
    made.forget()
    assert made.owner is None


def test_a_code_expires_and_a_new_one_takes_its_place(tmp_path: Path) -> None:
    made = pairing(tmp_path)
    old = made.offer(NOW)
    new = made.offer(NOW)
    assert made.claim(old, OWNER, "x", NOW) is Claim.WRONG
    assert made.claim(new, OWNER, "x", NOW + LIFE + timedelta(seconds=1)) is Claim.IGNORED
    assert made.owner is None
    assert made.claim(made.offer(NOW), OWNER, "x", NOW + LIFE) is Claim.PAIRED


def test_guessing_is_throttled_for_one_and_for_all(tmp_path: Path) -> None:
    made = pairing(tmp_path)
    code = made.offer(NOW)
    for _ in range(TRIES):
        assert made.claim("A" * LENGTH, STRANGER, "x", NOW) is Claim.WRONG
    assert made.claim(code, STRANGER, "x", NOW) is Claim.IGNORED
    assert made.wrong_codes == TRIES
    assert made.claim(code, OWNER, "x", NOW) is Claim.PAIRED, "others are not kept from it"
    code = made.offer(NOW)
    for user in range(ALL_TRIES):
        assert made.claim("A" * LENGTH, user + 1000, "x", NOW) is Claim.WRONG
    assert not made.open
    assert made.claim(code, OWNER + 1, "x", NOW) is Claim.IGNORED
    assert made.owner is not None, "whoever was paired stays so"


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"owner": {}}', '{"owner": {"user_id": "x", "name": 1}}', '{"owner": 7}']
)
def test_a_file_that_is_not_ours_is_refused(content: str, tmp_path: Path) -> None:
    made = paired(tmp_path)
    made.path.write_text(content)
    with pytest.raises(ConfigError):
        assert made.owner is None


def test_a_link_is_refused(tmp_path: Path) -> None:
    made = paired(tmp_path)
    made.path.rename(tmp_path / "elsewhere")
    made.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="it has to be a plain file of yours"):
        assert made.owner


@pytest.mark.anyio
async def test_a_running_bot_takes_the_code_in_a_private_chat_only(tmp_path: Path) -> None:
    async with chatting(tmp_path, pair=False) as chat:
        code = pairing(tmp_path).offer(utc_now())
        chat.write(f"/pair {shown(code)}", chat={"id": -100, "type": "group", "title": "g"})
        chat.write(f"/pair {shown(code)}", age=300)
        chat.write(
            f"/pair {shown(code)}", forward_origin={"type": "hidden_user", "sender_user_name": "x", "date": 1}
        )
        chat.write("/kill")
        chat.write("/pair ABCDE-FGHJK", user=STRANGER)
        await chat.quiet()
        assert chat.api.texts() == []
        assert pairing(tmp_path).owner is None
        chat.write(f"/start {code}")
        await chat.message("Paired: ")
        assert (f"telegram:{OWNER}", "TELEGRAM PAIR", True, "paired with a code") in chat.noted
        assert (await chat.ask("/status", "RUNNING")).startswith("RUNNING")
        chat.write(f"/pair {code}", user=STRANGER)
        chat.write("/pause", user=STRANGER)
        await chat.quiet()
        assert chat.api.texts(STRANGER) == []
        another = pairing(tmp_path).offer(utc_now())
        assert "/pnl" in await chat.ask("/help", "/status"), "served until the new code is used"
        chat.write(f"/pair {another}", user=7)
        assert "not served any more" in (await chat.message("Another Telegram account")).text
        await chat.message("Paired: ", chat=7)


# the command


def config(api: BotApi, folder: Path) -> str:
    file = folder / "fundingarb.yaml"
    made = settings(api, folder)
    file.write_text(
        "network: localnet\nalerts:\n  telegram:\n"
        f"    token_file: {made.token_file}\n    base_url: {made.base_url}\n    state_folder: {folder}\n"
    )
    return str(file)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(telegram_group, arguments)


def test_pairing_at_the_terminal_without_a_bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said, echo = list[str](), click.echo

    def heard(line: str) -> None:
        said.append(line)
        echo(line)

    monkeypatch.setattr(click, "echo", heard)
    with bot_api() as api:
        file, results = config(api, tmp_path), list[Result]()
        running = threading.Thread(target=lambda: results.append(invoke("pair", "--config", file)))
        running.start()
        soon(lambda: pairing(tmp_path).open)
        api.write(STRANGER, "/pair AAAAA-AAAAA")
        soon(lambda: "a wrong code came in" in said)
        offer = json.loads(pairing(tmp_path).path.read_text())["offer"]
        assert offer["tries"] == {str(STRANGER): 1}
        # the code is only on the terminal; here it is offered anew, as a second command would
        code = pairing(tmp_path).offer(utc_now())
        api.write(OWNER, f"/pair {code}")
        running.join()
        (result,) = results
        assert result.exit_code == 0, result.output
        assert f"send this to the bot @{NAME} in a private chat" in result.output
        assert f"https://t.me/{NAME}?start=" in result.output
        assert f"paired: user{OWNER} (Telegram user {OWNER}, since " in result.output
        assert api.texts(OWNER)[0].startswith("Paired: ")
        assert api.texts(STRANGER) == []
        tested = invoke("test", "--config", file)
        assert tested.exit_code == 0, tested.output
        assert api.texts(OWNER)[-1] == "🟢 INFO | Test\nAlerts of fundingarb arrive here"
        gone = invoke("unpair", "--config", file)
        assert gone.output == f"not served any more: Telegram user {OWNER}\n"
        assert invoke("unpair", "--config", file).output == "nobody was paired\n"


def test_pairing_at_the_terminal_leaves_a_kill_to_the_bot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Telegram has handed out and was not left with it, no bot would ever see."""
    said = list[str]()
    monkeypatch.setattr(click, "echo", said.append)
    with bot_api() as api:
        paired(tmp_path)
        api.write(OWNER, "/status")
        kill = api.write(OWNER, "/kill", age=300)
        file, results = config(api, tmp_path), list[Result]()
        running = threading.Thread(target=lambda: results.append(invoke("pair", "--config", file)))
        running.start()
        soon(lambda: any(line.startswith("a /kill came in and no bot runs") for line in said))
        code = pairing(tmp_path).offer(utc_now())
        asked = api.count("getupdates")
        api.write(OWNER, f"/pair {code}")
        running.join()
        assert results[0].exit_code == 0, results[0].output
        assert api.count("getupdates") - asked <= 5, "no hot loop"
        assert api.pending[0]["update_id"] == kill["update_id"]
        assert sum(line.startswith("a /kill came in") for line in said) == 1


def test_the_token_comes_from_the_vault(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    vault = Vault.create(folder / "credentials.vault", "correct horse battery", LEAST_COSTS)

    def unpair() -> Result:
        reading, writing = os.pipe()
        os.write(writing, b"correct horse battery\n")
        os.close(writing)
        return invoke("unpair", "--config", str(file), "--password-fd", str(reading))

    file = tmp_path / "fundingarb.yaml"
    file.write_text(f"vault: {vault.path}\nalerts:\n  telegram: {{state_folder: {tmp_path}}}\n")
    assert "fundingarb vault add secret telegram-token" in str(unpair().exception)
    vault.put_secret("telegram-token", Secret(TOKEN))
    vault.save()
    paired(tmp_path)
    assert unpair().output == f"not served any more: Telegram user {OWNER}\n"


def test_what_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "fundingarb.yaml"
    file.write_text("network: localnet\n")
    result = invoke("pair", "--config", str(file))
    assert isinstance(result.exception, ConfigError)
    assert "has no alerts.telegram; add" in str(result.exception)
    with bot_api() as api:
        where = config(api, tmp_path)
        result = invoke("test", "--config", where)
        assert "nobody is paired" in str(result.exception)
        api.fault = "down"
        result = invoke("pair", "--config", where)
        assert "Telegram cannot be reached (NetworkError: Bad Gateway); try again" in str(result.exception)
        assert not pairing(tmp_path).open
    token_file(tmp_path, b"x")
    assert "holds no bot token" in str(invoke("unpair", "--config", where).exception)
