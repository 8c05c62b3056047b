"""The page about the last soak run is made of its data."""

from __future__ import annotations

import json

from soak import PAGE, page


def test_the_page_is_made_of_the_data() -> None:
    facts = json.loads(PAGE.with_suffix(".json").read_text("utf-8"))
    assert page(facts) == PAGE.read_text("utf-8")
    assert {one["accepted"] for one in facts["makers"].values()} >= {facts["snapshots"]}
