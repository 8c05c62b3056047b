#!/usr/bin/env bash
# Static analysis of the contracts by slither: analyse.sh PATH/TO/slither. Anything it finds of low impact and more fails.
# Left out, with reasons: timestamp (expiry and coverage are about time), assembly, naming of immutables, long constants and
# complexity (informational; the verifier is assembly on purpose), dead-code (it does not see calls between functions of
# assembly and reports each of them).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec "$1" contracts/src/MarginChecker.sol --solc contracts/solc.cjs --fail-low \
    --exclude timestamp,assembly,naming-convention,too-many-digits,cyclomatic-complexity,dead-code
