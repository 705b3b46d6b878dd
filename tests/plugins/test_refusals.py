"""Every reason to refuse a plugin, through the real command line: status 2, one line, the culprit named."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.conftest import MakePlugin, RunCli


@dataclass(frozen=True)
class Refusal:
    """A plugin's source and what the one line must say besides the distribution's name."""

    name: str
    source: str
    says: tuple[str, ...]
    bare: bool = False


REFUSALS = (
    Refusal(
        "import failure",
        "import no_such_module_anywhere\n",
        ("cannot be imported", "ModuleNotFoundError", "no_such_module_anywhere"),
        bare=True,
    ),
    Refusal("syntax error", "def broken(:\n", ("cannot be imported", "SyntaxError"), bare=True),
    Refusal(
        "import of several lines",
        "raise ValueError('one\\ntwo\\nthree')\n",
        ("ValueError: one two three",),
        True,
    ),
    Refusal(
        "exit while importing", "raise SystemExit('bye')\n", ("cannot be imported", "SystemExit: bye"), True
    ),
    Refusal("no hooks", "answer = 42\n", ("implements no fundingarb hook",), bare=True),
    Refusal(
        "unmarked hook",
        """
        def register_exchanges():
            return [Component("x", Settings, open_it)]
        """,
        ("register_exchanges", "not marked with @hookimpl"),
    ),
    Refusal(
        "one hook of two unmarked",
        """
        @hookimpl
        def register_exchanges():
            return []

        def register_services():
            return [Component("x", Settings, open_it)]
        """,
        ("register_services", "not marked with @hookimpl"),
    ),
    Refusal(
        "misspelt hook",
        """
        @hookimpl
        def register_exchange():
            return []
        """,
        ("register_exchange", "did you mean register_exchanges?"),
    ),
    Refusal(
        "unknown hook",
        """
        @hookimpl
        def brew_coffee():
            return []
        """,
        ("brew_coffee",),
    ),
    Refusal(
        "argument the hook does not have",
        """
        @hookimpl
        def register_exchanges(settings):
            return []
        """,
        ("register_exchanges", "settings"),
    ),
    Refusal(
        "raising hook",
        """
        @hookimpl
        def register_services():
            raise KeyError("boom")
        """,
        ("register_services failed", "KeyError: 'boom'"),
    ),
    Refusal(
        "hook that raises half-way",
        """
        @hookimpl
        def register_services():
            yield Component("fine", Settings, open_it)
            raise RuntimeError("half-way")
        """,
        ("register_services failed", "RuntimeError: half-way"),
    ),
    Refusal(
        "nothing returned",
        """
        @hookimpl
        def register_strategies():
            [Component("lost", Settings, open_it)]
        """,
        ("register_strategies failed", "nothing to iterate over"),
    ),
    Refusal(
        "one component instead of several",
        """
        @hookimpl
        def register_strategies():
            return Component("alone", Settings, open_it)
        """,
        ("register_strategies failed", "nothing to iterate over"),
    ),
    Refusal(
        "not a component",
        """
        @hookimpl
        def register_risk_rules():
            return ["limit"]
        """,
        ("register_risk_rules returned 'limit'", "not a Component"),
    ),
    Refusal(
        "bad name",
        """
        @hookimpl
        def register_exchanges():
            return [Component("My Exchange", Settings, open_it)]
        """,
        ("'My Exchange'", "lower-case"),
    ),
    Refusal(
        "settings that are no model",
        """
        @hookimpl
        def register_exchanges():
            return [Component("mine", dict, open_it)]
        """,
        ("'mine'", "not a pydantic model"),
    ),
    Refusal(
        "open that cannot be called",
        """
        @hookimpl
        def register_exchanges():
            return [Component("mine", Settings, None)]
        """,
        ("'mine'", "cannot be called"),
    ),
    Refusal(
        "same name twice in one plugin",
        """
        @hookimpl
        def register_exchanges():
            return [Component("twin", Settings, open_it), Component("twin", Settings, open_it)]
        """,
        ("exchange 'twin'",),
    ),
    Refusal(
        "name of one of ours",
        """
        @hookimpl
        def register_exchanges():
            return [Component("okx", Settings, open_it)]
        """,
        ("exchange 'okx'", "fundingarb-okx 0.1.0", "pip uninstall acme-perps or fundingarb-okx"),
    ),
)


@pytest.mark.parametrize("refusal", REFUSALS, ids=[refusal.name for refusal in REFUSALS])
def test_refused_in_one_line(
    refusal: Refusal, make_plugin: MakePlugin, run_cli: RunCli, with_site: dict[str, str]
) -> None:
    make_plugin("acme-perps", refusal.source, bare=refusal.bare)
    result = run_cli("plugins", env=with_site)
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert "acme-perps 1.2.3" in line
    assert "pip uninstall acme-perps" in line
    for part in refusal.says:
        assert part in line


def test_two_distributions_with_one_name_are_both_named(
    make_plugin: MakePlugin, run_cli: RunCli, with_site: dict[str, str]
) -> None:
    source = """
    @hookimpl
    def register_alert_sinks():
        return [Component("pager", Settings, open_it)]
    """
    make_plugin("acme-one", source)
    make_plugin("acme-two", source, version="9")
    result = run_cli("plugins", env=with_site)
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert "acme-one 1.2.3" in line
    assert "acme-two 9" in line
    assert "alert sink 'pager'" in line


def test_components_of_two_kinds_may_share_a_name(
    make_plugin: MakePlugin, run_cli: RunCli, with_site: dict[str, str]
) -> None:
    make_plugin(
        "acme-perps",
        """
        @hookimpl
        def register_alert_sinks():
            return [Component("acme", Settings, open_it)]

        @hookimpl
        def register_services():
            return [Component("acme", Settings, open_it)]
        """,
    )
    result = run_cli("plugins", env=with_site)
    assert (result.returncode, result.stderr) == (0, "")
    rows = [line.split() for line in result.stdout.splitlines() if " acme " in line]
    assert sorted(rows) == [
        ["alert", "sink", "acme", "acme-perps", "1.2.3", "key*,", "limit"],
        ["service", "acme", "acme-perps", "1.2.3", "key*,", "limit"],
    ]


def test_help_is_given_all_the_same_with_the_line_as_a_warning(
    make_plugin: MakePlugin, run_cli: RunCli, with_site: dict[str, str]
) -> None:
    make_plugin("acme-perps", "import no_such_module_anywhere\n", bare=True)
    result = run_cli("--help", env=with_site)
    assert result.returncode == 0
    assert "plugins" in result.stdout
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: acme-perps 1.2.3: ")


def test_an_unknown_command_with_a_broken_plugin_blames_the_plugin(
    make_plugin: MakePlugin, run_cli: RunCli, with_site: dict[str, str]
) -> None:
    make_plugin("acme-perps", "import no_such_module_anywhere\n", bare=True)
    result = run_cli("acme-report", env=with_site)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: acme-perps 1.2.3: ")
