"""The logs of a process that is the bot for as long as a command needs one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from fundingarb.app import log_plan
from fundingarb.config import Config
from fundingarb.errors import ConfigError
from fundingarb.logs.setup import logging_to


@contextmanager
def logs_of_a_bot(config: Config, say: Callable[[str], None]) -> Iterator[None]:
    """What a bot of ``config`` would log goes to its files until the block is left, and nothing to the terminal.

    A file that cannot be written keeps nobody from closing anything: ``say`` is told, and it goes on without it.
    """
    plan = replace(log_plan(config), terminal=False)
    said: set[str] = set()
    with ExitStack() as stack:
        for one in (
            plan,
            replace(plan, file=None),
            replace(plan, folder=None),
            replace(plan, file=None, folder=None),
        ):
            try:
                stack.enter_context(logging_to(one))
                break
            except ConfigError as error:
                if str(error) not in said:
                    say(f"{error}; going on without that log")
                said.add(str(error))
        yield
