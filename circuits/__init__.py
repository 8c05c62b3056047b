"""The constraint language (``language``) and the encoding of a margin policy in it. Public: no keys, no randomness."""

from zkmargin.circuits.language import Circuit, Equation, Form, Shape, System
from zkmargin.circuits.margin import build_circuit

__all__ = ["Circuit", "Equation", "Form", "Shape", "System", "build_circuit"]
