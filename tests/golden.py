"""Golden proofs of format version 1 and the vector file: what every later release must go on accepting, and refusing.

    python tests/golden.py            makes tests/data/golden/v1 again
    python tests/golden.py --check    exits with 1 if that would change a byte

Books and blinders are derived from fixed seeds: they are as public as this file. Loading this module loads no prover.
docs/vectors.md says what the files hold.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from support.instances import BareStatement
from support.typed import JsonObject, Keywords

from zkmargin.accounts import Commitment, CommitmentPart
from zkmargin.accounts.slots import ROLES, slot_map_digest
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.hints import Largest
from zkmargin.circuits.language.system import Form, System
from zkmargin.circuits.language.witness import Witness, assign
from zkmargin.crypto.field import encode_scalar, r
from zkmargin.crypto.segments import segments
from zkmargin.crypto.srs import embedded
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.engine.market import Instrument
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.verifier import Statement
from zkmargin.verifier.argument import replay
from zkmargin.verifier.proof import decode_proof
from zkmargin.verifier.statement import Instance

FOLDER = Path(__file__).parent / "data" / "golden" / "v1"
VECTORS = FOLDER / "vectors.json"
SCHEMA = FOLDER / "vectors.schema.json"


def draws(seed: str) -> Callable[[], int]:
    """Field elements that repeat themselves: sha512(seed, counter) mod r."""
    counter = 0

    def draw() -> int:
        nonlocal counter
        counter += 1
        return int.from_bytes(hashlib.sha512(f"golden {seed} {counter}".encode()).digest(), "big") % r

    return draw


# --- what is proved -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Golden:
    """A golden proof's public side. Files: ``NAME.snapshot.json``, ``NAME.commitment-I.json``, ``NAME.proof``."""

    name: str
    claim: Claim
    context: bytes
    limits: tuple[str, ...]
    documents: int

    def snapshot(self) -> Snapshot:
        """The snapshot, parsed."""
        return Snapshot.parse((FOLDER / f"{self.name}.snapshot.json").read_bytes())

    def commitment_files(self) -> list[str]:
        """Names of the commitment files."""
        return [f"{self.name}.commitment-{i}.json" for i in range(self.documents)]

    def statement(self) -> Statement:
        """What the proof is checked against."""
        commitments = [Commitment.parse((FOLDER / file).read_bytes()) for file in self.commitment_files()]
        limits = [Limit.parse(text) for text in self.limits]
        return Statement.of(self.snapshot(), commitments, self.claim, context=self.context, limits=limits)

    def proof(self) -> bytes:
        """The pinned bytes."""
        return (FOLDER / f"{self.name}.proof").read_bytes()


GOLDEN = (
    Golden("range-proved", Claim(), b"", (), 1),
    Golden("attested", Claim(3, 2, "maintenance"), b"audience: bank 7; nonce: 12", (), 1),
    Golden("two-segments", Claim(1, 2), bytes(range(256)), (), 1),
    Golden(
        "default-policy",
        Claim(5, 4),
        "to: Börse".encode(),
        (
            "collateral USDC >= 250000",
            "gross-exposure ETH <= 4000",
            "headroom >= 1000.5",
            "net-exposure BTC <= 120.25",
            "position BTC-PERPETUAL <= 50.5",
        ),
        3,
    ),
)


def statement_of(name: str) -> tuple[Statement, bytes]:
    """Statement and proof of a golden case by its name, ``gates`` included."""
    if name == "gates":
        return gates_statement().as_statement(), (FOLDER / "gates.proof").read_bytes()
    golden = next(g for g in GOLDEN if g.name == name)
    return golden.statement(), golden.proof()


NAMES = (*(g.name for g in GOLDEN), "gates")


# --- product gates: no policy has one yet, so this circuit has no documents ---------------------------------


def gates_system() -> System:
    """Two balances, a hidden charge and two gates that square it."""
    system = System(n=16, position_count=3, position_bits=4, range_proved=True, collateral=[(8, True), (4, False)])
    import numpy as np

    loss = system.dense("positions", np.array([3, -7, 2], dtype=np.int64))
    charge = system.integer("charge", system.bounds(loss)[1], Largest(0, loss))
    system.at_least_zero("scenario", "scenario 0", charge - loss)
    equity = Form()
    for j in range(2):
        held, owed = system.collateral(j)
        equity += held * (9 - j) - owed * 10
    for g in range(2):
        square = system.product(charge + g, charge - 1)
        system.at_least_zero("square", f"square {g}", Form(constant=system.bounds(square)[1]) - square)
    system.at_least_zero("claim", "1:1", equity - charge)
    return system


GATES_BOOK = BookLots((1, -2, 3), (40, 3))


def gates_statement() -> BareStatement:
    """The statement of the golden proof with gates."""
    commitment = Commitment.parse((FOLDER / "gates.commitment-0.json").read_bytes())
    return BareStatement(
        embedded(), bytes(range(32)), Circuit.freeze(gates_system(), 2), Claim(), commitment.parts, b"gates"
    )


CHALLENGES = ("beta", "rho", "chi", "zeta", "v", "y")


