"""Discovery, the allow-list and settings, through the Python API."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from pydantic import BaseModel
from tests.conftest import MakePlugin

from fundingarb import Plugins, PluginSettings, load_plugins
from fundingarb.component import Component
from fundingarb.discovery import CORE, PluginNotAllowed, glance, installed
from fundingarb.errors import PluginError
from fundingarb.plugins import (
    ComponentUnavailable,
    Registered,
    SettingsInvalid,
    validate_settings,
)

OURS = {CORE, *(f"fundingarb-{name}" for name in ("binance", "bybit", "okx", "dydx", "dashboard"))}

EXCHANGE = """
@hookimpl
def register_exchanges():
    return [Component("acme", Settings, open_it, summary="An exchange")]
"""


@pytest.fixture
def on_path(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """`site` on this process's own path; what was imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)
    yield site
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(site) in str(sys.modules[name].__file__):
            del sys.modules[name]


def distributions(plugins: Plugins) -> set[str]:
    return {entry.distribution for entry, _ in plugins.host.plugins}


def test_everything_of_ours_is_an_ordinary_plugin() -> None:
    plugins = load_plugins()
    assert distributions(plugins) >= OURS
    assert plugins.exchanges["okx"].distribution == "fundingarb-okx"
    assert plugins.services["dashboard"].distribution == "fundingarb-dashboard"
    for ours in plugins:
        assert ours.component.summary, f"{ours.kind} {ours.name} has no summary"
        assert issubclass(ours.component.settings, PluginSettings), f"{ours.kind} {ours.name} is slow to list"


def test_a_strangers_plugin_loads_like_ours(make_plugin: MakePlugin, on_path: Path) -> None:
    make_plugin("Acme.Perps", EXCHANGE)
    registered = load_plugins().exchanges["acme"]
    assert (registered.kind, registered.label) == ("exchange", "Acme.Perps 1.2.3")
    assert set(registered.component.settings.model_fields) == {"key", "limit"}


def test_the_quick_look_finds_what_the_thorough_one_finds(make_plugin: MakePlugin, on_path: Path) -> None:
    make_plugin("acme-perps", EXCHANGE)
    thorough = {tuple(entry) for entry in installed() if entry.distribution in OURS | {"acme-perps"}}
    quick = {tuple(entry) for entry in glance() if entry.distribution in OURS | {"acme-perps"}}
    assert len(thorough) == len(OURS) + 1
    assert quick == thorough


def test_only_allowed_distributions_are_imported(make_plugin: MakePlugin, on_path: Path) -> None:
    make_plugin("acme-perps", EXCHANGE)
    make_plugin("acme-spy", "raise RuntimeError('imported')\n", bare=True)
    with pytest.raises(PluginError, match="acme-spy"):
        load_plugins()
    plugins = load_plugins(allow=["Acme_Perps", "fundingarb-okx"])
    assert distributions(plugins) == {CORE, "acme-perps", "fundingarb-okx"}
    assert set(plugins.exchanges) == {"acme", "okx"}


def test_an_allowed_distribution_that_is_missing_is_refused() -> None:
    with pytest.raises(PluginNotAllowed) as refused:
        load_plugins(allow=["fundingarb-okx", "acme-missing"])
    assert str(refused.value).startswith("acme-missing: ")
    assert "pip install acme-missing" in str(refused.value)


class Nested(BaseModel):
    size: int


class Settings(BaseModel):
    key: str
    limit: int = 3
    nested: Nested = Nested(size=1)


def registered(unavailable: str | None = None) -> Registered[object]:
    component: Component[object] = Component(
        "acme", Settings, lambda settings, context: nullcontext(object()), unavailable=unavailable
    )
    return Registered("exchange", component, "acme-perps", "1.2.3")


def test_settings_that_fit() -> None:
    settings = validate_settings(registered(), {"key": "k", "nested": {"size": "4"}})
    assert settings == Settings(key="k", nested=Nested(size=4))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "key: Field required"),
        (None, "key: Field required"),
        ({"key": "k", "limit": "hunter2"}, "limit: "),
        ({"key": "k", "nested": {"size": "hunter2"}}, "nested.size: "),
        ({"limit": "hunter2", "nested": 3}, "(and 2 more)"),
    ],
)
def test_settings_that_do_not_fit(values: dict[str, object] | None, says: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        validate_settings(registered(), values)
    message = str(refused.value)
    assert message.startswith("acme-perps 1.2.3: exchange acme: ")
    assert says in message
    assert "\n" not in message
    assert "hunter2" not in message, "a value may be a secret"
    assert refused.value.exit_status == 2


def test_a_component_that_is_only_announced_cannot_be_configured() -> None:
    with pytest.raises(ComponentUnavailable, match=r"acme-perps 1\.2\.3: exchange acme .*: come back later"):
        validate_settings(registered(unavailable="come back later"), {"key": "k"})
