#!/usr/bin/env bash
# Guess: PuLP hands its solver the integers of the model: money in cents below 2^53 is exact in a double, so a plan that
#        must raise 12,345,678,901,239 cents raises as much or more.
# Seen:  PuLP 3.3.2 and its bundled CBC talk in text files. The model's numbers have 13 digits, the answer's 8: status
#        "Optimal", and the plan raises 12,345,678,900,000, short by 1,239 cents, though both amounts are integers. The
#        same model through the in-memory interface of HiGHS (highspy 1.16.0) meets the requirement to the cent.
# Means: what a modelling layer returns is not always the solver's answer, nor to the problem stated. Scale money before it enters
#        a model, and check every plan with exact integers against the original statement.
# Needs: python3. Exits 1 if any of this changes.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check pulp==3.3.2 highspy==1.16.0
cat > plan.py <<'PY'
import pulp

NEEDED = 12_345_678_901_239  # cents


def plan(solver):
    """The least sum of two whole amounts that raises what is needed."""
    problem = pulp.LpProblem("plan", pulp.LpMinimize)
    cash, sales = (pulp.LpVariable(name, 0, 10**13, cat="Integer") for name in ("cash", "sales"))
    problem += cash + 2 * sales
    problem += cash + sales >= NEEDED
    problem.solve(solver)
    return pulp.LpStatus[problem.status], round(cash.value()) + round(sales.value())


status, raised = plan(pulp.PULP_CBC_CMD(msg=False))
print(f"through files (CBC): {status}, raises {raised:,}, short by {NEEDED - raised:,}")
assert (status, NEEDED - raised) == ("Optimal", 1239)
status, raised = plan(pulp.HiGHS(msg=False))
print(f"in memory (HiGHS):   {status}, raises {raised:,}, short by {NEEDED - raised}")
assert (status, raised) == ("Optimal", NEEDED)
print("as described")
PY
venv/bin/python plan.py
