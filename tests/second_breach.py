"""The circuit of a breach and its check, written from docs/protocol-breach.md alone ("The circuit, exactly").

Only the circuit and the first message differ from a claim; the rest is tests/second_verifier.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil

import second_verifier
from second_circuit import Circuit, Form, Json, Limit, Unsupported, array
from second_components import Group, begin, columns, group_losses, negative, total

KIND = b"zkmargin/breach/v1"
LOWERS = {"inter_commodity_credit"}


def build_breach(snapshot: Json, num: int, den: int, requirement: str, limits: Sequence[Limit]) -> Circuit:
    margin = begin(snapshot)
    circuit, losses = margin.circuit, dict[Group, list[Form]]()
    parts = [part for part in snapshot["components"] if requirement in part.get("requirements", [requirement])]
    if limits or any(part["type"] in LOWERS for part in parts):
        raise Unsupported("a limit, or a component that may lower a requirement")
    factor = Fraction(snapshot["policy"]["requirements"][requirement])
    for part in parts:
        if part["type"] == "worst_scenario":
            risk = columns(part["risk"])
            for g, labels in enumerate(part["scenarios"]):
                for s in range(len(labels)):
                    row = margin.where(lambda i: margin.group_of(i) == g, negative(risk[s]))  # noqa: B023 - used at once
                    losses.setdefault(g, []).append(row)
        elif part["type"] == "joint_scenarios":
            for group, rows in group_losses(part, margin):
                losses.setdefault(group, []).extend(rows)
        elif part["type"] == "factors":
            factor *= Fraction(part["value_bp"], 10**4)
    charges = total([chosen(circuit, str(group), [x for x in rows if x.terms]) for group, rows in losses.items()])
    equity = circuit.row("positions", array(snapshot["marks"])) * 10**4
    (haircuts,) = (part for part in snapshot["components"] if part["type"] == "haircuts")
    values = zip(array(haircuts["long_value"]), array(haircuts["short_value"]), margin.held, margin.owed, strict=True)
    for j, (long_value, short_value, held, owed) in enumerate(values):
        if owed.terms and short_value > long_value:
            circuit.equal("breach", f"collateral {j} on one side", circuit.gate(held, owed))
        equity += held * long_value - owed * short_value
    required = charges * (num * ceil(factor))
    circuit.not_negative("breach", f"{num}:{den}", required - equity * den - Form(1))
    return circuit


def chosen(circuit: Circuit, name: str, losses: list[Form]) -> Form:
    if not losses:
        return Form()
    t = circuit.integer(f"breach: loss of {name}", max(map(circuit.greatest, losses)))
    bits = [circuit.integer(f"breach: scenario {s} of {name}", 1) for s in range(len(losses) + 1)]
    circuit.equal("breach", f"{name} one scenario", total(bits) - Form(1))
    top = circuit.greatest(t)
    circuit.not_negative("breach", f"{name} none", Form(top) - bits[0] * top - t)
    for s, loss in enumerate(losses, 1):
        lift = max(top - circuit.ends(loss)[0], 0)
        circuit.not_negative("breach", f"{name} scenario {s}", loss - t + Form(lift) - bits[s] * lift)
    return t


def verify(
    snapshot: bytes, commitments: Sequence[bytes], claim: str, proof: bytes, *, requirement: str, context: bytes = b""
) -> bytes:
    """The statement digest, when the proof of breach is accepted. Raises as ``second_verifier.verify``."""
    return second_verifier.verify(
        snapshot, commitments, claim, proof, requirement=requirement, context=context, kind=KIND, build=build_breach
    )
