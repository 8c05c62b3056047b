"""Every named policy through the command line: snapshot, margin, commit, check, prove, verify, at the claim's edge.

Claims are the largest that hold for the book; one hundredth more is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from support.command_line import Run
from support.typed import Json, JsonObject

import zkmargin
from zkmargin.cli import main
from zkmargin.engine.book import Book
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.market import Asset, Forward, Instrument, Market, Underlying
from zkmargin.engine.policy import load_policy, policy_names
from zkmargin.formats import save_document

TIME = "2026-01-02T03:04:05Z"
DATA = Path(zkmargin.__file__).parent / "cli" / "samples"
SPAN_XML = ["--format", "span-xml", str(DATA / "span_demo.spn"), "--lot", "ALPHA=75", "--lot", "BETA=1"]
SPAN_PA2 = ["--format", "span-pa2", str(DATA / "span_demo.pa2"), "--lot", "GC=1", "--lot", "ZN=1"]
#: Short straddles against futures of another month: scans, calendar spreads and minima all take part.
XML_BOOK = {
    "positions": {
        "ALPHA-20260630": "150",
        "ALPHA-20260728": "-225",
        "ALPHA-20260630-1000-C": "-75",
        "ALPHA-20260728-1000-P": "-150",
        "ALPHA-20260728-950-P": "150",
        "BETA-202609": "2",
        "BETA-202612": "-1",
        "OB-202612-52-C": "-3",
    },
    "collateral": {"INR": "40000"},
}

Made = tuple[Path, str]
Said = Callable[..., Json]


def nifty_market() -> Market:
    """A small market of our own for NSE's policy: two expiries of two indices."""
    expiries = {"2026-01-27T10:00:00Z": "26410.5", "2026-02-24T10:00:00Z": "26555"}
    bank = {"2026-01-27T10:00:00Z": "60310", "2026-02-24T10:00:00Z": "60640.25"}
    forwards, instruments = [], []
    for name, lot, strikes, prices in (
        ("NIFTY", "75", (25500, 26400, 27300), expiries),
        ("BANKNIFTY", "35", (58500, 60300, 62100), bank),
    ):
        for at, price in prices.items():
            month = at[2:10]
            forwards.append(Forward(underlying=name, expiry=at, price=price, rate="0.055"))
            future = {"id": f"{name}-{month}", "kind": "future", "underlying": name, "expiry": at, "lot": lot}
            instruments.append(Instrument.model_validate(future))
            for strike in strikes:
                for right in ("call", "put"):
                    more = {"strike": str(strike), "option_type": right, "implied_vol": "0.135", "kind": "option"}
                    identity = f"{name}-{month}-{strike}-{right[0].upper()}"
                    instruments.append(Instrument.model_validate({**future, **more, "id": identity}))
    return Market(
        time=TIME,
        quote="INR",
        underlyings=(
            Underlying(name="NIFTY", index_price="26328.55"),
            Underlying(name="BANKNIFTY", index_price="60150"),
        ),
        forwards=tuple(forwards),
        instruments=tuple(instruments),
        assets=(Asset(name="INR", price="1", lot="0.01"),),
    )


NIFTY_BOOK = {
    "positions": {
        "NIFTY-26-01-27": "150",
        "NIFTY-26-02-24": "-75",
        "NIFTY-26-01-27-27300-C": "-300",
        "NIFTY-26-01-27-25500-P": "-150",
        "BANKNIFTY-26-02-24-60300-C": "-70",
        "BANKNIFTY-26-02-24-60300-P": "-70",
        "BANKNIFTY-26-01-27": "35",
    },
    "collateral": {"INR": "5000000"},
}


def perpetual_market() -> Market:
    """Two perpetuals on one coin, for policies of brackets, which are of futures and perpetuals only."""
    own = {"kind": "perpetual", "underlying": "BTC", "lot": "0.001"}
    return Market(
        time=TIME,
        underlyings=(Underlying(name="BTC", index_price="92416.5"),),
        instruments=tuple(
            Instrument.model_validate(own | {"id": name, "mark_price": mark})
            for name, mark in (("BTC-PERP", "92450.25"), ("BTC-OTHER", "92401.75"))
        ),
        assets=(Asset(name="USDC", price="1", lot="0.01"),),
    )


PERPETUAL_BOOK = {"positions": {"BTC-PERP": "-12.345", "BTC-OTHER": "30"}, "collateral": {"USDC": "750000"}}
BRACKETS = ("binance-tiered", "hyperliquid")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Said:
    """Run the command line in this process; returns its standard output, as JSON where that was asked for."""

    command_line = Run(capsys)

    def call(*arguments: object, code: int = 0) -> Json:
        result = command_line(arguments, code=code)
        return result.json if "--json" in arguments else result.out + result.err

    return call


def save_book(folder: Path, book: JsonObject) -> None:
    save_document(Book.model_validate(book), folder / "book.json")


