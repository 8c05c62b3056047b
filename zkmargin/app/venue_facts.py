"""What a venue's proof says, as values for programs: JSON with decimal strings, and nothing secret."""

from __future__ import annotations

from typing import Any, cast

from zkmargin.app.facts import AUTHENTICATED, CHALLENGED, RECORDED, REPLAY, around_facts
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import from_units
from zkmargin.verifier.attest.acceptance import Acceptance
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.terms import VenueTerms
from zkmargin.verifier.venue.verify import VenueAccepted

UNAUTHENTICATED = "whose snapshot and whose commitments these are: without a trust file nobody has signed anything"
NOT_GUARANTEED = (
    "that every customer is inside with its whole book: each checks the note that the venue gave it",
    "that the collateral exists, is free of other claims, or can be sold at the snapshot's prices",
    "that the snapshot's prices are right, or its charges its policy's: rebuild it from its market",
    "anything about another time than the snapshot's, or about losses beyond the policy's scenarios",
)


def terms_facts(terms: VenueTerms) -> dict[str, Any]:
    """What a venue claims of which accounts."""
    return {
        "venue": terms.venue,
        "requirement": terms.requirement,
        "accounts": sum(spec.accounts for spec in terms.classes),
        "classes": [
            {
                "name": spec.name,
                "accounts": spec.accounts,
                "legs": spec.legs,
                "slots": spec.slots,
                "claim": spec.claim,
                "limits": list(spec.limits),
            }
            for spec in terms.classes
        ],
        "dense_accounts": len(terms.dense),
        "net": None if terms.net is None else "zero" if set(terms.net) <= {"0"} else list(terms.net),
        "totals": None if terms.totals is None else list(terms.totals),
        "cap": None if terms.cap is None else from_units(int(terms.cap), VALUATION_DECIMALS),
        "exempt": terms.exempt,
    }


def venue_facts(statement: VenueStatement, acceptance: Acceptance, *, recorded: bool = False) -> dict[str, Any]:
    """Everything public that an accepted venue proof shows, and who vouches for what it is about.

    ``recorded``: a ledger took it.
    """
    accepted = cast(VenueAccepted, acceptance.accepted)
    last = RECORDED if recorded else REPLAY if acceptance.challenge is None else CHALLENGED
    return {
        "protocol": "venue/v1",
        **terms_facts(statement.terms),
        "terms": statement.terms.digest().hex(),
        "statement_digest": accepted.statement_digest.hex(),
        "proof_digest": accepted.proof_digest.hex(),
        "root": accepted.root.hex(),
        **around_facts(statement, acceptance),
        "not_guaranteed": [UNAUTHENTICATED if acceptance.trust is None else AUTHENTICATED, *NOT_GUARANTEED, last],
    }
