"""Ways out as this command line has them."""

from __future__ import annotations

from zkmargin.formats import Hint
from zkmargin.formats.errors import Missing
from zkmargin.formats.files import BINARY

WORDS = {
    Hint.NEW_CHALLENGE: "issue a challenge: `zkmargin challenge new`",
    Hint.GIVE_TRUST: "give --trust FILE",
    Hint.GIVE_ATTESTATION: "give its attestation with --attestation",
    Hint.GIVE_REVOCATIONS: "give its newest with --revocations",
    Hint.GIVE_BEFORE: "give it, as you accepted it, with --before FILE",
    Hint.GIVE_CA: "give its authority's certificate with --ca-file",
    Hint.GIVE_POSTGRES: "install the extra: pip install 'zkmargin[postgres]'",
    Hint.POLICY_DIGEST: "list digests: `zkmargin policy show NAME` prints one",
    Hint.SETTLE: "zkmargin market settle gives one, from the delivery price; or leave the instrument out",
    Hint.IMPORT: "a venue's or a clearing house's file is imported first: zkmargin market import FILE -o market.json",
    Hint.BUILD_SNAPSHOT: "a snapshot is built from it: zkmargin snapshot build FILE --policy default -o snapshot.json",
    Hint.COMMIT: "zkmargin commit BOOK --snapshot SNAPSHOT -o commitment.json --opening opening.json",
    Hint.JOINT: "zkmargin chain deploy --joint",
    Hint.ARRAYS: (
        "risk arrays hold no prices or vols: Greeks and stress need a market; `attest snapshot` has --arrays"
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
    Hint.NO_FILE: "is the path right? it begins in the folder that you are in",
    Hint.NO_FOLDER: "make the folder first: mkdir -p FOLDER",
    Hint.CHOOSE_PULL: (
        "take the newest row of each instrument with --at latest (or --at TIME), or choose one with --pull N"
    ),
}


#: What makes a file that is not there.
MAKES = {
    BINARY: "zkmargin prove --snapshot S --book B --opening O -o proof.bin",
    "zkmargin/attestation": "whoever vouches for it makes one: zkmargin attest snapshot, or attest commitment",
    "zkmargin/batch": "a list of proofs is a file of your own: docs/cli.md has one",
    "zkmargin/book": "a book is a file of your own (docs/formats.md), or zkmargin book import makes one",
    "zkmargin/challenge": "whoever asks for the proof makes it: zkmargin challenge new --audience NAME",
    "zkmargin/commitment": (
        "zkmargin commit BOOK --snapshot SNAPSHOT -o commitment.json --opening opening.json; or ask its holder for it"
    ),
    "zkmargin/costs": "zkmargin liquidate --help says what a file of costs holds",
    "zkmargin/coverage": "a venue's service makes it: zkmargin serve coverage",
    "zkmargin/evidence": "zkmargin bundle --snapshot S --commitment C PROOF -o bundle.json",
    "zkmargin/fills": "fills are a file of your own (docs/formats.md), or zkmargin book fills makes one",
    "zkmargin/key": "zkmargin key new --name NAME -o key.json",
    "zkmargin/market": "zkmargin market import FILE -o market.json",
    "zkmargin/migration": "the holder makes it: zkmargin migrate make",
    "zkmargin/opening": (
        "nothing can be proved about a commitment without its opening: find it, or `zkmargin commit` again, "
        "and have that attested"
    ),
    "zkmargin/policy": "zkmargin policy list names those that ship; policy show NAME --json starts your own",
    "zkmargin/public-key": "zkmargin key show KEY -o public.json",
    "zkmargin/receipt": "zkmargin verify ... --receipt FILE makes one",
    "zkmargin/revocations": "the issuer makes it: zkmargin attest revoke",
    "zkmargin/risk-arrays": "zkmargin market import FILE --lot COMMODITY=N -o arrays.json",
    "zkmargin/snapshot": "zkmargin snapshot build MARKET --policy default -o snapshot.json",
    "zkmargin/chain-table": "zkmargin snapshot table SNAPSHOT --series HEX --sequence N -o table.json",
    "zkmargin/trust": "a trust file is your own: docs/trust.md says how to write one",
    "zkmargin/universe": "zkmargin universe create MARKET --name NAME -o universe.json",
    "zkmargin/update": "the holder makes it: zkmargin update make",
    "zkmargin/venue-log": "the venue publishes it: zkmargin venue log append",
    "zkmargin/venue-note": "the venue makes it for each customer: zkmargin venue note",
    "zkmargin/venue-record": "zkmargin venue prove writes it, beside the proof and the terms",
    "zkmargin/venue-terms": "zkmargin venue prove writes it, beside the proof",
}


def worded(hint: str | None) -> str | None:
    """A hint with the command or option that follows it; other advice as it is."""
    if isinstance(hint, Missing):
        made = MAKES.get(hint.family)
        return "is the path right?" + (f" Else: {made}" if made else f" It names a file of {hint.family}")
    return WORDS[hint] if isinstance(hint, Hint) else hint
