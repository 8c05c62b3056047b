"""`zkmargin simulate` on files: the page, the frontier, and scenarios that are none."""

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.command_line import Run

import zkmargin
from zkmargin.app.simulating import frontier_line
from zkmargin.risk.frontier import standings
from zkmargin.risk.report import Point, point_chart
from zkmargin.risk.simulation import Outcome

# --- the command --------------------------------------------------------------------------------------------

#: The demo's scenario.
FILE = Path(zkmargin.__file__).with_name("cli").joinpath("samples", "crash.toml").read_text()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


def test_the_command_runs_a_file_and_writes_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.chdir(tmp_path)
    Path("crash.toml").write_text(FILE)
    out, _ = run("simulate crash.toml --html crash.html")
    assert "default:" in out
    assert "paradex:" in out
    page = Path("crash.html").read_text()
    assert page.count("<svg") >= 7
    assert page.count("<circle") == 2
    assert "on the frontier of margin and losses: default, paradex\n" in out
    out, _ = run("simulate crash.toml --json")
    value = json.loads(out)
    schema = json.loads((Path(__file__).parent.parent / "docs" / "output.schema.json").read_text())
    jsonschema.validate(value, {"$ref": "#/$defs/simulate", "$defs": schema["$defs"]})
    assert [one["dominated_by"] for one in value["frontier"]] == [[], []]
    found = value["outcomes"]
    assert [(o["margin"], o["loss"]) for o in found] == [(o["margin"], o["loss"]) for o in value["frontier"]]
    assert [o["policy"] for o in found] == ["default", "paradex"]
    assert len(found[0]["rounds"]) == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rounds = ", "not TOML"),
        ("rounds = 0\n", "rounds"),
        ("rounds = 2\n", "either [accounts] or books"),
        ("rounds = 2\naccounts = {count = 5}\nshocks = [{round = 0, prices_bp = {DOGE = -1}}]\n", "DOGE"),
        ('rounds = 2\naccounts = {count = 5}\nimpact = {depth = {BTC = "0"}}\n', "above 0"),
        ("rounds = 2\naccounts = {count = 5, equity_bp = [2, 1]}\n", "from and to"),
        ('rounds = 2\naccounts = {count = 5}\npolicies = ["nonsense"]\n', "nonsense"),
        ('rounds = 2\nbooks = ["missing.json"]\n', "missing.json"),
        ('rounds = 2\nfund = "-1"\naccounts = {count = 5}\n', "fund: must not be negative"),
        ("rounds = 2\naccounts = {count = 5}\nshocks = [{round = 0, prices_bp = {BTC = -9901}}]\n", "prices_bp.BTC"),
        ("rounds = 2\naccounts = {count = 5}\nshocks = [{round = 0, vols_bp = {BTC = -10000}}]\n", "vols_bp.BTC"),
        ('rounds = 2\naccounts = {count = 5, family = "cats"}\n', "family"),
        ('rounds = 2\naccounts = {count = 5}\nclosing = "planner"\n', "closing: a table belongs here"),
        ('rounds = 2\naccounts = {count = 5}\nclosing = {mode = "plans"}\n', "closing.mode"),
        ('rounds = 2\naccounts = {count = 5}\nclosing = {mode = "planner", planned = 0}\n', "closing.planned"),
        ('rounds = 2\naccounts = {count = 5}\nclosing = {mode = "planner", most = 1}\n', "closing.most: unknown key"),
        ('rounds = 2\nholders = 2\naccounts = {count = 5}\nclosing = {mode = "planner"}\n', "closing.mode"),
        ("rounds = 2\nlive = true\naccounts = {count = 5}\n", "live"),
    ],
)
def test_scenarios_that_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, text: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text(text)
    _, err = run("simulate bad.toml", code=2)
    assert words in err.splitlines()[0]


def outcome_of(policy: str, margin: int, loss: int) -> Outcome:
    sums = dict.fromkeys(("liquidated", "fund", "deleveraged", "payers", "unpaid"), 0)
    return Outcome(name="", policy=policy, accounts=1, margin=margin, rounds=(), loss=loss, troughs={}, **sums)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8))
def test_the_frontier_is_what_nobody_improves_on(points: list[tuple[int, int]]) -> None:
    found = standings([outcome_of(f"p{i}", margin, loss) for i, (margin, loss) in enumerate(points)])
    for (margin, loss), one in zip(points, found, strict=True):
        # the least loss among those as cheap, and the least margin among those as safe
        least_loss = min(y for x, y in points if x <= margin)
        least_margin = min(x for x, y in points if y <= loss)
        assert (one.dominated_by == ()) == ((margin, loss) == (least_margin, least_loss))
        better = {f"p{i}" for i, (x, y) in enumerate(points) if x <= margin and y <= loss and x + y < margin + loss}
        assert set(one.dominated_by) == better


def test_the_chart_joins_the_frontier_and_leaves_the_rest_grey() -> None:
    found = standings([outcome_of("dear", 9 * 10**9, 10**9), outcome_of("<a>", 10**9, 5 * 10**9)])
    assert frontier_line(found) == "on the frontier of margin and losses: dear, <a>"
    found += standings([outcome_of("x", 10**9, 0), outcome_of("y", 2 * 10**9, 0)])[1:]
    assert frontier_line(found).endswith("; y dominated by x")
    drawn = point_chart(
        [Point("a", 1, 5), Point("<b>", 9, 0), Point("c", 9, 4, faint=True), Point("d", 9, 0)], "margin", "losses"
    )
    assert drawn.count("<circle") == 4
    assert drawn.count('fill="#999999"') == 1
    assert "&lt;b&gt;" in drawn
    line = drawn.split('<polyline points="')[1].split('"')[0]
    assert len(line.split()) == 3
    heights = {text.split('"')[0] for text in drawn.split(' y="')[1:] if ">d<" in text[:20] or ">&lt;b" in text[:20]}
    assert len(heights) == 2  # names of points on one spot stand one above the other
    assert "<circle" in point_chart([Point("alone", 0, 0)], "margin", "losses")
