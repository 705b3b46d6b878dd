"""The parts of letting people in, each by itself: throttle, sessions, passwords, files with secrets, the command."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from time import sleep as monotonic_sleep

import anyio
import pytest
from click.testing import CliRunner

from fundingarb.errors import ConfigError
from fundingarb.privatefiles import read_private_text
from fundingarb_dashboard.command import dashboard_group
from fundingarb_dashboard.login import Gatekeeper, TooManyAttempts
from fundingarb_dashboard.passwords import check_hash, hash_password, verify_password
from fundingarb_dashboard.sessions import Sessions
from fundingarb_dashboard.throttle import Throttle

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
PASSWORD = "correct horse battery"


class Time:
    """Monotonic seconds that the test moves."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def test_ten_thousand_guesses_take_weeks() -> None:
    time = Time()
    throttle = Throttle(time)
    for _ in range(10_000):
        while wait := throttle.admit("192.0.2.1"):
            time.at += wait
        throttle.failed("192.0.2.1")
    assert time.at > 14 * 86_400


def test_five_a_minute_then_longer_and_longer() -> None:
    time = Time()
    throttle = Throttle(time)
    waits = []
    for _ in range(8):
        for _ in range(5):
            assert throttle.admit("a") == 0
            throttle.failed("a")
        waits.append(throttle.admit("a"))
        time.at += waits[-1]
    assert waits == [60, 120, 240, 480, 900, 900, 900, 900]
    assert throttle.admit("b") == 0


def test_many_addresses_share_a_bucket_and_little_memory() -> None:
    time = Time()
    throttle = Throttle(time)
    let_through = sum(throttle.admit(f"address {number}") == 0 for number in range(5000))
    assert let_through == 20
    assert len(throttle._known) == 1000
    time.at = 61
    assert throttle.admit("another") == 0


def test_a_success_forgets_the_failures() -> None:
    time = Time()
    throttle = Throttle(time)
    for _ in range(4):
        throttle.admit("a")
        throttle.failed("a")
    throttle.succeeded("a")
    assert throttle.admit("a") == 0


@pytest.mark.anyio
async def test_whoever_guesses_waits_longer_and_longer() -> None:
    time = Time()
    keeper = Gatekeeper(None, time, lambda token: None)
    waits = []
    for _ in range(3):
        for _ in range(5):
            assert await keeper.admit("a", None, "wrong") is None
        with pytest.raises(TooManyAttempts) as refused:
            await keeper.admit("a", None, "wrong")
        waits.append(refused.value.wait)
        time.at += refused.value.wait
    assert waits == [60, 120, 240]


@pytest.mark.anyio
async def test_strangers_cannot_keep_the_owner_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "fundingarb_dashboard.login.verify_password", lambda password, phc: password == PASSWORD
    )
    keeper = Gatekeeper("a hash", Time(), lambda token: None)
    home, elsewhere = "192.0.2.1", "198.51.100.7"
    browser = keeper.remember(None)

    async def guess(address: str, times: int) -> None:
        for _ in range(times):
            with suppress(TooManyAttempts):
                assert await keeper.admit(address, "guess", None) is None

    await guess(home, 20)  # at the owner's own address
    for number in range(100):  # and at so many others that all together have had their share
        await guess(f"203.0.113.{number}", 5)
    for address in (home, elsewhere):
        with pytest.raises(TooManyAttempts):
            await keeper.admit(address, PASSWORD, None)
        with pytest.raises(TooManyAttempts):
            await keeper.admit(address, PASSWORD, None, "made up")
        assert await keeper.admit(address, PASSWORD, None, browser) == f"dashboard@{address}"
    assert await keeper.admit("127.0.0.1", PASSWORD, None) == "dashboard@127.0.0.1"  # through a tunnel

    # who has stolen what a browser is known by may not guess faster than others
    for _ in range(5):
        assert await keeper.admit(elsewhere, "guess", None, browser) is None
    with pytest.raises(TooManyAttempts):
        await keeper.admit(elsewhere, PASSWORD, None, browser)
    fresh = keeper.remember(browser)
    with pytest.raises(TooManyAttempts):
        await keeper.admit(elsewhere, PASSWORD, None, browser)
    assert await keeper.admit(elsewhere, PASSWORD, None, fresh) is not None


