"""What a venue's proof says, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zkmargin.cli.terminal import quoted, safe


def venue_lines(facts: dict[str, Any]) -> Iterator[str]:
    """``app.venue_facts.terms_facts`` for people. Free text in it comes from files: it is quoted and escaped."""
    for spec in facts["classes"]:
        claimed = (
            "nothing" if spec["claim"] is None else f"equity at least {spec['claim']} x {facts['requirement']} margin"
        )
        claimed += "".join(f", {safe(limit)}" for limit in spec["limits"])
        shape = f"{spec['slots']} slots of {spec['legs']} legs"
        yield f"{spec['accounts']} accounts ({quoted(spec['name'])}, {shape}): {claimed}"
    if facts["dense_accounts"]:
        yield f"{facts['dense_accounts']} accounts by their own commitments: the claims of the terms"
    if facts["exempt"] is not None:
        yield f"but for at most {facts['exempt']} accounts, unnamed"
    if facts["cap"] is not None:
        yield f"all shortfalls together are at most {facts['cap']}"
    if facts["net"] is not None:
        what = "to zero" if facts["net"] == "zero" else "to the published net positions"
        yield f"all books together sum {what} in every instrument"
    if facts["totals"] is not None:
        yield "all held balances together sum to the published totals"
