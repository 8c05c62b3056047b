"""What `inspect` says of a venue's files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zkmargin.app.venues import VenueSecret
from zkmargin.formats import Document
from zkmargin.verifier.venue.customers import VenueNote, VenueRecord
from zkmargin.verifier.venue.terms import VenueTerms

Facts = dict[str, Any]


def _terms(terms: VenueTerms) -> Facts:
    return {
        "what": "the terms of a venue proof; public. Next: zkmargin venue inspect FILE --snapshot S",
        "digest": terms.digest().hex(),
        "venue": terms.venue,
        "requirement": terms.requirement,
        "accounts": sum(spec.accounts for spec in terms.classes),
        "classes": [spec.name for spec in terms.classes],
        "dense_accounts": len(terms.dense),
        "net": terms.net is not None,
        "totals": terms.totals is not None,
        "cap": terms.cap is not None,
        "exempt": terms.exempt,
    }


def _record(record: VenueRecord) -> Facts:
    return {
        "what": "what a venue publishes beside a proof, in one log; public",
        "venue": record.venue,
        "statement_digest": record.statement,
        "proof_digest": record.proof,
        "root": record.root,
        "accounts": record.accounts,
    }


def _note(note: VenueNote) -> Facts:
    return {
        "what": "SECRET: a customer's note. Its nonce and its cells are not shown",
        "venue": note.venue,
        "statement_digest": note.statement,
        "proof_digest": note.proof,
        "account": note.account,
        "signed": bool(note.signatures),
    }


def _secret(secret: VenueSecret) -> Facts:
    return {
        "what": "SECRET: what a venue makes customers' notes from. Its seed and its names are not shown",
        "statement_digest": secret.statement,
        "proof_digest": secret.proof,
        "accounts": sum(map(len, secret.classes)),
    }


EXPLAINED: tuple[tuple[type[Document], Callable[[Any], Facts]], ...] = (
    (VenueNote, _note),
    (VenueRecord, _record),
    (VenueSecret, _secret),
    (VenueTerms, _terms),
)
