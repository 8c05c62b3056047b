"""What a venue's proof says, as values for programs: JSON with decimal strings, and nothing secret."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
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


def unclaimed_accounts(terms: VenueTerms) -> int:
    """How many accounts nothing is claimed of, in classes and by their own commitments: they count in sums only."""
    in_classes = sum(spec.accounts for spec in terms.classes if spec.claim is None)
    return in_classes + sum(account.claim is None for account in terms.dense)


def lacking_of_every(terms: VenueTerms) -> str | None:
    """Why terms do not say of every account that its equity is at least its requirement; None where they do."""
    unclaimed = unclaimed_accounts(terms)
    if unclaimed:
        return f"nothing is claimed of {unclaimed} account{'s' * (unclaimed != 1)}"
    if terms.exempt:
        return f"{terms.exempt} unnamed account{'s' * (terms.exempt != 1)} may miss what is claimed"
    if terms.cap is not None:
        return "any account may miss what is claimed, as long as a cap holds for all together"
    least = _least(terms)
    return f"of some account no more than {least} x its requirement is claimed" if Fraction(least) < 1 else None


def _least(terms: VenueTerms) -> str:
    """The least ratio that is claimed of any account of which something is."""
    claims = [spec.claim for spec in terms.classes] + [account.claim for account in terms.dense]
    return min((claim for claim in claims if claim is not None), key=Fraction, default="1")


def claimed_of(requirement: str, claim: str | None, limits: Sequence[str]) -> str:
    """What is claimed of an account, in words."""
    if claim is None:
        return "nothing is claimed"
    return ", ".join([f"equity at least {claim} x {requirement} margin", *limits])


def terms_summary(terms: VenueTerms) -> str:
    """The claims of terms in one line, which never says more than is proved."""
    every = len(terms.dense) + sum(spec.accounts for spec in terms.classes)
    unclaimed = unclaimed_accounts(terms)
    words = "every account, by the terms" if not unclaimed else f"{every - unclaimed} of {every} accounts, by the terms"
    if Fraction(least := _least(terms)) < 1:
        words += f", of some no more than {least} x the requirement"
    if unclaimed:
        words += f"; NOTHING is claimed of the other {unclaimed}"
    if terms.exempt:
        words += f"; but for at most {terms.exempt}, unnamed"
    if terms.cap is not None:
        words += f"; but any may be short, by at most {from_units(int(terms.cap), VALUATION_DECIMALS)} in all together"
    return words


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
        "dense": [
            {"commitment": account.commitment, "claim": account.claim, "limits": list(account.limits)}
            for account in terms.dense
        ],
        "unclaimed_accounts": unclaimed_accounts(terms),
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
