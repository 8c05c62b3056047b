"""What other people's tools do differently, and what ours does there: each is a sentence in the docs too."""

from __future__ import annotations

import json

import numpy as np
import pytest

from zkmargin.engine.pricing import black76, greeks
from zkmargin.formats import canonical_bytes, keccak256
from zkmargin.formats.canonical import parse_json


@pytest.mark.parametrize("k", [53, 63, 64, 200])
def test_integers_beyond_a_double_keep_their_digits(k: int) -> None:
    """Canonicalisers of RFC 8785 take numbers for doubles: jcs gives 2^53 and 2^53 + 1 the same bytes."""
    one, other = canonical_bytes({"x": 1 << k}), canonical_bytes({"x": (1 << k) + 1})
    assert one == b'{"x":%d}' % (1 << k)
    assert keccak256(one) != keccak256(other)
    assert parse_json(other.decode(), file="x")["x"] == (1 << k) + 1 == json.loads(other)["x"]


def test_an_option_at_the_money_at_its_expiry_has_a_delta_of_a_half() -> None:
    """As QuantLib has it; vollib's Greeks raise or are no numbers there. Value, gamma and vega are 0."""
    F = np.array([10**9, 10**9], dtype=np.int64)
    arguments = (F, F, np.array([5 * 10**8] * 2), np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.int64))
    found = greeks(*arguments, np.array([True, False]))
    assert found.delta_1e12.tolist() == [500_000_000_000, -500_000_000_000]
    assert found.gamma_1e11.tolist() == found.vega.tolist() == [0, 0]
    assert black76(*arguments, np.array([True, False])).tolist() == [0, 0]
