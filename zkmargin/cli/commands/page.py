"""``zkmargin page``: the verifier page, one HTML file."""

from __future__ import annotations

import click

from zkmargin.app.files import Output
from zkmargin.app.page import PAGE_DIGEST, verifier_page
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command
from zkmargin.cli.options import json_option, output_option
from zkmargin.cli.paths import check_paths, write_outputs
from zkmargin.formats.files import STDIO


@click.command(
    "page",
    cls=Command,
    examples=[
        "zkmargin page -o my-verify.html",
        "zkmargin page -o my-page.html --json",
    ],
)
@output_option("the page")
@json_option
def command(output: str, as_json: bool) -> None:
    """Write the verifier page: an HTML file that checks bundles and proofs in a browser, without any network.

    Open it, drop a bundle (zkmargin bundle) on one side, your own trust file and challenge on the other. It is a
    verifier of its own, written from the documents in another language. Compare the digest that is shown here with the
    one that you were told: a page from somewhere else can show any tick.
    """
    check_paths([], [output], json=as_json)
    write_outputs([Output(output, verifier_page())])
    if as_json:
        terminal.say_json({"output": output, "keccak256": PAGE_DIGEST.hex()})
    elif output != STDIO:
        terminal.say(f"wrote {terminal.safe(output)}: keccak-256 {PAGE_DIGEST.hex()}")
        terminal.say("open it in a browser: it needs no network, and has no right to use any")