def challenges(statement: Instance, proof: bytes) -> dict[str, str]:
    """All challenges of a proof, in hex."""
    x, _ = replay(statement, decode_proof(proof, statement.circuit.shape, statement.srs.digest))
    return {name: encode_scalar(getattr(x, name)).hex() for name in CHALLENGES}


# --- the vector file ----------------------------------------------------------------------------------------


def vectors() -> JsonObject:
    """The vector file, read."""
    document: JsonObject = json.loads(VECTORS.read_text("utf-8"))
    return document


def vector_cases(document: JsonObject) -> Iterator[tuple[JsonObject, JsonObject]]:
    """(group, case), one after another."""
    for group in document["testGroups"]:
        for case in group["tests"]:
            yield group, case


@dataclass(frozen=True)
class Inputs:
    """A case's inputs as bytes and text: what any verifier is given."""

    snapshot: bytes
    commitments: tuple[bytes, ...]
    claim: str
    requirement: str
    limits: tuple[str, ...]
    context: bytes
    proof: bytes

    def statement(self) -> Statement:
        """Parsed by the product. Raises InputError."""
        return Statement.of(
            Snapshot.parse(self.snapshot),
            [Commitment.parse(text) for text in self.commitments],
            Claim.parse(self.claim, self.requirement),
            context=self.context,
            limits=[Limit.parse(text) for text in self.limits],
        )


def inputs(group: Keywords, case: Keywords) -> Inputs:
    """A case with the group's defaults filled in and its files read."""
    given = {**group["defaults"], **case}
    proof = bytes.fromhex(given["proof"])
    if "patch" in given:
        start, new = given["patch"]["offset"], bytes.fromhex(given["patch"]["bytes"])
        proof = proof[:start] + new + proof[start + len(new) :]
    commitments = (
        text.encode() if (text := entry).startswith("{") else (FOLDER / entry).read_bytes()
        for entry in given["commitments"]
    )
    return Inputs(
        (FOLDER / given["snapshot"]).read_bytes(),
        tuple(commitments),
        given["claim"],
        given["requirement"],
        tuple(given["limits"]),
        bytes.fromhex(given["context"]),
        proof,
    )


# --- making them (only here: the prover) --------------------------------------------------------------------


def _parts(
    snapshot: Snapshot | None, lots: BookLots, n: int, seed: str, alias: str
) -> list[tuple[CommitmentPart, list[int]]]:
    from zkmargin.accounts.commitments import commit_vector
    from zkmargin.accounts.slots import role_bits

    draw, result = draws(f"book {seed} {alias}"), []
    for role in ROLES:
        vector = getattr(lots, role)
        blinders = [draw() for _ in range(segments(len(vector), n))]
        part = CommitmentPart(
            role=role,
            alias=alias,
            slot_map=slot_map_digest(snapshot, role).hex() if snapshot else "00" * 32,
            points=tuple(point.hex() for point in commit_vector(embedded(), n, vector, blinders)),
            bits=role_bits(snapshot, role) if snapshot else 60,
        )
        result.append((part, blinders))
    return result


@dataclass(frozen=True)
class Made:
    """A statement, what its prover knows, and the proof."""

    statement: Statement
    witness: Witness
    blinders: dict[str, int]
    proof: bytes

    @property
    def circuit(self) -> Circuit:
        """The statement's."""
        return self.statement.circuit


def _prove(statement: Instance, witness: Witness, blinders: dict[str, int], seed: str) -> bytes:
    from zkmargin.prover.argument import prove_argument
    from zkmargin.verifier.proof import encode_proof

    proof = prove_argument(statement, witness, blinders, draws(f"proof {seed}"))
    return encode_proof(proof, statement.srs.digest)


def _book_snapshots() -> dict[str, tuple[Snapshot, list[BookLots]]]:
    """For each golden case its snapshot and the books of its commitment documents."""
    from support import lab

    from zkmargin.engine.example import example_market
    from zkmargin.engine.market import Market
    from zkmargin.engine.policy import load_policy
    from zkmargin.engine.publishing.snapshots import build_snapshot

    five: Keywords = {
        "groups": [0, 0, 1, 1, 0],
        "risk": [[300, -700, 200], [-650, 210, 90], [100, 130, -140], [-100, 20, 80], [55, -60, 0]],
        "charges": [20, 0, 10, 5, 15],
        "marks": [700, 200, 0, 90, 1000],
        "assets": [(900, 1000, 32, True), (800, 800, 12, False)],
    }
    twenty: Keywords = {
        "groups": [i % 2 for i in range(20)],
        "risk": [[(7 * i) % 23 - 11, (5 * i) % 17 - 8] for i in range(20)],
        "charges": [i % 3 for i in range(20)],
        "marks": [(11 * i) % 31 for i in range(20)],
        "assets": [(1, 1, 32, True), (9, 10, 8, True)],
    }
    market = example_market("2026-11-20T12:00:00Z")
    kept: list[Instrument] = []
    for name in ("BTC", "ETH"):
        own = [x for x in market.instruments if x.underlying == name]
        kept += [x for x in own if x.kind != "option"][:4] + [x for x in own if x.kind == "option"][::40]
    fields = {name: getattr(market, name) for name in Market.model_fields}
    small = Market.model_validate({**fields, "instruments": tuple(kept)})
    default = build_snapshot(small, load_policy("default"), domain_size=64, version=1)
    count = len(default.instruments)
    cash = next(j for j, slot in enumerate(default.collateral) if slot.asset == "USDC")

    def venue(scale: int, balance: int) -> BookLots:
        positions = tuple(scale * (-1) ** i * (i % 5) for i in range(count))
        return BookLots(positions, tuple(balance if j == cash else 0 for j in range(len(default.collateral))))

    return {
        "range-proved": (lab.snapshot(**five), [BookLots((1, -2, 0, 3, -1), (40_000, 3))]),
        "attested": (
            lab.snapshot(**{**five, "charges": None}, range_proved=False),
            [BookLots((5, -9, 2, 0, 1), (400_000, 0))],
        ),
        "two-segments": (
            lab.snapshot(**twenty, bits=8),
            [BookLots(tuple((3 * i) % 7 - 3 for i in range(20)), (90_000_000, -2))],
        ),
        "default-policy": (default, [venue(1, 0), venue(-3, 2 * 10**9), venue(1, 10**9)]),
    }


