"""The hooks a plugin may implement.

A plugin is a module named by an entry point of the group ``fundingarb``. It implements any of these functions,
each marked with ``@hookimpl``. Hooks only register: they are called once, at start-up, synchronously, in no
promised order, and return values. What they register is opened later and then called directly, not through pluggy.

Keep the module light. Import settings models and adapters inside the hook or inside ``open``, so that
``fundingarb --help`` never pays for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
    from collections.abc import Iterable

    import click

    from fundingarb.component import Component
    from fundingarb.localnet.dialect import LocalnetDialect
    from fundingarb.ports import AlertSink, ExchangeAdapter, RiskRule, Service, Strategy

__all__ = ["PROJECT", "hookimpl", "hookspec"]

PROJECT = "fundingarb"
"""Name of the pluggy project and of the entry-point group."""

hookspec = HookspecMarker(PROJECT)
hookimpl = HookimplMarker(PROJECT)


@hookspec
def register_exchanges() -> Iterable[Component[ExchangeAdapter]]:  # type: ignore[empty-body]
    """Exchanges this plugin can trade on; the component's name is the exchange's name."""


@hookspec
def register_strategies() -> Iterable[Component[Strategy]]:  # type: ignore[empty-body]
    """Strategies that propose opportunities and exits; ``trading.strategy`` in the configuration picks one."""


@hookspec
def register_risk_rules() -> Iterable[Component[RiskRule]]:  # type: ignore[empty-body]
    """Rules of which every one must approve a plan before it reaches the executor."""


@hookspec
def register_alert_sinks() -> Iterable[Component[AlertSink]]:  # type: ignore[empty-body]
    """Places that alerts are sent to, such as the log or Telegram."""


@hookspec
def register_services() -> Iterable[Component[Service]]:  # type: ignore[empty-body]
    """Things that run beside the engine for as long as the program does, such as the dashboard."""


@hookspec
def register_localnets() -> Iterable[Component[LocalnetDialect]]:  # type: ignore[empty-body]
    """Wire dialects of the offline exchanges; the name is that of the exchange whose protocol it speaks."""


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add subcommands to the ``fundingarb`` command.

    ``cli`` is the top-level click group; call ``cli.add_command`` or decorate with ``@cli.command``. A name that
    is taken already is refused.
    """
