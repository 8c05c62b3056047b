"""Commitments of the prover's polynomials: [p(tau)]_1 for coefficients held in kernel vectors."""

from __future__ import annotations

from py_arkworks_bls12381 import G1Point, Scalar

from crypto.field import SCALAR_BYTES
from crypto.group import encode_g1
from crypto.srs import SRS
from prover import _kernels as K


def commit(srs: SRS, coefficients: K.FieldVector) -> bytes:
    """The compressed commitment. ValueError when the polynomial has more coefficients than the SRS has powers."""
    count = len(coefficients)
    if count > srs.powers:
        raise ValueError(f"a polynomial of {count} coefficients and an SRS of {srs.powers} powers")
    data = K.to_bytes_le(coefficients)
    scalars = [Scalar.from_le_bytes(data[i : i + SCALAR_BYTES]) for i in range(0, len(data), SCALAR_BYTES)]
    return encode_g1(G1Point.multiexp_unchecked(srs.g1_powers(count), scalars))
