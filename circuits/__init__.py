"""The constraint system and the encoding of a margin policy in it. Public: no keys, no secrets, no randomness."""

from circuits.circuit import Circuit, Shape
from circuits.margin import build_circuit, margin_witness, slot_map_digest
from circuits.system import Equation, Form, System
from circuits.witness import Witness, assign, check

__all__ = [
    "Circuit",
    "Equation",
    "Form",
    "Shape",
    "System",
    "Witness",
    "assign",
    "build_circuit",
    "check",
    "margin_witness",
    "slot_map_digest",
]
