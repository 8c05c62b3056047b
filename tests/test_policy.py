import json
from pathlib import Path

import pytest
from support.typed import Json, JsonObject, Keywords

from zkmargin.engine.components.haircuts import Haircuts
from zkmargin.engine.components.short_option_minimum import ShortOptionMinimum
from zkmargin.engine.components.worst_scenario import ScenarioGrid, Tail, WorstScenario
from zkmargin.engine.policy import Policy, domain_size_for, load_policy, policy_mistakes, policy_names
from zkmargin.engine.units import Scenario
from zkmargin.formats import InputError, save_document


def default_data() -> Json:
    return json.loads(load_policy("default").to_bytes())


def parse(data: Json) -> Policy:
    return Policy.parse(json.dumps(data), file="policy.json")


def test_the_default_policy() -> None:
    policy = load_policy("default")
    assert "default" in policy_names()
    assert policy.name == "default"
    assert (policy.factor_bp("initial"), policy.factor_bp("maintenance")) == (10_000, 8_000)
    layout = policy.layout
    assert (layout.domain_size, layout.position_bits, layout.collateral_bits) == (1024, 30, 50)
    assert layout.range_proved
    grid, minimum, haircuts = policy.components
    assert isinstance(grid, WorstScenario)
    assert isinstance(minimum, ShortOptionMinimum)
    assert isinstance(haircuts, Haircuts)
    assert policy.haircuts is haircuts
    scenarios = grid.grid.scenarios()
    assert len(scenarios) == len(set(scenarios)) == 35
    # A linear position loses no more in a tail than at the edge of the grid, and within a rounding as much.
    for scenario in scenarios[27:]:
        assert 29_990_000 <= abs(scenario.price_move_bp) * scenario.weight_bp <= 30_000_000
    assert [asset for asset, terms in haircuts.assets.items() if terms.negative_allowed] == ["USD", "USDC"]
    assert all(terms.negative_surcharge_bp > 0 for terms in haircuts.assets.values() if terms.negative_allowed)


def test_labels_say_that_weights_are_applied() -> None:
    assert Scenario(-3000, 5000, 10_000).label() == "price -30 % vol +50 %"
    assert Scenario(-2250, 0, 10_000).label() == "price -22.5 % vol 0 %"
    assert Scenario(0, -5, 10_000).label() == "price 0 % vol -0.05 %"
    assert Scenario(10_000, 5000, 1600).label() == "tail price +100 % vol +50 % weight 16 %"


def test_policies_load_from_a_path_and_keep_their_digest(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    save_document(load_policy("default"), path)
    assert load_policy(str(path)).digest() == load_policy(path).digest() == load_policy("default").digest()


def test_unknown_policies_are_refused_with_the_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nosuch: no such policy, and no such file") as caught:
        load_policy("nosuch")
    assert "default" in (caught.value.hint or "")
    with pytest.raises(InputError, match="cannot be read"):
        load_policy(tmp_path / "missing.json")
    with pytest.raises(InputError, match="cannot be read"):
        load_policy("./missing.json")


def test_an_unknown_requirement_is_refused() -> None:
    with pytest.raises(InputError, match='no requirement is called "extra"'):
        load_policy("default").factor_bp("extra")


GRID = {"price_moves_bp": [-1000, 0, 1000], "vol_moves_bp": [-2000, 0, 2000]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"price_moves_bp": [-1000, 1000]}, "home-made grid without a zero price move"),
        ({"price_moves_bp": [-1000, 0, 2000]}, "home-made grid that is not symmetric"),
        ({"vol_moves_bp": [2000]}, "home-made grid without a zero vol move"),
        ({"price_moves_bp": [0, -10_000, 10_000]}, "above -10000"),
        ({"price_moves_bp": [0, -90_001, 90_001]}, "above -10000"),
        ({"price_moves_bp": [0, 90_001]}, "at most 90000"),
        ({"vol_moves_bp": [0, -10_001]}, "a vol move must be"),
        ({"price_moves_bp": [0, 0]}, "same move twice"),
        ({"vol_moves_bp": [0, 0]}, "same move twice"),
        ({"tails": [{"price_move_bp": 5000, "vol_move_bp": 0, "weight_bp": 10}] * 2}, "same move twice"),
        ({"price_moves_bp": list(range(-600, 601)), "vol_moves_bp": [0]}, "more than 1024 scenarios"),
        ({"price_moves_bp": []}, "at least 1 item"),
        ({"tenor_exponent_short_1e4": -1}, "greater than or equal to 0"),
        ({"time_step_seconds": -1}, "greater than or equal to 0"),
        ({"unknown": 1}, "unknown key"),
    ],
)
def test_grids_that_would_be_wrong_are_refused(change: Keywords, reason: str) -> None:
    data = default_data()
    data["components"][0]["grid"] = {**GRID, **change}
    with pytest.raises(InputError, match=reason):
        parse(data)


def test_a_published_grid_is_taken_as_it_is() -> None:
    grid = ScenarioGrid(price_moves_bp=(-800, -400, 600), vol_moves_bp=(100,), published_grid=True)
    assert len(grid.scenarios()) == 3
    with pytest.raises(InputError, match="above -10000"):
        ScenarioGrid(price_moves_bp=(-10_000,), vol_moves_bp=(0,), published_grid=True)


