"""Changing a configuration file: what is asked for and nothing else, comments included."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from fundingarb.config import example_config, parse_config
from fundingarb.config.document import differences, document_of
from fundingarb.config.edit import edited, replacement
from fundingarb.errors import ConfigError

FILE = """\
# my bot
network: localnet
trading:
  symbols: [BTC-USDT, ETH-USDT]  # two of them
  min_net_usd: 5   # at least
  negative_spread_tolerance: moderate  # calm
  # the last comment of the section
margin: {warn_distance: 0.1}
risk:
  total_notional:
    max_usd: 1000
# the end
"""


def change(text: str, **values: Any) -> str:
    """``text`` with settings (``trading__min_net_usd``) changed, and only those."""
    before = document_of(parse_config(text))
    after = document_of(parse_config(text))
    for name, value in values.items():
        *sections, last = name.split("__")
        inner = after
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = value
    changes = differences(before, after)
    found = edited(text, [one.path for one in changes], after)
    assert differences(after, document_of(parse_config(found))) == ()
    return found


def test_a_value_changes_and_its_comment_stays() -> None:
    assert change(FILE, trading__min_net_usd="7.5") == FILE.replace("min_net_usd: 5 ", "min_net_usd: 7.5 ")
    assert change(FILE, margin__warn_distance="0.09") == FILE.replace("0.1", "0.09")


def test_a_new_setting_goes_to_its_section() -> None:
    found = change(FILE, trading__horizon_hours="48", margin__adl_rank=3, logging__level="DEBUG")
    assert "  # the last comment of the section" in found
    assert "tolerance: moderate  # calm\n  horizon_hours: 48\n" in found
    assert "margin: {warn_distance: 0.1, adl_rank: 3}\n" in found
    assert found.endswith("# the end\nlogging:\n  level: DEBUG\n")


def test_a_value_that_becomes_a_table_and_a_list() -> None:
    table = {"default": "0", "BTC-USDT": "-0.0005"}
    found = change(FILE, trading__negative_spread_tolerance=table, trading__symbols=["SOL-USDT"])
    assert "  negative_spread_tolerance: {default: 0, BTC-USDT: -0.0005}  # calm\n" in found
    assert "  symbols: [SOL-USDT]  # two of them\n" in found


def test_what_is_taken_out_of_a_table_is_gone() -> None:
    text = "trading:\n  leverage:\n    default: 3\n    BTC-USDT: 5  # more\n  min_net_usd: 2\n"
    found = change(text, trading__leverage={"default": 3})
    assert parse_config(found).trading.leverage == {"default": 3}
    assert "min_net_usd: 2" in found


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "trading:\n  # why\n  leverage: 3  # three\n  min_net_usd: 2  # two\n"]
)
def test_a_value_that_is_gone_takes_nothing_beside_it_along(text: str) -> None:
    found = change(text, trading__leverage={"BTC-USDT": 4})
    assert parse_config(found).trading.leverage == {"BTC-USDT": 4}
    for remark in ("# nothing", "# why", "# three", "min_net_usd: 2  # two"):
        assert remark not in text or remark in found


def test_a_file_that_cannot_be_edited_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"trading\.min_net_usd: the file is written in a way"):
        change(
            "---\nmargin:\n  warn_distance: 0.2\n...\n", trading__min_net_usd="7", trading__horizon_hours="9"
        )


def test_the_example_file_and_an_empty_one_take_every_setting() -> None:
    for text in (example_config(), "", "# nothing\n"):
        found = change(
            text, trading__min_net_usd="2", margin__adl_rank=2, risk__total_notional={"max_usd": "9"}
        )
        for line in text.splitlines():
            assert line in found.splitlines()


def test_text_that_looks_like_something_else_is_quoted() -> None:
    assert "level: 'yes'" in edited(
        "logging:\n  level: INFO\n", ["logging.level"], {"logging": {"level": "yes"}}
    )


def test_the_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "fundingarb.yaml"
    path.write_text("old")
    path.chmod(0o640)
    with pytest.raises(ZeroDivisionError), replacement(path, "new"):
        raise ZeroDivisionError
    assert path.read_text() == "old"
    with replacement(path, "new") as put:
        assert path.read_text() == "old"
        put()
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ConfigError, match="cannot be written"), replacement(tmp_path / "no" / "x", "new"):
        pytest.fail("written")
