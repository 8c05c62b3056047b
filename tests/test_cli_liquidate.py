"""`zkmargin liquidate` on files: plans, fills, pages, and what it refuses."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support.command_line import Run
from support.typed import Json

from zkmargin.engine.book import Book
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import to_cents, to_units
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.fills import Fills
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, SetupError, load_document, save_document
from zkmargin.risk.auction import AuctionTerms

TIME = "2026-01-02T03:04:05Z"


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return build_snapshot(example_market(TIME), load_policy("default"))


# --- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snapshot: Snapshot) -> Path:
    market = example_market(TIME)
    save_document(market, tmp_path / "market.json")
    save_document(snapshot, tmp_path / "snapshot.json")
    book = dict(example_book(market))
    positions = dict(book["positions"])
    save_document(Book(positions=positions, collateral={"USDC": "900000"}), tmp_path / "book.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


@pytest.mark.slow
def test_the_command_plans_writes_fills_and_says_everything(folder: Path, run: Run) -> None:
    save_document(AuctionTerms(name="ours"), folder / "auction.json")
    out, _ = run(
        "liquidate book.json --snapshot snapshot.json --compare --pro-rata --auction auction.json --market market.json "
        "--prices --fills fills.json --after after.json --html plan.html --json",
    )
    facts = json.loads(out)
    assert Fraction(facts["plan"]["after"]["shortfall"]) == 0
    assert {price["underlying"] for price in facts["liquidation_prices"]} == {"BTC", "ETH"}
    assert (folder / "fills.json").stat().st_mode & 0o077 == 0
    load_document(Fills, folder / "fills.json")
    page = folder / "plan.html"
    assert page.stat().st_mode & 0o077 == 0
    check_page(page.read_text(), facts)
    run("check --snapshot snapshot.json --book after.json")
    run("check --snapshot snapshot.json --book book.json", code=1)
    out, _ = run("liquidate book.json --snapshot snapshot.json --pro-rata --mode close")
    assert "trades in" in out
    assert "pro rata: closing 0." in out
    out, _ = run("liquidate after.json --snapshot snapshot.json")
    assert out.startswith("nothing to do")
    run("liquidate after.json --snapshot snapshot.json --html nothing.html")
    text = (folder / "nothing.html").read_text()
    assert "Nothing to do" in text
    assert "<svg" not in text


def check_page(text: str, facts: Json) -> None:
    """Every number of the plan is on its page, as a table behind each chart, and nothing is fetched."""
    plan = facts["plan"]
    assert text.count("<svg") == text.count("</svg>") == 2
    assert text.count("<circle") == len(plan["steps"]) + 1
    assert "<script" not in text
    assert "http" not in text

    def cents(amount: str) -> str:
        return to_cents(to_units(amount, VALUATION_DECIMALS), VALUATION_DECIMALS)

    spent = Fraction(0)
    for step in plan["steps"]:
        for trade in step["trades"]:
            spent += Fraction(trade["cost"])
            for cell in (trade["id"], trade["quantity"].lstrip("-"), cents(trade["paid"]), cents(trade["cost"])):
                assert f"<td>{cell}</td>" in text
        for name in ("equity", "requirement", "shortfall"):
            assert f"<td>{cents(step['after'][name])}</td>" in text
    assert spent == Fraction(plan["cost"])
    for number in (plan["cost"], plan["bound"], plan["greedy_cost"], facts["pro_rata"]["cost"]):
        assert cents(number) in text
    for price in facts["liquidation_prices"]:
        assert f"<td>{price['underlying']}</td><td>{price['price']}</td>" in text
    assert text.count("the fund pays") == sum(not offer["solvent"] for offer in facts["auction"])
    assert all(f"<td>{offer['fraction']}</td>" in text for offer in facts["auction"])


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (("--to", "x"), 2, "--to: "),
        (("--prices",), 2, "--prices: liquidation prices need the market"),
        (("--may-trade", "DOGE*"), 2, "--may-trade: DOGE*: matches no instrument"),
        (("--cash", "DOGE"), 2, "--cash: DOGE: no such asset"),
        (("--moves-with", "ETH"), 2, "not like ETH=1.2"),
        (("--moves-with", "ETH=1"), 2, "--moves-with: is for liquidation prices"),
        (("--market", "market.json"), 2, "--market: is for liquidation prices"),
        (("--fills", "book.json"), 2, "book.json"),
        (("--html", "snapshot.json"), 2, "snapshot.json: is an input"),
        (("./book.json",), 2, "./book.json: is named twice, and would count twice"),
        (("--costs", "missing.json"), 2, "missing.json"),
        (("--also", "nonsense"), 2, "--also"),
        (("--mode", "close", "--may-trade", "ETH-SPOT"), 1, "no permitted trades"),
    ],
)
def test_what_the_command_refuses_in_one_line(
    folder: Path, run: Run, more: tuple[str, ...], code: int, words: str
) -> None:
    _, err = run("liquidate book.json --snapshot snapshot.json", *more, code=code)
    first = err.splitlines()[0]
    assert first.startswith("zkmargin: error: ")
    assert words in first
    assert folder.exists()


@pytest.mark.parametrize(
    "line",
    [
        "check --snapshot snapshot.json --book book.json --book",
        "stress --snapshot snapshot.json --market market.json book.json",
    ],
)
def test_what_else_adds_books_up_takes_each_once(folder: Path, run: Run, line: str) -> None:
    (folder / "link.json").symlink_to("book.json")
    _, err = run(line, "link.json", code=2)
    assert err.splitlines()[0] == "zkmargin: error: link.json: is named twice, and would count twice"


def test_without_the_solver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from zkmargin.risk.programme import load_solver

    monkeypatch.setitem(sys.modules, "highspy", None)
    with pytest.raises(SetupError, match="HiGHS"):
        load_solver()


def test_a_product_is_refused_by_name(snapshot: Snapshot) -> None:
    from zkmargin.circuits.language.system import Form
    from zkmargin.risk.programme import PlanningSystem

    none = [0] * len(snapshot.instruments)
    with pytest.raises(InputError, match="product of hidden quantities"):
        PlanningSystem(snapshot, none, none).product(Form(), Form())
    assert np.all(np.array(none) == 0)
