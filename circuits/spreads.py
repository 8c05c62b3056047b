"""SPAN spreads over hidden deltas: exact signs and exact minima, by hidden bits.

    bit           b + b' = 1, b, b' >= 0
    sides of d    d = l - s, l <= M b, s <= M b'                       so l = max(d, 0) and s = max(-d, 0)
    count         n <= x_i / k_i for every leg,
                  x_i - k_i n <= k_i - 1 + M_i (1 - b_i), sum b_i = 1  so n is the least x_i / k_i, rounded down

A bit that is 0 lifts its equation: M is at least anything that the form can be. Nothing is left to the prover's choice,
so counts may raise a requirement (calendar charges) and lower it (credits) alike. Order and residual deltas are those
of ``engine.spreads.form_spreads``, run on forms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from zkmargin.circuits.system import Atom, Form, Hint, System
from zkmargin.engine.integers import first_smallest, flag, largest, smallest
from zkmargin.engine.spreads import PublishedSpread, form_spreads

RULE = "spread"


def form_counts(
    system: System, spreads: Sequence[PublishedSpread], accounts: Sequence[tuple[Form, Form]], name: str
) -> list[Form]:
    """How many of each spread are formed, from long and short deltas of each account."""
    made = 0

    def smallest(deltas: Sequence[Form], ratios: Sequence[int]) -> Form:
        nonlocal made
        made += 1
        return least_count(system, deltas, ratios, f"{name} {made}")

    return form_spreads(spreads, accounts, smallest)


def split_sides(system: System, delta: Form, name: str) -> tuple[Form, Form]:
    """(max(delta, 0), max(-delta, 0)), exactly."""
    if not delta.terms:
        return Form(constant=max(delta.constant, 0)), Form(constant=max(-delta.constant, 0))
    low, high = system.bounds(delta)
    most = max(-low, high, 1)
    long = system.integer(f"{name} long", most, lambda of: largest(delta.value(of), 0))
    short = system.integer(f"{name} short", most, lambda of: largest(-delta.value(of), 0))
    bits = _bits(system, f"{name} side", (lambda of: flag(delta.value(of) >= 0), lambda of: flag(delta.value(of) < 0)))
    system.equal(RULE, f"{name} sides", delta - long + short)
    for bit, side in zip(bits, (long, short), strict=True):
        system.at_least_zero(RULE, f"{name} one side", most * bit - side)
    return long, short


def least_count(system: System, deltas: Sequence[Form], ratios: Sequence[int], name: str) -> Form:
    """The least of delta / ratio, rounded down, exactly; deltas are never negative for an honest prover."""
    if any(not delta.terms and delta.constant == 0 for delta in deltas):
        return Form()
    legs = list(zip(deltas, ratios, strict=True))
    most = [max(system.bounds(delta)[1], 0) for delta in deltas]
    upper = min(high // ratio for high, ratio in zip(most, ratios, strict=True))

    def fractions(of: Callable[[Atom], Any]) -> list[Any]:
        return [delta.value(of) // ratio for delta, ratio in legs]

    count = system.integer(f"{name} count", upper, lambda of: smallest(*fractions(of)))
    bits = _bits(system, f"{name} binds", [_binds(fractions, place) for place in range(len(legs))])
    for (delta, ratio), high, bit in zip(legs, most, bits, strict=True):
        left = delta - ratio * count
        system.at_least_zero(RULE, f"{name} has the deltas", left)
        system.at_least_zero(RULE, f"{name} is complete", Form(constant=ratio - 1 + high) - high * bit - left)
    return count


def _binds(fractions: Callable[[Callable[[Atom], Any]], list[Any]], place: int) -> Hint:
    """Whether the leg at a place is the first that allows the least."""
    return lambda of: first_smallest(fractions(of), place)


def _bits(system: System, name: str, hints: Sequence[Hint]) -> list[Form]:
    """Hidden bits of which exactly one is 1: the hints say which."""
    bits = [system.integer(f"{name} {place}", 1, hint) for place, hint in enumerate(hints)]
    system.equal(RULE, name, sum(bits, Form(constant=-1)))
    return bits
