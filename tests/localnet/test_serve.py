"""The ready file, TLS, signals and the command."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from tests.conftest import RunCli
from tests.localnet.still import START, StillModel
from tests.localnet.toy import OtherDialect, ToyDialect

from fundingarb.localnet.clock import SharedClock
from fundingarb.localnet.errors import LocalnetError
from fundingarb.localnet.run import Options, run_localnets
from fundingarb.localnet.serve import serve, write_ready


def ready_file_of(path: Path) -> dict[str, Any]:
    data = json.loads(path.read_text())
    assert isinstance(data, dict)
    return data


class Everywhere(AbstractResolver):
    """Resolves every host name to the localnet."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=self._port, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        return None


@pytest.mark.anyio
async def test_ready_file_has_the_documented_shape(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    said: list[str] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve_toys, ready, said)
        with anyio.fail_after(30):
            while not said or not said[-1].startswith("ready"):  # noqa: ASYNC110
                await anyio.sleep(0.01)
        data = ready_file_of(ready)
        assert list(data) == ["exchanges", "control", "clock", "run", "ca"]
        assert list(data["exchanges"]) == ["toy", "other"]
        toy = data["exchanges"]["toy"]
        assert list(toy) == ["rest", "ws", "endpoints", "accounts"]
        assert [list(account) for account in toy["accounts"]] == [
            ["name", "api_key", "api_secret", "credentials"]
        ] * 2
        assert toy["rest"].startswith("http://127.0.0.1:")
        assert data["ca"] is None
        clock = SharedClock.from_json(data["clock"])
        assert clock.speed == 30
        assert clock.now() >= START
        assert stat.S_IMODE(ready.stat().st_mode) == 0o600
        assert os.listdir(tmp_path) == ["ready.json"]
        assert (await fetch(data["control"] + "/time"))["unix"] == pytest.approx(clock.now(), abs=60)
        os.kill(os.getpid(), signal.SIGTERM)
    assert not ready.exists(), "what it says is not true any more"
    assert said[-1] == "localnet stopped"


async def serve_toys(ready: Path, said: list[str]) -> None:
    options = Options(speed=30, start=START)
    await serve({"toy": ToyDialect, "other": OtherDialect}, options, ready_file=ready, say=said.append)


@pytest.mark.anyio
async def test_tls_under_the_exchanges_host_name() -> None:
    options = Options(tls=True, start=START)
    async with run_localnets({"toy": ToyDialect}, options, model=StillModel()) as net:
        ca = net.ready["ca"]
        rest = net.ready["exchanges"]["toy"]["rest"]
        assert rest.startswith("https://")
        assert net.ready["exchanges"]["toy"]["ws"].startswith("wss://")
        port = int(rest.rpartition(":")[2])
        trusting = ssl.create_default_context(cafile=ca)
        connector = aiohttp.TCPConnector(resolver=Everywhere(port), ssl=trusting)
        async with aiohttp.ClientSession(connector=connector) as http:
            for host in ("api.toy.example", "stream.toy.example", "localhost", "127.0.0.1"):
                url = f"https://{host}:{port}/book?instrument=BTCUSDT"
                async with http.get(url) as answer:
                    assert answer.status == 200, host
            async with http.ws_connect(f"wss://stream.toy.example:{port}/ws") as stream:
                await stream.send_json({"op": "hello"})
                assert await stream.receive_json() == {"ok": "hello"}
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await http.get(f"https://api.somebody.else:{port}/book")
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            async with aiohttp.ClientSession() as stranger:
                await stranger.get(rest + "/book")
        names = sorted(os.listdir(os.path.dirname(ca)))
    assert names == ["ca.pem", "toy.pem"]
    with pytest.raises(FileNotFoundError):  # the authority is thrown away
        ssl.create_default_context(cafile=ca)


