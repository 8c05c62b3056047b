"""Explanations, policies, imports, profiles and batches on the command line: words, JSON, CSV, refusals."""

from __future__ import annotations

import csv
import io
import json
import stat
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from support.command_line import Run
from support.example_files import PROVE, example_files, placed, run_quietly
from support.typed import Json, Keywords, Passed

import zkmargin
from zkmargin.app.files import MAX_PROOF_BYTES
from zkmargin.cli.commands.margin import array_csv
from zkmargin.cli.commands.policy import schema_text
from zkmargin.cli.words import money
from zkmargin.engine.book import Book
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.explain import ArrayRow
from zkmargin.engine.policy import load_policy
from zkmargin.formats import save_document

DATA = Path(zkmargin.__file__).parent / "cli" / "samples"
SCHEMA = Path(__file__).resolve().parent.parent / "docs" / "policy.schema.json"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process; an error is one line."""

    return Run(capsys, one_error=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's files under a small domain, with two proofs for different contexts and claims."""
    at = placed(example_files(domain_size=256), tmp_path_factory.mktemp("explained"))
    (at / "proof.bin").rename(at / "a.bin")
    prove = PROVE.partition(" -o ")[0]
    run_quietly(at, [f"{prove} -o same.bin --threads 1", f"{prove} --context b --claim 1.1 -o b.bin"])
    return at


@pytest.fixture
def margin(folder: Path) -> list[object]:
    return ["margin", folder / "book.json", "--snapshot", folder / "snapshot.json"]


# --- margin ---------------------------------------------------------------------------------------------------