@pytest.mark.parametrize("weight", [0, -1, 10_001])
def test_tail_weights_stay_in_the_unit_interval(weight: int) -> None:
    with pytest.raises(InputError, match="weight must be above 0 and at most 10000"):
        Tail(price_move_bp=5000, vol_move_bp=0, weight_bp=weight)


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"haircut_bp": 500, "negative_allowed": True, "negative_surcharge_bp": -501}, "debited at less than"),
        ({"haircut_bp": 500, "negative_surcharge_bp": 1}, "surcharge on balances that are not allowed"),
        ({"haircut_bp": 10_001}, "less than or equal to 10000"),
        ({"haircut_bp": -1}, "greater than or equal to 0"),
        ({"haircut_bp": 0, "bits": 61}, "less than or equal to 60"),
    ],
)
def test_haircuts_that_would_be_wrong_are_refused(terms: JsonObject, reason: str) -> None:
    data = default_data()
    data["components"][2]["assets"]["BTC"] = terms
    with pytest.raises(InputError, match=reason):
        parse(data)


def test_assets_that_are_not_listed_are_refused() -> None:
    with pytest.raises(InputError, match="asset DOGE: the policy has no haircut") as caught:
        load_policy("default").haircuts.terms("DOGE")
    assert "USDC" in (caught.value.hint or "")


def set_at(data: Json, path: list[str], value: dict[str, int] | int) -> None:
    *parents, last = path
    for key in parents:
        data = data[key]
    data[last] = value


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (["requirements"], {"initial": 10_000}, "no factor for the maintenance requirement"),
        (["requirements", "initial"], 0, "must be above 0"),
        (["requirements", "initial"], 100_001, "at most 100000"),
        (["requirements", "maintenance"], 10_001, "maintenance above initial"),
        (["requirements", "other"], 1, "should be 'initial' or 'maintenance'"),
        (["layout", "domain_size"], 1000, "power of two"),
        (["layout", "domain_size"], 8, "from 16 to 2048"),
        (["layout", "domain_size"], 4096, "from 16 to 2048"),
        (["layout", "position_bits"], 61, "less than or equal to 60"),
        (["layout", "range_proved"], False, "short_option_minimum charges short positions"),
        (["components"], [], "no worst_scenario component for the initial requirement"),
        (["components", 0, "requirements"], ["initial"], "no worst_scenario component for the maintenance"),
        (["components", 0, "requirements"], ["initial", "maintenance", "x"], 'no requirement is called "x"'),
        (["components", 1, "rate_bp"], 10_001, "less than or equal to 10000"),
        (["components", 1, "mode"], "other", "'floor', 'added' or 'flat'"),
        (["components", 1, "type"], "other", "type"),
        (["components", 2, "assets"], {}, "at least 1 item"),
        (["name"], "../x", "pattern"),
        (["max_price_age_seconds"], -1, "greater than or equal to 0"),
        (["format"], "zkmargin/policy/v2", "another version"),
    ],
)
def test_policies_that_would_be_wrong_are_refused(path: list[str], value: dict[str, int] | int, reason: str) -> None:
    data = default_data()
    set_at(data, path, value)
    with pytest.raises(InputError, match=reason) as caught:
        parse(data)
    assert str(caught.value).startswith("policy.json")


def test_exactly_one_haircuts_component() -> None:
    data = default_data()
    haircuts = data["components"].pop()
    with pytest.raises(InputError, match="exactly one haircuts component"):
        parse(data)
    data["components"] += [haircuts, haircuts]
    with pytest.raises(InputError, match="exactly one haircuts component"):
        parse(data)


def test_a_layout_without_range_proofs_needs_no_charge_on_shorts() -> None:
    data = default_data()
    data["layout"]["range_proved"] = False
    del data["components"][1]
    assert not parse(data).layout.range_proved


@pytest.mark.parametrize(
    ("slots", "fast", "compact"),
    [(1, 256, 1024), (255, 256, 1024), (256, 512, 1024), (1023, 1024, 1024), (1024, 1024, 2048)],
)
def test_layout_profiles(slots: int, fast: int, compact: int) -> None:
    assert domain_size_for("fast", slots) == fast
    assert domain_size_for("compact", slots) == compact


def test_an_unknown_layout_profile_is_refused() -> None:
    with pytest.raises(InputError, match="fast, compact"):
        domain_size_for("small", 1)


def test_every_value_of_a_component_that_does_not_go_is_listed() -> None:
    data = load_policy("derive-pmrm2").to_json()
    place = next(i for i, part in enumerate(data["components"]) if part["type"] == "factors")
    data["components"][place] |= {
        "depeg": {"asset": "USDC", "threshold": "-1", "factor_bp": 1},
        "anti_procyclicality": {"now": "0", "ten_year": "x"},
    }
    found = policy_mistakes(data)
    at = f"components[{place}]"
    assert [field for field, _ in found] == [f"{at}.depeg.threshold", f"{at}.anti_procyclicality.now"]
    grid = load_policy("default").to_json()
    own = grid["components"][0]["grid"]
    grid["components"][0]["overrides"] = {
        "BTC": own | {"price_moves_bp": [0, 0]},
        "ETH": own | {"vol_moves_bp": [-20_000]},
    }
    fields = [field for field, _ in policy_mistakes(grid)]
    assert len(fields) == 2
    assert fields[0].startswith("components[0].overrides.BTC")
    assert fields[1].startswith("components[0].overrides.ETH")
