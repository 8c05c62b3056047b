"""The joint chain protocol: both provers, the verifier and all it must refuse, wrong orders forged, ranks."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest
from support.chain_joint_forge import (
    ORDERS,
    Forger,
    false_joint,
    pooled_columns,
    poor_and_rich,
    same_powers,
    same_weights,
)
from support.chain_lab import (
    JointCase,
    KnownTau,
    joint_case,
    joint_standard,
    prove_joint,
    rank,
)
from support.lab import derivatives, draws
from support.typed import Json, Passed, Unchecked

import zkmargin.prover.chain_joint
import zkmargin.verifier.chain.joint
from zkmargin.circuits.chain import MAX_ACCOUNTS, ChainWeights, claim_cell, digit_columns
from zkmargin.crypto.field import r
from zkmargin.crypto.srs import embedded
from zkmargin.engine.claims import Claim
from zkmargin.formats import InputError, ProofFormatError, VerificationError
from zkmargin.prover.chain_joint_reference import prove_joint_reference
from zkmargin.prover.polynomials import ProverError
from zkmargin.verifier.chain.joint import JointStatement, identity_powers, verify_joint
from zkmargin.verifier.chain.joint_proof import JointProof, JointShape, decode_joint_proof, encode_joint_proof
from zkmargin.verifier.chain.proof import WORDS
from zkmargin.verifier.header import ProofKind, is_of

DIGEST = embedded().digest


def encode(proof: JointProof) -> bytes:
    return encode_joint_proof(proof, DIGEST)


# --- honest proofs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("accounts", "groups"), [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2)])
def test_honest_proofs_are_accepted_and_have_their_size(accounts: int, groups: int) -> None:
    case = joint_standard(accounts, groups)
    data = encode(prove_joint(case))
    assert is_of(ProofKind.CHAIN_JOINT, data)
    columns = 2 * accounts + -(-(groups * accounts + 1) // 3)
    points = columns + -(-columns // 3) + 4
    scalars = (6 + groups) * accounts + 1 + columns + 11 + groups
    assert len(data) == 44 + 96 * points + 32 * scalars
    digest = verify_joint(case.statement, data)
    assert digest == verify_joint(case.statement, encode(prove_joint(case, "other randomness")))
    assert encode(decode_joint_proof(data, accounts, case.statement.prices.layout, DIGEST)) == data


@pytest.mark.slow
@pytest.mark.parametrize(("accounts", "groups"), [(1, 1), (2, 2)])
def test_reference_and_fast_prover_give_the_same_bytes(accounts: int, groups: int) -> None:
    case = joint_standard(accounts, groups)
    witnesses, blinders = ([getattr(one, name) for one in case.cases] for name in ("witness", "blinders"))
    reference = prove_joint_reference(case.statement, witnesses, blinders, draws("joint proof"))
    assert reference == prove_joint(case)
    assert prove_joint(case, threads=2) == reference


def test_commitments_and_statements_are_those_of_single_proofs() -> None:
    case = joint_standard(2, 1)
    inner = case.cases[0].statement
    documents = [one.statement.statement for one in case.cases]
    assert case.statement.commitments() == [one.statement.commitments() for one in case.cases]
    assert {document.context for document in documents} == {inner.statement.context}


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_every_byte_counts() -> None:
    case = joint_standard(2, 1)
    data = encode(prove_joint(case))
    for place in [*range(44, len(data), 61), *range(0, 44, 5), len(data) - 1]:
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises((ProofFormatError, VerificationError)):
            verify_joint(case.statement, bytes(changed))
    for cut in (data[:-1], data + b"\0", b"", data[:44]):
        with pytest.raises(ProofFormatError):
            verify_joint(case.statement, cut)


def test_points_and_values_are_refused_by_name() -> None:
    case = joint_standard(2, 1)
    proof = prove_joint(case)
    given = proof.commitments
    for name, _ in given.named(WORDS):
        field = {"W'": "W_shifted"}.get(name, name.split("[")[0])
        value: Json = getattr(given, field)
        if isinstance(value, tuple):
            at = int(name.split("[")[1][:-1])
            changed: Passed = (*value[:at], bytes(96), *value[at + 1 :])
        else:
            changed = bytes(96)
        with pytest.raises(ProofFormatError, match=f"{name.split('[')[0]}.*: the point at infinity"):
            verify_joint(case.statement, encode(replace(proof, commitments=replace(given, **{field: changed}))))
    with pytest.raises(ProofFormatError, match="phi"):
        JointProof.decode(
            proof.encode()[: -32 * 12] + r.to_bytes(32, "big") + proof.encode()[-32 * 11 :], case.statement.shape
        )


def test_other_statements_are_not_proved() -> None:
    case = joint_standard(3, 1)
    data = encode(prove_joint(case))
    first, second, third = case.statement.accounts

    def others() -> Unchecked:
        yield JointStatement((second, first, third))
        yield JointStatement((first, second, second))
        for change in ({"claim": Claim(1, 1, "initial")}, {"context": b"other"}):
            yield JointStatement(
                tuple(replace(one, statement=replace(one.statement, **change)) for one in (first, second, third))
            )
        table = first.table.model_copy(update={"sequence": 8})
        yield JointStatement(tuple(replace(one, table=table) for one in (first, second, third)))

    for statement in others():
        with pytest.raises((VerificationError, ProofFormatError)):
            verify_joint(statement, data)
    for statement in (JointStatement((first, second)), JointStatement((first, second, third, third))):
        with pytest.raises(ProofFormatError, match="bytes where a proof"):
            verify_joint(statement, data)


def test_accounts_of_different_tables_claims_or_contexts_are_no_statement() -> None:
    first, second = joint_standard(2, 1).statement.accounts
    moved = replace(second, statement=replace(second.statement, context=b"other"))
    with pytest.raises(InputError, match="different tables, claims or contexts"):
        JointStatement((first, moved))
    for count in (0, MAX_ACCOUNTS + 1):
        with pytest.raises(InputError, match="1 to 256"):
            JointStatement((first,) * count)
        with pytest.raises(InputError, match="1 to 256"):
            JointStatement.of(joint_standard(2, 1).cases[0].snapshot, [[]] * count, Claim(), first.table)
        with pytest.raises(ValueError, match="1 to 256"):
            JointShape(count, 1)
    with pytest.raises(ProofFormatError, match="1 to 256"):
        decode_joint_proof(encode(prove_joint(joint_standard(2, 1))), 0, first.prices.layout, DIGEST)


def test_one_account_below_its_claim_has_no_proof() -> None:
    case = joint_standard(3, 1)
    columns = [digit_columns(case.statement.prices, one.witness, 5, 4) for one in case.cases]
    columns[1][6] = columns[1][6].copy()
    columns[1][6][claim_cell(0)] ^= 1
    with pytest.raises(ProverError, match="running sum does not close"):
        prove_joint(case, columns=columns)
    with pytest.raises(ProverError, match="claim is false"):
        prove_joint(false_joint(poor_and_rich()))


def test_a_false_table_is_not_believed() -> None:
    case = joint_standard(2, 1)
    table = case.statement.table.model_copy(update={"price": case.statement.table.rows[0]})
    false = joint_case([replace(one, statement=replace(one.statement, table=table)) for one in case.cases])
    with pytest.raises((VerificationError, ProofFormatError)):
        verify_joint(false.statement, encode(prove_joint(false)))


# --- wrong orders and weights, forged ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("late", ORDERS)
def test_each_wrong_order_is_forged_and_the_real_one_is_not(late: str) -> None:
    case = false_joint(poor_and_rich())
    data = encode(Forger(case, late).prove())
    with patch.object(zkmargin.verifier.chain.joint, "JointTranscript", ORDERS[late]):
        verify_joint(case.statement, data)  # the mutant falls for it
    with pytest.raises((VerificationError, ProofFormatError)):
        verify_joint(case.statement, data)


def test_without_weights_of_its_own_one_account_pays_for_another() -> None:
    case = false_joint(poor_and_rich())
    columns = pooled_columns(case)
    with pytest.raises(ProverError, match="does not close"):
        prove_joint(case, columns=columns)
    names = [(zkmargin.prover.chain_joint, "account_weights"), (zkmargin.verifier.chain.joint, "account_weights")]
    with patch.object(*names[0], same_weights), patch.object(*names[1], same_weights):
        data = encode(prove_joint(case, columns=columns))
        verify_joint(case.statement, data)  # the mutant falls for it
    with pytest.raises(VerificationError):
        verify_joint(case.statement, data)


def test_without_powers_of_its_own_one_account_has_another_book() -> None:
    case = poor_and_rich()
    columns = [[c.copy() for c in digit_columns(case.statement.prices, one.witness, 5, 4)] for one in case.cases]
    columns[0][0][0] += 1  # a lot more of what has no short option minimum, for a lot less in the other account
    columns[1][0][0] -= 1
    with pytest.raises(ProverError, match="not a polynomial"):
        prove_joint(case, columns=columns)
    names = [(zkmargin.prover.chain_joint, "identity_powers"), (zkmargin.verifier.chain.joint, "identity_powers")]
    with patch.object(*names[0], same_powers), patch.object(*names[1], same_powers):
        data = encode(prove_joint(case, columns=columns))
        verify_joint(case.statement, data)  # the mutant falls for it
    with pytest.raises(VerificationError):
        verify_joint(case.statement, data)


def test_weights_and_powers_are_all_different() -> None:
    shape = JointShape(5, 2)
    accounts, packed = identity_powers(7, shape)
    found = [*(x for five in accounts for x in five), *packed]
    assert found == [pow(7, i + 1, r) for i in range(5 * 5 + 4)]
    # 133 degrees of rho an account: 0 .. 132 are its weights (the single protocol's test), 133 m the lookup's
    w = ChainWeights(11)
    assert w.lookup == pow(11, 133, r)
    assert zkmargin.verifier.chain.joint.account_weights(w, 3) == [pow(11, 133 * a, r) for a in range(4)]


# --- zero knowledge ---------------------------------------------------------------------------------------------------


class Bench:
    """The product's prover as a function from blinders to revealed numbers, at fixed challenges and a known tau."""

    def __init__(self, case: JointCase) -> None:
        self.case, self.known, shape = case, KnownTau(), case.statement.shape
        draw = draws("challenges of the joint rank test")
        beta, rho, chi, zeta, gamma, x = (draw() for _ in range(6))

        class Fixed:
            round1 = staticmethod(lambda *_: (beta, rho))
            round2 = staticmethod(lambda *_: chi)
            round3 = staticmethod(lambda *_: zeta)
            round4 = staticmethod(lambda *_: gamma)
            round5 = staticmethod(lambda *_: x)

        self.transcript = Fixed()
        names = [f"f{i}" for i in range(shape.sides + shape.packed)] + ["mu"] + [f"h{i}" for i in range(shape.columns)]
        self.names = [f"{name} b{i}" for name in names for i in (0, 1)] + [f"phi b{i}" for i in range(4)]

    def revealed(self, blinders: list[int]) -> list[int]:
        """F, H, phi, T at tau; columns, mu, h, phi at zeta; phi at omega zeta. W and W' follow from the rest."""
        source = iter(blinders)
        with (
            patch.object(zkmargin.prover.chain_joint, "chain_committer", lambda _: self.known),
            patch.object(JointStatement, "transcript", lambda _: self.transcript),
        ):
            proof = zkmargin.prover.chain_joint.prove_joint_argument(
                self.case.statement,
                [one.witness for one in self.case.cases],
                [one.blinders for one in self.case.cases],
                lambda: next(source),
            )
        assert next(source, None) is None
        c, v = proof.commitments, proof.values
        points = [int.from_bytes(point[64:], "big") for point in (*c.F, *c.H, c.phi, c.T)]
        return [*points, *v.sides, *v.packed, v.mu, *v.h, v.phi, v.phi_shifted]

    def jacobian(self) -> dict[str, list[int]]:
        return derivatives(self.names, self.revealed, "blinders of the joint rank test")


