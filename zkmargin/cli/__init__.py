"""The command line: ``zkmargin COMMAND``. A command's module is imported when the command is used.

Exit codes: 0 done; 1 the claim is false, or a proof is rejected or malformed; 2 any other bad input, an unreadable
path, a usage error, or a defect of ours. 130 after Ctrl-C and 141 when the reader of our output went away, as shells
have it for the signals.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

import zkmargin
from zkmargin import AUDIT_STATUS
from zkmargin.cli import terminal
from zkmargin.cli.groups import nearest, suggesting
from zkmargin.cli.hints import worded
from zkmargin.formats.errors import ZkMarginError

DEBUG_VARIABLE = "ZKMARGIN_DEBUG"
COMPLETE_VARIABLE = "_ZKMARGIN_COMPLETE"
BAD_INPUT = 2
INTERRUPTED = 130
PIPE_CLOSED = 141
#: What click from 8.2 on raises for a group without a command; older ones show the help themselves.
NO_ARGUMENTS: type[click.UsageError] | tuple[()] = getattr(click.exceptions, "NoArgsIsHelpError", ())

#: name -> (module below zkmargin.cli.commands, one line); in the order of the work.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "See everything work on an example, and fail where it must."),
    "market": ("market", "Import market data."),
    "policy": ("policy", "List, show and check margin policies."),
    "universe": ("universe", "Keep the slots of instruments apart from their quotes."),
    "snapshot": ("snapshot", "Build, show and check risk snapshots."),
    "book": ("book", "Make books and fills from a venue's answers."),
    "margin": ("margin", "The margin of a book."),
    "report": ("report", "Pages for people: a maker's book, a venue's accounts, an auditor's ledger."),
    "liquidate": ("liquidate", "The least costly trades after which a claim holds again."),
    "stress": ("stress", "A book's margin in stressed markets, over days, along a history."),
    "breach": ("breach", "Prove that an account is below its requirement, and check it."),
    "simulate": ("simulate", "Cascades: a shock, liquidations that move prices, and who pays."),
    "commit": ("commit", "Commit to a book: a public commitment, a secret opening."),
    "update": ("update", "Apply fills to a commitment without disclosing them."),
    "migrate": ("migrate", "Move a committed book to another universe of instruments."),
    "key": ("key", "Make and show signing keys."),
    "attest": ("attest", "Sign a snapshot, or the commitment to what an account holds with you."),
    "challenge": ("challenge", "Ask for a proof made now, for you, that counts once."),
    "check": ("check", "Whether a claim holds for a book, in words."),
    "prove": ("prove", "Prove that a committed book meets a claim."),
    "verify": ("verify", "Verify a proof, or several of one statement."),
    "bundle": ("bundle", "A proof and the public files around it in one file."),
    "page": ("page", "The verifier page: checks bundles in a browser, without network."),
    "verify-batch": ("verify_batch", "Verify proofs of many statements together."),
    "venue": ("venue", "Prove every account of a venue at once; check that yours is inside."),
    "watch": ("watch", "A market maker's agent: proves at every snapshot, fill and challenge."),
    "serve": ("serve", "A venue's service over HTTP."),
    "chain": ("chain", "Contracts that verify margin proofs: deploy, register, commit, prove."),
    "ledger": ("ledger", "What was accepted: status, check, export."),
    "inspect": ("inspect", "Explain any file of ours."),
    "srs": ("srs", "The structured reference string."),
    "cache": ("cache", "What is kept between runs: show it, clear it."),
    "completion": ("completion", "Completion for bash, zsh and fish."),
    "manual": ("manual", "Manual pages of all commands."),
    "doctor": ("doctor", "Check this installation."),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All commands, in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"zkmargin.cli.commands.{COMMANDS[cmd_name][0]}")
        command = module.command
        if not isinstance(command, click.Command):
            raise TypeError(f"{module.__name__}.command is not a command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's; a mistyped command gets the names that are like it."""
        return suggesting(super().resolve_command, self.list_commands(ctx), ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        terminal.say(f"zkmargin {zkmargin.__version__} ({AUDIT_STATUS}: do not let money depend on it alone)")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and the audit status.",
)
def cli() -> None:
    """Zero-knowledge margin proofs.

    Proves that a hidden book of positions is covered by hidden collateral under a public margin policy, and verifies
    such proofs. Start with `zkmargin demo`, then try the commands on its files; `zkmargin COMMAND --help` has examples.

    Files are named by path; - is standard input or output. Exit codes: 0 done; 1 the claim is false or the proof is
    rejected; 2 bad input.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code. Nothing escapes: every failure is one line and a code."""
    terminal.begin()
    terminal.listen_to_warnings()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show a character gets an escape
            stream.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None and COMPLETE_VARIABLE in os.environ:
        return _complete(os.environ[COMPLETE_VARIABLE])
    try:
        return _run(words)
    except BrokenPipeError:
        _drop_output()
        return PIPE_CLOSED
    except OSError as error:  # standard output: everything else that can fail is an InputError by now
        if error.filename is not None:
            return _defect(error, as_json=_wants_json(words))
        terminal.error(f"standard output: cannot be written: {(error.strerror or 'error').lower()}")
        _drop_output()
        return BAD_INPUT


