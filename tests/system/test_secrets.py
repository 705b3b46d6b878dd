"""Canaries: the keys of a real run, searched in every form in whatever the program has written, sent or shown.

The keys are the localnet's own. A plugin does what careless code does: it logs them, raises them, alerts with them,
dies of them in a thread; the exchange is made to fail. No key may be in the logs, the database, the backups, the
answers of the API, the alerts, or the crash output.
"""

from __future__ import annotations

import base64
import json
import re
import signal
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from tests.conftest import MakePlugin, RunCli
from tests.system.programs import localnet, wait_for
from tests.system.test_control import ANY_SPREAD, Town

pytestmark = pytest.mark.slow

CARELESS = """
import base64, json, logging, os, threading
from urllib.parse import quote
from fundingarb.domain.events import Alert, Severity

def secrets():
    with open(os.environ["CANARY_FILE"]) as file:
        ready = json.load(file)
    for venue in ready["exchanges"].values():
        for account in venue["accounts"]:
            yield from (account["api_key"], account["api_secret"], *account["credentials"].values())

def disguised():
    for secret in map(str, secrets()):
        raw = secret.encode()
        yield from (secret, raw.hex(), quote(secret, safe=""), base64.b64encode(raw).decode(), repr(secret),
                    base64.b64encode(b"key:" + raw).decode())

log = logging.getLogger("acme")
texts = list(disguised())

class Careless:
    rounds = 0

    def check(self, plan, portfolio, now):
        self.rounds += 1
        text = texts[self.rounds % len(texts)]
        log.error("signed with %s", text)
        if self.rounds % 3 == 0 and self.rounds < 300:
            raise RuntimeError(f"GET https://example.org/?key={text}")
        return None

@asynccontextmanager
async def open_careless(settings, context):
    for text in texts:
        log.warning("opened with %s", {"text": text})
        try:
            raise ValueError(text)
        except ValueError:
            log.exception("so it is")
    def die():
        raise ValueError(texts[0])
    threading.Thread(target=die).start()
    yield Careless()

@asynccontextmanager
async def open_talkative(settings, context):
    class Talkative:
        async def send(self, alert):
            with open(settings.file, "a") as file:
                file.write(f"{alert.title}: {' | '.join(alert.lines)}\\n")
            raise RuntimeError(f"not delivered with {texts[1]}")
    yield Talkative()

class Service:
    url = None

    async def start(self, bot):
        for text in texts:
            bot.bus.publish(Alert(Severity.WARNING, "Careless", (text,), bot.clock.now()))

@asynccontextmanager
async def open_service(settings, context):
    yield Service()

class Where(BaseModel):
    file: str

class Nothing(BaseModel):
    pass

@hookimpl
def register_risk_rules():
    return [Component("careless", Nothing, open_careless, summary="talks too much")]

@hookimpl
def register_alert_sinks():
    return [Component("talkative", Where, open_talkative, summary="writes alerts down")]

@hookimpl
def register_services():
    return [Component("careless", Nothing, open_service, summary="alerts too much")]
"""

CRASH = """
@hookimpl
def register_risk_rules():
    import json, os
    with open(os.environ["CANARY_FILE"]) as file:
        ready = json.load(file)
    from fundingarb.ports import Secret
    account = next(iter(ready["exchanges"].values()))["accounts"][0]
    secret = Secret(account["api_secret"])
    raise RuntimeError(f"connect to https://user:{secret.reveal()}@example.org")
"""


def canaries(ready: Path) -> set[str]:
    """Every credential of every account."""
    exchanges = json.loads(ready.read_text())["exchanges"]
    found: set[str] = set()
    for venue in exchanges.values():
        for account in venue["accounts"]:
            found |= {account["api_key"], account["api_secret"], *map(str, account["credentials"].values())}
    long = {secret for secret in found if len(secret) >= 6}
    return long | {
        line for secret in long for line in secret.splitlines() if len(line) > 20 and "-----" not in line
    }


def forms(secret: str) -> Iterator[bytes]:
    """What to search for; of base64 what is the same wherever the secret stands in it."""
    raw = secret.encode()
    yield raw
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    yield quote(secret, safe="").encode()
    yield quote_plus(secret).encode()
    yield json.dumps(secret)[1:-1].encode()
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"x" * before + raw)[2 + before : len(raw)]


def found_in(data: bytes, secrets: set[str]) -> list[str]:
    """The forms in which a secret is in ``data``."""
    return [form.decode() for secret in secrets for form in forms(secret) if form in data]


