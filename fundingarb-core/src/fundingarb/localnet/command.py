"""``fundingarb localnet``. Only click is imported until the command runs."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import click

__all__ = ["localnet_command"]


def _port(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    ports = {}
    for value in values:
        name, _, number = value.partition("=")
        if not name or not number.isdigit() or not 0 < int(number) < 65536:
            raise click.BadParameter(f"{value!r} is not NAME=PORT, such as binance=18080 or control=18090")
        ports[name] = int(number)
    return ports


def _moment(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not an ISO time, such as 2026-01-05T07:38") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.timestamp()


def _speed(ctx: click.Context, param: click.Parameter, value: float) -> float:
    if not 0 < value <= 100_000:
        raise click.BadParameter(f"{value:g} is not between 0 and 100000 (1 is real time)")
    return value


@click.command("localnet", short_help="Serve offline exchanges on loopback.")
@click.option(
    "--exchange", "exchanges", multiple=True, metavar="NAME", help="Exchange to serve; repeat. Default: all."
)
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Written once serving, removed at the end: addresses, accounts, control API, clock, CA.",
)
@click.option(
    "--replay",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Replay recorded funding and prices from this folder or file instead of the seeded model.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of prices, funding and keys.")
@click.option(
    "--speed", type=float, default=1.0, show_default=True, callback=_speed, help="Simulated per real second."
)
@click.option(
    "--start", callback=_moment, metavar="TIME", help="Simulated start, ISO, UTC unless it says so."
)
@click.option("--tls", is_flag=True, help="Serve HTTPS and WSS with a throw-away certificate authority.")
@click.option(
    "--port",
    "ports",
    multiple=True,
    callback=_port,
    metavar="NAME=PORT",
    help="Port of an exchange or of 'control'; repeat. Default: free ones.",
)
@click.option(
    "--accounts", type=click.IntRange(1, 20), default=2, show_default=True, help="Accounts per exchange."
)
@click.option("--until-eof", is_flag=True, help="End when standard input ends too.")
def localnet_command(
    exchanges: tuple[str, ...],
    ready_file: Path | None,
    replay: Path | None,
    seed: int,
    speed: float,
    start: float | None,
    tls: bool,
    ports: dict[str, int],
    accounts: int,
    until_eof: bool,
) -> None:
    """Serve offline exchanges on loopback until interrupted.

    They speak the exchanges' own wire protocols. Prices and funding come from a seeded model or from recorded
    history; the control API reads what really happened and injects faults.
    """
    import asyncio

    from fundingarb.localnet.installed import installed_dialects
    from fundingarb.localnet.run import Options
    from fundingarb.localnet.serve import check_writable, serve

    options = Options(
        seed=seed, speed=speed, start=start, replay=replay, tls=tls, ports=ports, accounts=accounts
    )

    async def run() -> None:
        if ready_file is not None:
            check_writable(ready_file)
        async with installed_dialects(exchanges) as dialects:
            await serve(dialects, options, ready_file=ready_file, say=click.echo, until_eof=until_eof)

    asyncio.run(run())
