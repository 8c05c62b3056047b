"""Malicious witnesses and hostile snapshots, many of each: what the circuit takes, the engine would have taken.

    python tests/hostile_witness.py --cases 2000 --seed 1    # books one unit short: no hidden integers fit
    python tests/hostile_witness.py --snapshots 5000         # changed golden snapshots: refused, or of one meaning

*Witnesses.* Parameters of every component are drawn at random on the small snapshots of ``encoders.py``, and a book.
The last collateral slot counts one unit, so equity can be set to the requirement exactly, and to one unit less. At the
boundary the honest witness satisfies every equation. One unit below, branch and bound over all hidden integers (z3,
exact) must find nothing.

*Snapshots.* A value somewhere in a golden snapshot is replaced: by another number, an edge of 64 bits, another text,
what stands elsewhere; or dropped, or doubled. What is still accepted must build a circuit that agrees with the engine
on a random book. Nothing but ``InputError`` may come out.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import z3
from support.typed import Json, JsonObject, Keywords

sys.path.insert(0, str(Path(__file__).parent))

from encoders import TIMEOUT_MS, atoms, ints, snapshots

from zkmargin.circuits import build_circuit
from zkmargin.circuits.language.witness import assign, check
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.margin import claim_slack
from zkmargin.engine.snapshot import CollateralSlot, Snapshot
from zkmargin.formats import IntArray
from zkmargin.formats.errors import ConstraintError, InputError

GOLDEN = Path(__file__).parent / "data" / "golden" / "v1"
CLAIMS = (Claim(1, 1), Claim(5, 4), Claim(1, 1, "maintenance"))


T = TypeVar("T")


class Draws:
    """A stream of integers that repeats itself."""

    def __init__(self, *seed: object) -> None:
        self._seed, self._count = " ".join(map(str, seed)).encode(), 0

    def below(self, bound: int) -> int:
        """From 0 to bound - 1."""
        self._count += 1
        return int.from_bytes(hashlib.sha256(b"%s %d" % (self._seed, self._count)).digest(), "big") % bound

    def between(self, low: int, high: int) -> int:
        """From low to high."""
        return low + self.below(high - low + 1)

    def one_of(self, values: Sequence[T]) -> T:
        """One of them."""
        return values[self.below(len(values))]


class FoundError(AssertionError):
    """What must not be."""


# --- witnesses ----------------------------------------------------------------------------------------------

#: Arrays whose values may not be changed freely: numbers of pools, accounts, expiries, strikes; what must be positive.
FIXED = {"pool", "account_of", "expiries", "strikes", "collateral_group"}
NOT_NEGATIVE = {"charge", "long", "short", "shortfall", "long_value", "short_value", "rate"}


def varied(snapshot: Snapshot, draw: Draws) -> Snapshot | None:
    """The snapshot with other parameters, and a collateral slot that counts one unit; None where they do not fit."""
    parts: list[JsonObject] = []
    for part in snapshot.components:
        changed: Keywords = {}
        for name, value in part:
            if isinstance(value, IntArray) and name not in FIXED and not isinstance(part, PublishedHaircuts):
                low = 0 if name in NOT_NEGATIVE else -9
                scale = 10**9 if name == "deltas" else 1  # whole deltas: an account of a spread has whole numbers
                high = draw.one_of((9, 9, 9, 2**20))
                drawn = [scale * draw.between(-high if low else 0, high) for _ in range(value.values.size)]
                changed[name] = IntArray(np.array(drawn, dtype=np.int64).reshape(value.values.shape))
        if isinstance(part, PublishedHaircuts):
            held, owed = part.long_value.values.tolist(), part.short_value.values.tolist()
            changed = {"long_value": ints(*held, 1), "short_value": ints(*owed, 1)}
        for name in {"charge", "rate"} & set(changed):
            if part.type in ("collateral_charge", "open_orders"):  # by collateral slot: nothing for the new one
                changed[name] = ints(*changed[name].values.tolist(), 0)
        if part.type == "discounted_scenarios":
            width = changed["collateral_gain"].values.shape[1]
            changed["collateral_group"] = ints(*dict(part)["collateral_group"].values.tolist(), -1)
            changed["collateral_gain"] = ints(*changed["collateral_gain"].values.tolist(), [0] * width)
        parts.append({**dict(part), **changed})
    unit = CollateralSlot(asset="UNIT", lot="1", price=1, bits=60, negative_allowed=True)
    content = {name: getattr(snapshot, name) for name in type(snapshot).model_fields}
    content["marks"] = ints(*(draw.between(0, 9) for _ in snapshot.instruments))
    content["components"] = tuple(
        type(part).model_validate(values) for part, values in zip(snapshot.components, parts, strict=True)
    )
    content["collateral"] = (*snapshot.collateral, unit)
    try:
        return Snapshot.model_validate(content)
    except InputError:
        return None


def at_boundary(snapshot: Snapshot, claim: Claim, draw: Draws) -> BookLots | None:
    """A book whose slack for the claim is 0, and below 0 when a unit is taken away; None if none fits."""
    bound = min(255, (1 << snapshot.layout.position_bits) - 1)
    positions = tuple(draw.one_of((0, draw.between(-9, 9), draw.between(-bound, bound))) for _ in snapshot.instruments)
    balances = [draw.between(-(2**8) if slot.negative_allowed else 0, 2**8) for slot in snapshot.collateral[:-1]]
    slack = claim_slack(snapshot, BookLots(positions, (*balances, 0)), claim)
    if slack % claim.den or abs(slack // claim.den) >= 2**59:
        return None
    return BookLots(positions, (*balances, -slack // claim.den))


def search(snapshot: Snapshot, claim: Claim, lots: BookLots) -> None:
    """No hidden integers satisfy the circuit for this book. Raises FoundError."""
    circuit = build_circuit(snapshot, claim)
    ranges, values, positions, balances = atoms(circuit)
    for g, (a, b) in enumerate(circuit.gates):
        values["A", g], values["B", g] = (form.value(lambda atom: values[atom]) for form in (a, b))
        values["C", g] = values["A", g] * values["B", g]
    solver = z3.Solver()
    solver.set("timeout", TIMEOUT_MS)
    solver.add(*ranges)
    for symbols, numbers in ((positions, lots.positions), (balances, lots.collateral)):
        solver.add(*(symbol == number for symbol, number in zip(symbols, numbers, strict=True)))
    for equation in circuit.equations:
        form = equation.form.value(lambda atom: values[atom])
        solver.add(form == 0 if equation.slack is None else form >= 0)
    answer = solver.check()
    if answer != z3.unsat:
        raise FoundError(f"{answer}: {lots}, {claim}: {solver.model() if answer == z3.sat else ''}")


def honest(snapshot: Snapshot, claim: Claim, lots: BookLots) -> bool:
    """Whether the honest witness satisfies the circuit."""
    circuit = build_circuit(snapshot, claim)
    try:
        check(circuit, assign(circuit, lots.positions, lots.collateral))
    except ConstraintError:
        return False
    return True


def both_sides(snapshot: Snapshot, claim: Claim, lots: BookLots, *, malicious: bool) -> None:
    """The claim holds at the boundary, and not one unit below. Raises FoundError."""
    if not honest(snapshot, claim, lots):
        raise FoundError(f"the honest witness is refused at the boundary: {lots}, {claim}")
    short = BookLots(lots.positions, (*lots.collateral[:-1], lots.collateral[-1] - 1))
    if honest(snapshot, claim, short):
        raise FoundError(f"the honest witness is taken one unit below: {short}, {claim}")
    if malicious:
        search(snapshot, claim, short)


def witnesses(cases: int, seed: int) -> int:
    """Search so many cases; the number that were searched."""
    named = list(snapshots().items())
    searched = 0
    for case in range(cases):
        draw = Draws("witness", seed, case)
        name, snapshot = named[case % len(named)]
        changed = varied(snapshot, draw)
        claim = draw.one_of(CLAIMS)
        lots = at_boundary(changed, claim, draw) if changed else None
        if changed is None or lots is None:
            continue
        try:
            both_sides(changed, claim, lots, malicious=True)
        except FoundError as error:
            raise FoundError(f"seed {seed}, case {case}, {name}: {error}") from None
        searched += 1
    return searched


# --- snapshots ----------------------------------------------------------------------------------------------

EDGES = (0, 1, -1, 2, 2**31, 2**62, 2**63 - 1, -(2**63), -(2**63) + 1, 10**9, 10_000, 65_535)


def places(value: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every path in a JSON value below the policy's texts."""
    yield path
    items: Json = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def changed_document(document: Json, draw: Draws) -> Json:
    """One change somewhere."""
    document = copy.deepcopy(document)
    paths = [path for path in places(document) if path]
    path = draw.one_of(paths)
    target = document
    for key in path[:-1]:
        target = target[key]
    key, value = path[-1], target[path[-1]]
    if isinstance(value, dict) and set(value) == {"shape", "keccak256", "data"}:
        array = IntArray.from_json(value).values.copy()
        if array.size:
            array.reshape(-1)[draw.below(array.size)] = draw.one_of((*EDGES, draw.between(-(10**6), 10**6)))
        target[key] = IntArray(array).to_json()
    elif isinstance(value, bool) or value is None:
        target[key] = draw.one_of((True, False, None, 0))
    elif isinstance(value, int):
        target[key] = draw.one_of((*EDGES, value + 1, value - 1, -value))
    elif isinstance(value, str):
        other = document
        for step in draw.one_of(paths):
            other = other[step]
        target[key] = draw.one_of((value + "0", value[1:], "0", "-1", copy.deepcopy(other)))  # may hold the target
    elif isinstance(target, list) and draw.below(2):
        target.insert(int(key), copy.deepcopy(value))
    else:
        del target[key]
    return document


