"""``--set``: the command line wins over environment and file, and takes no secrets."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from fundingarb.cli import build
from fundingarb.cli.run import CONFIG, SETTINGS, given
from fundingarb.config import load_config, load_essentials
from fundingarb.errors import ConfigError


@click.command()
@CONFIG
@SETTINGS
@click.option("--in-an-emergency", is_flag=True)
def show(config_file: Path | None, in_an_emergency: bool) -> None:
    load = load_essentials if in_an_emergency else load_config
    found = load(config_file, overrides=given())
    config, left_out = found if isinstance(found, tuple) else (found, [])
    trading = config.trading
    click.echo(f"{trading.min_net_usd} {','.join(trading.symbols)} {trading.leverage} {left_out}")


def invoke(file: Path, *arguments: str, **env: str) -> Result:
    return CliRunner(env=env).invoke(show, ["--config", str(file), *arguments])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fundingarb.yaml"
    path.write_text("trading: {min_net_usd: 1, symbols: [BTC-USDT], leverage: {default: 2}}\n")
    return path


def test_it_wins_over_environment_and_file(file: Path) -> None:
    env = {"FUNDINGARB__TRADING__MIN_NET_USD": "3"}
    assert invoke(file).output == "1 BTC-USDT {'default': 2} []\n"
    assert invoke(file, **env).output == "3 BTC-USDT {'default': 2} []\n"
    said = invoke(file, "--set", "trading.min_net_usd=5.50", "--set", "trading.symbols=[ETH-USDT]", **env)
    assert said.output == "5.50 ETH-USDT {'default': 2} []\n"
    assert invoke(file, "--in-an-emergency", "--set", "trading.min_net_usd=7").output.startswith("7 ")


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("trading.min_nett_usd=5", "did you mean min_net_usd"),
        ("trading.min_net_usd=much", "command line: trading.min_net_usd"),
        ("exchanges.binance.api_key=Canary0123456789abcdef", "vault"),
    ],
)
def test_what_is_wrong_names_the_command_line(file: Path, setting: str, says: str) -> None:
    result = invoke(file, "--set", setting)
    assert isinstance(result.exception, ConfigError)
    assert says in str(result.exception)
    assert "Canary" not in str(result.exception)


def test_what_is_no_setting_is_wrong_usage(file: Path) -> None:
    result = invoke(file, "--set", "trading")
    assert result.exit_code == 2
    assert "write PATH=VALUE" in result.output


@pytest.mark.parametrize(
    "name", ["run", "doctor", "watch", "rates", "status", "kill", "pause", "resume", "reconcile"]
)
def test_the_commands_around_a_bot_have_it(name: str) -> None:
    with click.Context(build()) as context:
        command = build().get_command(context, name)
    assert command is not None
    assert "--set" in {option for each in command.params for option in each.opts}
