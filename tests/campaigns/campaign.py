"""``python -m tests.campaigns.campaign --hedges 500``: hedges through the production adapters, with faults on.

The real bot with the real adapters, over real sockets, against exchanges in a process of their own. A seeded script
opens and closes hedges through the commands a person has, a seeded storm injects faults; at the end everything is
judged by the exchanges' truth. From 100 hedges per pair on every fault recipe has to have struck every exchange it can
happen to, with all of its faults. Prints one JSON line; exits with 1 on any breach.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path

import anyio
from tests.campaigns.wire.run import During, Options, Result, run

#: Hedges per pair from which on every fault has to have happened everywhere.
ENOUGH = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hedges", type=int, default=500, help="hedges per pair of exchanges")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=120.0, help="simulated seconds per real one")
    parser.add_argument("--every", type=float, default=0.5, help="real seconds between faults; 0: no faults")
    parser.add_argument(
        "--only", default="", help="names of the fault recipes to use, with commas; default: all"
    )
    parser.add_argument("--exchanges", default="", help="with commas; default: all that have a localnet")
    parser.add_argument(
        "--symbols", type=int, default=12, help="how many symbols are traded; 0: all there are"
    )
    parser.add_argument("--minutes", type=float, default=120.0, help="give up after so many real minutes")
    parser.add_argument("--folder", type=Path, help="keep database and logs here")
    arguments = parser.parse_args()
    options = Options(
        hedges=arguments.hedges,
        seed=arguments.seed,
        speed=arguments.speed,
        every=arguments.every,
        only=tuple(filter(None, arguments.only.split(","))),
        exchanges=tuple(filter(None, arguments.exchanges.split(","))),
        symbols=arguments.symbols,
        minutes=arguments.minutes,
        progress=True,
        every_recipe=bool(arguments.every) and arguments.hedges >= ENOUGH,
    )
    sys.exit(conclude("campaign", in_folder(options, arguments.folder)))


def in_folder(
    options: Options, folder: Path | None, during: During | None = None, after: During | None = None
) -> Result:
    """``wire.run.run`` in ``folder``, or in one that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="fundingarb-campaign-") as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(place / "bot.log")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
        return anyio.run(run, options, place, during, after)


def conclude(name: str, result: Result) -> int:
    """Print breaches and the line of figures; the exit status."""
    for line in result.breaches[:100]:
        print(f"BREACH {line}", file=sys.stderr)
    print(json.dumps({"campaign": name, "breaches": len(result.breaches), **result.figures}))
    return 1 if result.breaches else 0


if __name__ == "__main__":
    main()
