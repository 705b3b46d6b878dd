"""``fundingarb plugins``: what is installed, and what each part of it can be set to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from fundingarb.plugins import Registered, load_plugins

if TYPE_CHECKING:
    from pydantic import BaseModel

HEADINGS = ("KIND", "NAME", "DISTRIBUTION", "VERSION", "SETTINGS")


@click.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def plugins_command(as_json: bool) -> None:
    """List what is installed.

    One row per component: what it is, what the configuration calls it, which distribution brings it, and what can
    be set (a setting without a default is marked with an asterisk).
    """
    plugins = load_plugins()
    components = list(plugins)
    if as_json:
        import json

        click.echo(json.dumps([describe(component) for component in components], indent=2))
        return
    rows = [
        (one.kind, one.name, one.distribution, one.version, ", ".join(names(one.component.settings)) or "-")
        for one in components
    ]
    for line in table((HEADINGS, *rows)):
        click.echo(line)
    for one in components:
        if one.component.unavailable is not None:
            click.echo(f"{one.kind} {one.name} cannot be used: {one.component.unavailable}.")
    if not plugins.exchanges:
        click.echo("No exchange is installed; for example: pip install fundingarb-binance fundingarb-bybit")


def describe(registered: Registered[object]) -> dict[str, Any]:
    """One component as JSON can carry it."""
    component = registered.component
    return {
        "kind": registered.kind,
        "name": registered.name,
        "distribution": registered.distribution,
        "version": registered.version,
        "summary": component.summary,
        "unavailable": component.unavailable,
        "settings": [
            {
                "name": name,
                "type": str(getattr(field.annotation, "__name__", field.annotation)),
                "required": field.is_required(),
                "description": field.description,
            }
            for name, field in component.settings.model_fields.items()
        ],
    }


def names(settings: type[BaseModel]) -> Iterator[str]:
    """The settings of a component, a required one with an asterisk."""
    for name, field in settings.model_fields.items():
        yield f"{name}*" if field.is_required() else name


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """``rows`` as lines with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
