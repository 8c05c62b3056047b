"""Primitives beside named peers, in one run and in turns: multi-scalar multiplication, transforms, field products."""

from __future__ import annotations

import secrets
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from py_arkworks_bls12381 import G1Point, Scalar

from benchmarks.measure import Column, Section, Timing, alternating, in_child
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import r
from zkmargin.crypto.group import encode_g1
from zkmargin.crypto.srs import G1_BYTES, embedded
from zkmargin.prover import _kernels as K
from zkmargin.prover._kernels.fixed_base import FixedBaseTables, Scalars

COLUMNS = (
    Column("what"),
    Column("zkmargin", "s"),
    Column("cores"),
    Column("arkworks", "s"),
    Column("ratio to arkworks", "x"),
    Column("blst (ckzg)", "s"),
    Column("ratio to blst", "x"),
)
BLOB_ELEMENTS = 4096
LANES = 1 << 14


def table(*, quick: bool) -> Section:
    """The table, measured in a child process."""
    measured = in_child("primitives", "rows", quick=quick)
    notes = [
        "G1 MSM: full-width random scalars over the ceremony's powers unless said otherwise; all give the same point.",
        "zkmargin: one thread, tables built before (a row says what that takes, once a process).",
        "arkworks: py_arkworks_bls12381 multiexp_unchecked, points and scalars parsed before, no tables.",
        "blst: ckzg blob_to_kzg_commitment, which also decodes its blob, no tables.",
        "Ratio: time of the peer by ours. Cores: CPU time by wall time of ours.",
    ]
    if not measured["ckzg"]:
        notes.append("ckzg, or the ceremony file that eth-account ships: not installed.")
    return Section("Primitives", COLUMNS, measured["rows"], notes)


def rows(*, quick: bool) -> dict[str, Any]:
    """Run in a child process."""
    runs = 3 if quick else 21
    setup = _ckzg_setup()
    result = []
    for n in (1024, BLOB_ELEMENTS):
        bases = bytes(embedded().g1_bytes[: n * G1_BYTES])
        tables = FixedBaseTables.build(bases)
        result.append(_msm_row(tables, _vector(n), f"G1 MSM, {n} points", runs, setup if n == BLOB_ELEMENTS else None))
        digits = np.array([secrets.randbelow(1024) for _ in range(n)], dtype=np.int64)
        result.append(_msm_row(tables, digits, f"G1 MSM, {n} points, 10-bit scalars", runs, None))
        building = alternating({"build": lambda b=bases: FixedBaseTables.build(b)}, 3)["build"]  # type: ignore[misc]
        result.append([f"tables of {n} points", *_alone(building)])
    for n in (1024, 4096, 16_384):
        vector = _vector(n)
        domain, values = Domain.of(n), K.to_ints(vector)
        if n == 1024 and K.to_ints(K.ntt(vector)) != domain.ntt(values):
            raise RuntimeError("the transform differs from the reference")
        timing = alternating({"ntt": lambda v=vector: K.ntt(v)}, 10 * runs)["ntt"]  # type: ignore[misc]
        result.append([f"NTT, {n} points", *_alone(timing)])
    a, b = _vector(LANES), _vector(LANES)
    for title, product in (("product", lambda: K.mul(a, b)), ("inverse, batched", lambda: K.batch_inverse(a))):
        timing = alternating({"it": product}, 10 * runs)["it"]
        each = Timing(timing.wall / LANES, timing.cpu / LANES, timing.runs)
        result.append([f"scalar field {title}", *_alone(each)])
    return {"rows": result, "ckzg": setup is not None}


def _msm_row(tables: FixedBaseTables, scalars: Scalars, title: str, runs: int, setup: Any) -> list[Any]:
    n = len(scalars)
    values = scalars.tolist() if isinstance(scalars, np.ndarray) else K.to_ints(scalars)
    points, parsed = embedded().g1_powers(n), [Scalar(x) for x in values]
    expected = G1Point.multiexp_unchecked(points, parsed)
    if tables.msm(scalars) != bytes(expected.to_xy_bytes_be()):
        raise RuntimeError("our sum differs from that of arkworks")
    candidates: dict[str, Any] = {
        "ours": lambda: tables.msm(scalars),
        "arkworks": lambda: G1Point.multiexp_unchecked(points, parsed),
    }
    if setup is not None:
        import ckzg  # noqa: PLC0415 - optional

        blob = _blob(Domain.of(n).ntt(values))
        if encode_g1(expected) != ckzg.blob_to_kzg_commitment(blob, setup):
            raise RuntimeError("our sum differs from that of ckzg")
        candidates["blst"] = lambda: ckzg.blob_to_kzg_commitment(blob, setup)
    times = alternating(candidates, runs)
    mine, peer, blst = times["ours"], times["arkworks"], times.get("blst")
    return [
        title,
        mine.wall,
        mine.cores,
        peer.wall,
        peer.wall / mine.wall,
        blst and blst.wall,
        blst and blst.wall / mine.wall,
    ]


def _alone(timing: Timing) -> list[Any]:
    return [timing.wall, timing.cores, None, None, None, None]


def _vector(n: int) -> K.FieldVector:
    return K.from_ints([secrets.randbelow(r) for _ in range(n)])


def _blob(values: list[int]) -> bytes:
    """EIP-4844's blob of values on the domain: 32 big-endian bytes each, in bit-reversed order."""
    bits = len(values).bit_length() - 1
    order = [int(f"{i:0{bits}b}"[::-1], 2) for i in range(len(values))]
    return b"".join(values[i].to_bytes(32, "big") for i in order)


def _ckzg_setup() -> Any:
    """The ceremony as ckzg loads it, from the file that eth-account ships; None when either is absent."""
    if find_spec("ckzg") is None or (account := find_spec("eth_account")) is None or account.origin is None:
        return None
    import ckzg  # noqa: PLC0415 - optional

    file = Path(account.origin).parent / "typed_transactions/blob_transactions/kzg_trusted_setup.txt"
    return ckzg.load_trusted_setup(str(file), 0) if file.is_file() else None
