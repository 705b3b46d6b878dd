"""``fundingarb localnet``: serve until interrupted, and say so in a ready file."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from fundingarb.localnet.errors import LocalnetError
from fundingarb.localnet.run import DialectFactory, Localnet, Options, run_localnets

__all__ = ["check_writable", "serve", "write_ready"]


async def serve(
    dialects: Mapping[str, DialectFactory],
    options: Options,
    *,
    ready_file: Path | None,
    say: Callable[[str], None] = print,
    until_eof: bool = False,
) -> None:
    """Serve the exchanges until SIGINT or SIGTERM, with ``until_eof`` also until standard input ends.

    The ready file exists exactly as long as they are served.
    """
    if ready_file is not None:
        check_writable(ready_file)
    stop = asyncio.Event()
    if until_eof:
        stop_at_eof(asyncio.get_running_loop(), stop)
    with stopping_on_signals(stop):
        async with run_localnets(dialects, options) as localnet:
            if ready_file is not None:
                write_ready(ready_file, localnet.ready)
            announce(localnet, ready_file, say)
            try:
                await stop.wait()
            finally:
                if ready_file is not None:
                    remove_ready(ready_file)
        say("localnet stopped")


def stop_at_eof(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Set ``stop`` when standard input ends: when the program that started this one is gone, however it went."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        with suppress(RuntimeError):  # the loop has ended by itself
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, name="stdin", daemon=True).start()


@contextmanager
def stopping_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set ``stop`` on SIGINT and SIGTERM instead of what they usually do."""
    loop = asyncio.get_running_loop()
    handled = []
    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows loops and threads other than the main one have no signal handlers; Ctrl-C still cancels there
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, stop.set)
            handled.append(number)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


def announce(localnet: Localnet, ready_file: Path | None, say: Callable[[str], None]) -> None:
    """One line per exchange."""
    for name, venue in localnet.venues.items():
        entry = localnet.ready["exchanges"][name]
        accounts = ", ".join(account["name"] for account in entry["accounts"])
        say(f"{name}: {entry['rest']} ({len(venue.truth.instruments)} instruments; accounts {accounts})")
    say(f"control: {localnet.control_url}")
    if ready_file is not None:
        say(f"ready: {ready_file}")


def check_writable(path: Path) -> None:
    """Raise ``LocalnetError`` when a ready file could not be written there."""
    folder = path.parent
    if path.is_dir():
        raise LocalnetError(f"cannot write the ready file {path}: it is a folder; name a file")
    if not folder.is_dir():
        raise LocalnetError(
            f"cannot write the ready file {path}: there is no folder {folder}; create it first"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise LocalnetError(
            f"cannot write the ready file {path}: folder {folder} is not writable; choose another"
        )


def write_ready(path: Path, ready: Mapping[str, Any]) -> None:
    """Write the ready file at once and for its owner only: it holds (throw-away) keys."""
    data = msgspec.json.format(msgspec.json.encode(ready), indent=2) + b"\n"
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise LocalnetError(
            f"cannot write the ready file {path}: {error.strerror or error}; choose another place"
        ) from error


def remove_ready(path: Path) -> None:
    """Take the ready file away: what it says is not true any more."""
    path.unlink(missing_ok=True)
