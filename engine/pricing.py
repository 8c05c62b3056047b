"""Black-76 values and Greeks on integers, bit-identical on every machine.

Black (1976), "The pricing of commodity contracts", J. Financial Economics 3: with s = sigma sqrt(T), D = exp(-rT),
d1 = ln(F / K) / s + s / 2, d2 = d1 - s, a call is worth D (F Phi(d1) - K Phi(d2)), a put D (K - F) more.

Prices are int64 counts of any unit the caller likes; F near 2^45 .. 2^58 units leaves the unit's rounding far below
the accuracy. Volatilities and rates are counts of 1e-9 (0.65 is 650_000_000), a year is 365 days, times are
milliseconds, or any other unit named by `units_per_year` (the time is then exactly time / units_per_year years).

Worst error of a value over the 50-digit reference table, all strikes from F / 100 to 100 F, 1e-7 to 30 years, vols
0.0001 to 5, rates -1 % to 5 %, apart from the half unit of rounding: WORST_VALUE of F. Targets asserted by
tests/test_black76.py: 1e-12 of F, and 1e-9 of its natural scale for each Greek (measured: WORST_GREEK).
In general a value is within half a unit + 2^-57 max(F, K) of the truth, and monotone to one unit.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine._kernels import black76 as kernels
from formats import InputError

Int64Array = npt.NDArray[np.int64]

MS_PER_DAY = 86_400_000
MS_PER_YEAR = 365 * MS_PER_DAY
MAX_PRICE = (1 << 62) - 1
MAX_VOL = 100 * 10**9
MAX_RATE = 5 * 10**9
MAX_YEARS = 100
MAX_UNITS_PER_YEAR = 10**18
TENOR_MS = 30 * MS_PER_DAY
