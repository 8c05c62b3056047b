"""Calibrated policies and backtests as an application asks for them, and the page of a backtest."""

from __future__ import annotations

from collections.abc import Sequence

from zkmargin.app.files import blamed_on, load
from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.policy import Policy
from zkmargin.formats import Hint, InputError
from zkmargin.risk.backtest import Backtest, backtest
from zkmargin.risk.calibration import binding, calibrate, check_derivation, first_known
from zkmargin.risk.history import History
from zkmargin.risk.report import Report
from zkmargin.risk.rules import Derivation, Rule


def load_history(history_path: str, vols_path: str | None = None) -> History:
    """Closes, and implied vols beside them where a file is named. Raises InputError."""
    history = History.load(history_path)
    if vols_path is None:
        return history
    vols = History.load(vols_path)
    with blamed_on(vols_path):
        return history.with_vols(vols)


def calibrated(
    history_path: str, rule_path: str, *, as_of: str | None, before_path: str | None, vols_path: str | None = None
) -> tuple[Policy, Derivation]:
    """The policy that follows from files, and its derivation. Raises InputError."""
    history, rule = load_history(history_path, vols_path), load(Rule, rule_path)
    if rule.vols is not None and vols_path is None:
        raise InputError("calibrates vols: give a history of them", file=rule_path, field="vols")
    before = None if before_path is None else load(Derivation, before_path)
    with blamed_on(rule_path):
        return calibrate(history, rule, as_of=as_of, before=before)


def checked_derivation(
    policy: Policy,
    derivation_path: str,
    history_path: str,
    vols_path: str | None = None,
    before_paths: Sequence[str] = (),
) -> tuple[Derivation, Derivation]:
    """A derivation that was recomputed from its history, with those before it; and the oldest of them.

    Raises:
        InputError: what differs.
    """
    derivation, history = load(Derivation, derivation_path), load_history(history_path, vols_path)
    before = [load(Derivation, path) for path in before_paths]
    with blamed_on(derivation_path):
        check_derivation(derivation, history, policy, before)
    return derivation, first_known(derivation, before)


def derived(
    policy: Policy,
    derivation_path: str,
    history_path: str,
    vols_path: str | None = None,
    before_paths: Sequence[str] = (),
) -> dict[str, str]:
    """What a trust file that names a rule asks for: the policy's digest, and its rule's, recomputed from a history.

    A derivation that starts from levels in force needs the one before it, as the verifier accepted it: otherwise
    whoever calibrates could start from levels of their choice.

    Raises:
        InputError: the policy does not follow, or nobody knows what it starts from.
    """
    found, oldest = checked_derivation(policy, derivation_path, history_path, vols_path, before_paths)
    if found.before is not None and oldest is found:
        raise InputError(
            "starts from levels in force: the derivation before it is needed",
            file=derivation_path,
            field="before",
            hint=Hint.GIVE_BEFORE,
        )
    return {policy.digest().hex(): found.rule_digest}


def level_lines(derivation: Derivation) -> list[str]:
    """What a person is told of a derivation: a line for each underlying, and what multiplies requirements."""
    lines = []
    for name, level in derivation.levels.items():
        line = f"{name}: scan range {level.scan_bp / 100:.2f} %, regime {level.regime}"
        if level.vol_scan_bp is not None:
            line += f", vols by {level.vol_scan_bp / 100:.2f} %"
        if level.delta_bp is not None:
            line += f", delta norm {level.delta_bp / 100:.2f} %"
        if level.multiplier_bp is not None:
            line += f", level in force {level.applied / 10**7:.2f} %"
        lines.append(line)
    terms = derivation.rule.factors
    if terms is not None:
        name = binding(derivation.rule, derivation.levels)
        times = (derivation.levels[name].multiplier_bp or SCALE_BP) / SCALE_BP
        lines.append(f"{' and '.join(terms.requirements)} margin x {times:.4f}, as {name} needs")
    return lines


def backtested(
    history_path: str, rule_paths: Sequence[str], *, first: str, horizon: int, rate_bp: int
) -> list[Backtest]:
    """Several rules over one history. Raises InputError."""
    history = History.load(history_path)
    found = []
    for path in rule_paths:
        rule = load(Rule, path)
        with blamed_on(path):
            found.append(backtest(history, rule, first=first, horizon=horizon, rate_bp=rate_bp))
    return found


#: What a row of the comparison holds.
COLUMNS = (
    *("Rule", "Exceedances", "Expected", "Kupiec p", "Christoffersen p", "Light"),
    *("Peak / trough", "Largest rise in 5 days", "Mean scan"),
)


def backtest_rows(found: Sequence[Backtest], underlying: str) -> list[list[str]]:
    """The comparison of rules for one underlying."""
    rows = []
    for test in found:
        track = next(track for track in test.tracks if track.underlying == underlying)
        p_values = ["-" if p is None else f"{p:.4f}" for p in (track.kupiec, track.christoffersen)]
        rows.append(
            [
                test.rule,
                str(track.exceedances),
                f"{track.expected:.1f}",
                *p_values,
                track.light,
                f"{track.peak_to_trough:.2f}",
                f"{track.largest_rise:.2f}",
                f"{track.mean_bp / 100:.2f} %",
            ]
        )
    return rows


def backtest_page(found: Sequence[Backtest], history_path: str) -> bytes:
    """The page of a backtest: for each underlying the comparison and the ranges beside the moves."""
    horizon = found[0].horizon_days
    page = Report("Backtest of margin rules")
    page.text(
        f"Closes: {history_path}. A scan range is compared with the move over the next {horizon} day(s); "
        f"{found[0].rate_bp / 100:g} % of the moves may be beyond it. Small p-values reject a rule."
    )
    for track in found[0].tracks:
        page.heading(track.underlying)
        page.table(COLUMNS, backtest_rows(found, track.underlying))
        lines: dict[str, list[float | None]] = {"move": [bp / 100 for bp in track.moves_bp]}
        for test in found:
            own = next(t for t in test.tracks if t.underlying == track.underlying)
            lines[test.rule] = [bp / 100 for bp in own.scan_bp]
        page.chart("Scan range in force and the move that followed, in per cent", track.dates, lines, unit="%")
    return page.page().encode()
