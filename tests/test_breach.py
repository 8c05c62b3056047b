"""Proofs of breach: at the boundary, never beside a proof of the claim, and every way to overstate one refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import lab, parties
from support.typed import Json, Keywords, Passed, Unchecked

from zkmargin.accounts import Opening
from zkmargin.circuits.breach import ONLY_ADDING, READ, breach_witness, build_breach_circuit
from zkmargin.circuits.language.hints import Hint
from zkmargin.circuits.language.system import Atom
from zkmargin.circuits.language.witness import assign, check
from zkmargin.circuits.margin import build_circuit
from zkmargin.cli import main
from zkmargin.engine.book import BookLots, to_book
from zkmargin.engine.claims import Claim
from zkmargin.engine.components import MODULES
from zkmargin.engine.components.base import PublishedPart
from zkmargin.engine.example import example_market
from zkmargin.engine.margin import claim_slack
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError, InputError, ProofFormatError, VerificationError, save_document
from zkmargin.prover import commit_book, prove
from zkmargin.prover.breach import prove_breach
from zkmargin.verifier import Statement, verify
from zkmargin.verifier.attest import Memory, Sighting
from zkmargin.verifier.breach import AcceptedBreach, BreachStatement, accept_breach, verify_breach

#: The last slot counts one valuation unit a lot, held or owed; the first one's debts cost more than its credits.
UNIT, DEBT = (1, 1, 60, True), (900, 1_000, 20, True)
MONEY = st.one_of(st.integers(-9, 9), st.integers(-(2**22), 2**22))


@st.composite
def cases(draw: st.DrawFn, *, plain: bool) -> tuple[Snapshot, BookLots, Claim]:
    count, width = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    drawn = draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    charges = None if plain else draw(st.lists(st.integers(0, 2**20), min_size=count, max_size=count))
    snapshot = lab.snapshot(
        groups=[sorted(set(drawn), key=drawn.index).index(g) for g in drawn],
        risk=[[draw(MONEY.filter(bool)) for _ in range(width)] for _ in range(count)],
        charges=charges,
        marks=draw(st.lists(st.integers(0, 2**20), min_size=count, max_size=count)),
        assets=[DEBT, UNIT],
        mode=draw(st.sampled_from(["floor", "added"])),
    )
    lots = tuple(draw(st.integers(-(2**15), 2**15)) for _ in range(count))
    debt = draw(st.integers(1 - 2**20, 2**20 - 1))
    claim = Claim(*draw(st.sampled_from([(1, 1), (5, 4), (2, 3)])))
    return snapshot, BookLots(lots, (debt, 0)), claim


def with_cash(book: BookLots, cash: int) -> BookLots:
    return BookLots(book.positions, (book.collateral[0], cash))


@given(st.data())
def test_a_breach_is_shown_exactly_one_unit_below(data: st.DataObject) -> None:
    snapshot, book, claim = data.draw(cases(plain=True))
    circuit = build_breach_circuit(snapshot, claim)
    slack = claim_slack(snapshot, book, claim)
    edge = -(slack // claim.den)  # the least cash with which the claim holds
    holding, failing = with_cash(book, edge), with_cash(book, edge - 1)
    assert claim_slack(snapshot, holding, claim) >= 0 > claim_slack(snapshot, failing, claim)
    check(circuit, breach_witness(snapshot, claim, failing))
    with pytest.raises(ConstraintError, match="no breach to show"):
        breach_witness(snapshot, claim, holding)


@given(st.data())
def test_claim_and_breach_are_never_both_witnessed(data: st.DataObject) -> None:
    snapshot, book, claim = data.draw(cases(plain=False))
    edge = -(claim_slack(snapshot, book, claim) // claim.den)
    book = with_cash(book, edge + data.draw(st.integers(-(10**6), 10**6)))
    found = []
    for circuit in (build_circuit(snapshot, claim), build_breach_circuit(snapshot, claim)):
        try:
            check(circuit, assign(circuit, book.positions, book.collateral))
            found.append(circuit)
        except ConstraintError:
            continue
    assert len(found) <= 1


@settings(max_examples=25)
@given(st.data())
def test_no_hidden_integer_can_be_bent_to_show_a_breach_that_is_none(data: st.DataObject) -> None:
    snapshot, book, claim = data.draw(cases(plain=True))
    circuit = build_breach_circuit(snapshot, claim)
    holding = with_cash(book, -(claim_slack(snapshot, book, claim) // claim.den))
    slacks = {equation.slack for equation in circuit.equations}

    class Bent:
        def __init__(self, hint: Hint, by: int) -> None:
            self.hint, self.by = hint, by

        def value(self, of: Callable[[Atom], int]) -> int:
            value: int = self.hint.value(of)
            return value + self.by

    for v, variable in enumerate(circuit.bounded):
        if v in slacks:
            continue
        for by in (-1, 1, 977):
            bent = replace(variable, hint=Bent(variable.hint, by))
            bad = replace(circuit, bounded=(*circuit.bounded[:v], bent, *circuit.bounded[v + 1 :]))
            try:
                witness = assign(bad, holding.positions, holding.collateral)
            except (ConstraintError, InputError):
                continue
            with pytest.raises(ConstraintError):
                check(bad, witness)


def test_both_sides_of_a_balance_cannot_be_overstated() -> None:
    # held and owed one more each: equity falls by what a lot owed costs more; only the product gate refuses it
    snapshot = lab.snapshot(groups=[0], risk=[[-10]], charges=None, marks=[0], assets=[DEBT, UNIT])
    claim = Claim(1, 1)
    circuit = build_breach_circuit(snapshot, claim)
    book = BookLots((1,), (0, 100_000))  # required is 100,000: the claim just holds
    assert claim_slack(snapshot, book, claim) == 0
    names = [variable.name for variable in circuit.bounded]

    class More:
        def __init__(self, hint: Hint) -> None:
            self.hint = hint

        def value(self, of: Callable[[Atom], int]) -> int:
            value: int = self.hint.value(of)
            return value + 1

    bounded = list(circuit.bounded)
    for name in ("collateral 0 held", "collateral 0 owed"):
        v = names.index(name)
        bounded[v] = replace(bounded[v], hint=More(bounded[v].hint))
    bent = replace(circuit, bounded=tuple(bounded))
    witness = assign(bent, book.positions, book.collateral)
    with pytest.raises(ConstraintError, match="on one side"):
        check(bent, witness)
    gates = [j for j, equation in enumerate(circuit.equations) if "on one side" in equation.name]
    check(replace(bent, equations=tuple(e for j, e in enumerate(bent.equations) if j not in gates)), witness)


#: A snapshot, and an account with so much cash on it.
Setting = tuple[Snapshot, Callable[[int], tuple[BookLots, Opening]]]


@pytest.fixture(scope="module")
def setting() -> Setting:
    snapshot = build_snapshot(example_market("2026-11-20T12:00:00Z"), load_policy("default"), domain_size=512)
    slots = {slot.id: i for i, slot in enumerate(snapshot.instruments)}
    lots = [0] * len(slots)
    lots[slots["BTC-PERPETUAL"]] = 2_000
    assets = [slot.asset for slot in snapshot.collateral]

    def account(usdc: int) -> tuple[BookLots, Opening]:
        book = BookLots(tuple(lots), tuple(100 * usdc if asset == "USDC" else 0 for asset in assets))
        return book, commit_book(snapshot, book)

    return snapshot, account


@pytest.mark.slow
def test_a_breach_is_proved_and_verified_and_nothing_else_passes_for_one(setting: Setting) -> None:
    snapshot, account = setting
    claim = Claim(1, 1, "maintenance")
    poor, opening = account(30_000)
    statement = BreachStatement.of(snapshot, [opening.commitment()], claim, context=b"auction 7")
    proof = prove_breach(statement, poor, [opening])
    digest = verify_breach(statement, proof)
    assert len(digest) == 32
    with pytest.raises(ConstraintError):
        prove(statement.account, poor, [opening])
    with pytest.raises((VerificationError, ProofFormatError)):
        verify(statement.account, proof)  # a breach is no claim
    for other in (
        BreachStatement.of(snapshot, [opening.commitment()], claim, context=b"auction 8"),
        BreachStatement.of(snapshot, [opening.commitment()], Claim(1, 2, "maintenance"), context=b"auction 7"),
        BreachStatement.of(snapshot, [account(30_001)[1].commitment()], claim, context=b"auction 7"),
    ):
        with pytest.raises((VerificationError, ProofFormatError)):
            verify_breach(other, proof)
    for place in (0, len(proof) // 2, len(proof) - 1):
        with pytest.raises((VerificationError, ProofFormatError)):
            verify_breach(statement, proof[:place] + bytes([proof[place] ^ 1]) + proof[place + 1 :])
    rich, covered = account(90_000)
    healthy = BreachStatement.of(snapshot, [covered.commitment()], claim)
    with pytest.raises(ConstraintError, match="no breach to show"):
        prove_breach(healthy, rich, [covered])
    shown = prove(healthy.account, rich, [covered])
    verify(healthy.account, shown)
    with pytest.raises((VerificationError, ProofFormatError)):
        verify_breach(healthy, shown)  # nor is a claim a breach
    with pytest.raises(InputError, match="opening"):
        prove_breach(statement, poor, [covered])


def test_what_is_refused_by_name() -> None:
    market = example_market("2026-11-20T12:00:00Z")
    # Deribit's scenarios are offset between currencies: none of them alone bounds a charge from below
    with pytest.raises(InputError, match="no scenario of this policy"):
        build_breach_circuit(build_snapshot(market, load_policy("deribit-pm")), Claim(1, 1))
    snapshot = build_snapshot(market, load_policy("span"))
    if any(part.type == "inter_commodity_credit" for part in snapshot.components):
        with pytest.raises(InputError, match="may lower requirements"):
            build_breach_circuit(snapshot, Claim(1, 1))
    else:
        assert build_breach_circuit(snapshot, Claim(1, 1)).equations


def test_a_component_that_nobody_thought_of_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = lab.snapshot(groups=[0], risk=[[-10]], charges=[3], marks=[0], assets=[UNIT])
    assert build_breach_circuit(snapshot, Claim(1, 1)).equations
    monkeypatch.setattr("zkmargin.circuits.breach.ONLY_ADDING", ONLY_ADDING - {"short_option_minimum"})
    with pytest.raises(InputError, match="may lower requirements"):
        build_breach_circuit(snapshot, Claim(1, 1))


def test_every_component_is_read_left_out_or_refused_on_purpose() -> None:
    kinds = [
        kind
        for name in MODULES
        for kind in vars(import_module(f"zkmargin.engine.components.{name}")).values()
        if isinstance(kind, type) and issubclass(kind, PublishedPart)
    ]
    published = {kind.model_fields["type"].default for kind in kinds}
    named = {name for name in published if isinstance(name, str)}
    assert READ | ONLY_ADDING | {"inter_commodity_credit"} == named


def test_claims_and_breaches_are_no_kinds_of_each_other() -> None:
    assert not issubclass(Statement, BreachStatement)
    assert not issubclass(BreachStatement, Statement)


@pytest.mark.slow
def test_the_command_proves_and_checks_on_files(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot, account = setting
    monkeypatch.chdir(tmp_path)
    poor, opening = account(30_000)
    rich, covered = account(90_000)
    for name, document in (
        ("snapshot.json", snapshot),
        ("poor.json", to_book(poor, snapshot)),
        ("opening.json", opening),
        ("commitment.json", opening.commitment()),
        ("rich.json", to_book(rich, snapshot)),
        ("covered.json", covered),
    ):
        save_document(document, tmp_path / name)
    terms = "--snapshot snapshot.json --requirement maintenance"
    assert main(f"breach prove {terms} --book poor.json --opening opening.json -o breach.bin".split()) == 0
    check_line = f"breach verify {terms} --commitment commitment.json breach.bin"
    assert main(check_line.split()) == 0
    assert "accepted: this was false" in capsys.readouterr().out
    assert main([*check_line.split(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accepted"]
    assert main([*check_line.split(), "--context", "another"]) == 1
    capsys.readouterr()
    assert main(f"breach prove {terms} --book rich.json --opening covered.json -o no.bin".split()) == 1
    assert "no breach to show" in capsys.readouterr().err.splitlines()[0]
    assert main(f"verify {terms} --commitment commitment.json breach.bin".split()) == 1
    assert main(f"breach verify {terms} --commitment missing.json breach.bin".split()) == 2
    capsys.readouterr()
    assert main([*check_line.split(), "--ledger", "acceptances.db"]) == 2
    assert "needs --trust" in capsys.readouterr().err
    assert main([*check_line.split(), "--policy", "span"]) == 1
    assert "the verifier's own policy" in capsys.readouterr().err


# --- whose word counts --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def below() -> tuple[BreachStatement, bytes]:
    """The netted account of tests/support/parties.py, shown to be below fifty times its requirement."""
    world = parties.world()
    commitments = [opening.commitment() for opening in world.openings.values()]
    statement = BreachStatement.of(world.snapshot, commitments, Claim(50, 1), context=b"auction 7")
    return statement, prove_breach(statement, world.lots, list(world.openings.values()))


def accepted(
    below: tuple[BreachStatement, bytes], *, now: int | None = None, known: Passed = None, **replaced: Passed
) -> AcceptedBreach:
    statement, proof = below
    world = parties.world()
    return accept_breach(
        statement,
        proof,
        now_ms=parties.NOW if now is None else now,
        trust=parties.trust(),
        attestations=world.attestations(**replaced),
        known=known,
    )


@pytest.mark.slow
def test_a_breach_is_accepted_on_attested_prices_and_an_attested_account(below: tuple[BreachStatement, bytes]) -> None:
    found = accepted(below)
    assert found.statement_digest == verify_breach(*below)
    assert found.authenticated is not None
    assert [item.rule for item in found.authenticated.all] == ["main", *found_parts(found)]
    plain = accept_breach(*below, now_ms=parties.NOW)
    assert plain.authenticated is None


def found_parts(found: Json) -> list[str]:
    return [part.payload.issuer for part in found.authenticated.parts]


@pytest.mark.slow
def test_no_old_state_and_no_other_day_can_be_picked(below: tuple[BreachStatement, bytes]) -> None:
    world = parties.world()

    def refused(match: str, **given: Passed) -> None:
        with pytest.raises(VerificationError, match=match):
            accepted(below, **given)

    refused("nobody signed the snapshot", snapshot=None)
    refused("nobody attested the positions part", venue_B=None)
    refused("stale", now=parties.NOW + 3_600_000)
    # a part that was attested after the prices, and one that expired before them
    refused("not in force", venue_A=world.attest("venue A", issued="2026-01-02T03:04:30Z"))
    early = {"issued": "2026-01-02T03:00:00Z", "expires": "2026-01-02T03:03:55Z"}
    refused("has expired", venue_A=world.attest("venue A", **early))
    # prices from before the account's state was attested, within everything else that the trust file allows
    late = {"issued": "2026-01-02T03:05:00Z"}
    refused("not in force", custodian_D=world.attest("custodian D", **late))
    # a newer state of one part was seen, and newer prices
    part = world.commitment_payload("venue C").stream
    refused("superseded|newer", known=Memory({part: Sighting(4, "00" * 32)}))
    refused("superseded|newer", known=Memory({world.snapshot_payload().stream: Sighting(8, "00" * 32)}))


def test_the_policy_of_a_breach_is_the_verifiers_own(below: tuple[BreachStatement, bytes]) -> None:
    with pytest.raises(VerificationError, match="the verifier's own policy"):
        accept_breach(*below, now_ms=parties.NOW, policy=load_policy("span"))
    accept_breach(*below, now_ms=parties.NOW, policy=load_policy("default"))


@pytest.mark.slow
def test_a_second_verifier_written_from_the_document_agrees(setting: Setting) -> None:
    second: ModuleType = import_module("second_breach")
    rejected = import_module("second_circuit").Rejected
    snapshot, account = setting
    poor, opening = account(30_000)
    claim = Claim(1, 1, "maintenance")
    statement = BreachStatement.of(snapshot, [opening.commitment()], claim, context=b"auction 7")
    proof = prove_breach(statement, poor, [opening])
    files = snapshot.to_bytes(), [opening.commitment().to_bytes()], "1"
    terms: Keywords = {"requirement": "maintenance", "context": b"auction 7"}
    assert second.verify(*files, proof, **terms) == verify_breach(statement, proof)
    for bad in (proof[:-1], proof[:60] + bytes([proof[60] ^ 1]) + proof[61:], proof[:-33] + bytes(33)):
        with pytest.raises(rejected):
            second.verify(*files, bad, **terms)
        with pytest.raises((VerificationError, ProofFormatError)):
            verify_breach(statement, bad)
    with pytest.raises(rejected):
        second.verify(*files, proof, requirement="maintenance", context=b"auction 8")


def test_what_a_proof_of_breach_reveals_is_uniform() -> None:
    # the rank test of tests/test_zero_knowledge.py, over the circuit of a breach, gates included
    zero_knowledge: Unchecked = import_module("test_zero_knowledge")
    snapshot = lab.snapshot(groups=[0], risk=[[-10, 4]], charges=None, marks=[0], assets=[DEBT, UNIT], n=32, bits=5)
    circuit = build_breach_circuit(snapshot, Claim(1, 1))
    assert circuit.gates
    witness = assign(circuit, (5,), (-1, 1))
    check(circuit, witness)
    bench = zero_knowledge.Bench(lab.state(circuit, witness, srs=lab.known_tau()))
    draw = lab.draws("point")
    names = bench.blinder_names
    jacobian = bench.jacobian([draw() for _ in names])
    assert len(jacobian) == len(names) == zero_knowledge.rank_of(jacobian)
    assert zero_knowledge.rank_of(zero_knowledge.without(jacobian, 0)) == len(names) - 1


@pytest.mark.parametrize("name", ["default", "paradex"])
def test_the_circuit_is_the_documents(name: str) -> None:
    second: ModuleType = import_module("second_breach")
    snapshot = build_snapshot(example_market("2026-11-20T12:00:00Z"), load_policy(name), domain_size=512)
    document = json.loads(snapshot.to_bytes())
    for requirement in ("initial", "maintenance"):
        ours = build_breach_circuit(snapshot, Claim(5, 4, requirement)).digest
        assert second.build_breach(document, 5, 4, requirement, []).digest() == ours
