"""``python -m fundingarb.testing.conformance MODULE:SUBJECT [README.md]``: run every case, write the table."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio

from fundingarb.testing.conformance.bench import Result, open_bench, run_all
from fundingarb.testing.conformance.subject import Subject
from fundingarb.testing.conformance.table import insert, table


async def verdicts(subject: Subject) -> list[Result]:
    async with open_bench(subject) as bench:
        return await run_all(bench)


def main(arguments: Sequence[str]) -> int:
    """Exit status 1 when a case fails; the README is then left as it is."""
    if not arguments or ":" not in arguments[0]:
        print(__doc__)
        return 2
    module, _, name = arguments[0].partition(":")
    sys.path.insert(0, "")
    subject: Subject = getattr(importlib.import_module(module), name)
    results = anyio.run(verdicts, subject)
    failed = [result for result in results if result.verdict == "no"]
    for result in results:
        print(f"{result.case.number} {result.case.title}: {result.verdict} {result.reason}".rstrip())
    applied = sum(result.verdict == "yes" for result in results)
    print(f"{subject.exchange}: {applied} passed, {len(failed)} failed, {len(results)} cases")
    if len(arguments) > 1 and not failed:
        readme = Path(arguments[1])
        readme.write_text(insert(readme.read_text(), table(results)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