def make_all() -> dict[str, bytes]:
    """Every file of the folder, by name."""
    files: dict[str, bytes] = {}
    made: dict[str, tuple[Golden, Snapshot, Made, BookLots]] = {}
    for golden in GOLDEN:
        snapshot, books = _book_snapshots()[golden.name]
        n = snapshot.layout.domain_size
        blinders: dict[str, int] = {}
        commitments = []
        for i, lots in enumerate(books):
            rows = _parts(snapshot, lots, n, golden.name, f"venue {i}")
            for part, row in rows:
                for s, blinder in enumerate(row):
                    column = f"{part.role}[{s}]"
                    blinders[column] = (blinders.get(column, 0) + blinder) % r
            commitments.append(
                Commitment(srs=embedded().digest.hex(), domain_size=n, parts=tuple(part for part, _ in rows))
            )
        whole = BookLots(
            tuple(map(sum, zip(*(b.positions for b in books), strict=True))),
            tuple(map(sum, zip(*(b.collateral for b in books), strict=True))),
        )
        limits = [Limit.parse(text) for text in golden.limits]
        statement = Statement.of(snapshot, commitments, golden.claim, context=golden.context, limits=limits)
        witness = assign(statement.circuit, whole.positions, whole.collateral)
        proof = _prove(statement, witness, blinders, golden.name)
        files[f"{golden.name}.snapshot.json"] = snapshot.to_bytes()
        for file, commitment in zip(golden.commitment_files(), commitments, strict=True):
            files[file] = commitment.to_bytes()
        files[f"{golden.name}.proof"] = proof
        made[golden.name] = golden, snapshot, Made(statement, witness, blinders, proof), whole
    files |= _make_gates()
    from golden_cases import vector_document, vector_schema

    files[VECTORS.name] = _json(vector_document(made, files))
    files[SCHEMA.name] = _json(vector_schema())
    return files


def _json(document: JsonObject) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def _make_gates() -> dict[str, bytes]:
    circuit = Circuit.freeze(gates_system(), 2)
    rows = _parts(None, GATES_BOOK, circuit.n, "gates", "account")
    commitment = Commitment(
        srs=embedded().digest.hex(),
        domain_size=circuit.n,
        parts=tuple(sorted((part for part, _ in rows), key=CommitmentPart.canonical)),
    )
    blinders = {f"{part.role}[{s}]": b for part, row in rows for s, b in enumerate(row)}
    statement = BareStatement(embedded(), bytes(range(32)), circuit, Claim(), commitment.parts, b"gates")
    witness = assign(circuit, GATES_BOOK.positions, GATES_BOOK.collateral)
    return {
        "gates.commitment-0.json": commitment.to_bytes(),
        "gates.proof": _prove(statement, witness, blinders, "gates"),
    }


def loose(circuit: Circuit) -> Circuit:
    """The circuit whose honest prover writes 0 into the claim's slack, whatever it is: for false claims."""
    last = circuit.equations[-1].slack
    if last is None:
        raise InputError("the last equation of a claim has a slack", field="circuit")
    bounded = list(circuit.bounded)
    bounded[last] = replace(bounded[last], hint=Form())
    return replace(circuit, bounded=tuple(bounded))


def main(arguments: list[str]) -> int:
    """Write, or compare with ``--check``."""
    files = make_all()
    there = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.is_file()}
    changed = sorted(name for name in {*files, *there} if files.get(name) != there.get(name))
    if arguments == ["--check"]:
        sys.stdout.write(
            "".join(f"differs: {name}\n" for name in changed) or "the golden files are as they were made\n"
        )
        return int(bool(changed))
    for name in changed:
        if name in files:
            (FOLDER / name).write_bytes(files[name])
        else:
            (FOLDER / name).unlink()
        sys.stdout.write(f"{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
