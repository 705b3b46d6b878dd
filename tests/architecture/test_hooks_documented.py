"""The core README has a section for every hook, with every argument and an example that registers."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import fields
from pathlib import Path

import click
import pytest

from fundingarb import hookspecs
from fundingarb.component import Component
from fundingarb.discovery import HOOKS, Entry, PluginHost
from fundingarb.plugins import KINDS, components
from fundingarb.ports import OpenContext


@pytest.fixture(scope="module")
def readme(root: Path) -> str:
    return (root / "fundingarb-core" / "README.md").read_text()


def section(readme: str, hook: str) -> str:
    """Heading and text of the one section about ``hook``."""
    headed = re.split(r"^#+ ", readme, flags=re.MULTILINE)
    (found,) = [text for text in headed if text.startswith(f"`{hook}(")]
    return found


def example(readme: str, hook: str) -> str:
    """The Python code in the section about ``hook``."""
    (code,) = re.findall(r"```python\n(.*?)```", section(readme, hook), re.DOTALL)
    return str(code)


def test_the_hooks_are_those_of_the_architecture() -> None:
    assert set(HOOKS) == {*(f"register_{field}" for field in KINDS), "register_commands"}
    assert len(HOOKS) == 7


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_and_argument_has_its_place(hook: str, readme: str) -> None:
    spec = getattr(hookspecs, hook)
    arguments = list(inspect.signature(spec).parameters)
    heading, _, text = section(readme, hook).partition("\n")
    assert heading == f"`{hook}({', '.join(arguments)})`"
    for argument in arguments:
        assert f"`{argument}`" in text
    assert inspect.getdoc(spec), "the spec itself has a docstring"


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readme: str) -> dict[str, PluginHost]:
    """Every example of the README, loaded as a plugin of its own."""
    monkeypatch.syspath_prepend(str(tmp_path))
    hosts = {}
    for hook in HOOKS:
        module = f"readme_{hook}"
        (tmp_path / f"{module}.py").write_text(example(readme, hook))
        hosts[hook] = PluginHost([Entry("acme", "1", "acme", module)])
    return hosts


@pytest.mark.parametrize("field", KINDS)
def test_the_examples_register_a_component(field: str, loaded: dict[str, PluginHost]) -> None:
    (registered,) = components(loaded[f"register_{field}"], field).values()
    assert registered.component.summary
    assert registered.component.settings() is not None


def test_the_example_command_runs(loaded: dict[str, PluginHost], capsys: pytest.CaptureFixture[str]) -> None:
    cli = click.Group("fundingarb")
    loaded["register_commands"].register_commands(cli)
    cli.main(["annualise", "0.0001"], standalone_mode=False)
    assert capsys.readouterr().out == "10.95%\n"


@pytest.mark.parametrize("hook", HOOKS)
def test_the_examples_are_short(hook: str, readme: str) -> None:
    code = example(readme, hook)
    ast.parse(code)
    assert len([line for line in code.splitlines() if line.strip()]) <= 22


@pytest.mark.parametrize("documented", [Component, OpenContext], ids=["Component", "OpenContext"])
def test_every_field_is_documented(documented: type, readme: str) -> None:
    text = readme.partition("## Writing a plugin")[2].partition("## Hooks")[0]
    first_column = " ".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    for field in fields(documented):
        assert f"`{field.name}`" in first_column