def _complete(instruction: str) -> int:
    """Answer a shell that asks what could be typed next (`zkmargin completion`)."""
    from click.shell_completion import shell_complete  # noqa: PLC0415 - only a shell asks

    return shell_complete(cli, {}, "zkmargin", COMPLETE_VARIABLE, instruction)


def _run(words: list[str]) -> int:
    """The command, and what its failure says: in words, and with ``--json`` as a value on standard output."""
    as_json = _wants_json(words)
    try:
        # Not cli.main(): there a reader that goes away ends the process with 1, which here means "rejected".
        with cli.make_context("zkmargin", words) as context:
            cli.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as error:
        return error.exit_code
    except ZkMarginError as error:
        facts = error.as_facts() | ({"hint": worded(error.hint)} if error.hint else {})
        return _fail(error.exit_code, error.message, worded(error.hint), facts, error.facts, as_json=as_json)
    except click.UsageError as error:
        return _misused(error, as_json=as_json)
    except click.ClickException as error:
        return _fail(BAD_INPUT, error.format_message(), None, {"type": "UsageError"}, as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        return _fail(INTERRUPTED, "interrupted", None, {"type": "Interrupted"}, as_json=as_json)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - the last resort: no traceback, it may hold secrets
        return _defect(error, as_json=as_json)
    return 0


def _wants_json(words: Sequence[str]) -> bool:
    return "--json" in (words[: words.index("--")] if "--" in words else words)


def _fail(
    code: int,
    message: str,
    hint: str | None,
    error: Mapping[str, Any],
    facts: Mapping[str, Any] = MappingProxyType({}),
    *,
    as_json: bool,
) -> int:
    """One line and a hint on standard error; with ``--json`` the same as a value on standard output."""
    terminal.error(message, hint)
    if as_json and not terminal.json_said():
        shown = {"message": message, "exit_code": code, **error} | ({"hint": hint} if hint else {})
        terminal.say_json({**facts, "error": shown})
    return code


def _misused(error: click.UsageError, *, as_json: bool) -> int:
    if isinstance(error, NO_ARGUMENTS) and error.ctx:
        terminal.say(error.ctx.get_help(), err=True)
        return BAD_INPUT
    path = error.ctx.command_path if error.ctx else "zkmargin"
    if isinstance(error, click.NoSuchOption) and error.possibilities:
        close = nearest(error.option_name, error.possibilities)
        message = f"No such option '{error.option_name}': did you mean {' or '.join(close)}?"
    else:
        message = " ".join(error.format_message().split())
    return _fail(BAD_INPUT, message, f"{path} --help", {"type": "UsageError"}, as_json=as_json)


def _drop_output() -> None:
    """What is left in the buffer has nowhere to go: the interpreter must not try again at exit."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)


def _defect(error: BaseException, *, as_json: bool) -> int:
    """Name the place, never the message: a message may repeat a value, and values may be secret."""
    if isinstance(error, ImportError) and not (error.name or "").startswith("zkmargin"):
        missing = error.name or "a package"
        hint = "zkmargin doctor names what this installation lacks; install zkmargin again, with all it needs"
        return _fail(
            BAD_INPUT, f"the package {missing} cannot be loaded", hint, {"type": "SetupError"}, as_json=as_json
        )
    ours, place = Path(zkmargin.__file__).parent, ""
    for frame in traceback.extract_tb(error.__traceback__):
        file = Path(frame.filename)
        if file.is_relative_to(ours):
            place = f" at {file.relative_to(ours.parent).as_posix()}:{frame.lineno}"
    if os.environ.get(DEBUG_VARIABLE) == "1":
        sys.stderr.write("The traceback below may hold secrets of yours. Read it before you show it to anyone.\n")
        sys.stderr.write("".join(traceback.format_exception(error)))
    hint = (
        "please report it as SECURITY.md and CONTRIBUTING.md say, without any secret file; "
        f"{DEBUG_VARIABLE}=1 shows the traceback, which may hold secrets"
    )
    return _fail(
        BAD_INPUT, f"a defect of ours: {type(error).__name__}{place}", hint, {"type": "Defect"}, as_json=as_json
    )
