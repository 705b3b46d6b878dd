"""The builtin components, registered like anybody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundingarb.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fundingarb.component import Component
    from fundingarb.ports import AlertSink, RiskRule, Strategy


@hookimpl
def register_strategies() -> Iterable[Component[Strategy]]:
    return ()


@hookimpl
def register_risk_rules() -> Iterable[Component[RiskRule]]:
    return ()


@hookimpl
def register_alert_sinks() -> Iterable[Component[AlertSink]]:
    return ()
