"""``zkmargin venue``: every account of a venue in one proof, and a customer's check of its own."""

from __future__ import annotations

import click

from zkmargin.cli.groups import Group
from zkmargin.cli.venue_customers import check_note_command, note_command
from zkmargin.cli.venue_log import log_group
from zkmargin.cli.venue_prove import prove_command
from zkmargin.cli.venue_verify import inspect_command, verify_command


@click.group("venue", cls=Group)
def command() -> None:
    """Prove that no account of a venue is under margin; check that one's own account is inside.

    A venue proves all accounts in one proof and publishes snapshot, terms, proof and record. Anyone verifies them. Each
    customer gets a note and checks, from kilobytes, that its whole book is in the published proof.
    """


for _found in (prove_command, verify_command, inspect_command, note_command, check_note_command, log_group):
    command.add_command(_found)
