"""The constraint system and the encoding of a margin policy in it. Public: no keys, no secrets, no randomness."""

from zkmargin.circuits.circuit import Circuit, Shape
from zkmargin.circuits.margin import build_circuit, margin_witness
from zkmargin.circuits.system import Equation, Form, System
from zkmargin.circuits.witness import Witness, assign, check

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
]
