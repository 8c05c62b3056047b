#!/usr/bin/env bash
# Guess: a compiled function gives what NumPy gives: uint64 with int64 becomes float64 (inexact, but of the right size).
# Seen:  numba 0.68.1 makes the pair int64. (2^64 - 1) // 3 is -1 when the divisor is an int64 and
#        6148914691236517205 when it is a uint64; NumPy 2.4.4 says 6.148914691236517e+18 for the first. So a kernel
#        of 64-bit limbs and its plain twin (NUMBA_DISABLE_JIT=1) disagree as soon as one index, shift or literal that
#        came in as an argument is signed, and neither warns.
# Means: limbs meet only uint64: cast every signed argument before it touches one, and test twins on limbs >= 2^63.
# Needs: python3. Exits 1 if any of this changes.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check numba==0.68.1 numpy==2.4.4
cat > "$tmp/mixed.py" <<'PY'
import numba
import numpy as np


def quotient(limb, divisor):
    return limb // divisor


compiled = numba.njit(quotient)
limb = np.uint64(2**64 - 1)
for divisor in (np.uint64(3), np.int64(3)):
    print(f"{type(divisor).__name__:7} compiled {compiled(limb, divisor)!r:22} plain {quotient(limb, divisor)!r}")
assert compiled(limb, np.uint64(3)) == quotient(limb, np.uint64(3)) == (2**64 - 1) // 3
assert compiled(limb, np.int64(3)) == -1
assert isinstance(quotient(limb, np.int64(3)), np.float64)
print("as described")
PY
"$tmp/venv/bin/python" "$tmp/mixed.py"
