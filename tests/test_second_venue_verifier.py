"""A second verifier of venue proofs, from the documents alone, gives the product's verdicts and digests."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from support import venue_lab, venue_policies
from support.typed import JsonObject, Keywords, Unchecked

from zkmargin.formats import ZkMarginError
from zkmargin.verifier.venue.verify import verify_venue

DENSE = ([1, -2, 3, 0, 0], [4000, 5])
LAYOUTS: dict[str, JsonObject] = {
    "net, totals, exemptions, dense": {"dense": [DENSE], "totals": True, "exempt": 2},
    "limits, dense": {"dense": [DENSE], "exempt": 1, "dense_limits": ("headroom >= 1/1000000",)},
    "a cap, no net": {"net": False, "cap": 10**9, "helper_group": 7},
}


@pytest.fixture(scope="module")
def second() -> Unchecked:
    return import_module("second_venue_verifier")


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_both_verifiers_give_one_verdict(second: ModuleType, tmp_path: Path, layout: str) -> None:
    limits = LAYOUTS[layout].get("dense_limits", ())
    given: Keywords = {"limits": limits} if limits else {}
    big = venue_lab.spec("big", accounts=9, legs=3, slots=1, block=2, claim="5/4", **given)
    accounts = [(((0, ((0, 1), (1, 1), (4, -1))),), (3000, 4))] * 9
    listed = venue_lab.spec("listed", accounts=1, legs=1, slots=1, block=1, claim=None)
    poor = [(((1, ((3, -2),)),), (-7, 0))]
    classes = [(venue_lab.spec(), venue_lab.SMALL), (big, accounts), (listed, poor)]
    venue = venue_lab.Venue(classes, context=b"to: anyone", **LAYOUTS[layout])
    (tmp_path / "setup.srs").write_bytes(venue.srs.encoding)
    proof = venue.prove()
    given = {"context": b"to: anyone", "setup": tmp_path / "setup.srs"}
    documents = (
        venue.snapshot.to_bytes(),
        venue.statement.terms.to_bytes(),
        [opening.commitment().to_bytes() for opening in venue.openings],
    )
    accepted = verify_venue(venue.statement, proof)
    assert second.verify(*documents, proof, **given) == (accepted.statement_digest, accepted.proof_digest)
    if "totals" not in LAYOUTS[layout]:
        return  # one layout shows that both refuse
    other = venue.prove(seed="another")
    at = 44 + 48 * 7
    for bad in (proof[:at] + other[at : at + 48] + proof[at + 48 :], proof[:-1], proof[:11] + b"\x01" + proof[12:]):
        with pytest.raises(ZkMarginError):
            verify_venue(venue.statement, bad)
        with pytest.raises(second.Rejected):
            second.verify(*documents, bad, **given)
    with pytest.raises(second.Rejected):
        second.verify(*documents, proof, **(given | {"context": b""}))


@pytest.mark.parametrize(
    ("policy", "options"),
    [
        ("deribit-pm", {"exempt": 1, "totals": True}),
        ("tims", {"cap": 10**6, "dense": True}),
        ("span with calendars", {"net": False}),
    ],
    ids=str,
)
def test_both_verifiers_read_policies_that_join_groups(
    second: ModuleType, tmp_path: Path, policy: str, options: Keywords
) -> None:
    given = dict(options)
    dense = [venue_policies.DENSE] if given.pop("dense", False) else []
    spec = venue_lab.spec("all", accounts=1, legs=3, slots=1, block=16, charge_bits=9)
    market = venue_policies.snapshot(policy)
    venue = venue_lab.Venue([(spec, venue_policies.BOOKS[:1])], market=market, dense=dense, **given)
    (tmp_path / "setup.srs").write_bytes(venue.srs.encoding)
    proof = venue.prove()
    accepted = verify_venue(venue.statement, proof)
    documents = (
        venue.snapshot.to_bytes(),
        venue.statement.terms.to_bytes(),
        [opening.commitment().to_bytes() for opening in venue.openings],
    )
    found = second.verify(*documents, proof, setup=tmp_path / "setup.srs")
    assert found == (accepted.statement_digest, accepted.proof_digest)
