"""The constraint language: bounded integers, public linear equations, product gates, and the layout they are proved in.

It knows no finance and no policy, and what it makes holds no callable: a circuit can be copied to another process.
"""

from zkmargin.circuits.language.circuit import Circuit, Shape
from zkmargin.circuits.language.system import Equation, Form, System

__all__ = ["Circuit", "Equation", "Form", "Shape", "System"]
