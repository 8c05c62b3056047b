"""``zkmargin completion``: commands, options and choices completed by the shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from zkmargin.cli import COMPLETE_VARIABLE, terminal
from zkmargin.cli.groups import Command
from zkmargin.formats import InputError

SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    cls=Command,
    examples=[
        "zkmargin completion bash    # eval it in ~/.bashrc, or put it into /etc/bash_completion.d",
        "zkmargin completion zsh",
        "zkmargin completion fish",
    ],
)
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the script that makes your shell complete zkmargin's commands, options and choices.

    bash: eval "$(zkmargin completion bash)" in ~/.bashrc. zsh: the same with zsh in ~/.zshrc, after compinit. fish:
    zkmargin completion fish > ~/.config/fish/completions/zkmargin.fish
    """
    found = get_completion_class(shell)
    root = click.get_current_context().find_root().command
    if found is None:
        raise InputError("no completion for this shell", field="shell")
    complete = found(root, {}, "zkmargin", COMPLETE_VARIABLE)
    # Not complete.source(): for bash that starts a bash to ask for its version, which this one need not have.
    terminal.say(complete.source_template % complete.source_vars(), whole=True)
