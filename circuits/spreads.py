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

from collections.abc import Sequence

from zkmargin.circuits.language.hints import Above, AtMost, FirstSmallest, Hint, Largest, Quotient, Smallest
from zkmargin.circuits.language.system import Form, System
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
    long = system.integer(f"{name} long", most, Largest(delta, 0))
    short = system.integer(f"{name} short", most, Largest(-delta, 0))
    bits = _bits(system, f"{name} side", (Above(delta, -1), AtMost(delta, -1)))
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

    fractions = tuple(Quotient(delta, ratio) for delta, ratio in legs)
    count = system.integer(f"{name} count", upper, Smallest(*fractions))
    bits = _bits(system, f"{name} binds", [FirstSmallest(fractions, place) for place in range(len(legs))])
    for (delta, ratio), high, bit in zip(legs, most, bits, strict=True):
        left = delta - ratio * count
        system.at_least_zero(RULE, f"{name} has the deltas", left)
        system.at_least_zero(RULE, f"{name} is complete", Form(constant=ratio - 1 + high) - high * bit - left)
    return count


def _bits(system: System, name: str, hints: Sequence[Hint]) -> list[Form]:
    """Hidden bits of which exactly one is 1: the hints say which."""
    bits = [system.integer(f"{name} {place}", 1, hint) for place, hint in enumerate(hints)]
    system.equal(RULE, name, sum(bits, Form(constant=-1)))
    return bits