def test_margin_explains_in_words(
    run: Run, folder: Path, margin: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    trades = ["--add", "+5 BTC-PERPETUAL", "--add", "-2 ETH-SPOT"]
    text = run(margin, *trades, "--array", "--market", folder / "market.json").out
    for words in (
        "Greeks from the market at",
        "Greeks of each leg",
        "Marginal",
        "Requirement before premium credit",
        "What if: +5 BTC-PERPETUAL, -2 ETH-SPOT",
        "Risk array",
        "short option minimum (floor)",
        "Collateral to add for a claim of 1.0",
    ):
        assert words in text
    assert all(len(line) <= 120 for line in text.splitlines())


@pytest.mark.parametrize("width", [40, 60, 79, 80, 120, 200])
def test_tables_fit_and_split_no_name_and_no_amount(
    run: Run, margin: list[object], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = run(margin, "--array").out
    report = run(margin, "--json").json["requirements"]["initial"]
    words = text.split()
    assert {leg["id"] for leg in report["legs"]} <= set(words)
    for leg in report["legs"]:
        for name in ("mark_to_market", "alone"):
            assert money(int(Fraction(leg[name]) * 10**VALUATION_DECIMALS)) in words
    assert all(len(line) <= width for line in text.splitlines())
    assert ("Contribution: " in text) == (width <= 60)


def test_legs_that_are_not_listed_are_counted(run: Run, margin: list[object]) -> None:
    legs = run(margin, "--json").json["requirements"]["initial"]["legs"]
    text = run(margin, "--legs", "3").out
    assert text.count(f"{len(legs) - 3} more, not listed") >= 2
    largest = sorted(legs, key=lambda leg: -Fraction(leg["contribution"]))
    assert all(leg["id"] in text for leg in largest[:3])
    assert not any(leg["id"] in text.split() for leg in largest[3:])


def test_the_largest_claim_can_be_typed_back(run: Run, folder: Path, margin: list[object]) -> None:
    line = ["check", "--snapshot", folder / "snapshot.json", "--book", folder / "book.json"]
    claim = run(line, "--json").json["largest_decimal_claim"]
    assert f"Largest claim that can be proved {claim}" in " ".join(run(margin).out.split())
    assert "the claim holds" in run(line, "--claim", claim).out
    above = str(Fraction(claim) + Fraction(1, 10_000))
    assert f"the largest claim that holds for this book is {claim}" in run(line, "--claim", above, code=1).err


def test_margin_for_scripts(run: Run, folder: Path, margin: list[object]) -> None:
    facts = run(margin, "--add", "+5 BTC-PERPETUAL", "--array", "--json").json
    report = facts["requirements"]["initial"]
    assert set(facts["marginals"]) == {leg["id"] for leg in report["legs"]}
    assert [u["name"] for u in facts["greeks"]["underlyings"]] == ["BTC", "ETH"]
    assert facts["greeks"]["units"]["theta"] == "quote per calendar day"
    assert facts["what_if"]["before"]["requirement"] == report["total"]
    assert facts["what_if"]["trades"] == {"BTC-PERPETUAL": "5"}
    bound = [row for row in facts["array"] if row["binding"]]
    assert [(row["group"], row["label"]) for row in bound] == [(g["group"], g["label"]) for g in report["groups"]]
    plain = run(margin, "--json").json
    assert (plain["what_if"], plain["array"]) == (None, None)
    from_market = run(margin, "--market", folder / "market.json", "--json").json["greeks"]
    assert from_market["legs"] == plain["greeks"]["legs"]


@pytest.mark.parametrize("first", [*"=+-@\t\r\n", "\uff1d", "\uff0b", "\uff0d", "\uff20", "  ="])
def test_no_label_becomes_a_formula_in_a_spreadsheet(first: str) -> None:
    text = f'{first}HYPERLINK("https://example.com","x")'
    row = ArrayRow(
        group=text,
        component="joint",
        candidate=0,
        label=text,
        floor=False,
        profit=-12_500_000_000_000,
        counted=0,
        binding=True,
    )
    (read,) = csv.DictReader(io.StringIO(array_csv([row]).decode(), newline=""))
    assert read["group"] == read["label"] == f"'{text}"
    assert (read["component"], read["candidate"], read["profit"]) == ("joint", "0", "-1.25")
    plain = row.model_copy(update={"group": "BTC", "label": "price -30 % vol +50 %"})
    (read,) = csv.DictReader(io.StringIO(array_csv([plain]).decode()))
    assert (read["group"], read["label"]) == ("BTC", "price -30 % vol +50 %")


def test_the_array_as_csv_is_secret(run: Run, margin: list[object], tmp_path: Path) -> None:
    path = tmp_path / "array.csv"
    run(margin, "--csv", path, "--requirement", "maintenance")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    array = run(margin, "--array", "--json", "--requirement", "maintenance").json["array"]
    assert [row["profit"] for row in rows] == [row["profit"] for row in array]
    assert [row["label"] for row in rows] == [row["label"] for row in array]
    assert {row["group"] for row in rows} == {"BTC", "ETH"}


def test_the_array_on_standard_output_is_all_there_is(run: Run, margin: list[object]) -> None:
    result = run(margin, "--csv", "-")
    assert result.out.startswith("group,component,candidate,label,floor,profit,counted,binding\r\n")
    assert "requirement" not in result.out
    assert result.err == ""
    assert "error" in run(margin, "--csv", "-", "--json", code=2).json


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (["--add", "BTC-PERPETUAL"], "--add: not a trade"),
        (["--add", "1 BTC-PERPETUALS"], "--add: BTC-PERPETUALS: no such instrument"),
        (["--add", "99999999999 BTC-PERPETUAL"], "--add: BTC-PERPETUAL: too large"),
        (["--csv", "none/array.csv"], "none/array.csv: cannot be written"),
        (["--market", "absent.json"], "absent.json: cannot be read"),
    ],
)
def test_what_margin_refuses(run: Run, margin: list[object], extra: list[str], reason: str) -> None:
    result = run(margin, *extra, code=2)
    assert reason in result.err
    assert result.out == ""


def test_an_output_that_is_an_input_is_refused(run: Run, folder: Path, margin: list[object]) -> None:
    assert "is an input" in run(margin, "--csv", folder / "book.json", code=2).err


def test_a_market_without_the_books_instruments_is_refused_by_name(
    run: Run, folder: Path, margin: list[object], tmp_path: Path
) -> None:
    market = json.loads((folder / "market.json").read_text())
    held = next(iter(json.loads((folder / "book.json").read_text())["positions"]))
    market["instruments"] = [i for i in market["instruments"] if i["id"] != held]
    (tmp_path / "other.json").write_text(json.dumps(market))
    result = run(margin, "--market", tmp_path / "other.json", code=2)
    assert f"other.json: {held}: the market does not have it" in result.err


# --- policies -------------------------------------------------------------------------------------------------


def test_the_committed_schema_is_the_programs(run: Run, tmp_path: Path) -> None:
    assert SCHEMA.read_text() == schema_text(), "run: zkmargin policy schema -o docs/policy.schema.json"
    run("policy", "schema", "-o", tmp_path / "schema.json")
    assert (tmp_path / "schema.json").read_text() == schema_text()
    assert run("policy", "schema").out == schema_text()


