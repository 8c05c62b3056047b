"""Notes for customers: the opening of one block, from the venue's own columns and blinders."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from py_arkworks_bls12381 import G2Point

from zkmargin.crypto.commitment import commit_coefficients
from zkmargin.crypto.exact import int_matvec
from zkmargin.crypto.field import powers, r
from zkmargin.crypto.group import encode_g1
from zkmargin.formats import VerificationError
from zkmargin.prover.venue.blinders import Blinders
from zkmargin.prover.venue.witness import VenueWitness
from zkmargin.verifier.venue import merkle
from zkmargin.verifier.venue.customers import (
    BlockOpening,
    Place,
    VenueNote,
    block_interpolant,
    check_opening,
    opening_challenge,
    place_of,
    record_of,
)
from zkmargin.verifier.venue.proof import VenueProof
from zkmargin.verifier.venue.statement import VenueStatement


class NoteMaker:
    """Makes notes about one proof.

    Args:
        statement, proof: what was published.
        witness: the columns behind it.
        blinders: the ones that the proof was made with.
        tau_powers: [tau^B]_2 of a block's B rows, for a setup that does not ship with its G2 powers.
    """

    def __init__(
        self,
        statement: VenueStatement,
        proof: VenueProof,
        witness: VenueWitness,
        blinders: Blinders,
        tau_powers: Callable[[int], G2Point] | None = None,
    ) -> None:
        self.statement, self.witness, self.blinders, self.tau_powers = statement, witness, blinders, tau_powers
        self.points = proof.columns.set_points(statement)
        self.levels = merkle.levels(proof.columns.leaves(statement))
        self.record = record_of(statement, proof)

    def note(self, account: int, name: str, nonce: bytes) -> VenueNote:
        """The note of a block account, unsigned. It is checked as the customer will check it.

        Raises:
            VerificationError: there is no such account, or the proof is of other columns than these.
        """
        place = place_of(self.statement, account)
        cells, points = self._cells(place), self.points[place.column_set.index]
        v = opening_challenge(self.statement, bytes.fromhex(self.record.root), points, account, cells)
        note = self._note(place, cells, self._opening(place, cells, v).hex(), account, name, nonce)
        self._check_opening(place, note, cells)
        return note

    def check(self, note: VenueNote, account: int, name: str, nonce: bytes) -> None:
        """Whether a note is the one of this account, whoever made it; signatures are not looked at.

        Raises:
            VerificationError: it is another one, or its opening does not hold.
        """
        place = place_of(self.statement, account)
        cells = self._cells(place)
        if note.model_copy(update={"signatures": ()}) != self._note(
            place, cells, note.block.opening, account, name, nonce
        ):
            raise VerificationError("the note is not the one of this account", check="note")
        self._check_opening(place, note, cells)

    def _check_opening(self, place: Place, note: VenueNote, cells: list[list[int]]) -> None:
        root, points = bytes.fromhex(self.record.root), list(self.points[place.column_set.index])
        B = self.statement.templates[place.column_set.kind].spec.block
        power = None if self.tau_powers is None else self.tau_powers(B)
        check_opening(self.statement, root, place, note, cells, points, power)

    def _note(
        self, place: Place, cells: list[list[int]], opening: str, account: int, name: str, nonce: bytes
    ) -> VenueNote:
        """The note with an opening."""
        statement, x = self.statement, place.column_set
        return VenueNote(
            venue=statement.terms.venue,
            statement=self.record.statement,
            proof=self.record.proof,
            account=account,
            accounts=self.record.accounts,
            name=name,
            nonce=nonce.hex(),
            block=BlockOpening(
                cells=tuple(tuple(map(str, column)) for column in cells),
                points=tuple(point.hex() for point in self.points[x.index]),
                path=tuple(digest.hex() for digest in merkle.siblings(self.levels, x.index)),
                opening=opening,
            ),
        )

    def _columns(self, place: Place) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        mine, x, n = self.witness.classes[place.column_set.kind], place.column_set, self.statement.n
        parts = [
            mine.ids[x.local].reshape(-1, n),
            mine.group[x.local].reshape(1, n),
            mine.digits[x.local].reshape(-1, n),
        ]
        return np.concatenate([part.astype(np.int64) for part in parts])

    def _cells(self, place: Place) -> list[list[int]]:
        statement, x = self.statement, place.column_set
        rows = range(place.block, statement.n, statement.templates[x.kind].T)
        tags = self.witness.tags[statement.tag_column(x)[0]]
        return [[int(column[row]) for row in rows] for column in self._columns(place)] + [[tags[row] for row in rows]]

    def _opening(self, place: Place, cells: list[list[int]], v: int) -> bytes:
        """[sum_c v^c (f_c - I_c) / (X^B - omega^(t B))]_1"""
        statement, x = self.statement, place.column_set
        n, B = statement.n, statement.templates[x.kind].spec.block
        weights = powers(v, len(cells))
        tag, _ = statement.tag_column(x)
        on_H = int_matvec(np.ascontiguousarray(self._columns(place).T), weights[:-1])
        on_H = [(a + weights[-1] * b) % r for a, b in zip(on_H, self.witness.tags[tag], strict=True)]
        tail = [0, 0]
        for name, weight in zip(statement.set_columns(x), weights, strict=False):
            for i, b in enumerate(self.blinders(name, 2)):
                tail[i] += weight * b
        tail[0] += weights[-1] * self.blinders(f"tag {tag}", 1)[0]
        p = [*statement.domain.intt(on_H), *tail]
        for i, b in enumerate(tail):
            p[i] -= b
        combined = [sum(w * column[b] for w, column in zip(weights, cells, strict=True)) for b in range(B)]
        for i, c in enumerate(block_interpolant(statement.domain, place.block, B, combined)):
            p[i] -= c
        z = pow(statement.domain.omega, place.block * B, r)
        quotient = [0] * (n + 2 - B)
        for i in range(n + 1 - B, -1, -1):
            quotient[i] = (p[i + B] + (z * quotient[i + B] if i + B < len(quotient) else 0)) % r
        return encode_g1(commit_coefficients(statement.srs, quotient))
