"""Which policies nobody can improve on: what a policy asks for against what it leaves to the waterfall.

A policy that asks for more margin costs its members more, every day; one that asks for less leaves more losses to the
insurance fund and to the other members. A policy is dominated where another one asks for no more, leaves no more, and
is better in one of the two. Those that are not are the frontier (Pareto): to choose among them is a matter of taste.
"""

from __future__ import annotations

from collections.abc import Sequence

from zkmargin.formats import Model, Seq
from zkmargin.risk.simulation import Money, Outcome


class Standing(Model):
    """Where a policy stands among those of one simulation.

    Attributes:
        margin: the requirement of all accounts at the start, money units: what the policy costs.
        loss: what reached the waterfall, money units: the insurance fund, auto-deleveraging and what stays unpaid.
        dominated_by: names of policies that are better; none: it is on the frontier.
    """

    policy: str
    margin: Money
    loss: Money
    dominated_by: Seq[str]


def standings(found: Sequence[Outcome]) -> list[Standing]:
    """Where each policy stands, in the order given.

    Example:
        >>> [standing.dominated_by for standing in standings([outcome, outcome])]
        [(), ()]
    """
    return [
        Standing(
            policy=one.policy,
            margin=one.margin,
            loss=one.loss,
            dominated_by=tuple(other.policy for other in found if _dominates(other, one)),
        )
        for one in found
    ]


def _dominates(a: Outcome, b: Outcome) -> bool:
    """No worse in both, better in one."""
    return a.margin <= b.margin and a.loss <= b.loss and (a.margin, a.loss) != (b.margin, b.loss)
