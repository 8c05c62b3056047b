"""From a witness to the bytes of a venue proof, verified before they are released."""

from __future__ import annotations

import hashlib

import numpy as np

from zkmargin.prover._kernels.kept import JIT_ENABLED
from zkmargin.prover.profile import Profile
from zkmargin.prover.venue.blinders import Blinders, FreshBlinders
from zkmargin.prover.venue.reference import ReferenceProver
from zkmargin.prover.venue.rounds import SMALLEST_DOMAIN, prove_rounds
from zkmargin.prover.venue.witness import VenueWitness
from zkmargin.verifier.venue.proof import encode_venue_proof
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.verify import VenueAccepted, verify_venue


def prove_venue(
    statement: VenueStatement,
    witness: VenueWitness,
    *,
    blinders: Blinders | None = None,
    threads: int = 1,
    profile: Profile | None = None,
) -> tuple[bytes, VenueAccepted]:
    """A proof and its own acceptance.

    Args:
        statement: what to prove.
        witness: from ``build_witness``.
        blinders: fresh ones from the operating system without.
        threads: column sets are shared among so many threads; the proof does not depend on it.
        profile: filled with times, if given.

    Raises:
        ProverError: the witness does not satisfy the statement.
    """
    profile, blinders = profile or Profile(), blinders or FreshBlinders()
    if JIT_ENABLED and statement.n >= SMALLEST_DOMAIN:
        proof = prove_rounds(statement, witness, blinders, threads=threads, profile=profile)
    else:
        proof = ReferenceProver(statement, witness.columns(statement), witness.blinders, blinders).prove()
    data = encode_venue_proof(proof, statement.srs.digest)
    with profile.stage("self-verification"):
        accepted = verify_venue(statement, data)
    return data, accepted


def inputs_digest(statement: VenueStatement, witness: VenueWitness) -> bytes:
    """BLAKE2b over the statement digest and everything hidden: seeds blind no two of these alike. 32 bytes."""
    digest = hashlib.blake2b(statement.digest, digest_size=32)

    def add(data: bytes) -> None:
        digest.update(len(data).to_bytes(8, "big") + data)

    for mine in witness.classes:
        for part in (mine.ids, mine.group, mine.digits):
            add(np.ascontiguousarray(part).tobytes())
    for tags in witness.tags:
        add(b"".join(tag.to_bytes(32, "big") for tag in tags))
    add(b"" if witness.extra is None else witness.extra.tobytes())
    if not statement.dense:
        return digest.digest()
    for name, rows in witness.dense.committed.items():
        add(rows.tobytes() + witness.blinders[name].to_bytes(32, "big"))
    add(witness.dense.digits.tobytes())
    return digest.digest()
