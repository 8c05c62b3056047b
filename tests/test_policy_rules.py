"""A trust file that names a rule: policies that follow from it count, recomputed from the verifier's own history."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import parties
from support.command_line import Run
from support.parties import World
from support.typed import JsonObject, Passed

from zkmargin.engine.policy import Policy
from zkmargin.formats import VerificationError, save_document
from zkmargin.ledger import Ledger
from zkmargin.risk.rules import Derivation
from zkmargin.verifier.attest import accept

GOLDEN = Path(__file__).parent / "data" / "golden" / "risk"


@pytest.fixture(scope="module")
def derivation() -> Derivation:
    return Derivation.parse((GOLDEN / "vols.derivation.json").read_bytes())


@pytest.fixture(scope="module")
def world() -> World:
    """The netted account of tests/support/parties.py under a calibrated policy."""
    policy = Policy.parse((GOLDEN / "vols.policy.json").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parties, "load_policy", lambda _name: policy)
        made: World = parties.world.__wrapped__()
        return made


def asked(world: World, policies: list[str], **more: Passed) -> JsonObject:
    trust = parties.trust(snapshots=[parties.snapshot_rule(policies=policies)])
    attestations = world.attestations()
    return {"now_ms": parties.NOW, "trust": trust, "attestations": attestations, "challenge": world.challenge} | more


def test_a_policy_counts_by_its_rule_where_the_trust_file_names_the_rule(world: World, derivation: Derivation) -> None:
    policy, rule = world.snapshot.policy.digest().hex(), derivation.rule.digest().hex()
    follows = {policy: rule}
    accepted = accept(world.statement, world.proof, **asked(world, [rule], derived=follows))
    assert accepted.authenticated is not None
    assert accepted.authenticated.policy_rule == rule
    by_digest = accept(world.statement, world.proof, **asked(world, [policy]))
    assert by_digest.authenticated is not None
    assert by_digest.authenticated.policy_rule is None
    other = derivation.rule.replaced(floor_bp=9).digest().hex()
    for policies, derived in (
        ([rule], {}),  # nobody recomputed anything
        ([rule], {policy: other}),  # it follows from another rule
        ([other], follows),
        ([rule], {other: rule}),  # another policy follows from it
    ):
        with pytest.raises(VerificationError, match="the snapshot's policy"):
            accept(world.statement, world.proof, **asked(world, policies, derived=derived))


@pytest.mark.slow
def test_the_command_recomputes_it_and_a_ledger_remembers_the_rule(
    world: World,
    derivation: Derivation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zkmargin.cli.vouching.clock_ms", lambda: parties.NOW)
    rule = derivation.rule.digest().hex()
    terms = asked(world, [rule])
    for name, document in (("snapshot", world.snapshot), ("trust", terms["trust"]), ("challenge", world.challenge)):
        save_document(document, tmp_path / f"{name}.json")
    words = ["verify", "--snapshot", "snapshot.json", "--trust", "trust.json", "--challenge", "challenge.json"]
    for place, commitment in enumerate(world.commitments):
        save_document(commitment, tmp_path / f"commitment{place}.json")
        words += ["--commitment", f"commitment{place}.json"]
    for place, attestation in enumerate(world.attestations()):
        save_document(attestation, tmp_path / f"attestation{place}.json")
        words += ["--attestation", f"attestation{place}.json"]
    for limit in parties.LIMITS:
        words += ["--also", str(limit)]
    Path("proof.bin").write_bytes(world.proof)
    history = ["--derivation", str(GOLDEN / "vols.derivation.json"), "--history", str(GOLDEN / "closes.csv")]
    vols = ["--vols", str(GOLDEN / "vols.csv")]
    run = Run(capsys)
    with Ledger("acceptances.db") as ledger:
        ledger.issue(world.challenge)
    assert "the snapshot's policy, which calls itself" in run(words, "proof.bin", code=1).err
    assert "not of this history" in run(words, *history, "proof.bin", code=2).err
    assert "give both" in run(words, *history[:2], "proof.bin", code=2).err
    accepted = run(words, *history, *vols, "--ledger", "acceptances.db", "proof.bin")
    assert f"by the rule {rule}, from which the policy was found to follow" in accepted.out
    with Ledger("acceptances.db", read_only=True) as ledger:
        found = ledger.audit()
    assert (found.bad, found.verified) == ([], 1)
