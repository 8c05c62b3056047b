"""Whose word counts: one verdict of the page and of Python on a bundle under a verifier's own trust file."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import golden
import golden_story
import pytest
from third import ask

from zkmargin.app.bundles import Least, check_least, terms_for
from zkmargin.app.evidence import Evidence
from zkmargin.app.verifying import Terms, accept_proof
from zkmargin.engine.claims import Claim
from zkmargin.engine.decimals import parse_time
from zkmargin.formats import ZkMarginError
from zkmargin.verifier.attest import Attestation, Challenge, Revocations, Trust

FOLDER = golden.FOLDER.parent / "v2" / "documents"
NOW = parse_time("2026-01-02T03:05:05Z")
Change = Callable[[dict[str, Any]], None]


def documents() -> dict[str, Any]:
    """The golden acceptance: its bundle, and the verifier's own files and clock."""
    evidence = json.loads((FOLDER / "answer.evidence.json").read_text())
    return {
        "bundle": evidence,
        "trust": json.loads((FOLDER / "golden.trust.json").read_text()),
        "challenge": copy.deepcopy(evidence["challenge"]),
        "now": NOW,
    }


def changed(path: str, value: Any) -> Change:
    """Replace what stands at a dotted path; a function of it, where one is given."""

    def change(given: dict[str, Any]) -> None:
        *way, last = path.split(".")
        inner: Any = given
        for step in way:
            inner = inner[int(step) if step.isdigit() else step]
        key = int(last) if last.isdigit() else last
        inner[key] = value(inner[key]) if callable(value) else value

    return change


def flipped(digits: str) -> str:
    """Another last digit."""
    return digits[:-1] + ("0" if digits[-1] != "0" else "1")


def high_s(signature: str) -> str:
    """The malleable twin of a signature of secp256k1."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    s, v = int(signature[64:128], 16), int(signature[128:], 16)
    return f"{signature[:64]}{order - s:064x}{55 - v:02x}"


def other_v(signature: str) -> str:
    """27 for 28."""
    return f"{signature[:128]}{55 - int(signature[128:], 16):02x}"


def swapped_possession(given: dict[str, Any]) -> None:
    keys = given["trust"]["keys"]
    keys[0]["possession"] = keys[1]["possession"]


def aggregated(given: dict[str, Any]) -> None:
    """The oracles' signatures anew: two of BLS in one, and that of Ed25519."""
    first = Attestation.parse(json.dumps(given["bundle"]["attestations"][0]))
    made = first.model_copy(update={"signatures": ()})
    for name in ("oracle 1", "oracle 2", "oracle 3"):
        made = made.signed(golden_story.signer(name))
    given["bundle"]["attestations"][0] = made.aggregated().to_json()


def revoked(what: str) -> Change:
    """A newer list, signed, with a key or an attestation of the statement on it."""

    def change(given: dict[str, Any]) -> None:
        lists = Revocations.parse(json.dumps(given["bundle"]["revocations"][0]))
        payload = lists.payload.model_dump(mode="json") | {"sequence": 5}
        if what == "key":
            venue = golden_story.signer("venue").public
            payload["keys"] = [{"scheme": venue.scheme, "public_key": venue.public_key, "reason": "stolen"}]
        else:
            attestation = Attestation.parse(json.dumps(given["bundle"]["attestations"][1]))
            payload["attestations"] = [{"payload": attestation.payload_digest.hex(), "reason": "wrong"}]
        made = Revocations.model_validate({"payload": json.loads(json.dumps(payload)), "signatures": []})
        given["bundle"]["revocations"][0] = made.signed(golden_story.signer("security officer")).to_json()

    return change


def other_challenge(given: dict[str, Any]) -> None:
    given["challenge"] = json.loads((golden.FOLDER / "documents" / "open.challenge.json").read_text())


def version_1(given: dict[str, Any]) -> None:
    """A trust file of version 1 pins, revokes and requires nothing."""
    trust = given["trust"] | {"format": "zkmargin/trust/v1"}
    for name in ("receipts", "revocations", "required"):
        trust.pop(name)
    for rule in trust["snapshots"]:
        rule.pop("policies")
    given["trust"] = trust


def another_trust_inside(given: dict[str, Any]) -> None:
    """What is inside counts for nothing, be it as it will."""
    given["bundle"]["trust"]["verifier"] = "somebody"
    given["bundle"]["receipt"] = None


