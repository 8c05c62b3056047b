"""A coverage statement in words."""

from __future__ import annotations

from typing import Any

from zkmargin.cli import terminal
from zkmargin.client.documents import Coverage

#: Exceptions that are written out for people; programs get all.
SHOWN = 10


def coverage_facts(coverage: Coverage) -> dict[str, Any]:
    """For programs: what is said, and at which snapshots it does not hold."""
    payload = coverage.payload
    facts: dict[str, Any] = {name: getattr(payload, name) for name in ("service", "account", "series")}
    facts |= {"from": payload.begin, "to": payload.end, "said": payload.time, "trust": payload.trust}
    facts |= {"terms": payload.terms.model_dump(mode="json"), "complete": payload.complete}
    facts |= {"snapshots": len(payload.snapshots), "proven": payload.proven}
    facts |= {"largest_gap_ms": payload.largest_gap_ms, "ledger_records": payload.head_number}
    missing = [one for one in payload.snapshots if one.statement is None]
    return facts | {"except": [{"sequence": one.sequence, "time": one.time} for one in missing]}


def coverage_lines(coverage: Coverage) -> list[str]:
    """For people."""
    payload = coverage.payload
    of, missing = len(payload.snapshots), [one for one in payload.snapshots if one.statement is None]
    where = f"of {terminal.quoted(payload.series)} from {payload.begin} to {payload.end}"
    gap = "largest gap " + f"{payload.largest_gap_ms / 1000:.3f}".rstrip("0").rstrip(".") + " s"
    if not of:
        what = f"there was no snapshot {where}: nothing is said of it"
    elif not missing:
        what = f"proven at every one of {terminal.counted(of, 'snapshot')} {where}, {gap}"
    else:
        what = f"proven at {payload.proven} of {terminal.counted(of, 'snapshot')} {where}, {gap}"
    lines = [f"{terminal.quoted(payload.account)}: {what}"]
    lines += [f"  except number {one.sequence} of {one.time}" for one in missing[:SHOWN]]
    if len(missing) > SHOWN:
        lines.append(f"  and {len(missing) - SHOWN} more")
    return lines