def hostile_snapshots(count: int, seed: int) -> tuple[int, int]:
    """Change golden snapshots; how many were still accepted, and how many books were compared."""
    documents = [json.loads(path.read_text("utf-8")) for path in sorted(GOLDEN.rglob("*.snapshot.json"))]
    accepted = compared = 0
    for case in range(count):
        draw = Draws("snapshot", seed, case)
        document = changed_document(draw.one_of(documents), draw)
        try:
            snapshot = Snapshot.parse(json.dumps(document))
            claim = draw.one_of(CLAIMS)
            circuit = build_circuit(snapshot, claim)
        except InputError:
            continue
        accepted += 1
        lots = BookLots(
            tuple(draw.between(-3, 3) for _ in snapshot.instruments),
            tuple(draw.between(-5 if slot.negative_allowed else 0, 9) for slot in snapshot.collateral),
        )
        try:
            check(circuit, assign(circuit, lots.positions, lots.collateral))
            holds = True
        except ConstraintError:
            holds = False
        if holds != (claim_slack(snapshot, lots, claim) >= 0):
            raise FoundError(f"seed {seed}, case {case}: circuit says {holds}, the engine does not: {lots}, {claim}")
        compared += 1
    return accepted, compared


def main(arguments: Sequence[str]) -> int:
    """Search and print what was looked at. 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=0, help="random snapshots and books, one unit short")
    parser.add_argument("--snapshots", type=int, default=0, help="changed golden snapshots")
    parser.add_argument("--seed", type=int, default=1)
    given, start = parser.parse_args(arguments), time.monotonic()
    said = []
    try:
        if given.cases:
            said.append(f"{witnesses(given.cases, given.seed)} books one unit short, no hidden integers")
        if given.snapshots:
            accepted, compared = hostile_snapshots(given.snapshots, given.seed)
            said.append(f"{given.snapshots} changed snapshots, {accepted} accepted, {compared} books compared")
    except FoundError as error:
        sys.stdout.write(f"FOUND: {error}\n")
        return 1
    sys.stdout.write(f"{'; '.join(said)}; {time.monotonic() - start:.0f} s\n")
    return int(not said)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