def test_the_cas_certificate_passes_strict_verification(tmp_path: Path) -> None:
    """Python 3.13 verifies strictly by default; older ones can be asked to."""
    from fundingarb.localnet.tls import Authority

    authority = Authority(tmp_path)
    server = authority.server_context("toy", ["api.toy.example"])
    client = ssl.create_default_context(cafile=str(authority.ca))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    inputs, outputs = (ssl.MemoryBIO(), ssl.MemoryBIO()), (ssl.MemoryBIO(), ssl.MemoryBIO())
    a = client.wrap_bio(inputs[0], outputs[0], server_hostname="api.toy.example")
    b = server.wrap_bio(inputs[1], outputs[1], server_side=True)
    done = {a: False, b: False}
    for _ in range(10):
        for end in (a, b):
            try:
                end.do_handshake()
                done[end] = True
            except ssl.SSLWantReadError:
                pass
            inputs[1].write(outputs[0].read())
            inputs[0].write(outputs[1].read())
    assert all(done.values())


@pytest.mark.anyio
async def test_a_port_in_use_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for name in ("toy", "control"):
            with pytest.raises(LocalnetError, match=f"cannot listen on 127.0.0.1:{port}") as caught:
                async with run_localnets(
                    {"toy": ToyDialect}, Options(ports={name: port}), model=StillModel()
                ):
                    pass
            assert "choose another port" in str(caught.value)


@pytest.mark.anyio
async def test_no_exchange_is_one_line() -> None:
    with pytest.raises(LocalnetError, match="no exchange to run"):
        async with run_localnets({}):
            pass


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("place", "message"), [("missing/ready.json", "there is no folder"), (".", "it is a folder")]
)
async def test_a_ready_file_that_cannot_be_written_is_one_line(
    tmp_path: Path, place: str, message: str
) -> None:
    with pytest.raises(LocalnetError, match=message):
        await serve({"toy": ToyDialect}, Options(), ready_file=tmp_path / place)


def test_a_full_disk_leaves_no_debris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(LocalnetError, match="No space left"):
        write_ready(tmp_path / "ready.json", {"a": 1})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--exchange", "nowhere"], "no installed plugin brings a localnet of 'nowhere'"),
        (["--speed", "0"], "0 is not between 0 and 100000"),
        (["--port", "binance"], "is not NAME=PORT"),
        (["--start", "soon"], "'soon' is not an ISO time"),
        (["--ready-file", "no/where/ready.json"], "there is no folder"),
        (["--replay", "nothing-here"], "nothing to replay at nothing-here"),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(run_cli: RunCli, arguments: list[str], message: str) -> None:
    run = run_cli("localnet", *arguments)
    assert run.returncode == 2
    assert message in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1, run.stderr
    assert run.stdout == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_a_signal(
    fundingarb_script: Path, tmp_path: Path, number: signal.Signals
) -> None:
    ready = tmp_path / "ready.json"
    arguments = ["localnet", "--ready-file", str(ready), "--speed", "100", "--seed", "7", "--tls"]
    process = subprocess.Popen(
        [str(fundingarb_script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    try:
        assert process.stdout is not None
        while not (line := process.stdout.readline()).startswith("ready: "):
            assert line, process.communicate()[1]
        data: Mapping[str, Any] = ready_file_of(ready)
        assert {"binance", "bybit"} <= set(data["exchanges"])
        truth = asyncio.run(fetch(data["control"] + "/truth"))
        assert set(truth["accounts"]) >= {"binance", "binance-alt", "bybit", "bybit-alt"}
        assert truth["accounts"]["binance"]["starting_balance"] == "100000"
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert (process.returncode, err) == (0, "")
    assert out.endswith("localnet stopped\n")
    assert not ready.exists()


async def fetch(url: str) -> Any:
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return await answer.json()


def test_importing_the_command_is_cheap() -> None:
    code = (
        "import sys, fundingarb.localnet.command;"
        "print([n for n in ('aiohttp', 'msgspec', 'cryptography', 'ccxt', 'asyncio') if n in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