ACCEPTED: dict[str, Change] = {
    "as it is": lambda _: None,
    "an aggregate": aggregated,
    "two of four": changed("trust.snapshots.0.threshold", 2),
    "a key that is not needed": lambda given: given["trust"]["keys"].reverse(),
    "trust of version 1": version_1,
    "a second late, within the skew": changed("now", parse_time("2026-01-02T03:06:06Z")),
    "no trust file inside": changed("bundle.trust", None),
    "another trust file inside": another_trust_inside,
    "another challenge inside is left out": lambda given: given["bundle"].update(challenge=None, receipt=None),
}
REFUSED: dict[str, Change] = {
    "past the deadline": changed("now", parse_time("2026-01-02T03:08:00Z")),
    "before it was issued": changed("now", parse_time("2026-01-02T03:02:00Z")),
    "four of four": changed("trust.snapshots.0.threshold", 4),
    "a BLS signature": changed("bundle.attestations.0.signatures.0.signature", flipped),
    "an Ed25519 signature": changed("bundle.attestations.0.signatures.1.signature", flipped),
    "a secp256k1 signature": changed("bundle.attestations.0.signatures.2.signature", lambda s: "00" + s[2:]),
    "another v": changed("bundle.attestations.0.signatures.2.signature", other_v),
    "a high s": changed("bundle.attestations.0.signatures.2.signature", high_s),
    "the venue's signature": changed("bundle.attestations.1.signatures.0.signature", flipped),
    "a number that was not signed": changed("bundle.attestations.1.payload.sequence", 4),
    "held for another": changed("trust.beneficiary", "somebody"),
    "another verifier": changed("trust.verifier", "somebody"),
    "another challenge": other_challenge,
    "another policy": changed("trust.snapshots.0.policies", ["00" * 32]),
    "a stale snapshot": changed("trust.snapshots.0.max_age_seconds", 1),
    "a series that nobody trusts": changed("trust.snapshots.0.name", "other"),
    "a venue that nobody trusts": changed("trust.positions.0", {"name": "v", "signers": ["venue"], "threshold": 1}),
    "a required part": changed("trust.required.0.part", "other"),
    "no list of revocations": changed("bundle.revocations", []),
    "a list that is too old": changed("trust.revocations.0.max_age_seconds", 1),
    "a list that is altered": changed("bundle.revocations.0.payload.sequence", 9),
    "a revoked key": revoked("key"),
    "a revoked attestation": revoked("attestation"),
    "nobody signed the snapshot": lambda given: given["bundle"]["attestations"].pop(0) and None,
    "nobody attested the collateral": lambda given: given["bundle"]["attestations"].pop() and None,
    "no signatures": changed("bundle.attestations.0.signatures", []),
    "a key without possession": changed("trust.keys.0.possession", None),
    "the possession of another key": swapped_possession,
    "a key under two names": lambda given: given["trust"]["keys"].append(given["trust"]["keys"][0] | {"name": "twin"}),
    "a signer without a key": changed("trust.positions.0.signers", ["nobody"]),
    "a threshold of nobody": changed("trust.positions.0.threshold", 0),
    "an unknown key in the trust file": lambda given: given["trust"].update(moon=1),
    "a receipt under another trust file": changed("bundle.trust.verifier", "somebody"),
    "a receipt of another proof": changed("bundle.receipt.payload.proof", "00" * 32),
    "a weaker claim": changed("asked", Claim(3, 2)),
    "another context": changed("bundle.claim.context", ""),
}  # fmt: skip


def given_to(change: Change) -> dict[str, Any]:
    given = documents() | {"asked": Claim(5, 4)}
    change(given)
    return given


def python(given: dict[str, Any]) -> bool:
    """Whether Python accepts, as ``verify --bundle`` does."""
    try:
        evidence = Evidence.parse(json.dumps(given["bundle"]))
        evidence.check_loaded()
        trust, challenge = Trust.parse(json.dumps(given["trust"])), Challenge.parse(json.dumps(given["challenge"]))
        terms = terms_for(evidence, Terms(now_ms=given["now"], trust=trust, challenge=challenge))
        statement = evidence.statement()
        check_least(statement, Least(given["asked"], context=challenge.context))
        accept_proof(statement, evidence.proof_bytes, terms)
    except ZkMarginError:
        return False
    return True


def question(given: dict[str, Any]) -> dict[str, Any]:
    mine = [{"name": name, "text": json.dumps(given[name])} for name in ("trust", "challenge")]
    asked = {
        "ratio": f"{given['asked'].num}/{given['asked'].den}",
        "requirement": "initial",
        "limits": [],
        "context": "",
    }
    files = [{"name": "bundle", "text": json.dumps(given["bundle"])}]
    return {"examine": {"given": files, "mine": mine, "asked": asked, "now": given["now"]}}


def cases() -> Iterator[tuple[str, bool, dict[str, Any]]]:
    for expected, changes in ((True, ACCEPTED), (False, REFUSED)):
        for name, change in changes.items():
            yield name, expected, given_to(change)


def test_one_verdict_on_every_acceptance_and_refusal() -> None:
    found = list(cases())
    answers = ask(question(given) for _, _, given in found)
    for (name, expected, given), answer in zip(found, answers, strict=True):
        assert python(given) is expected, f"Python: {name}"
        assert (answer["verdict"] == "accepted") is expected, f"the page: {name}: {answer}"


@pytest.mark.parametrize("mine", [[], ["trust"], ["challenge"]])
def test_without_ones_own_files_nothing_is_accepted(mine: list[str]) -> None:
    """Whatever trust file and challenge are inside: with neither or one of one's own it is no acceptance."""
    asked = question(given_to(lambda _: None))
    asked["examine"]["mine"] = [file for file in asked["examine"]["mine"] if file["name"] in mine]
    (answer,) = ask([asked])
    assert answer["verdict"] == "unauthenticated"
    assert len(answer["lacking"]) == 2 - len(mine)


def test_own_files_are_not_taken_from_the_other_side() -> None:
    asked = question(given_to(lambda _: None))
    asked["examine"]["mine"] += asked["examine"]["given"]
    (answer,) = ask([asked])
    assert "belongs to what you were given" in answer["failed"][0]


def test_every_secret_format_is_refused_by_name() -> None:
    folder = golden.FOLDER / "documents"
    names = [
        "holder.book.json",
        "holder.opening.json",
        "holder.fills.json",
        "holder.update.json",
        "holder.migration.json",
    ]
    for name in [*names, "oracle-1.key.json"]:
        asked = question(given_to(lambda _: None))
        asked["examine"]["given"] = [{"name": name, "text": (folder / name).read_text()}]
        (answer,) = ask([asked])
        assert "a SECRET file" in answer["failed"][0], name
