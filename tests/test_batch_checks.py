"""Batches of proofs: weights, and which one is named. On golden proofs; no prover runs here."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module

import golden
import pytest
from py_arkworks_bls12381 import G1Point
from support.golden import decoded

from zkmargin.crypto.group import add_all, decode_g1, encode_g1
from zkmargin.crypto.scalars import scalar
from zkmargin.crypto.srs import SRS
from zkmargin.crypto.unsafe_srs import insecure_from_tau
from zkmargin.formats import InputError, ProofFormatError, VerificationError
from zkmargin.verifier import Statement, verify, verify_batch, verify_each
from zkmargin.verifier.argument import Opening, reduce_to_opening
from zkmargin.verifier.proof import encode_proof
from zkmargin.verifier.verify import _first_bad, _hold_together, fold, holds

NAMES = ("range-proved", "attested", "two-segments", "default-policy", "gates")


# --- batches ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def items() -> list[tuple[Statement, bytes]]:
    return [golden.statement_of(name) for name in NAMES]


def shifted(item: tuple[Statement, bytes], by: int) -> tuple[Statement, bytes]:
    statement, data = item
    proof = decoded(statement, data)
    W = encode_g1(decode_g1(proof.message5.W) + G1Point() * scalar(by))
    return statement, encode_proof(replace(proof, message5=replace(proof.message5, W=W)), statement.srs.digest)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_38_one_bad_proof_at_each_index_is_named(items: list[tuple[Statement, bytes]], size: int) -> None:
    for bad in range(size):
        batch = [shifted(item, 5) if i == bad else item for i, item in enumerate(items[:size])]
        with pytest.raises(VerificationError) as caught:
            verify_batch(batch)
        assert caught.value.message == f"proof {bad + 1} of {size} does not prove its statement"
        assert caught.value.check == "pairing"


def test_38_a_good_batch_in_its_order_an_empty_one_and_all_bad(
    items: list[tuple[Statement, bytes]],
) -> None:
    accepted = verify_batch(items)
    assert accepted == [verify(*item) for item in items]
    with pytest.raises(InputError, match="an empty batch proves nothing") as caught:
        verify_batch([])
    assert caught.value.field == "proofs"
    with pytest.raises(VerificationError, match="proof 1 of 5"):
        verify_batch([shifted(item, i + 1) for i, item in enumerate(items)])


@pytest.mark.parametrize("bad", [(), (0,), (1, 3), (0, 4), (0, 1, 2, 3, 4)])
def test_38_each_of_many_gets_its_own_verdict(items: list[tuple[Statement, bytes]], bad: tuple[int, ...]) -> None:
    batch = [shifted(item, i + 1) if i in bad else item for i, item in enumerate(items)]
    cut = (items[0][0], items[0][1][:-1])
    verdicts = verify_each([cut, *batch, cut])
    assert [type(verdict) for verdict in verdicts[:: len(batch) + 1]] == [ProofFormatError, ProofFormatError]
    for i, (item, verdict) in enumerate(zip(items, verdicts[1:-1], strict=True)):
        if i in bad:
            assert isinstance(verdict, VerificationError)
            assert (verdict.check, verdict.message) == ("pairing", "the proof does not prove this statement")
        else:
            assert verdict == verify(*item)
    assert verify_each([]) == []


def test_38_errors_that_cancel_do_not_pass(items: list[tuple[Statement, bytes]]) -> None:
    statement, data = items[0]
    good = reduce_to_opening(statement, decoded(statement, data))
    D = G1Point() * scalar(12345)
    plus, minus = (replace(good, left=(*good.left, (D, sign))) for sign in (1, -1))
    srs = statement.srs
    assert holds(*fold([plus, minus], [1, 1], srs), srs)
    assert not holds(*fold([plus, minus], [1, 2], srs), srs)
    assert _hold_together([good, good], srs)
    assert _hold_together([good], srs)
    assert not _hold_together([plus], srs)
    assert not _hold_together([plus, minus], srs)
    assert _first_bad([plus], srs) == 0
    assert _first_bad([plus, minus], srs) == 0
    assert _first_bad([good, plus, good, minus], srs) == 1
    assert _first_bad([good, good, good, minus], srs) == 3
    assert _first_bad([good, good, plus], srs) == 2


def test_38_each_opening_has_its_weight(items: list[tuple[Statement, bytes]]) -> None:
    good = [reduce_to_opening(statement, decoded(statement, data)) for statement, data in items]
    weights = list(range(2, 2 + len(good)))
    srs = items[0][0].srs
    alone = [fold([opening], [1], srs) for opening in good]
    sides = tuple(add_all(side[i] * scalar(w) for side, w in zip(alone, weights, strict=True)) for i in (0, 1))
    assert fold(good, weights, srs) == sides
    with pytest.raises(ValueError, match="zip"):
        fold(good, weights[1:], srs)


def test_38_a_batch_that_failed_names_a_proof_even_if_its_halves_pass(
    items: list[tuple[Statement, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("zkmargin.verifier.verify")
    answers = iter([False, True, True, True])
    monkeypatch.setattr(module, "_hold_together", lambda *_: next(answers))
    with pytest.raises(VerificationError, match="proof 5 of 5"):
        verify_batch(items)


def test_38_a_malformed_proof_in_a_batch_is_named(items: list[tuple[Statement, bytes]]) -> None:
    for bad in range(3):
        batch = [(s, data[:-1] if i == bad else data) for i, (s, data) in enumerate(items[:3])]
        with pytest.raises(ProofFormatError, match=rf"^proof {bad + 1} of 3: \d+ bytes where"):
            verify_batch(batch)


def test_38_setups_do_not_mix(items: list[tuple[Statement, bytes]]) -> None:
    toy = replace(items[0][0], srs=insecure_from_tau(7, 32))
    with pytest.raises(InputError, match="different structured reference strings") as caught:
        verify_batch([items[1], (toy, items[0][1])])
    assert caught.value.field == "proofs"


def test_39_weights_are_fresh_not_zero_and_128_bits(
    items: list[tuple[Statement, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("zkmargin.verifier.verify")
    real: Callable[[Sequence[Opening], Sequence[int], SRS], tuple[G1Point, G1Point]] = module.fold
    seen, bounds = [], []

    def spy(openings: Sequence[Opening], weights: Sequence[int], srs: SRS) -> tuple[G1Point, G1Point]:
        seen.append(tuple(weights))
        return real(openings, weights, srs)

    def draw(bound: int) -> int:
        bounds.append(bound)
        return int(bound - 1)

    monkeypatch.setattr(module, "fold", spy)
    verify_batch(items)
    verify_batch(items)
    assert len({*seen[0], *seen[1]}) == 2 * len(items)
    assert all(0 < w < 2**128 for w in (*seen[0], *seen[1]))
    # the least and the greatest that the generator can give
    monkeypatch.setattr(module.secrets, "randbelow", draw)
    verify_batch(items)
    assert set(bounds) == {2**128 - 1}
    assert set(seen[-1]) == {2**128 - 1}
    monkeypatch.setattr(module.secrets, "randbelow", lambda _: 0)
    verify_batch(items)
    assert set(seen[-1]) == {1}
