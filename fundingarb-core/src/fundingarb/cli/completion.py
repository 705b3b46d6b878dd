"""``fundingarb completion``."""

from __future__ import annotations

import click

HOW = {
    "bash": "fundingarb completion bash > ~/.local/share/bash-completion/completions/fundingarb",
    "zsh": "fundingarb completion zsh > ~/.zfunc/_fundingarb (a folder that is in fpath)",
    "fish": "fundingarb completion fish > ~/.config/fish/completions/fundingarb.fish",
}
"""Shell -> where its completion goes."""


@click.command("completion")
@click.argument("shell", type=click.Choice(list(HOW)))
def completion_command(shell: str) -> None:
    """Print the completion of a shell.

    bash: into ~/.local/share/bash-completion/completions/fundingarb. zsh: into _fundingarb in a folder of fpath. fish:
    into ~/.config/fish/completions/fundingarb.fish.
    """
    from click.shell_completion import ShellComplete, get_completion_class

    from fundingarb.cli import build

    kind = get_completion_class(shell) or ShellComplete
    made = kind(build(), {}, "fundingarb", "_FUNDINGARB_COMPLETE")
    click.echo(f"# {HOW[shell]}")
    click.echo(made.source_template % made.source_vars())
