"""What ``zkmargin inspect`` says of signatures, and of what a venue's service and its callers exchange."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from zkmargin.cli.coverage_words import coverage_facts
from zkmargin.client.documents import Coverage, Event, Submission
from zkmargin.client.orders import Change
from zkmargin.crypto.keys import fingerprint
from zkmargin.crypto.signatures import Message, Signature
from zkmargin.formats import Document

Facts = dict[str, Any]


def signatures(items: Sequence[Signature], message: Message) -> list[Facts]:
    """Signatures, and whether they are the keys' that they name."""
    return [
        {
            "scheme": item.scheme,
            "keys": [fingerprint(item.scheme, key) for key in item.public_keys],
            "verifies": item.verifies(message),
        }
        for item in items
    ]


def submission(document: Submission) -> Facts:
    """A submission."""
    return {
        "what": "a submission: a proof, and by digests what it is about; a venue's service takes it",
        "account": document.account,
        "challenge": document.challenge,
        "snapshot": document.snapshot,
        "commitment": document.commitment,
        "claim": document.claim.model_dump(mode="json"),
        "proof_bytes": len(document.proof_bytes),
    }


def change(document: Change) -> Facts:
    """A change."""
    return {
        "what": "a change: an order to a venue's service; it counts once, for five minutes, by who signed it",
        **document.to_json()["payload"],
        "signatures": signatures(document.signatures, document.message),
    }


def event(document: Event) -> Facts:
    """An event."""
    given = document.to_json()["payload"]
    return {
        "what": "an event: what happened at a venue's service, by its word",
        **{name: value for name, value in given.items() if value is not None},
        "signatures": signatures(document.signatures, document.message),
    }


def coverage(document: Coverage) -> Facts:
    """A coverage statement."""
    return {
        "what": "a coverage statement: at which snapshots a service accepted a proof; `zkmargin serve verify-coverage` "
        "checks whose word it is",
        **coverage_facts(document),
        "signatures": signatures(document.signatures, document.message),
    }


EXPLAINED: tuple[tuple[type[Document], Callable[[Any], Facts]], ...] = (
    (Change, change),
    (Coverage, coverage),
    (Event, event),
    (Submission, submission),
)
