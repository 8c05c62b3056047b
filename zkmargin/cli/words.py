"""What was proved, in words and for scripts. Plain text: the verifier's path needs no tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zkmargin.app.facts import not_guaranteed
from zkmargin.cli.terminal import counted, listed, quoted, safe, word
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import to_cents


def money(amount: int) -> str:
    """Valuation units as quote currency to the cent, thousands separated; rounded down."""
    return to_cents(amount, VALUATION_DECIMALS)


#: What a policy's name is worth, in words.
SHIPPED = {
    "as shipped": "the one that ships with this program under that name",
    "altered": "NOT the one that ships under that name",
    "own": "of its author's making: none ships under that name",
}


def policy_lines(facts: dict[str, Any]) -> list[str]:
    """``policy_facts`` for people."""
    return [
        f"policy       {facts['name']} version {word(facts['version'])}, all its components",
        f"             {SHIPPED[facts['shipped']]}",
        f"             digest {facts['digest']}",
    ]


def _carried(quotes: Sequence[dict[str, Any]]) -> list[str]:
    """That some prices are not the market's, for whoever relies on them."""
    if not quotes:
        return []
    oldest = max(quotes, key=lambda quote: int(quote["age_seconds"]))
    many = f"{counted(len(quotes), 'price')} carried without a quote in its market"
    age = f"the oldest of {safe(oldest['id'])}: {oldest['method']}, {oldest['age_seconds']} s old"
    return [f"             {many}, {age}"]


def statement_lines(facts: dict[str, Any]) -> list[str]:
    """``statement_facts`` for people. Free text in it comes from files: it is quoted and escaped."""
    bound = f"every position is within 2^{facts['position_bits']} lots"
    how = "proved" if facts["positions_range_proved"] else "said by whoever made the commitments, not proved"
    return [
        f"claim        {facts['claim']['words']}",
        *(f"limit        {safe(limit)}" for limit in facts["limits"]),
        *around_lines(facts, bounds=f"{bound} ({how})"),
    ]


def around_lines(facts: dict[str, Any], *, bounds: str | None = None) -> list[str]:
    """``around_facts`` for people: policy, snapshot, commitments, context, who vouches, the setup."""
    snapshot, policy = facts["snapshot"], facts["snapshot"]["policy"]
    lines = [
        *policy_lines(policy),
        f"snapshot     {quoted(snapshot['name'])}",
        f"             taken at {safe(snapshot['time'])}",
        f"             {snapshot['instruments']} instruments, {snapshot['collateral_assets']} collateral assets",
        *_carried(snapshot["carried"]),
        f"             digest {snapshot['digest']}",
        f"             {_who(snapshot['attested'], 'not signed by anyone that a trust file names')}",
        *([] if bounds is None else [f"bounds       {bounds}"]),
    ]
    for part in facts["commitments"]:
        points = len(part["points"])
        lines.append(
            f"commitment   {part['role']} of {quoted(part['alias'])} ({counted(points, 'point')}, up to "
            f"{part['bits']} bits): {_who(part['attested'], 'not authenticated by itself')}"
        )
    trust, challenge = facts["trust"], facts["challenge"]
    lines += [f"context      {_context(facts['context'], challenge)}"]
    if trust:
        lines.append(f"trust        of {quoted(trust['verifier'])}, file with the digest {trust['digest']}")
        if not trust["pins_policies"]:
            lines.append("             version 1: it pins no policy, revokes nothing and requires no part")
        if trust["policy_rule"]:
            lines.append(f"             by the rule {trust['policy_rule']}, from which the policy was found to follow")
    lines += [f"setup        {facts['srs']['name']}, digest {facts['srs']['digest'][:16]}…"]
    return lines


def _context(context: dict[str, Any], challenge: dict[str, Any] | None) -> str:
    """Our words without quotes, the prover's and verifier's text in them, bytes that are no text as 0x and digits."""
    if challenge is not None:
        return f"the challenge for {quoted(challenge['audience'])}, to be answered before {safe(challenge['deadline'])}"
    if not context["hex"]:
        return "none"
    return f"0x{context['hex']}" if context["text"] is None else quoted(context["text"])


def _who(attested: dict[str, Any] | None, nobody: str) -> str:
    """Who attested something, in words."""
    if attested is None:
        return nobody
    words = f"attested by {quoted(attested['by'])} as number {attested['sequence']}"
    words += f", signed by {listed(attested['signers'])}"
    if attested.get("beneficiary"):
        words += f", held for {quoted(attested['beneficiary'])}"
    return words + (f", until {safe(attested['expires'])}" if "expires" in attested else "")


def not_guaranteed_lines(facts: dict[str, Any] | None = None) -> list[str]:
    """The limits of a proof with these ``statement_facts``, or of every proof."""
    lines = facts["not_guaranteed"] if facts else not_guaranteed()
    return ["Not guaranteed by the proof:" if facts else "Not guaranteed by any proof:", *(f"  - {x}" for x in lines)]