def own_policy(path: Path, change: Callable[[Json], None]) -> Path:
    policy = json.loads(load_policy("default").to_bytes())
    change(policy)
    path.write_text(json.dumps(policy))
    return path


def test_a_good_policy_is_checked_with_its_market(run: Run, folder: Path, tmp_path: Path) -> None:
    own = own_policy(tmp_path / "own.json", lambda p: p.__setitem__("name", "mine"))
    assert "policy mine version 1 is valid" in run("policy", "check", own).out
    facts = run("policy", "check", own, "--market", folder / "market.json", "--json").json
    assert facts["valid"] is True
    assert set(facts["layouts"]) == {"initial", "maintenance"}
    assert "a proof has" in run("policy", "check", "paradex", "--market", folder / "market.json").out


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p: p["requirements"].__setitem__("maintenance", 12000), "maintenance above initial"),
        (lambda p: p["components"].pop(0), "no worst_scenario component"),
        (lambda p: p["components"][0].__setitem__("type", "nonsense"), "components"),
        (lambda p: p["components"][0]["grid"].__setitem__("price_moves_bp", [-20000]), "price_move"),
        (lambda p: p["layout"].__setitem__("domain_size", 1000), "domain_size: must be a power of two"),
        (lambda p: p.__setitem__("surprise", 1), "surprise: unknown key"),
    ],
)
def test_a_bad_policy_is_refused_with_the_reason(
    run: Run, tmp_path: Path, change: Callable[[Json], None], reason: str
) -> None:
    own = own_policy(tmp_path / "own.json", change)
    result = run("policy", "check", own, code=2)
    assert "own.json" in result.err
    assert reason in result.err
    assert result.out == ""


def test_a_policy_that_does_not_fit_its_market_is_refused(run: Run, folder: Path, tmp_path: Path) -> None:
    own = own_policy(tmp_path / "own.json", lambda p: p["components"][-1]["assets"].pop("ETH"))
    result = run("policy", "check", own, "--market", folder / "market.json", code=2)
    assert "market.json: asset ETH: the policy has no haircut" in result.err
    arrays = tmp_path / "arrays.json"
    run("market", "import", "--format", "span-xml", DATA / "span_demo.spn", "--lot", "BETA=1", "-o", arrays)
    result = run("policy", "check", "default", "--market", arrays, code=2)
    assert "worst_scenario: revalues contracts, which imported arrays do not allow" in result.err


# --- imports --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [("span-xml", ["span_demo.spn", "--lot", "ALPHA=75"]), ("span-pa2", ["span_demo.pa2", "--lot", "GC=1"])],
)
def test_span_files_are_imported_and_inspected(run: Run, tmp_path: Path, name: str, options: list[str]) -> None:
    file, *lots = options
    out = tmp_path / "arrays.json"
    text = run("market", "import", "--format", name, DATA / file, *lots, "-o", out).out
    assert "lot sizes are not in the file" in text
    assert "no Greeks" in text
    assert f"snapshot build {out} --policy span" in text
    facts = run("market", "import", "--format", name, DATA / file, *lots, "-o", out, "--json").json
    assert facts["kind"] == "risk arrays"
    assert facts["greeks"] == "none"
    assert run("inspect", out, "--json").json["commodities"] == facts["commodities"]


def test_margin_of_arrays_says_that_greeks_are_missing(run: Run, tmp_path: Path) -> None:
    arrays, snapshot, book = (tmp_path / name for name in ("arrays.json", "snapshot.json", "book.json"))
    run("market", "import", "--format", "span-xml", DATA / "span_demo.spn", "--lot", "BETA=1", "-o", arrays)
    run("snapshot", "build", arrays, "--policy", "span", "-o", snapshot)
    save_document(Book(positions={"BETA-202609": "2", "OB-202612-52-C": "-3"}, collateral={"INR": "900"}), book)
    line = ["margin", book, "--snapshot", snapshot]
    assert "Missing above: imported SPAN arrays hold a composite delta and no other Greeks" in run(line).out
    facts = run(line, "--json").json["greeks"]
    assert facts["missing"]
    assert facts["legs"][0]["vega"] is None
    assert Fraction(facts["legs"][0]["delta"]) == 200


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["span-xml", "span_demo.spn"], "--lot: lot sizes are not in the file"),
        (["span-xml", "span_demo.spn", "--lot", "ALPHA"], "--lot: not COMMODITY=N"),
        (["span-xml", "span_demo.spn", "--lot", "ALPHA=1", "--lot", "ALPHA=2"], "--lot: ALPHA: given twice"),
        (["span-xml", "span_demo.spn", "--lot", "ALPHA=1", "--ignore", "V"], "--ignore: not an option of the format"),
        (["span-xml", "span_demo.spn", "--lot", "ALPHA=1", "--pull", "1"], "--pull: not an option of the format"),
        (["span-pa2", "span_demo.pa2", "--lot", "GC=1", "--rate", "2"], "--rate: not an option of the format"),
        (["span-pa2", "span_demo.spn", "--lot", "GC=1"], "span_demo.spn:1: the first record is no type 0"),
        (["csv", "market_demo.csv", "--lot", "GC=1"], "--lot: not an option of the format csv"),
        (["span-pa2", "absent.pa2", "--lot", "GC=1"], "absent.pa2: cannot be read"),
    ],
)
def test_imports_that_are_refused(run: Run, tmp_path: Path, options: list[str], reason: str) -> None:
    name, file, *more = options
    out = tmp_path / "out.json"
    assert reason in run("market", "import", "--format", name, DATA / file, *more, "-o", out, code=2).err
    assert not out.exists()


