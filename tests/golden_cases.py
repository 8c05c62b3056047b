"""The cases of the vector file (docs/vectors.md): what must be accepted, what must be refused, and the attack it is.

Part of the generator tests/golden.py; nothing else reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

from golden import CHALLENGES, GOLDEN, Golden, Made, challenges, draws, loose
from support import lab
from support.instances import BareStatement
from support.typed import Json, JsonObject, Keywords, Passed

from zkmargin.accounts.commitments import commit_vector
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.witness import Witness, assign
from zkmargin.circuits.margin import build_circuit
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import r
from zkmargin.crypto.group import G1_INFINITY, decode_g1, encode_g1
from zkmargin.crypto.srs import embedded
from zkmargin.engine.book import BookLots
from zkmargin.engine.limits import Limit
from zkmargin.engine.snapshot import Snapshot
from zkmargin.prover.argument import _Rounds
from zkmargin.verifier import verify
from zkmargin.verifier.header import HEADER_BYTES, header
from zkmargin.verifier.proof import Proof, decode_proof, encode_proof

P = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB

#: flag -> (kind of error, what it is, items of the catalogue)
NOTES: dict[str, tuple[str, str, list[int]]] = {
    "Golden": ("none", "an honest proof of format version 1: accepted for ever", []),
    "SameMeaning": ("none", "the same documents in another order or layout: the same statement", [35]),
    "Length": ("encoding", "bytes missing, too many, or none", [4]),
    "Header": ("encoding", "another magic, version, curve, kind or setup in the header", [10, 19]),
    "ScalarRange": ("encoding", "a scalar at or above the field order, the same value mod r or not", [1]),
    "FieldBoundary": ("encoding", "a coordinate of p or more", [2]),
    "PointFlags": ("encoding", "flag bits that no compressed point has, or 48 zero bytes", [3]),
    "Infinity": ("encoding", "the point at infinity in a slot (the PLONK 0 bug), also with stray bits", [3, 7]),
    "Subgroup": ("encoding", "on the curve, not in the subgroup of prime order", [5]),
    "OffCurve": ("encoding", "no point of the curve has this x", [6]),
    "Sign": ("forgery", "the sign bit turned: the opposite point", [3]),
    "ModifiedElement": ("forgery", "an element replaced by another valid one, or two exchanged", [13, 20]),
    "ModifiedBit": ("forgery", "one bit of the proof turned", [37]),
    "OtherClaim": ("binding", "the proof of one claim shown for another", [28, 31]),
    "OtherContext": ("binding", "replay to another reader", [13, 31]),
    "OtherLimits": ("binding", "a limit added, left out, changed or moved", [13, 28]),
    "OtherSnapshot": ("binding", "the proof of one market or policy shown for another", [13, 19, 31]),
    "OtherCommitment": ("binding", "another book, another part, or what is said about it", [13, 28, 29]),
    "PartTwice": ("binding", "a part counted twice, or parts that cancel", [29]),
    "MissingRole": ("binding", "no commitment to positions, or none to collateral", [29]),
    "OtherSetup": ("binding", "a commitment or proof under another structured reference string", [8, 10, 11]),
    "OtherDomain": ("binding", "a commitment made over another number of rows: read here, slots would vanish", [19]),
    "StrictJson": ("encoding", "JSON that two readers could take for two documents", [35]),
    "Range": ("encoding", "a value outside its documented range", [24]),
    "FalseClaim": ("soundness", "a prover without checks: the claim is short by as little as can be", [22, 25]),
    "Lookup": ("soundness", "a cell outside the table, or wrong multiplicities or helpers", [22, 27]),
    "RunningSum": ("soundness", "a running sum that does not close", [23]),
    "Unlisted": ("soundness", "a position in a row that no equation reads", [29]),
    "OtherDigits": ("soundness", "digits of another book than the committed one", [20, 29]),
}


@dataclass(frozen=True)
class Case:
    """One case: what differs from the group's defaults."""

    comment: str
    flags: tuple[str, ...]
    error: str | None
    changes: Keywords


