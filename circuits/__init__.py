"""The constraint language (``language``) and the encoding of a margin policy in it. Public: no keys, no randomness."""

from zkmargin.circuits.language.circuit import Circuit, Shape
from zkmargin.circuits.language.system import Equation, Form, System
from zkmargin.circuits.language.witness import Witness, assign, check
from zkmargin.circuits.margin import build_circuit, margin_witness

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
