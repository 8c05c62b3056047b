"""Golden files of cost files, auctions, rules and derivations: read, written, refused and recomputed as they were."""

import json
from pathlib import Path

import pytest
from support.typed import JsonObject, Passed

from zkmargin.engine.policy import Policy
from zkmargin.formats import Document, InputError
from zkmargin.risk.auction import AuctionTerms
from zkmargin.risk.calibration import calibrate, check_derivation
from zkmargin.risk.costs import Costs
from zkmargin.risk.history import History
from zkmargin.risk.rules import Derivation, Rule

FOLDER = Path(__file__).parent / "data" / "golden" / "risk"
KINDS: dict[str, type[Document]] = {
    "costs": Costs,
    "auction": AuctionTerms,
    "rule": Rule,
    "derivation": Derivation,
    "policy": Policy,
}
DIGESTS: JsonObject = json.loads((FOLDER / "digests.json").read_text())
NAMES = sorted(path.name for path in FOLDER.glob("*.json") if path.name != "digests.json")


def kind_of(name: str) -> type[Document]:
    return KINDS[name.split(".")[-2]]


def read(name: str) -> Passed:
    return kind_of(name).parse((FOLDER / name).read_bytes(), file=name)


def test_every_file_is_listed_and_every_kind_has_one() -> None:
    assert {*NAMES, "closes.csv", "vols.csv"} == set(DIGESTS)
    assert {name.split(".")[-2] for name in NAMES} == set(KINDS)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_read_and_written_as_it_is(name: str) -> None:
    document = read(name)
    assert document.to_bytes() == (FOLDER / name).read_bytes()
    assert (document.format, document.digest().hex()) == (DIGESTS[name]["format"], DIGESTS[name]["digest"])


@pytest.mark.parametrize("name", NAMES)
def test_unknown_keys_and_other_versions_are_refused(name: str) -> None:
    data = json.loads((FOLDER / name).read_bytes())
    with pytest.raises(InputError, match=r"extra|unknown|permitted"):
        kind_of(name).parse(json.dumps(data | {"more": 1}))
    with pytest.raises(InputError):
        kind_of(name).parse(json.dumps(data | {"format": data["format"][:-1] + "9"}))


def test_the_golden_history_gives_the_golden_policies() -> None:
    history, rule = History.load(FOLDER / "closes.csv"), read("golden.rule.json")
    assert history.digest().hex() == DIGESTS["closes.csv"]["digest"]
    first, second = read("first.derivation.json"), read("second.derivation.json")
    policy = read("calibrated.policy.json")
    check_derivation(second, history, policy)
    assert calibrate(history, rule, as_of=first.as_of)[1] == first
    assert calibrate(history, rule, before=first) == (policy, second)


def test_the_golden_vols_give_the_golden_policy() -> None:
    history = History.load(FOLDER / "closes.csv").with_vols(History.load(FOLDER / "vols.csv"))
    assert history.digest().hex() == DIGESTS["vols.csv"]["digest"]
    policy, derivation = calibrate(history, read("vols.rule.json"))
    assert derivation == read("vols.derivation.json")
    assert policy == read("vols.policy.json")
    check_derivation(derivation, history, policy)
    with pytest.raises(InputError, match="not of this history"):
        check_derivation(derivation, History.load(FOLDER / "closes.csv"), policy)


def test_the_golden_multiplier_and_matrix_are_recomputed() -> None:
    history = History.load(FOLDER / "closes.csv")
    first, second = read("factors-first.derivation.json"), read("factors.derivation.json")
    policy = read("factors.policy.json")
    check_derivation(second, history, policy, [first])
    assert calibrate(history, read("factors.rule.json"), before=first) == (policy, second)
    assert calibrate(history, read("norm.rule.json")) == (read("norm.policy.json"), read("norm.derivation.json"))
