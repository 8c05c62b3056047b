"""The error tree: exit codes, hints, and one line for each error with its place."""

import pytest
from pydantic import ConfigDict
from support.sheets import Sheet, sheet_text
from support.typed import Keywords

from zkmargin.formats import ConstraintError, InputError, ProofFormatError, SetupError, VerificationError, ZkMarginError

# The error tree


def test_exit_codes_and_hints() -> None:
    errors: list[tuple[ZkMarginError, int]] = [
        (ZkMarginError("m", hint="h"), 2),
        (InputError("m", hint="h"), 2),
        (SetupError("m", hint="h"), 2),
        (ConstraintError("m", rule="r", shortfall=5, hint="h"), 1),
        (ProofFormatError("m", hint="h"), 1),
        (VerificationError("m", check="c", hint="h"), 1),
    ]
    for error, code in errors:
        assert isinstance(error, ZkMarginError)
        assert (str(error), error.message, error.hint, error.exit_code) == ("m", "m", "h", code)
        assert not isinstance(error, ValueError), "pydantic must not swallow it"
    assert ZkMarginError("m").hint is None


@pytest.mark.parametrize(
    ("parts", "shown"),
    [
        ({}, "why"),
        ({"file": "f"}, "f: why"),
        ({"line": 3}, "line:3: why"),
        ({"file": "f", "line": 3}, "f:3: why"),
        ({"file": "f", "field": "a.b", "line": 3}, "f:3: a.b: why"),
        ({"field": "a.b"}, "a.b: why"),
    ],
)
def test_an_input_error_is_one_line(parts: Keywords, shown: str) -> None:
    assert str(InputError("why", **parts)) == shown


def test_located_fills_in_what_is_missing_and_nothing_else() -> None:
    error = InputError("why", field="a", hint="h")
    assert str(error.located(file="f", line=2)) == "f:2: a: why"
    assert error.located(file="f").hint == "h"
    assert str(error.located(file="f", line=2).located(file="g", line=9)) == "f:2: a: why"
    assert str(error) == "a: why"


def test_an_input_error_of_a_validator_comes_out_with_the_file() -> None:
    class Picky(Sheet):
        model_config = ConfigDict(frozen=True)

        def model_post_init(self, _context: None) -> None:
            raise InputError("not today", field="title", hint="tomorrow")

    with pytest.raises(InputError) as caught:
        Picky.parse(sheet_text(), file="f")
    assert (str(caught.value), caught.value.hint) == ("f: title: not today", "tomorrow")