def test_progress_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import sys
    import time

    from zkmargin.cli import terminal

    monkeypatch.setattr(terminal, "PROGRESS_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with terminal.progress("Reading [b]x[/b]") as advance:
        advance(1, 4)
        time.sleep(0.3)
        advance(3, 4)
        time.sleep(0.3)
    out, err = capsys.readouterr()
    assert out == ""
    assert "Reading [b]x[/b] ... 25 %" in err
    assert "75 %" in err


# --- proving and verifying ------------------------------------------------------------------------------------


def test_a_proof_comes_with_its_profile(run: Run, folder: Path, tmp_path: Path) -> None:
    line = ["prove", "--snapshot", folder / "snapshot.json", "--book", folder / "book.json"]
    line += ["--opening", folder / "opening.json", "-o", tmp_path / "p.bin", "--profile", "--threads", "1"]
    text = run(line).out
    for words in ("ms  witness", "ms  self-verification", "1 thread, ", "terms  W"):
        assert words in text
    profile = run(line, "--json").json["profile"]
    assert profile["threads"] == 1
    assert {"statement", "witness", "self-verification"} <= {stage["name"] for stage in profile["stages"]}
    assert all(msm["terms"] > 0 for msm in profile["msms"])
    assert run(line[:-3], "--json").json["profile"] is None
    for threads in ("0", "65", "x"):
        assert "--threads" in run(line[:-1], threads, code=2).err


def test_several_proofs_of_one_statement(run: Run, folder: Path, tmp_path: Path) -> None:
    line = ["verify", "--snapshot", folder / "snapshot.json", "--commitment", folder / "commitment.json"]
    one, same, other = folder / "a.bin", folder / "same.bin", folder / "b.bin"
    assert "accepted: all 2 proofs" in run(line, one, same).out
    facts = run(line, one, same, "--json").json
    assert [item["proof"] for item in facts["proofs"]] == [str(one), str(same)]
    result = run(line, one, other, same, code=1)
    assert f"{other}: rejected: the proof does not prove this statement" in result.err
    short = tmp_path / "short.bin"
    short.write_bytes(one.read_bytes()[:-1])
    assert f"{short}: rejected: " in run(line, one, short, code=1).err
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(MAX_PROOF_BYTES + 1))
    assert f"{large}: larger than any proof" in run(line, one, large, code=1).err
    facts = run(line, one, short, "--json", code=1).json
    assert (facts["accepted"], facts["check"], facts["proof"]) == (False, "format", str(short))
    assert run(line, one, same, "--max-age", "1s", "--json", code=1).json["check"] == "max-age"
    assert "one at a time" in run(line, one, same, "--receipt", tmp_path / "r.json", code=2).err
    assert "cannot be read" in run(line, one, tmp_path / "absent.bin", code=2).err


def batch(folder: Path, path: Path, **second: Passed) -> Path:
    common = {"snapshot": "snapshot.json", "commitments": ["commitment.json"]}
    items = [{**common, "proof": "a.bin"}, {**common, "proof": "b.bin", "claim": "1.1", "context": "b", **second}]
    target = folder / path.name
    target.write_text(json.dumps({"format": "zkmargin/batch/v1", "proofs": items}))
    return target


