"""Batches on small systems: order, bad proofs at each index, errors that cancel (catalogue 38)."""

from dataclasses import replace
from importlib import import_module

import pytest
from py_arkworks_bls12381 import G1Point
from support import lab
from support.instances import BareStatement, verify, verify_batch
from support.small_systems import build

from zkmargin.crypto.group import decode_g1, encode_g1
from zkmargin.crypto.scalars import scalar
from zkmargin.crypto.srs import SRS
from zkmargin.formats import InputError, ProofFormatError, VerificationError
from zkmargin.verifier import Statement
from zkmargin.verifier.argument import Opening, reduce_to_opening
from zkmargin.verifier.proof import decode_proof, encode_proof
from zkmargin.verifier.verify import _first_bad, _hold_together, fold, holds

#: A statement and its proof.
Item = tuple[Statement | BareStatement, bytes]


# --- batches ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def batch() -> list[Item]:
    names = ("one gate", "range-proved", "one digit column", "two segments", "attested positions")
    cases = [build(name, context=name.encode()) for name in names]
    return [(given.statement, lab.prove(given)) for given in cases]


def shifted(item: Item, by: int) -> Item:
    """The item with W moved by a multiple of the generator: an error that another one could cancel."""
    statement, data = item
    digest = statement.srs.digest
    proof = decode_proof(data, statement.circuit.shape, digest)
    W = encode_g1(decode_g1(proof.message5.W) + G1Point() * scalar(by))
    return statement, encode_proof(replace(proof, message5=replace(proof.message5, W=W)), digest)


def test_a_good_batch_is_accepted_in_its_order(batch: list[Item]) -> None:
    accepted = verify_batch(batch)
    assert [a.statement for a in accepted] == [statement for statement, _ in batch]
    assert [a.statement_digest for a in accepted] == [verify(*item).statement_digest for item in batch]
    assert len(verify_batch(batch[:1])) == 1
    assert len(verify_batch([batch[0], batch[0]])) == 2


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_one_bad_proof_at_each_index_is_found(batch: list[Item], size: int) -> None:
    for bad in range(size):
        items = [shifted(item, 5) if i == bad else item for i, item in enumerate(batch[:size])]
        with pytest.raises(VerificationError, match=f"proof {bad + 1} of {size}") as caught:
            verify_batch(items)
        assert caught.value.check == "pairing"


def test_all_bad_names_the_first(batch: list[Item]) -> None:
    with pytest.raises(VerificationError, match="proof 1 of 5"):
        verify_batch([shifted(item, i + 1) for i, item in enumerate(batch)])


def test_swapped_proofs_are_rejected() -> None:
    cases = [build("range-proved", context=bytes([i])) for i in range(2)]
    (s, p), (t, q) = [(given.statement, lab.prove(given)) for given in cases]
    verify_batch([(s, p), (t, q)])
    with pytest.raises(VerificationError, match="proof 1 of 2"):
        verify_batch([(s, q), (t, p)])


def test_errors_that_cancel_are_rejected(batch: list[Item]) -> None:
    # W enters both sides with known factors: +D and -D cancel in a sum without weights, whatever the challenges
    statement, data = batch[0]
    opening = reduce_to_opening(statement, decode_proof(data, statement.circuit.shape, statement.srs.digest))
    D = G1Point() * scalar(12345)
    plus, minus = (replace(opening, left=(*opening.left, (D, sign))) for sign in (1, -1))
    srs = statement.srs
    assert holds(*fold([plus, minus], [1, 1], srs), srs)
    assert _hold_together([opening, opening], srs)
    for bad, first in (([plus, minus], 0), ([opening, plus, opening, minus], 1), ([opening, opening, minus], 2)):
        assert not _hold_together(bad, srs)
        assert _first_bad(bad, srs) == first


def test_a_batch_that_failed_is_never_accepted(batch: list[Item]) -> None:
    statement, data = batch[0]
    opening = reduce_to_opening(statement, decode_proof(data, statement.circuit.shape, statement.srs.digest))
    assert _first_bad([opening] * 4, statement.srs) == 3


def test_batch_weights_are_fresh_positive_and_128_bits(batch: list[Item], monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module("zkmargin.verifier.verify")
    seen = []
    real = module.fold

    def spy(openings: list[Opening], weights: list[int], srs: SRS) -> bool:
        seen.append(tuple(weights))
        folded: bool = real(openings, weights, srs)
        return folded

    monkeypatch.setattr(module, "fold", spy)
    verify_batch(batch)
    verify_batch(batch)
    first, second = seen
    assert all(0 < w < 2**128 for w in first)
    assert len({*first, *second}) == 2 * len(batch)


def test_an_empty_batch_proves_nothing() -> None:
    with pytest.raises(InputError, match="empty batch"):
        verify_batch([])


def test_mixed_setups_are_refused(batch: list[Item]) -> None:
    toy = build("one digit column", srs=lab.known_tau())
    with pytest.raises(InputError, match="different structured reference strings"):
        verify_batch([*batch, (toy.statement, lab.prove(toy))])


def test_a_malformed_proof_in_a_batch_is_a_format_error(batch: list[Item]) -> None:
    statement, data = batch[1]
    with pytest.raises(ProofFormatError):
        verify_batch([batch[0], (statement, data[:-1])])
