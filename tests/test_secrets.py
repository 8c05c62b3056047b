"""What must stay secret does (catalogue 40 to 42): blinders are fresh, also after fork; no search finds a book."""

import io
import logging
import os
import pickle
import warnings
from collections.abc import Callable
from dataclasses import replace

import golden
import pytest
from support import lab
from support.lab import Case

from zkmargin.accounts import commit_book
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import r
from zkmargin.crypto.group import G1_INFINITY, decode_g1, encode_g1
from zkmargin.crypto.scalars import lagrange_at, scalar
from zkmargin.crypto.srs import embedded
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.snapshot import Snapshot
from zkmargin.prover import prove
from zkmargin.verifier import Statement, verify
from zkmargin.verifier.argument import replay
from zkmargin.verifier.proof import decode_proof


def forked(work: Callable[[], bytes]) -> bytes:
    """What a function returns in a child process."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and newer: fork beside threads
        pid = os.fork()
    if pid == 0:
        try:
            os.write(write, work())
        finally:
            os._exit(0)
    os.close(write)
    with io.FileIO(read) as pipe:
        data = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    return data


@pytest.fixture(scope="module")
def account() -> tuple[Snapshot, BookLots]:
    """(snapshot, book) of the golden case with two segments."""
    name = "two-segments"
    snapshot = next(g for g in golden.GOLDEN if g.name == name).snapshot()
    return snapshot, BookLots(tuple((3 * i) % 7 - 3 for i in range(20)), (90_000_000, -2))


def test_40_two_proofs_of_one_witness_differ_in_every_element_also_after_fork(
    account: tuple[Snapshot, BookLots],
) -> None:
    snapshot, lots = account
    claim = Claim(1, 2)

    def work() -> bytes:
        opening = commit_book(snapshot, lots)
        proof = prove(Statement.of(snapshot, [opening.commitment()], claim), lots, [opening], threads=1)
        statement = Statement.of(snapshot, [opening.commitment()], claim)
        verify(statement, proof)
        elements = decode_proof(proof, statement.circuit.shape, embedded().digest)
        points = [point for part in opening.commitment().parts for point in part.points]
        shown = [*(bytes.fromhex(p) for p in points), *(p for _, p in elements.points())]
        return b"".join([*shown, *(x.to_bytes(48, "big") for x in elements.scalars())])

    # the first call warms every cache that a child inherits
    runs = [work(), work(), forked(work), forked(work)]
    for i, first in enumerate(runs):
        assert len(first) > 48 * 20
        for second in runs[:i]:
            for at in range(0, len(first), 48):
                assert first[at : at + 48] != second[at : at + 48], at // 48


@pytest.mark.parametrize("shape", [{"range_proved": True}, {"range_proved": False}])
def test_41_a_10_bit_position_is_not_found_by_trying_all_of_them(shape: dict[str, bool]) -> None:
    # one position, all else public: for each of 1,024 candidates everything that a guess lets one compute
    secret = 613
    given = lab.case(lab.margin_like(slots=1, bits=10, assets=((16, True),), **shape), [secret], [4000])
    data = lab.prove(given)
    found = candidates(given, data, shape)
    assert found == []
    # the same search finds it in a commitment without its blinder, and in a proof without its own
    bare = lab.with_blinders(given, dict.fromkeys(given.blinders, 0))
    assert secret in candidates(bare, lab.prove(bare), shape)
    if shape["range_proved"]:  # else no column of a proof holds the position
        unchecked = lab.unchecked().prove_argument(given.statement, given.witness, given.blinders, lambda: 0)
        assert secret in candidates(given, lab.encode(given, unchecked), shape)


def candidates(given: Case, data: bytes, shape: dict[str, bool]) -> list[int]:
    """The candidates whose commitment, digit columns or evaluations are among what is public."""
    statement, circuit = given.statement, given.circuit
    proof = decode_proof(data, circuit.shape, statement.srs.digest)
    x, _ = replay(statement, proof)
    shown = {point for _, point in proof.points()} | {bytes.fromhex(p) for part in statement.parts for p in part.points}
    shown.discard(G1_INFINITY)
    public = [decode_g1(point) for point in shown]
    # a difference with another public point would show what both share
    differences = {encode_g1(a + -b) for a in public for b in public if a != b}
    values = set(proof.scalars())
    basis = list(map(int, lagrange_at(circuit.domain, x.zeta)))
    unit = decode_g1(lab.commit(embedded(), Domain.of(circuit.n).intt([1] + [0] * (circuit.n - 1))))
    found = []
    for guess in range(1024):
        digits = (
            {guess % circuit.n, guess // circuit.n % circuit.n, guess // circuit.n**2}
            if shape["range_proved"]
            else set()
        )
        guesses = {encode_g1(unit * scalar(value)) for value in {guess, *digits} if value}
        if guesses & (shown | differences) or {basis[0] * value % r for value in {guess, *digits} if value} & values:
            found.append(guess)
    return found


def test_42_nothing_secret_is_in_words_for_anybody(
    account: tuple[Snapshot, BookLots], caplog: pytest.LogCaptureFixture
) -> None:
    snapshot, lots = account
    opening = commit_book(snapshot, lots)
    blinders = [blinder for part in opening.parts for blinder in part.blinders]
    with caplog.at_level(logging.DEBUG):
        proof = prove(Statement.of(snapshot, [opening.commitment()], Claim(1, 2)), lots, [opening])
    words = f"{opening!r} {opening.parts!r} {caplog.text} {opening.commitment().to_bytes().decode()} {proof.hex()}"
    for blinder in blinders:
        assert len(blinder) == 64
        assert blinder not in words
    assert "90000000" not in f"{words} {lots!r}"
    statement = Statement.of(snapshot, [opening.commitment()], Claim(1, 2))
    case = replace(statement, context=b"x")
    assert "90000000" not in repr(case)


def test_49_nothing_of_ours_unpickles(account: tuple[Snapshot, BookLots]) -> None:
    # a document that is a pickle is not JSON; and the loader of numpy refuses objects
    snapshot, _ = account
    with pytest.raises(Exception, match=r".") as caught:
        type(snapshot).parse(pickle.dumps({"format": "zkmargin/snapshot/v1"}))
    assert type(caught.value).__name__ == "InputError"