def test_proofs_of_several_statements(run: Run, folder: Path) -> None:
    listed = batch(folder, Path("list.json"))
    assert "accepted: all 2 proofs" in run("verify-batch", listed).out
    facts = run("verify-batch", listed, "--json").json
    assert [item["claim"]["ratio"] for item in facts["proofs"]] == ["1", "11/10"]
    assert len({item["statement_digest"] for item in facts["proofs"]}) == 2
    assert run("verify-batch", listed, "--json", "--workers", "2").json == facts
    wrong = batch(folder, Path("wrong.json"), context="c")
    assert "b.bin: rejected: " in run("verify-batch", wrong, "--workers", "2", code=1).err
    assert "--workers" in run("verify-batch", listed, "--workers", "0", code=2).err
    facts = run("verify-batch", wrong, "--json", code=1).json
    assert [item["accepted"] for item in facts["proofs"]] == [True, False]
    assert (facts["proofs"][1]["check"], facts["proofs"][1]["unusable"]) == ("pairing", False)


def test_a_batch_into_a_ledger_is_recorded_proof_by_proof(run: Run, folder: Path) -> None:
    where = folder / "batch.db"
    wrong = batch(folder, Path("half.json"), context="c")
    assert "b.bin: rejected" in run("verify-batch", wrong, "--ledger", where, code=1).err
    assert run("ledger", "status", "--ledger", where, "--json").json["proofs"] == 1
    whole = batch(folder, Path("list.json"))
    facts = run("verify-batch", whole, "--ledger", where, "--json", code=1).json
    assert [item.get("check") for item in facts["proofs"]] == ["replay", None]
    assert run("ledger", "check", "--ledger", where, "--json").json["verified"] == 2
    absent = batch(folder, Path("absent.json"), proof="absent.bin")
    result = run("verify-batch", absent, "--ledger", where, "--json", code=2)  # what cannot be used comes first
    assert [item["unusable"] for item in result.json["proofs"]] == [False, True]
    assert "--revocations" in run("verify-batch", whole, "--revocations", whole, code=2).err
    assert "--receipt-key" in run("verify-batch", whole, "--receipt-key", whole, code=2).err


@pytest.mark.parametrize(
    ("second", "code", "reason"),
    [
        ({"claim": "1.2"}, 1, "b.bin: rejected: the proof does not prove"),
        ({"context": "c"}, 1, "b.bin: rejected: the proof does not prove"),
        ({"proof": "snapshot.json"}, 1, "snapshot.json: "),
        ({"proof": "absent.bin"}, 2, "absent.bin: cannot be read"),
        ({"claim": "x"}, 2, "wrong.json: proofs[1]: claim: not a decimal"),
        ({"requirement": "average"}, 2, "wrong.json: proofs[1]: requirement: "),
        ({"limits": ["nonsense"]}, 2, "wrong.json: proofs[1]: limits: not a limit"),
        ({"context": "x" * 1025}, 2, "wrong.json: proofs[1]: context: 1025 bytes"),
        ({"snapshot": "commitment.json"}, 2, "expected a snapshot (zkmargin/snapshot/v2)"),
        ({"surprise": 1}, 2, "proofs[1].surprise: unknown key"),
        ({"commitments": []}, 2, "proofs[1].commitments"),
    ],
)
def test_a_bad_list_names_what_is_wrong(run: Run, folder: Path, second: Keywords, code: int, reason: str) -> None:
    result = run("verify-batch", batch(folder, Path("wrong.json"), **second), code=code)
    assert reason in result.err
    of_list = "proofs[1].surprise" in reason or reason == "proofs[1].commitments"  # no list at all
    assert ("a.bin" in result.out) == (not of_list)  # the other one is judged all the same


def test_the_catalogue_document_names_every_component_and_policy() -> None:
    from zkmargin.engine.policy import policy_names

    text = (SCHEMA.parent / "components.md").read_text()
    kinds = json.loads(SCHEMA.read_text())["properties"]["components"]["items"]["discriminator"]["mapping"]
    for name in (*kinds, *policy_names()):
        assert f"`{name}`" in text, f"{name} is not in docs/components.md"
    assert {kind for kind in kinds if "upper_bound" in kind} <= {
        line.split("`")[1] for line in text.splitlines() if line.startswith("| `") and "**upper bound**" in line
    }


def test_inspect_explains_a_list(run: Run, folder: Path) -> None:
    assert run("inspect", batch(folder, Path("listed.json")), "--json").json["proofs"] == ["a.bin", "b.bin"]
