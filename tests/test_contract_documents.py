"""What docs/chain.md says of the contracts is what was measured."""

from __future__ import annotations

import json

from contracts.gas_table import HERE, PAGE, page, table


def test_the_gas_table_is_that_of_the_file() -> None:
    text = PAGE.read_text("utf-8")
    assert text == page(text), "run python -m contracts.gas_table"
    gas = json.loads((HERE / "gas.json").read_text("utf-8"))["osaka"]
    assert f"{gas['verify 16, table in code']:,}" in table(gas)
    assert table({**gas, "verify 16, table in code": 1}) != table(gas)
