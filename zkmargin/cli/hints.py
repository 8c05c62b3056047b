"""Ways out as this command line has them."""

from __future__ import annotations

from zkmargin.formats import Hint

WORDS = {
    Hint.NEW_CHALLENGE: "issue a challenge: `zkmargin challenge new`",
    Hint.GIVE_TRUST: "give --trust FILE",
    Hint.GIVE_ATTESTATION: "give its attestation with --attestation",
    Hint.GIVE_REVOCATIONS: "give its newest with --revocations",
    Hint.GIVE_POSTGRES: "install the extra: pip install 'zkmargin[postgres]'",
    Hint.POLICY_DIGEST: "list digests: `zkmargin policy show NAME` prints one",
    Hint.SETTLE: "zkmargin market settle gives one, from the delivery price; or leave the instrument out",
    Hint.IMPORT: "a venue's or a clearing house's file is imported first: zkmargin market import FILE -o market.json",
    Hint.BUILD_SNAPSHOT: "a snapshot is built from it: zkmargin snapshot build FILE --policy default -o snapshot.json",
    Hint.COMMIT: "zkmargin commit BOOK --snapshot SNAPSHOT -o commitment.json --opening opening.json",
    Hint.ARRAYS: (
        "risk arrays hold no prices or vols: Greeks and stress need a market; `attest snapshot` has --arrays"
    ),
    Hint.LOST_OPENING: (
        "nothing can be proved about a commitment without its opening: find it, or `zkmargin commit` again, "
        "and have that attested"
    ),
    Hint.INSPECT: "zkmargin inspect FILE says what a file is",
    Hint.FORCE: "name another file, or replace this one with --force",
    Hint.CLOSE: 'settle it first: "zkmargin update" with a fill that closes it, and the cash that it is settled for',
    Hint.MIGRATE: 'move it to the new slots with "zkmargin migrate"',
    Hint.NEW_UNIVERSE: (
        'begin a new universe without what is gone ("zkmargin universe create"), and move the books to it with '
        '"zkmargin migrate"'
    ),
    Hint.EARLIER_MARKET: "give an earlier market that has it with --last",
    Hint.CHOOSE_PULL: (
        "take the newest row of each instrument with --at latest (or --at TIME), or choose one with --pull N"
    ),
}


def worded(hint: str | None) -> str | None:
    """A hint with the command or option that follows it; other advice as it is."""
    return WORDS[hint] if isinstance(hint, Hint) else hint