def test_the_search_finds_what_it_is_for() -> None:
    secret = "Canary0123456789abcdefghijklmnop+/"
    for text in (
        secret.encode(),
        secret.encode().hex().encode(),
        quote(secret, safe="").encode(),
        base64.b64encode(b"key:" + secret.encode()),
        base64.urlsafe_b64encode(b"users:" + secret.encode()),
    ):
        assert found_in(b"before " + text + b" after", {secret})
    assert not found_in(b"nothing of it", {secret})


def answers(port: int, token: str) -> Iterator[tuple[str, bytes]]:
    """What the dashboard's API answers whoever logged in with ``token``."""
    base = f"http://127.0.0.1:{port}"
    headers = {"Content-Type": "application/json", "Origin": base, "Sec-Fetch-Site": "same-origin"}
    login = urllib.request.Request(f"{base}/api/login", json.dumps({"token": token}).encode(), headers)
    with urllib.request.urlopen(login, timeout=10) as answer:
        cookie = str(answer.headers["Set-Cookie"]).split(";")[0]
    for path in (
        "status", "health", "alerts?limit=1000", "orders?limit=1000", "positions", "opportunities", "config",
        "history", "audit", "summary", "config/history", "simulation", "rates",
    ):  # fmt: skip
        request = urllib.request.Request(f"{base}/api/{path}", headers={"Cookie": cookie})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                yield path, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                yield path, error.read()


def test_no_key_is_in_anything_that_leaves_the_program(
    tmp_path: Path, run_cli: RunCli, make_plugin: MakePlugin, with_site: dict[str, str]
) -> None:
    with localnet(tmp_path, "--seed", "7", "--speed", "100") as (ready, control):
        secrets = canaries(ready)
        assert len(secrets) >= 8
        town = Town(tmp_path, ready, control, run_cli, f"sqlite:///{tmp_path / 'bot.db'}", ANY_SPREAD)
        port = next(line for line in town.config.read_text().splitlines() if "port:" in line).split()[1]
        make_plugin("acme-careless", CARELESS)
        with town.config.open("a") as file:
            file.write(
                f"alerts: {{talkative: {{file: {tmp_path}/alerts.txt}}}}\nlogging: {{level: DEBUG, debug: true}}\n"
            )
        env = {**with_site, "CANARY_FILE": str(ready)}
        control.post("/faults", {"kind": "http_error", "operation": "*", "account": "bybit", "count": 5})
        from tests.system.programs import program

        with program(tmp_path, "bot", "run", *town.where, env=env) as bot:
            wait_for("link", lambda: bot.process.poll() is None and "#token=" in bot.output, 90)
            token = bot.output.split("#token=")[1].split()[0]
            wait_for("rule that was asked", lambda: "signed with" in bot.output, 120)
            wait_for("alert", lambda: (tmp_path / "alerts.txt").exists(), 60)
            shown = dict(answers(int(port), token))
            assert b"Careless" in shown["alerts?limit=1000"]
            done = run_cli("backup", *town.where[:2])
            assert done.returncode == 0, done.stderr
            bot.end(signal.SIGTERM, within=90)
        assert "signed with ***" in bot.output
        assert "***" in (tmp_path / "alerts.txt").read_text()

        written = [
            path
            for path in tmp_path.rglob("*")
            if path.is_file() and path != ready and "site" not in path.parts
        ]
        written = [path for path in written if path.name != "localnet.log"]
        names = {re.sub(r"-[0-9a-f]{8}(?=-)|-20.*", "", path.name) for path in written}
        assert {
            "bot.log",
            "bot.db",
            "alerts.txt",
            "trades",
            "errors",
            "debug",
            "bot-daily",
            "bot-backup",
        } <= names
        for path in written:
            assert found_in(path.read_bytes(), secrets) == [], path
        for name, data in shown.items():
            assert found_in(data, secrets) == [], name
        with closing(sqlite3.connect(tmp_path / "bot.db")) as rows:
            assert found_in("\n".join(rows.iterdump()).encode(), secrets) == []


def test_no_key_is_in_what_a_crash_says(
    tmp_path: Path, run_cli: RunCli, make_plugin: MakePlugin, with_site: dict[str, str]
) -> None:
    with localnet(tmp_path, "--seed", "7") as (ready, _):
        secrets = canaries(ready)
        make_plugin("acme-crash", CRASH)
        env = {**with_site, "CANARY_FILE": str(ready)}
        for arguments in (("plugins",), ("--debug", "plugins")):
            done = run_cli(*arguments, env=env)
            assert done.returncode != 0
            assert "user:***@example.org" in done.stderr
            assert found_in((done.stdout + done.stderr).encode(), secrets) == []
