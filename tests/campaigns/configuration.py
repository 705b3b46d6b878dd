"""Configuration files after accidents: each loads or is refused in one line, without a traceback and without a secret.

    python -m tests.campaigns.configuration [--files 50000] [--programs 100] [--first 0]

Keys are pasted into the files where people paste them, in the right place and in wrong ones. So many of the files also
go to the real program. Prints figures; exits with 1 when something is not as it has to be.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.config.samples import FULL
from tests.config.test_refusals import mutate

from fundingarb.cli import explain
from fundingarb.config import load_config

CANARY = "k7Qp2vX9mRt4Wz8sLb3NhYd6Jc1GfA5e"
WINDOW = 16
"""So much of a secret in a message is the secret."""
LONGEST = 1000
PASTED = (
    f"# {CANARY}\n",
    f"accounts:\n  mine: {{exchange: okx, api_key: {CANARY}}}\n",
    f"api_secret: {CANARY}\n",
    f"exchanges:\n  okx: {{passphrase: '{CANARY}'}}\n",
    f"network: {CANARY}\n",
    f"trading:\n  min_net_usd: {CANARY}\n",
    f"trading: {{symbols: [{CANARY}]}}\n",
    f"alerts:\n  telegram: {{chat_id: 5, token: {CANARY}}}\n",
    f"database: {{url: postgresql://me:{CANARY}@host/name}}\n",
    f"{CANARY}\n",
    f"vault: [{CANARY}]\n",
    f"accounts: {{{CANARY}: {{exchange: 5}}}}\n",
    f"trading:\n  {CANARY}: 5\n",
    f"leverage: {{binance: {{{CANARY}: 5}}}}\n",
)


def file_of(seed: int) -> bytes:
    """A file after one to four accidents, mostly with a key in it."""
    source = random.Random(seed)
    lines = FULL.split("\n\n")
    if source.random() < 0.5:
        lines.insert(source.randrange(len(lines) + 1), source.choice(PASTED))
    return mutate("\n\n".join(lines), source)


def flaw(status: int, said: str, out: str = "") -> str | None:
    """What is wrong with how a program ended that said this."""
    if status not in (0, 2):
        return f"status {status}"
    if status == 0 and said:
        return "success that complains"
    if status == 2 and not (said.startswith("error: ") and said.endswith("\n") and said.count("\n") == 1):
        return "not one line"
    if len(said) > LONGEST or not said.strip("\n").isprintable():
        return "not a line to read"
    told = said + out
    if "Traceback" in told or "pydantic" in told:
        return "a traceback"
    if any(CANARY[at : at + WINDOW] in told for at in range(len(CANARY) - WINDOW + 1)):
        return "a secret"
    return None


def load(path: Path) -> tuple[int, str]:
    """(exit status, standard error) of loading ``path`` as the command line does."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            load_config(path, env={})
        except BaseException as error:  # noqa: BLE001 - whatever escapes is shown as the command line shows it
            return explain(error), said.getvalue()
    return 0, said.getvalue()


def program(path: Path) -> tuple[int, str, str]:
    """(exit status, standard error, standard output) of the real program, which finds no localnet."""
    done = subprocess.run(
        [sys.executable, "-m", "fundingarb", "run", "--config", str(path), "--ready-file", f"{path}.ready"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False,
        cwd=path.parent, env={**os.environ, "HOME": str(path.parent)},
    )  # fmt: skip
    return done.returncode, done.stderr.decode(errors="replace"), done.stdout.decode(errors="replace")


def campaign(files: int, programs: int, first: int = 0) -> tuple[Counter[str], list[str]]:
    """Figures, and what was wrong. The same files in every run."""
    figures: Counter[str] = Counter()
    wrong: list[str] = []
    every = max(1, files // programs) if programs else 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fundingarb.yaml"
        for seed in range(first, first + files):
            path.write_bytes(file_of(seed))
            status, said = load(path)
            figures["refused" if status else "loaded"] += 1
            found = flaw(status, said)
            if found is None and every and seed % every == 0:
                figures["programs"] += 1
                status, said, out = program(path)
                found = flaw(status, said, out) or (None if status == 2 else "a program that started")
            if found is not None:
                wrong.append(f"seed {seed}: {found}: {said[:300]!r}")
    return figures, wrong


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--programs", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="seed of the first file")
    asked = parser.parse_args()
    began = time.monotonic()
    figures, wrong = campaign(asked.files, asked.programs, asked.first)
    for line in wrong[:20]:
        print(line)
    print(
        f"{asked.files} files: {figures['loaded']} loaded, {figures['refused']} refused in one line; "
        f"{figures['programs']} also by the program; {len(wrong)} flaws; {time.monotonic() - began:.0f} s"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
