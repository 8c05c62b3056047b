"""What a venue's proof says, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from zkmargin.app.venue_facts import claimed_of
from zkmargin.cli.terminal import counted, quoted, safe


def venue_lines(facts: dict[str, Any]) -> Iterator[str]:
    """``app.venue_facts.terms_facts`` for people. Free text in it comes from files: it is quoted and escaped."""
    for spec in facts["classes"]:
        claimed = safe(claimed_of(facts["requirement"], spec["claim"], spec["limits"]))
        shape = f"{counted(spec['slots'], 'slot')} of {spec['legs']} legs"
        yield f"{counted(spec['accounts'], 'account')} (class {quoted(spec['name'])}, {shape}): {claimed}"
    dense = Counter((account["claim"], tuple(account["limits"])) for account in facts["dense"])
    for (claim, limits), count in dense.items():
        by = "its own commitment" if count == 1 else "their own commitments"
        yield f"{counted(count, 'account')} by {by}: {safe(claimed_of(facts['requirement'], claim, limits))}"
    if facts["exempt"] is not None:
        yield f"but for at most {counted(facts['exempt'], 'account')}, unnamed"
    if facts["cap"] is not None:
        yield f"but any account may be short of it: all shortfalls together are at most {facts['cap']}"
    if facts["net"] is not None:
        what = "to zero" if facts["net"] == "zero" else "to the published net positions"
        yield f"all books together sum {what} in every instrument"
    if facts["totals"] is not None:
        yield "all held balances together sum to the published totals"