def build(folder: Path, source: str, policy: str) -> Path:
    """The files of a case in a folder: source (market or arrays), snapshot under a small domain, book."""
    market = folder / "market.json"
    if source == "spn":
        assert main(["market", "import", *SPAN_XML, "-o", str(market)]) == 0
        save_book(folder, XML_BOOK)
    elif source == "pa2":
        assert main(["market", "import", *SPAN_PA2, "-o", str(market)]) == 0
        contracts = [i["id"] for i in json.loads(market.read_text())["instruments"]]
        lots = ("-3", "2", "1", "-2", "4")
        save_book(folder, {"positions": dict(zip(contracts, lots, strict=False)), "collateral": {"USD": "250000"}})
    elif source == "nifty":
        save_document(nifty_market(), market)
        save_book(folder, NIFTY_BOOK)
    elif source == "perpetuals":
        save_document(perpetual_market(), market)
        save_book(folder, PERPETUAL_BOOK)
    else:
        example = example_market(TIME)
        save_document(example, market)
        save_document(Book.model_validate(example_book(example)), folder / "book.json")
    snapshot = ["snapshot", "build", str(market), "--policy", policy, "--domain-size", "256"]
    assert main([*snapshot, "-o", str(folder / "snapshot.json")]) == 0
    return folder


#: Every named policy on a market that it is for; a policy that is added is here too.
CASES = [
    *((name, "example") for name in policy_names() if name not in ("span-nse", *BRACKETS)),
    ("span-nse", "nifty"),
    *((name, "perpetuals") for name in BRACKETS),
    ("span", "spn"),
    ("span", "pa2"),
    ("span-nse", "spn"),
]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    policy, source = request.param
    return build(tmp_path_factory.mktemp(f"{policy}-{source}"), source, policy), policy


@pytest.mark.parametrize("requirement", ["initial", "maintenance"])
def test_a_book_is_proved_and_verified(made: Made, run: Said, tmp_path: Path, requirement: str) -> None:
    folder, policy = made
    snapshot, book = folder / "snapshot.json", folder / "book.json"
    report = run("margin", book, "--snapshot", snapshot, "--json")["requirements"][requirement]
    assert Fraction(report["total"]) > 0
    largest = Fraction(report["largest_claim"])
    claim = ["--claim", report["largest_claim"], "--requirement", requirement]
    assert run("check", "--snapshot", snapshot, "--book", book, *claim, "--json")["holds"] is True

    beyond = ["--claim", f"{int(100 * largest) + 1}/100", "--requirement", requirement]
    assert run("check", "--snapshot", snapshot, "--book", book, *beyond, "--json", code=1)["rule"]
    commitment, opening, proof = (tmp_path / name for name in ("c.json", "o.json", "p.bin"))
    run("commit", book, "--snapshot", snapshot, "-o", commitment, "--opening", opening)
    secret = ["--snapshot", snapshot, "--book", book, "--opening", opening]
    run("prove", *secret, *beyond, "-o", proof, code=1)
    assert not proof.exists()
    made_facts = run("prove", *secret, *claim, "--context", "one", "-o", proof, "--json")
    public = ["--snapshot", snapshot, "--commitment", commitment]
    facts = run("verify", *public, *claim, "--context", "one", proof, "--json")
    assert facts["accepted"] is True
    assert facts["snapshot"]["policy"]["name"] == policy
    assert facts["claim"] == made_facts["statement"]["claim"]
    assert run("verify", *public, *claim, "--context", "two", proof, "--json", code=1)["accepted"] is False
    assert run("verify", *public, *beyond, "--context", "one", proof, "--json", code=1)["accepted"] is False


def test_anyone_can_rebuild_the_snapshot(made: Made, run: Said) -> None:
    folder, _ = made
    assert run("snapshot", "check", folder / "snapshot.json", folder / "market.json", "--json")["same"] is True


def test_every_book_is_explained(made: Made, run: Said) -> None:
    folder, _ = made
    snapshot, book = folder / "snapshot.json", folder / "book.json"
    text = run("margin", book, "--snapshot", snapshot, "--array")
    for words in ("Initial requirement", "Greeks", "Risk array", "Requirement before premium credit", "Isolated"):
        assert words in text
    assert "snapshot.json" not in text


def test_an_own_policy_file_works_as_the_named_one(made: Made, run: Said, tmp_path: Path) -> None:
    folder, policy = made
    own = tmp_path / "own.json"
    own.write_bytes(load_policy(policy).to_bytes())
    built = tmp_path / "snapshot.json"
    run("snapshot", "build", folder / "market.json", "--policy", own, "--domain-size", 256, "-o", built)
    assert built.read_bytes() == (folder / "snapshot.json").read_bytes()
    checked = run("policy", "check", own, "--market", folder / "market.json", "--json")
    assert checked["digest"] == load_policy(policy).digest().hex()
    assert checked["layouts"]["initial"]["proof_bytes"] > 0