def vector_document(made: dict[str, tuple[Golden, Snapshot, Made, BookLots]], files: dict[str, bytes]) -> JsonObject:
    """The document, with its cases numbered."""
    groups: list[JsonObject] = []
    number = 0
    for golden, snapshot, case, lots in made.values():
        cases = [
            *_same(golden, files),
            *_bytes(golden, case),
            *_statements(golden, made),
            *_commitments(golden, files, case),
        ]
        if golden.name in ("range-proved", "attested"):
            cases += _soundness(case, lots)
        tests = []
        for entry in cases:
            number += 1
            result = {"result": "invalid" if entry.error else "valid"} | ({"error": entry.error} if entry.error else {})
            changes = _compact(entry.changes, case.proof)
            tests.append({"tcId": number, "comment": entry.comment, "flags": list(entry.flags)} | changes | result)
        defaults = {
            "snapshot": f"{golden.name}.snapshot.json",
            "commitments": golden.commitment_files(),
            "claim": f"{golden.claim.num}/{golden.claim.den}",
            "requirement": golden.claim.requirement,
            "limits": list(golden.limits),
            "context": golden.context.hex(),
        }
        groups.append(
            {
                "name": golden.name,
                "domainSize": snapshot.layout.domain_size,
                "statementDigest": _digest(case),
                "challenges": challenges(case.statement, case.proof),
                "defaults": defaults | {"proof": case.proof.hex()},
                "tests": tests,
            }
        )
    used = {flag for group in groups for case in group["tests"] for flag in case["flags"]}
    return {
        "format": "zkmargin/vectors/v1",
        "protocol": "zkmargin/margin-argument/v1",
        "proofVersion": 1,
        "srs": embedded().digest.hex(),
        "schema": "vectors.schema.json",
        "numberOfTests": number,
        "notes": {
            flag: {"bugType": kind, "description": text, "catalogue": items}
            for flag, (kind, text, items) in NOTES.items()
            if flag in used
        },
        "testGroups": groups,
    }


def _compact(changes: Keywords, proof: bytes) -> JsonObject:
    """A proof that differs from the group's in one short span is written as that span."""
    other = bytes.fromhex(changes.get("proof", ""))
    if "proof" not in changes or len(other) != len(proof):
        return changes
    differing = [i for i, (a, b) in enumerate(zip(proof, other, strict=True)) if a != b]
    first, last = differing[0], differing[-1]
    if last - first > len(proof) // 2:
        return changes
    rest = {key: value for key, value in changes.items() if key != "proof"}
    return rest | {"patch": {"offset": first, "bytes": other[first : last + 1].hex()}}


def _digest(case: Made) -> str:
    return verify(case.statement, case.proof).statement_digest.hex()


# --- the same meaning ---------------------------------------------------------------------------------------


def _same(golden: Golden, files: dict[str, bytes]) -> Iterator[Case]:
    yield Case("as it was made", ("Golden",), None, {})
    documents = [json.loads(files[name]) for name in golden.commitment_files()]
    merged = {**documents[0], "parts": [part for document in documents for part in document["parts"]][::-1]}
    yield Case("all parts in one document, reversed", ("SameMeaning",), None, {"commitments": [_text(merged)]})
    split = [_text({**d, "parts": [part]}) for d in documents for part in d["parts"]]
    yield Case("a document a part, reversed", ("SameMeaning",), None, {"commitments": split[::-1]})
    pretty = [json.dumps(dict(reversed(d.items())), indent=3) for d in documents]
    yield Case("keys reordered, indented", ("SameMeaning",), None, {"commitments": pretty})


def _text(document: JsonObject) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


# --- bytes of the proof -------------------------------------------------------------------------------------