@pytest.mark.anyio
async def test_the_printed_link_works_however_often_somebody_guessed() -> None:
    said: list[str] = []
    keeper = Gatekeeper(None, Time(), said.append)
    keeper.invite()
    for number in range(200):
        with suppress(TooManyAttempts):
            assert await keeper.admit(f"192.0.2.{number % 3}", None, "wrong") is None
    with pytest.raises(TooManyAttempts):
        await keeper.admit("192.0.2.1", None, "wrong")
    assert await keeper.admit("192.0.2.1", None, said[0]) == "dashboard@192.0.2.1"
    with pytest.raises(TooManyAttempts):  # once
        await keeper.admit("192.0.2.1", None, said[0])


@pytest.mark.anyio
async def test_passwords_are_checked_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = threading.Lock()
    seen: list[bool] = []

    def checked(password: str, phc: str) -> bool:
        alone = busy.acquire(blocking=False)
        seen.append(alone)
        if alone:
            monotonic_sleep(0.05)
            busy.release()
        return True

    monkeypatch.setattr("fundingarb_dashboard.login.verify_password", checked)
    keeper = Gatekeeper("a hash", Time(), lambda token: None)
    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(keeper.admit, f"address {number}", "a password", None)
    assert seen == [True] * 4


def sessions(time: Callable[[], float]) -> Sessions:
    return Sessions(time, lambda: START)


def test_a_session_ends_when_idle() -> None:
    time = Time()
    kept = sessions(time)
    cookie, session = kept.start("someone")
    for _ in range(4):
        time.at += 14 * 60
        assert kept.find(cookie) is session
    time.at += 14 * 60
    assert kept.alive(session)  # asking does not keep it alive
    time.at += 61
    assert not kept.alive(session)
    assert kept.find(cookie) is None


def test_a_session_ends_after_eight_hours_however_busy() -> None:
    time = Time()
    kept = sessions(time)
    cookie, session = kept.start("someone")
    assert session.expires_at == START + timedelta(hours=8)
    told: list[str] = []
    session.when_over.append(lambda: told.append("over"))
    while time.at <= 8 * 3600:
        assert kept.find(cookie) is session
        time.at += 600
    assert kept.find(cookie) is None
    assert told == ["over"]


def test_cookies_are_long_random_and_not_stored() -> None:
    kept = sessions(Time())
    cookies = {kept.start("someone")[0] for _ in range(50)}
    assert len(cookies) == 50
    assert all(len(cookie) == 43 for cookie in cookies)
    assert not any(cookie.encode() in kept._sessions for cookie in cookies)
    for forged in ("", "x" * 43, "\ud800", None):
        assert kept.find(forged) is None


def test_no_more_than_a_hundred_sessions() -> None:
    time = Time()
    kept = sessions(time)
    first, _ = kept.start("someone")
    for _ in range(100):
        time.at += 1
        kept.start("someone")
    assert kept.sweep() == 100
    assert kept.find(first) is None


def test_passwords() -> None:
    phc = hash_password(PASSWORD)
    assert phc.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert verify_password(PASSWORD, check_hash(phc, "file"))
    assert not verify_password(PASSWORD + " ", phc)
    assert not verify_password("\ud800", phc)
    assert not verify_password(PASSWORD, "$argon2id$nonsense")
    with pytest.raises(ConfigError, match="12 characters"):
        hash_password("short")


@pytest.mark.parametrize(
    "phc",
    [
        "",
        "hunter2",
        "$argon2i$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaA",
        "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA",
        "$argon2id$v=19$m=99999999,t=3,p=4$c2FsdHNhbHQ$aGFzaA",
        "$argon2id$v=19$m=65536,t=3$c2FsdHNhbHQ$aGFzaA",
        "$argon2id$v=19$m=x,t=3,p=4$c2FsdHNhbHQ$aGFzaA",
    ],
)
def test_what_is_no_hash_of_ours_is_refused(phc: str) -> None:
    with pytest.raises(ConfigError, match="fundingarb dashboard password"):
        check_hash(phc, "file")


def test_the_command_stores_the_hash_where_the_configuration_says(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"dashboard: {{password_file: {tmp_path / 'hash'}}}\n")
    read, write = os.pipe()
    os.write(write, f"{PASSWORD}\n".encode())
    os.close(write)
    arguments = ["password", "--config", str(config), "--password-fd", str(read)]
    result = CliRunner().invoke(dashboard_group, arguments)
    assert result.exit_code == 0, result.output
    assert PASSWORD not in result.output
    stored = read_private_text(tmp_path / "hash", "it")
    assert stored is not None
    assert verify_password(PASSWORD, stored)
