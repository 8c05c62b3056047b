"""Histories, report pages, and the commands that calibrate, check and backtest."""

import html.parser
import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.command_line import Run
from support.histories import FULL, made
from support.typed import Json

from zkmargin.formats import InputError
from zkmargin.risk.history import UNIT, History
from zkmargin.risk.report import Report, line_chart, nice_ticks
from zkmargin.risk.rules import Rule, Volatility

# --- histories and pages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ("", '"date" and the underlyings', 1),
        ("date\n", '"date" and the underlyings', 1),
        ("date,BTC,BTC\n", "twice", 1),
        ("date,B C\n2024-01-01,1\n", "not a name", 1),
        ("date,BTC\n2024-01-01,1\n", "fewer than two days", None),
        ("date,BTC\n2024-01-01,1\n2024-01-01,1\n", "ascend", 3),
        ("date,BTC\n2024-1-1,1\n2024-01-02,1\n", "not a date", 2),
        ("date,BTC\n2024-01-01,1\n2024-01-02,\n", "decimal", 3),
        ("date,BTC\n2024-01-01,0\n2024-01-02,1\n", "above 0", 2),
        ("date,BTC\n2024-01-01,1,2\n", "3 cells, not 2", 2),
    ],
)
def test_histories_that_are_none(text: str, reason: str, line: int | None) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        History.parse(text, "closes.csv")
    assert caught.value.line == line


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_returns_are_rounded_once(before: int, after: int) -> None:
    history = History(("2024-01-01", "2024-01-02"), {"X": (before, after)})
    assert abs(history.returns("X")[0] - (Fraction(after, before) - 1) * UNIT) <= Fraction(1, 2)


class Tags(html.parser.HTMLParser):
    """Fails where a tag is not closed by its own."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.seen.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_pages_close_their_tags_and_escape_every_text() -> None:
    page = Report("<b>title")
    page.heading("<i>")
    page.text("a < b")
    page.table(["<c>"], [["<script>"]])
    page.chart("<x>", ["<1>", "2"], {"<line>": [1.0, None]}, unit="<")
    parser = Tags()
    parser.feed(page.page())
    assert not parser.open
    assert "script" not in parser.seen
    assert "svg" in parser.seen


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_ticks_cover_the_range(low: float, high: float) -> None:
    assume(high - low > 1e-3)
    ticks = nice_ticks(low, high)
    assert 2 <= len(ticks) <= 8
    assert ticks == sorted(ticks)
    slack = (high - low) * 1e-6
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack


def test_long_lines_are_thinned_and_keep_their_extremes() -> None:
    values: list[float | None] = [0.0] * 10_000
    values[5_001] = 77.0
    drawn = line_chart([str(i) for i in range(10_000)], {"x": values})
    assert drawn.count(",") < 3_000
    top = min(float(pair.split(",")[1]) for pair in drawn.split('points="')[1].split('"')[0].split())
    flat = max(float(pair.split(",")[1]) for pair in drawn.split('points="')[1].split('"')[0].split())
    assert top < flat - 100


# --- the commands -------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    history = made(7)
    lines = [
        f"{day},{b / UNIT:.2f},{e / UNIT:.2f}"
        for day, b, e in zip(history.dates, history.prices["BTC"], history.prices["ETH"], strict=True)
    ]
    (tmp_path / "closes.csv").write_text("date,BTC,ETH\n" + "\n".join(lines))
    (tmp_path / "rule.json").write_bytes(FULL.to_bytes())
    (tmp_path / "other.json").write_bytes(Rule(name="other", volatility=Volatility()).to_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


def test_calibrate_check_and_backtest_on_files(folder: Path, run: Run) -> None:
    out, _ = run("policy calibrate closes.csv --rule rule.json -o policy.json --derivation derivation.json")
    assert "BTC: scan range" in out
    out, _ = run("policy check policy.json --derivation derivation.json --history closes.csv")
    assert f"the rule {FULL.digest().hex()}" in out
    out, _ = run("policy check policy.json --derivation derivation.json --history closes.csv --json")
    assert json.loads(out)["rule"] == FULL.digest().hex()
    first = made(7).dates[200]
    out, _ = run(f"policy backtest closes.csv --rule rule.json --rule other.json --from {first} --html b.html")
    assert "exceedances" in out
    parser = Tags()
    parser.feed((folder / "b.html").read_text())
    assert parser.seen.count("svg") == 2
    out, _ = run(f"policy backtest closes.csv --rule other.json --from {first} --json")
    assert json.loads(out)["backtests"][0]["rule"] == "other"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("policy calibrate missing.csv --rule rule.json -o p.json", "missing.csv"),
        ("policy calibrate closes.csv --rule closes.csv -o p.json", "closes.csv"),
        ("policy calibrate closes.csv --rule rule.json --as-of 2001-01-01 -o p.json", "does not reach back"),
        ("policy calibrate closes.csv --rule rule.json --as-of yesterday -o p.json", "as_of: not a date"),
        ("policy backtest closes.csv --rule rule.json --from 2024", "first: not a date"),
        ("policy calibrate closes.csv --rule rule.json --as-of 2024-02-01 -o p.json", "looks back"),
        ("policy check default --derivation d.json", "give both"),
        ("policy backtest closes.csv --rule rule.json --from 2099-01-01", "no day"),
    ],
)
def test_bad_inputs_get_one_line(folder: Path, run: Run, line: str, words: str) -> None:
    _, err = run(line, code=2)
    assert words in err.splitlines()[0]
    assert folder.exists()


@pytest.mark.parametrize(
    "rule",
    [
        {"name": "x"},
        {
            "name": "x",
            "quantile": {"level_bp": 9_900, "look_back_days": 100},
            "regimes": {"enter_1e4": 1, "leave_1e4": 1, "stressed_1e4": 10_000},
        },
        {"name": "x", "volatility": {}, "stressed": {"first": "2024", "last": "2025", "weight_bp": 2_000}},
        {"name": "x", "volatility": {}, "buffer": {"buffer_bp": 1_000}},
        {"name": "x", "volatility": {}, "correlation_bp": [10_001]},
    ],
)
def test_rules_that_are_none(rule: Json) -> None:
    with pytest.raises(InputError):
        Rule.parse(json.dumps({"format": "zkmargin/rule/v1", **rule}))