def _bytes(golden: Golden, case: Made) -> Iterator[Case]:
    data, whole = case.proof, golden.name == "range-proved"

    def bad(comment: str, flag: str, proof: bytes, error: str = "proof") -> Case:
        return Case(comment, (flag,), error, {"proof": proof.hex()})

    yield bad("nothing", "Length", b"")
    yield bad("the last byte missing", "Length", data[:-1])
    yield bad("a zero byte more", "Length", data + b"\0")
    yield bad("only the header", "Length", data[:HEADER_BYTES])
    yield bad("twice", "Length", data + data)
    yield bad(
        "a point more", "Length", data[:HEADER_BYTES] + data[HEADER_BYTES : HEADER_BYTES + 48] + data[HEADER_BYTES:]
    )
    for at, name in (
        (0, "magic"),
        (9, "version"),
        (10, "curve"),
        (11, "kind"),
        (12, "setup digest"),
        (43, "setup digest, last bit"),
    ):
        yield bad(f"header: {name}", "Header", data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    yield bad("header: version 256", "Header", data[:8] + b"\1\0" + data[10:])
    yield bad("header: setup digest all zero", "Header", data[:12] + bytes(32) + data[HEADER_BYTES:])

    digest = embedded().digest
    proof = decode_proof(data, case.circuit.shape, digest)
    points = list(proof.points())
    scalars = proof.scalars()
    places = [HEADER_BYTES + 48 * i for i in range(len(points) - 2)] + [len(data) - 96, len(data) - 48]

    def put(at: int, new: bytes) -> bytes:
        return data[:at] + new + data[at + len(new) :]

    chosen = range(len(points)) if whole else (0, len(points) - 1)
    for i in chosen:
        name, point = points[i]
        x = int.from_bytes(point, "big")
        yield bad(f"{name}: infinity", "Infinity", put(places[i], G1_INFINITY))
        yield bad(f"{name}: outside the subgroup", "Subgroup", put(places[i], bytes([0x80]) + bytes(46) + b"\x04"))
        yield bad(f"{name}: off the curve", "OffCurve", put(places[i], bytes([0x80]) + bytes(46) + b"\x01"))
        yield bad(f"{name}: x = p", "FieldBoundary", put(places[i], (P | 1 << 383).to_bytes(48, "big")))
        yield bad(
            f"{name}: without the compression flag", "PointFlags", put(places[i], (x & ~(1 << 383)).to_bytes(48, "big"))
        )
        yield bad(f"{name}: sign turned", "Sign", put(places[i], (x ^ 1 << 381).to_bytes(48, "big")), "argument")
        other = points[(i + 1) % len(points)][1]
        yield bad(
            f"{name}: that of {points[(i + 1) % len(points)][0]}", "ModifiedElement", put(places[i], other), "argument"
        )
    for at, name in ((places[0], points[0][0]), (places[-1], "W'")):
        yield bad(f"{name}: 48 zero bytes", "PointFlags", put(at, bytes(48)))
        yield bad(f"{name}: infinity with the sign bit", "Infinity", put(at, b"\xe0" + bytes(47)))
        yield bad(f"{name}: infinity with a payload", "Infinity", put(at, b"\xc0" + bytes(46) + b"\1"))
        yield bad(f"{name}: all ones", "FieldBoundary", put(at, b"\x9f" + b"\xff" * 47))
    both = put(places[-2], G1_INFINITY * 2)
    yield bad("both openings at infinity (0 bug)", "Infinity", both)
    names = [*(f"f[{c}](zeta)" for c in range(len(proof.message4.f))), "phi(omega zeta)"]
    first = len(data) - 96 - 32 * len(scalars)
    for i, (name, value) in enumerate(zip(names, scalars, strict=True)):
        at = first + 32 * i
        if not whole and i not in (0, len(names) - 1):
            continue
        yield bad(f"{name}: value + r", "ScalarRange", put(at, (value + r).to_bytes(32, "big")))
        yield bad(f"{name}: r", "ScalarRange", put(at, r.to_bytes(32, "big")))
        yield bad(f"{name}: 2^256 - 1", "ScalarRange", put(at, b"\xff" * 32))
        yield bad(f"{name}: value + 1", "ModifiedElement", put(at, ((value + 1) % r).to_bytes(32, "big")), "argument")
        yield bad(f"{name}: 0", "ModifiedElement", put(at, bytes(32)), "argument")
    exchanged = data[: places[-2]] + data[places[-1] :] + data[places[-2] : places[-1]]
    yield bad("W and W' exchanged", "ModifiedElement", exchanged, "argument")
    yield bad("the last bit of a value", "ModifiedBit", put(first + 31, bytes([data[first + 31] ^ 1])), "argument")
    infinite_sum = encode_g1(-decode_g1(points[-1][1]))
    yield bad("W = -W'", "ModifiedElement", put(places[-2], infinite_sum), "argument")


# --- another statement --------------------------------------------------------------------------------------


def _statements(golden: Golden, made: dict[str, tuple[Golden, Snapshot, Made, BookLots]]) -> Iterator[Case]:
    def bad(comment: str, flag: str, error: str = "argument", **changes: Passed) -> Case:
        return Case(comment, (flag,), error, changes)

    other = "maintenance" if golden.claim.requirement == "initial" else "initial"
    yield bad("the other requirement", "OtherClaim", requirement=other)
    yield bad(
        "a weaker claim",
        "OtherClaim",
        claim=f"{golden.claim.num}/{golden.claim.den + 1}" if golden.claim.num != 3 else "1/1",
    )
    yield bad("a stronger claim", "OtherClaim", claim="7/2")
    yield bad("claim 0", "Range", "inputs", claim="0/1")
    yield bad("claim of 2^16", "Range", "inputs", claim="65536/1")
    yield bad("claim below 0", "Range", "inputs", claim="-1/1")
    yield bad("no such requirement", "OtherClaim", "inputs", requirement="final")
    yield bad(
        "a zero byte as context" if not golden.context else "no context",
        "OtherContext",
        context="" if golden.context else "00",
    )
    yield bad("a context with one byte more", "OtherContext", context=(golden.context + b"\0").hex())
    yield bad("a context of 1025 bytes", "Range", "inputs", context=bytes(1025).hex())
    limits = list(golden.limits)
    yield bad(
        "a limit more",
        "OtherLimits",
        _refusal(made[golden.name], [*limits, "headroom >= 0"]),
        limits=[*limits, "headroom >= 0"],
    )
    if limits:
        yield bad(
            "the last limit left out", "OtherLimits", _refusal(made[golden.name], limits[:-1]), limits=limits[:-1]
        )
        yield bad(
            "a limit twice",
            "OtherLimits",
            _refusal(made[golden.name], [*limits, limits[0]]),
            limits=[*limits, limits[0]],
        )
        yield bad("a limit changed", "OtherLimits", limits=[text.replace("1000.5", "1000") for text in limits])
        yield bad("a limit on an unknown name", "OtherLimits", "inputs", limits=["position NONE <= 1"])
    for foreign in GOLDEN:
        if foreign.name != golden.name:
            yield bad(f"the proof of {foreign.name}", "OtherSnapshot", "proof", proof=made[foreign.name][2].proof.hex())
    foreign = GOLDEN[1 if golden.name == "range-proved" else 0]
    error = "argument" if golden.name == "attested" else "inputs"
    if {golden.name, foreign.name} == {"range-proved", "attested"}:
        # the same slots: another circuit, so another length of proofs
        error = "proof"
    yield bad(f"the snapshot of {foreign.name}", "OtherSnapshot", error, snapshot=f"{foreign.name}.snapshot.json")


def _refusal(made: tuple[Golden, Snapshot, Made, BookLots], limits: list[str]) -> str:
    """A proof is too short or too long for a circuit of another shape."""
    golden, snapshot, case, _ = made
    circuit = build_circuit(snapshot, golden.claim, [Limit.parse(text) for text in limits])
    return "argument" if circuit.shape == case.circuit.shape else "proof"


# --- commitments --------------------------------------------------------------------------------------------


def _commitments(golden: Golden, files: dict[str, bytes], case: Made) -> Iterator[Case]:
    names = golden.commitment_files()
    first = json.loads(files[names[0]])
    rest = names[1:]

    def bad(comment: str, flag: str, document: Json, error: str = "inputs") -> Case:
        text = document if isinstance(document, str) else _text(document)
        return Case(comment, (flag,), error, {"commitments": [text, *rest]})

    def part(**changes: Passed) -> JsonObject:
        return {**first, "parts": [{**first["parts"][0], **changes}, *first["parts"][1:]]}

    points = first["parts"][0]["points"]
    yield bad("another alias", "OtherCommitment", part(alias="somebody else"), "argument")
    yield bad(
        "another bound, within the range", "OtherCommitment", part(bits=first["parts"][0]["bits"] - 1), "argument"
    )
    opposite = encode_g1(-decode_g1(bytes.fromhex(points[0]))).hex()
    yield bad("the opposite book", "OtherCommitment", part(points=[opposite, *points[1:]]), "argument")
    swapped = [p["points"] for p in first["parts"][::-1]]
    exchanged = {**first, "parts": [{**p, "points": row} for p, row in zip(first["parts"], swapped, strict=True)]}
    same_lengths = len({len(row) for row in swapped}) == 1
    yield bad("the roles' points exchanged", "OtherCommitment", exchanged, "argument" if same_lengths else "inputs")
    yield bad("another slot map", "OtherCommitment", part(slot_map="11" * 32))
    yield bad("a segment more", "OtherCommitment", part(points=[*points, points[0]]))
    yield bad("a part given twice", "PartTwice", {**first, "parts": [*first["parts"], first["parts"][0]]})
    renamed = {**first["parts"][0], "alias": "again"}
    yield bad("a part given twice under two names", "PartTwice", {**first, "parts": [*first["parts"], renamed]})
    mirror = {
        **first["parts"][0],
        "alias": "mirror",
        "points": [encode_g1(-decode_g1(bytes.fromhex(x))).hex() for x in points],
    }
    cancels = "inputs" if not rest else "argument"
    yield bad("a part and its opposite", "PartTwice", {**first, "parts": [*first["parts"], mirror]}, cancels)
    if not rest:
        yield bad("no part for collateral", "MissingRole", {**first, "parts": first["parts"][:1]})
        yield bad("no part for positions", "MissingRole", {**first, "parts": first["parts"][1:]})
    yield bad("no parts", "MissingRole", {**first, "parts": []})
    yield bad("another setup", "OtherSetup", {**first, "srs": "00" * 32})
    yield bad("over twice as many rows", "OtherDomain", {**first, "domain_size": 2 * first["domain_size"]})
    wide = commit_vector(embedded(), 2 * case.circuit.n, [1] * 3, [draws("wide")()])[0].hex()
    yield bad("points made over twice as many rows", "OtherDomain", part(points=[wide] * len(points)), "argument")
    infinite, small = G1_INFINITY.hex(), "80" + "00" * 46 + "04"
    for text, flag, name in (
        (infinite, "Infinity", "infinity"),
        (small, "Subgroup", "outside the subgroup"),
        ("80" + "00" * 46 + "01", "OffCurve", "off the curve"),
        ((P | 1 << 383).to_bytes(48, "big").hex(), "FieldBoundary", "x = p"),
        (f"{points[0][:-2]}", "Length", "a byte short"),
        ("0" + points[0][1:], "PointFlags", "without the compression flag"),
    ):
        yield bad(f"a committed point: {name}", flag, part(points=[text, *points[1:]]))
    if golden.name != "range-proved":
        return
    yield bad("upper-case hex", "StrictJson", part(points=[points[0].upper(), *points[1:]]))
    for value, flag in (
        (0, "Range"),
        (73, "Range"),
        (-1, "Range"),
        (True, "StrictJson"),
        ("8", "StrictJson"),
        (None, "StrictJson"),
    ):
        yield bad(f"bits: {value!r}", flag, part(bits=value))
    text, bits = _text(first), f'"bits":{first["parts"][0]["bits"]}'
    for old, new, comment in (
        (bits, '"bits":8.0', "1.0 for 1"),
        (bits, '"bits":8e0', "an exponent"),
        (bits, '"bits":NaN', "NaN"),
        (bits, '"bits":Infinity', "Infinity"),
        (bits, '"bits":08', "a leading zero"),
        (bits, '"bits":-0', "-0"),
        (bits, '"bits":٨', "digits that are not ASCII"),
        (bits, f"{bits},{bits}", "a key twice"),
        (bits, f'{bits},"more":1', "an unknown key"),
        ('{"format"', '{"format":"zkmargin/commitment/v1","format"', "the format twice"),
        ("commitment/v1", "commitment/v2", "another version"),
        ('"role":"positions"', '"role":"both"', "no such role"),
    ):
        if old not in text:
            raise LookupError(comment)
        yield bad(comment, "StrictJson", text.replace(old, new, 1))
    yield bad("something after the end", "StrictJson", text + "{}")
    yield bad("nested 100,000 deep", "StrictJson", '{"parts":' + "[" * 100)


# --- a prover without checks --------------------------------------------------------------------------------


def _soundness(case: Made, lots: BookLots) -> Iterator[Case]:
    circuit = case.circuit
    n, digest = circuit.n, embedded().digest

    def bad(comment: str, flag: str, given: lab.Case, proof: Proof) -> Case:
        changes: Keywords = {"proof": encode_proof(proof, digest).hex()}
        if given.statement.parts != case.statement.parts:
            parts = [part.model_dump(mode="json") for part in given.statement.parts]
            document = {"format": "zkmargin/commitment/v1", "srs": digest.hex(), "domain_size": n, "parts": parts}
            changes["commitments"] = [_text(document)]
        return Case(comment, (flag,), "argument", changes)

    # a Statement has all that a BareStatement has
    honest = lab.Case(cast("BareStatement", case.statement), case.witness, case.blinders)
    witness = false_witness(case, lots)
    false = recommitted(honest, witness)
    yield bad("a claim that is short, its slack said to be 0", "FalseClaim", false, lab.cheat(false))
    short = -claim_value(circuit, witness)
    low, *_ = circuit.digit_cells[circuit.equations[-1].slack or 0]
    column, row, _ = low
    cells = {f"f[{column}]": {row: -short}}
    yield bad(
        "a slack below 0: its lowest digit is negative in the field",
        "FalseClaim",
        false,
        lab.cheat(false, lab.swap(cells)),
    )
    J = len(circuit.equations)
    rho = lab.challenges(false.statement, lab.cheat(false)).rho
    missing = pow(rho, J - 1, r) * short % r

    def bend(_rounds: object, name: str, values: list[int]) -> list[int]:
        return [x * (i > 0) + missing * (i > n // 2) for i, x in enumerate(values)] if name == "phi" else values

    yield bad("the missing amount written off in one step", "RunningSum", false, lab.cheat(false, bend))

    def counts(_rounds: object, name: str, values: list[int]) -> list[int]:
        if name == "mu":
            values[0], values[1] = values[0] + 1, values[1] - 1
        return values

    yield bad("multiplicities: one moved", "Lookup", honest, lab.cheat(honest, counts))

    def helper(_rounds: object, name: str, values: list[int]) -> list[int]:
        if name == "h[0]":
            values[3], values[9] = values[3] + 1, values[9] - 1
        return values

    yield bad("helpers: two rows wrong that cancel", "Lookup", honest, lab.cheat(honest, helper))
    for at in (circuit.position_count, n - 1):
        rows = [int(x) for x in case.witness.columns(circuit)["positions[0]"]]
        rows[at] = 1
        hidden = with_rows(honest, rows)
        cells = {"f[0]": {at: 1}} if circuit.position_digits else {}

        def counted(
            rounds: _Rounds, name: str, values: list[int], cells: dict[str, dict[int, int]] = cells
        ) -> list[int]:
            values = lab.swap(cells)(rounds, name, values)
            if name == "mu" and cells:
                values[0], values[1] = values[0] - 1, values[1] + 1
            return values

        module = lab.unchecked()
        module.tamper = lambda rounds, name, values, rows=rows, then=counted: then(
            rounds, name, list(rows) if name == "positions[0]" else values
        )
        proof = module.prove_argument(hidden.statement, hidden.witness, hidden.blinders, lab.draws("proof"))
        yield bad(f"a lot in row {at}, which is no slot", "Unlisted", hidden, proof)
    if circuit.position_digits:
        other = replace(case.witness, long=(case.witness.long[0] + 1, *case.witness.long[1:]))
        lying = replace(honest, witness=other)
        yield bad("digits of one lot more than is committed", "OtherDigits", lying, lab.cheat(lying))
    yield _upper_case(case, honest)
    toy = lab.known_tau(powers=n + 8)
    dressed = (
        header(digest)
        + encode_proof(lab.cheat(replace(honest, statement=replace(honest.statement, srs=toy))), toy.digest)[
            HEADER_BYTES:
        ]
    )
    yield Case(
        "made under a known tau, the ceremony's digest in its header",
        ("OtherSetup",),
        "argument",
        {"proof": dressed.hex()},
    )
    yield Case(
        "made under a known tau",
        ("OtherSetup",),
        "proof",
        {"proof": (header(toy.digest) + dressed[HEADER_BYTES:]).hex()},
    )


def _upper_case(case: Made, honest: lab.Case) -> Case:
    """The collateral counted twice, the second time with its point in upper-case hex; the proof is of twice as much."""
    part = next(part for part in case.statement.parts if part.role == "collateral")
    again = part.model_construct(**{**dict(part), "points": tuple(point.upper() for point in part.points)})
    statement = replace(case.statement, parts=tuple(sorted((*case.statement.parts, again), key=type(part).canonical)))
    twice = tuple(2 * x for x in case.witness.collateral)
    blinders = {key: b * (2 if key.startswith("collateral") else 1) % r for key, b in case.blinders.items()}
    positions = case.witness.positions
    bare = cast("BareStatement", statement)
    double = replace(honest, statement=bare, witness=assign(case.circuit, positions, twice), blinders=blinders)
    documents = [{"format": "zkmargin/commitment/v1", "srs": embedded().digest.hex(), "domain_size": case.circuit.n}]
    documents[0]["parts"] = [p.model_dump(mode="json") for p in statement.parts]
    changes = {"proof": lab.encode(double, lab.cheat(double)).hex(), "commitments": [_text(documents[0])]}
    return Case("collateral counted twice, once in upper-case hex", ("PartTwice",), "inputs", changes)


def claim_value(circuit: Circuit, witness: Witness) -> int:
    """The claim's form without its slack: below 0 where the claim is false."""
    last = circuit.equations[-1]
    assert last.slack is not None
    value: int = last.form.value(lambda atom: witness.value(circuit, atom)) + witness.bounded[last.slack]
    return value


def false_witness(case: Made, lots: BookLots) -> Witness:
    """The book with so much less of its first asset that the claim just fails; everything but its slack is honest."""
    bent = loose(case.circuit)

    def witness(held: int) -> Witness:
        return assign(bent, lots.positions, (held, *lots.collateral[1:]))

    low, high = 0, lots.collateral[0]  # fails at low, holds at high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if claim_value(case.circuit, witness(middle)) >= 0 else (middle, high)
    return witness(low)


def recommitted(given: lab.Case, witness: Witness) -> lab.Case:
    """The case with honest commitments to another witness's book, under the same names and blinders."""
    parts = []
    for part in given.statement.parts:
        blinders = [given.blinders[f"{part.role}[{s}]"] for s in range(len(part.points))]
        points = commit_vector(embedded(), given.circuit.n, getattr(witness, part.role), blinders)
        parts.append(part.model_copy(update={"points": tuple(point.hex() for point in points)}))
    parts.sort(key=lambda part: part.canonical())
    return replace(given, statement=replace(given.statement, parts=tuple(parts)), witness=witness)


def with_rows(given: lab.Case, rows: list[int]) -> lab.Case:
    """The case with the positions' first segment committed row by row, unlisted rows included."""
    from zkmargin.crypto.commitment import commit_values

    point = encode_g1(commit_values(embedded(), Domain.of(given.circuit.n), rows, given.blinders["positions[0]"])).hex()
    parts = [
        part if part.role != "positions" else part.model_copy(update={"points": (point, *part.points[1:])})
        for part in given.statement.parts
    ]
    parts.sort(key=lambda part: part.canonical())
    return replace(given, statement=replace(given.statement, parts=tuple(parts)))


# --- the schema ---------------------------------------------------------------------------------------------


def vector_schema() -> JsonObject:
    """The JSON schema of the vector file."""
    text = {"type": "string"}
    hexadecimal = {"type": "string", "pattern": "^([0-9a-f]{2})*$"}
    inputs = {
        "snapshot": {**text, "description": "a snapshot's file in this folder"},
        "commitments": {"type": "array", "items": {**text, "description": "a file in this folder, or a document"}},
        "claim": {**text, "description": "NUM/DEN: equity is at least that many times the requirement"},
        "requirement": {**text, "description": "initial or maintenance; anything else must be refused"},
        "limits": {"type": "array", "items": text},
        "context": hexadecimal,
        "proof": hexadecimal,
    }
    case = {
        "type": "object",
        "required": ["tcId", "comment", "flags", "result"],
        "additionalProperties": False,
        "properties": {
            "tcId": {"type": "integer", "minimum": 1},
            "comment": text,
            "flags": {"type": "array", "minItems": 1, "items": text, "description": "keys of notes"},
            **inputs,
            "patch": {
                "type": "object",
                "description": "the group's proof with these bytes in place of as many from the offset on",
                "required": ["offset", "bytes"],
                "additionalProperties": False,
                "properties": {"offset": {"type": "integer", "minimum": 0}, "bytes": hexadecimal},
            },
            "result": {"enum": ["valid", "invalid"]},
            "error": {
                "enum": ["inputs", "proof", "argument"],
                "description": "where the reference refuses: documents, bytes of the proof, or the argument",
            },
        },
    }
    group = {
        "type": "object",
        "required": ["name", "domainSize", "statementDigest", "challenges", "defaults", "tests"],
        "additionalProperties": False,
        "properties": {
            "name": text,
            "domainSize": {"type": "integer"},
            "challenges": {
                "type": "object",
                "description": "of the golden proof, by the names of docs/protocol.md",
                "required": list(CHALLENGES),
                "additionalProperties": False,
                "properties": dict.fromkeys(CHALLENGES, hexadecimal),
            },
            "statementDigest": {**hexadecimal, "description": "of every valid case of the group"},
            "defaults": {
                "type": "object",
                "required": list(inputs),
                "additionalProperties": False,
                "properties": inputs,
            },
            "tests": {"type": "array", "items": case},
        },
    }
    note = {
        "type": "object",
        "required": ["bugType", "description", "catalogue"],
        "additionalProperties": False,
        "properties": {
            "bugType": {"enum": ["none", "encoding", "forgery", "binding", "soundness"]},
            "description": text,
            "catalogue": {"type": "array", "items": {"type": "integer"}},
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "zkmargin/vectors/v1",
        "type": "object",
        "required": ["format", "protocol", "proofVersion", "srs", "schema", "numberOfTests", "notes", "testGroups"],
        "additionalProperties": False,
        "properties": {
            "format": {"const": "zkmargin/vectors/v1"},
            "protocol": {"const": "zkmargin/margin-argument/v1"},
            "proofVersion": {"const": 1},
            "srs": hexadecimal,
            "schema": text,
            "numberOfTests": {"type": "integer"},
            "notes": {"type": "object", "additionalProperties": note},
            "testGroups": {"type": "array", "items": group},
        },
    }