@pytest.mark.slow
def test_everything_revealed_is_uniform_and_no_blinder_of_a_least_set_is_too_many() -> None:
    # two accounts, one group: 5 points of columns and 2 of helpers
    jacobian = Bench(joint_standard(2, 1)).jacobian()
    revealed = 5 + 2 + 2 + 15 + 5 + 2
    assert {len(column) for column in jacobian.values()} == {revealed}
    assert len(jacobian) == 2 * (15 + 5) + 4
    assert rank(list(jacobian.values())) == revealed
    # phi at tau, T at tau (through phi(omega tau)), phi at zeta, phi at omega zeta need its four
    alone = [[jacobian[f"phi b{i}"][place] for place in (7, 8, revealed - 2, revealed - 1)] for i in range(4)]
    assert rank(alone) == 4
    for without in range(4):
        assert rank([row for i, row in enumerate(alone) if i != without]) == 3
    # one a column, one more a packed point, four for phi
    columns = [f"f{i}" for i in range(14)] + ["mu"] + [f"h{i}" for i in range(5)]
    chosen = [f"{name} b0" for name in columns] + [f"phi b{i}" for i in range(4)]
    chosen += [f"{name} b1" for name in ("f0", "f3", "f6", "f9", "f12", "h0", "h3")]
    assert len(chosen) == revealed
    assert rank([jacobian[name] for name in chosen]) == revealed
    for dropped in chosen:
        assert rank([jacobian[name] for name in chosen if name != dropped]) == revealed - 1
