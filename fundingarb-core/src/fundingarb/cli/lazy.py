"""A click group whose commands are imported when they are called, not when they are listed."""

from __future__ import annotations

import gettext
from collections.abc import Mapping
from importlib import import_module
from typing import NamedTuple

import click

from fundingarb.errors import PluginError


class Lazy(NamedTuple):
    """A command that is not imported yet: where it is, as ``module:attribute``, and its line in the help."""

    target: str
    help: str

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self.target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


class CommandTaken(Exception):
    """A plugin adds a subcommand under a name that exists already."""


class LazyGroup(click.Group):
    """The top-level group: the program's own commands by table, the plugins' through ``register_commands``.

    Plugins are looked at only for the help and for a command that is not in the table, and then only their modules
    are imported, none of their components.
    """

    lazy: Mapping[str, Lazy] = {}
    _registered = False
    _registering = False

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a subcommand. Raises `CommandTaken` when a plugin takes a name that exists."""
        name = name or cmd.name
        if self._registering and name and (name in self.lazy or name in self.commands):
            raise CommandTaken(f"there is a command {name!r} already")
        super().add_command(cmd, name)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported; None when neither the program nor a plugin has it. Raises `PluginError`."""
        if cmd_name in self.lazy:
            return self.lazy[cmd_name].load()
        self._register_plugins()
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, sorted. A plugin that cannot be used is one line on stderr here: help is help."""
        try:
            self._register_plugins()
        except PluginError as error:
            click.echo(f"warning: {error}", err=True)
        return sorted({*self.lazy, *self.commands})

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands in the help, from the table where possible."""
        rows = []
        for name in self.list_commands(ctx):
            if name in self.lazy:
                rows.append((name, self.lazy[name].help))
            elif not self.commands[name].hidden:
                rows.append((name, self.commands[name].get_short_help_str(limit=80)))
        with formatter.section(gettext.gettext("Commands")):
            formatter.write_dl(rows)

    def _register_plugins(self) -> None:
        if self._registered:
            return
        self._registered = self._registering = True
        from fundingarb.discovery import PluginHost, glance

        try:
            PluginHost(glance()).register_commands(self)
        finally:
            self._registering = False
