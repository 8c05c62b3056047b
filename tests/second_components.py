"""What the components of a policy ask for, as equations, written from docs/circuit.md alone (sections 2 and 3)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, gcd, isqrt

from second_circuit import Circuit, Form, Json, Limit, Unsupported, array, encode_limit

Group = int | str  # a risk group, or a joint one by its name
Matrix = list[list[int]]


def total(forms: Sequence[Form]) -> Form:
    return sum(forms, Form())


@dataclass(frozen=True)
class Candidate:
    rule: str
    name: str
    loss: Form
    scale: int
    floor: bool = False


@dataclass
class Margin:
    """Section 2. ``held`` and ``owed`` are the sides of each balance."""

    circuit: Circuit
    snapshot: Json
    held: list[Form] = field(default_factory=list)
    owed: list[Form] = field(default_factory=list)
    equity: Form = field(default_factory=Form)
    candidates: dict[Group, list[Candidate]] = field(default_factory=lambda: defaultdict(list))
    offsets: dict[Group, Form] = field(default_factory=dict)
    additions: Form = field(default_factory=Form)
    flat: Form = field(default_factory=Form)

    @property
    def groups(self) -> list[str]:
        return list(self.snapshot["groups"])

    def where(self, condition: Callable[[int], bool], values: Sequence[int], side: str = "positions") -> Form:
        """The row of the values in the slots for which the condition holds."""
        return self.circuit.row(side, [x if condition(i) else 0 for i, x in enumerate(values)])

    def group_of(self, i: int) -> int:
        return int(self.snapshot["instruments"][i]["group"])

    def candidate(self, group: Group, rule: str, name: str, loss: Form, scale: int = 1, *, floor: bool = False) -> None:
        if loss.terms:
            self.candidates[group].append(Candidate(rule, name, loss, scale, floor))

    def offset(self, group: Group, rule: str, name: str, amount: Form, scale: int, *, relief: bool = False) -> None:
        """A surcharge or a relief."""
        if not amount.terms:
            return
        greatest = self.circuit.greatest(amount)
        x = self.circuit.integer(f"{rule}: {name}", greatest // scale if relief else -(-greatest // scale))
        above = x * scale - amount
        self.circuit.not_negative(rule, name, above * -1 if relief else above)
        self.offsets[group] = self.offsets.get(group, Form()) + x * (-1 if relief else 1)

    def addition(self, rule: str, name: str, amount: Form, scale: int = 1, *, flat: bool = False) -> None:
        if scale > 1:
            x = self.circuit.integer(f"{rule}: {name}", -(-self.circuit.greatest(amount) // scale))
            self.circuit.not_negative(rule, name, x * scale - amount)
            amount = x
        if flat:
            self.flat += amount
        else:
            self.additions += amount

    def maximum(self, name: str, group: str, found: list[Candidate]) -> Form:
        W = self.circuit.integer(name, max(-(-self.circuit.greatest(x.loss) // x.scale) for x in found))
        for x in found:
            self.circuit.not_negative(x.rule, f"{group}: {x.name}", W * x.scale - x.loss)
        return W

    def charges(self) -> Form:
        result = self.additions
        joint = [group for group in self.candidates if isinstance(group, str)]
        for group in (*range(len(self.groups)), *joint):
            found = self.candidates.get(group, [])
            name = group if isinstance(group, str) else self.groups[group]
            if group in self.offsets:
                losses = [x for x in found if not x.floor]
                V = self.maximum(f"largest loss of {name}", name, losses) if losses else Form()
                both = Candidate("charge", "loss and spreads", V + self.offsets[group], 1)
                found = [both, *(x for x in found if x.floor)]
            if found:
                result += self.maximum(f"charge of {name}", name, found)
        return result

    def place(self, part: Json, amounts: list[tuple[Group, Form]], scale: int) -> None:
        """Amounts by the component's mode."""
        rule, name = part["type"], part["type"].replace("_", " ")
        if part["mode"] != "floor":
            self.addition(rule, name, total([x for _, x in amounts]), scale, flat=part["mode"] == "flat")
            return
        sums: dict[Group, Form] = {}
        for group, amount in amounts:
            sums[group] = sums.get(group, Form()) + amount
        for group, amount in sums.items():
            self.candidate(group, rule, name, amount, scale, floor=True)


def begin(snapshot: Json, circuit: Circuit | None = None) -> Margin:
    """Slots and the sides of balances: what every circuit over a snapshot begins with."""
    layout = snapshot["layout"]
    assets = [(slot["bits"], slot["negative_allowed"]) for slot in snapshot["collateral"]]
    slots = len(snapshot["instruments"])
    if circuit is None:
        circuit = Circuit(layout["domain_size"], slots, layout["position_bits"], layout["range_proved"], assets)
    if snapshot["format"] != "zkmargin/snapshot/v1":
        circuit.capacity = {"positions": layout["position_capacity"], "collateral": layout["collateral_capacity"]}
        for role, slots_of in (("positions", snapshot["instruments"]), ("collateral", snapshot["collateral"])):
            circuit.retired[role] = [place for place, slot in enumerate(slots_of) if slot["retired"]]
    margin = Margin(circuit, snapshot)
    for j, (_, negative) in enumerate(assets):
        held = circuit.integer(f"collateral {j} held", circuit.balance_bound(j))
        owed = circuit.integer(f"collateral {j} owed", circuit.balance_bound(j)) if negative else Form()
        circuit.equal("collateral bound", f"collateral {j}", Form(0, {("collateral", j): 1}) - held + owed)
        margin.held.append(held)
        margin.owed.append(owed)
    return margin


def build_circuit(snapshot: Json, num: int, den: int, requirement: str, limits: Sequence[Limit]) -> Circuit:
    margin = begin(snapshot)
    circuit = margin.circuit
    margin.equity = circuit.row("positions", array(snapshot["marks"])) * 10**4
    required = required_of(margin, requirement)
    circuit.not_negative("claim", f"{num}:{den}", margin.equity * den - required * num)
    for limit in limits:
        encode_limit(circuit, snapshot, limit, margin.equity - required)
    return circuit


def required_of(margin: Margin, requirement: str) -> Form:
    """All components and charges: the requirement in valuation units."""
    snapshot = margin.snapshot
    factor = Fraction(snapshot["policy"]["requirements"][requirement])
    for part in snapshot["components"]:
        encoder, keys = COMPONENTS.get(part["type"], (None, ""))
        if encoder is None or not set(part) <= {"type", *keys.split()}:
            raise Unsupported(f"{part['type']}: not supported by the second verifier")
        if requirement in part.get("requirements", [requirement]):
            encoder(part, margin)
            factor *= Fraction(part["value_bp"] if part["type"] == "factors" else 10**4, 10**4)
    return margin.charges() * ceil(factor) + margin.flat * 10**4


# --- components (circuit.md, section 3) ---------------------------------------------------------------------


def columns(value: Json) -> Matrix:
    """A two-dimensional array by columns."""
    flat, width = array(value), value["shape"][1]
    return [flat[s::width] for s in range(width)]


def negative(values: Sequence[int]) -> list[int]:
    return [-x for x in values]


def numbers(values: Sequence[int]) -> list[int]:
    """The numbers from 0 up that occur."""
    return sorted({x for x in values if x >= 0})


def worst_scenario(part: Json, margin: Margin) -> None:
    risk = columns(part["risk"])
    for g, labels in enumerate(part["scenarios"]):
        for s, label in enumerate(labels):
            loss = margin.where(lambda i: margin.group_of(i) == g, negative(risk[s]))  # noqa: B023 - used at once
            margin.candidate(g, part["type"], label, loss)


def short_option_minimum(part: Json, margin: Margin) -> None:
    rule, name = "short_option_minimum", "short option minimum"
    charge, minima = array(part["charge"]), []
    strikes = array(part["strikes"]) if part.get("strikes") is not None else None

    def of_group(g: int) -> Form:
        if strikes is None:
            return margin.where(lambda i: margin.group_of(i) == g, charge, "short")
        minimum = Form()
        for strike in numbers(strikes):
            loss = margin.where(
                lambda i: margin.group_of(i) == g and strikes[i] == strike,  # noqa: B023 - used at once
                negative(charge),
            )
            if loss.terms:
                minimum += margin.circuit.at_least(rule, f"strike {strikes.index(strike)}", [loss])
        return minimum

    minima = [of_group(g) for g in range(len(margin.groups))]
    if part["mode"] != "floor":
        margin.addition(rule, name, total(minima), flat=part["mode"] == "flat")
        return
    for g, minimum in enumerate(minima):
        margin.candidate(g, rule, name, minimum, floor=True)


def haircuts(part: Json, margin: Margin) -> None:
    values = zip(array(part["long_value"]), array(part["short_value"]), margin.held, margin.owed, strict=True)
    for j, (long_value, short_value, held, owed) in enumerate(values):
        margin.equity += held * long_value - owed * short_value
        tiers = [tier for tier in part.get("tiers", ()) if tier["slot"] == j]
        if tiers:
            above = [held * (long_value - tier["value"]) - Form(tier["start"]) for tier in tiers]
            margin.equity -= margin.circuit.at_least("haircuts", f"concentration of collateral {j}", above)


def magnitude(margin: Margin, rule: str, name: str, v: Form) -> Form:
    return margin.circuit.at_least(rule, name, [v, v * -1]) if v.terms else Form()


def pools(part: Json, margin: Margin) -> None:
    rule, pool, sizes = part["type"], array(part["pool"]), []
    for place, terms in enumerate(part["pools"]):

        def here(i: int, place: int = place) -> bool:
            return pool[i] == place

        if "value" in part:
            v = margin.where(here, array(part["value"]))
            sizes.append(magnitude(margin, rule, f"net size of {terms['name']}", v))
        else:
            long = margin.where(here, array(part["long"]), "long")
            sizes.append(long + margin.where(here, array(part["short"]), "short"))
    amounts: list[tuple[Group, Form]] = []
    for terms, size in zip(part["pools"], sizes, strict=True):
        lines = [size * line["slope"] - Form(line["start"]) for line in terms["lines"]]
        amount = lines[0]
        if not size.terms:
            amount = Form()
        elif len(lines) > 1 or terms["lines"][0]["start"]:
            amount = margin.circuit.at_least(rule, f"charge of {terms['name']}", lines)
        amounts.append((terms["group"], amount))
    margin.place(part, amounts, part["scale"])


def min_delta(part: Json, margin: Margin) -> None:
    delta, amounts = array(part["delta"]), list[tuple[Group, Form]]()
    sizes = [abs(x) for x in delta]
    for g, name in enumerate(margin.groups):

        def here(i: int, g: int = g) -> bool:
            return margin.group_of(i) == g

        net = magnitude(margin, part["type"], f"net delta of {name}", margin.where(here, delta))
        gross = margin.where(here, sizes, "long") + margin.where(here, sizes, "short")
        hedged = part["hedged_rate_bp"]
        amounts.append((g, net * (2 * part["net_rate_bp"] - hedged) + gross * hedged))
    margin.place(part, amounts, 20_000)


def group_losses(part: Json, margin: Margin) -> Iterator[tuple[Group, list[Form]]]:
    risk = [negative(column) for column in columns(part["risk"])]
    if part["group"] is not None:
        yield part["group"], [margin.circuit.row("positions", column) for column in risk]
        return
    for g in range(len(margin.groups)):

        def here(i: int, g: int = g) -> bool:
            return margin.group_of(i) == g

        yield g, [margin.where(here, column) for column in risk]


def joint_scenarios(part: Json, margin: Margin) -> None:
    for group, losses in group_losses(part, margin):
        for label, loss in zip(part["scenarios"], losses, strict=True):
            margin.candidate(group, part["type"], label, loss)


def ceiling_of_root(square: int) -> int:
    root = isqrt(square)
    return root + (root * root < square)


def delta_norm(part: Json, margin: Margin) -> None:
    """Section 3 of circuit.md: the square of a hidden integer is at least a quadratic form."""
    circuit, delta, size = margin.circuit, array(part["delta"]), len(margin.snapshot["groups"])
    flat = array(part["sigma"])
    sigma = [flat[g * size : (g + 1) * size] for g in range(size)]
    own = [slot["group"] for slot in margin.snapshot["instruments"]]
    x = [circuit.row("positions", [d if g == h else 0 for d, h in zip(delta, own, strict=True)]) for g in range(size)]
    square = Form()
    for g in range(size):
        y = Form()
        for h in range(size):
            y = y + x[h] * sigma[g][h]
        if x[g].terms and y.terms:
            square = square + circuit.gate(x[g], y)
    if square.terms:
        root = circuit.integer(f"{part['type']}: root", ceiling_of_root(circuit.greatest(square)))
        circuit.not_negative(part["type"], "delta norm", circuit.gate(root, root) - square)
        margin.candidate(part["group"], part["type"], "delta norm", root, 10**4)


def expected_shortfall(part: Json, margin: Margin) -> None:
    rule, count, weight = part["type"], len(part["scenarios"]), part["weight_bp"]
    tail = (10**4 - part["level_bp"]) * count
    terms = (weight * tail, 10**4 * weight, 10**4 * tail)
    a, b, c = (x // gcd(*terms) for x in terms)
    percent = f"{part['level_bp'] // 100}.{part['level_bp'] % 100:02d}".rstrip("0").rstrip(".")
    for group, losses in group_losses(part, margin):
        if not any(loss.terms for loss in losses):
            continue
        ends = [margin.circuit.ends(loss) for loss in losses]
        low, high = min(x for x, _ in ends), max(x for _, x in ends)
        t = margin.circuit.integer(f"{rule}: threshold", high - low) + Form(low)
        above = [
            margin.circuit.at_least(rule, f"above the threshold: {label}", [loss - t])
            for label, loss in zip(part["scenarios"], losses, strict=True)
        ]
        name = f"expected shortfall {percent} % of {count} scenarios"
        margin.candidate(group, rule, name, t * a + total(above) * b, c)


def class_losses(part: Json, margin: Margin, family: Json, s: int) -> list[Form]:
    risk = negative(columns(part["risk"])[s])
    return [
        margin.where(lambda i: margin.group_of(i) == each["group"], risk)  # noqa: B023 - used at once
        for each in family["classes"]
    ]


def counted(margin: Margin, rule: str, terms: Json, loss: Form) -> Form:
    """What the loss of a class of several counts for."""
    y, offset = loss * 10**4, terms["offset_bp"]
    if offset < 10**4 and loss.terms:
        above = margin.circuit.at_least(rule, f"losses of class {terms['group']}", [loss])
        y = loss * offset + above * (10**4 - offset)
    if terms["cap"] is not None and loss.terms:
        cap = Form(10**4 * terms["cap"])
        y = margin.circuit.at_least(rule, f"capped gains of class {terms['group']}", [y + cap]) - cap
    return y


def gain_offset(part: Json, margin: Margin) -> None:
    rule = part["type"]
    for family in part["families"]:
        classes = family["classes"]
        for s, label in enumerate(family["scenarios"]):
            losses = class_losses(part, margin, family, s)
            if len(classes) == 1:
                margin.candidate(classes[0]["group"], rule, label, losses[0])
                continue
            counts = [counted(margin, f"{rule}: {label}", x, loss) for x, loss in zip(classes, losses, strict=True)]
            margin.candidate(family["name"], rule, label, total(counts), 10**4)


def dampened_tails(part: Json, margin: Margin) -> None:
    circuit = margin.circuit
    for family, dampener in zip(part["families"], part["dampeners"], strict=True):
        classes, name, d = family["classes"], family["name"], Form(10**4 * dampener)
        group: Group = name if len(classes) > 1 else classes[0]["group"]
        for s, label in enumerate(family["scenarios"]):
            rule = f"{part['type']}: {label}"
            losses = class_losses(part, margin, family, s)
            A = losses[0] * 10**4
            if len(classes) > 1:
                A = total([counted(margin, rule, x, loss) for x, loss in zip(classes, losses, strict=True)])
            if not A.terms:
                continue
            B = max(*map(abs, circuit.ends(A)), d.constant)
            b, c = circuit.integer(f"{rule} {name} beyond", 1), circuit.integer(f"{rule} {name} within", 1)
            y = circuit.integer(f"{rule} {name}", B)
            circuit.equal(rule, f"{name} bit", b + c - Form(1))
            circuit.not_negative(rule, f"{name} within", b * B - A + d)
            circuit.not_negative(rule, f"{name} beyond", y - A + c * B)
            margin.candidate(group, part["type"], label, y, 10**4)


def discounted_scenarios(part: Json, margin: Margin) -> None:
    gain, shortfall = columns(part["gain"]), columns(part["shortfall"])
    expiries, groups = array(part["expiries"]), array(part["collateral_group"])
    balances = columns(part["collateral_gain"])
    for g, labels in enumerate(part["scenarios"]):
        for s, label in enumerate(labels):
            loss = margin.where(lambda i: margin.group_of(i) == g, negative(gain[s]))  # noqa: B023 - used at once
            for expiry in numbers(expiries):
                short = margin.where(
                    lambda i: margin.group_of(i) == g and expiries[i] == expiry,  # noqa: B023 - used at once
                    negative(shortfall[s]),
                )
                if short.terms:
                    loss += margin.circuit.at_least(part["type"], f"expiry {expiry} {label}", [short])
            for j, group in enumerate(groups):
                if group == g:
                    loss -= (margin.held[j] - margin.owed[j]) * balances[s][j]
            margin.candidate(g, part["type"], label, loss)


def skew_scenarios(part: Json, margin: Margin) -> None:
    rule, circuit, expiries = part["type"], margin.circuit, array(part["expiries"])
    gain, shortfall = columns(part["gain"]), columns(part["shortfall"])
    for g in range(len(margin.groups)):
        for k, label in enumerate(part["scenarios"]):
            loss = Form()
            for expiry in numbers(expiries):

                def here(i: int, g: int = g, expiry: int = expiry) -> bool:
                    return margin.group_of(i) == g and expiries[i] == expiry

                G, X, name = margin.where(here, gain[k]), margin.where(here, shortfall[k]), f"expiry {expiry} {label}"
                if X.terms:
                    B = max(circuit.greatest(X), circuit.greatest(X * -1))
                    above, below = (circuit.integer(f"{rule}: {name} {x}", B) for x in ("above", "below"))
                    long, short = (circuit.integer(f"{rule}: {name} {x}", 1) for x in ("long", "short"))
                    circuit.equal(rule, f"{name} sides", X - above + below)
                    circuit.equal(rule, f"{name} bit", long + short - Form(1))
                    circuit.not_negative(rule, f"{name} if long", long * B - above)
                    circuit.not_negative(rule, f"{name} if short", short * B - below)
                    G -= below
                loss += magnitude(margin, rule, name, G)
            margin.candidate(g, rule, label, loss)


def basis_contingency(part: Json, margin: Margin) -> None:
    rule, name, expiries = part["type"], "basis contingency", array(part["expiries"])
    sums = [Form() for _ in margin.groups]
    for expiry in numbers(expiries):
        rows = [
            margin.where(lambda i: expiries[i] == expiry, negative(column))  # noqa: B023 - used at once
            for column in columns(part["change"])
        ]
        losses = [row for row in rows if row.terms]
        if losses:
            sums[margin.group_of(expiries.index(expiry))] += margin.circuit.at_least(rule, f"expiry {expiry}", losses)
    if part["mode"] != "floor":
        margin.addition(rule, name, total(sums))
        return
    for g, amount in enumerate(sums):
        margin.candidate(g, rule, name, amount)


def collateral_charge(part: Json, margin: Margin) -> None:
    amounts = [held * x for held, x in zip(margin.held, array(part["charge"]), strict=True)]
    margin.addition(part["type"], "collateral charge", total(amounts), flat=True)


def open_orders(part: Json, margin: Margin) -> None:
    sides = zip(margin.held, margin.owed, array(part["rate"]), strict=True)
    amount = total([(held + owed) * rate for held, owed, rate in sides])
    margin.addition(part["type"], "open orders", amount, 10**4, flat=part["mode"] == "flat")


class Spreads:
    """The steps of rule ``spread``."""

    def __init__(self, circuit: Circuit, kind: str) -> None:
        self.circuit, self.kind, self.made = circuit, kind, 0

    def bits(self, name: str, count: int) -> list[Form]:
        bits = [self.circuit.integer(f"{name} {i}", 1) for i in range(count)]
        self.circuit.equal("spread", name, total(bits) - Form(1))
        return bits

    def sides(self, name: str, d: Form) -> tuple[Form, Form]:
        if not d.terms:
            return Form(), Form()
        B = max(self.circuit.greatest(d), self.circuit.greatest(d * -1), 1)
        long, short = (self.circuit.integer(f"{name} {x}", B) for x in ("long", "short"))
        bits = self.bits(f"{name} side", 2)
        self.circuit.equal("spread", f"{name} sides", d - long + short)
        for bit, side in zip(bits, (long, short), strict=True):
            self.circuit.not_negative("spread", f"{name} one side", bit * B - side)
        return long, short

    def least_count(self, name: str, legs: list[tuple[Form, int]]) -> Form:
        if any(x == Form() for x, _ in legs):
            return Form()
        M = [max(self.circuit.greatest(x), 0) for x, _ in legs]
        n = self.circuit.integer(f"{name} count", min(m // k for m, (_, k) in zip(M, legs, strict=True)))
        for m, (x, k), bit in zip(M, legs, self.bits(f"{name} binds", len(legs)), strict=True):
            self.circuit.not_negative("spread", f"{name} has the deltas", x - n * k)
            self.circuit.not_negative("spread", f"{name} is complete", Form(k - 1 + m) - bit * m - x + n * k)
        return n

    def counts(self, spreads: Json, accounts: list[tuple[Form, Form]]) -> list[Form]:
        block, left, result = list(range(len(accounts))), [list(sides) for sides in accounts], []
        for spread in spreads:
            for leg in spread["legs"]:
                first = block[leg["accounts"][0]]
                for other in dict.fromkeys(block[account] for account in leg["accounts"]):
                    if other != first:
                        left[first] = [a + b for a, b in zip(left[first], left[other], strict=True)]
                        block = [first if x == other else x for x in block]
            legs = [(block[leg["accounts"][0]], leg["side"] == "B", leg["ratio"]) for leg in spread["legs"]]
            A, B = (
                sorted((leg["accounts"], leg["ratio"]) for leg in spread["legs"] if leg["side"] == side)
                for side in "AB"
            )
            count = Form()
            for turned in (False,) if A == B else (False, True):
                self.made += 1
                taken = [(left[at][side != turned], ratio) for at, side, ratio in legs]
                n = self.least_count(f"{self.kind} {self.made}", taken)
                for at, side, ratio in legs:
                    left[at][side != turned] -= n * ratio
                count += n
            result.append(count)
        return result


def calendar_charge(part: Json, margin: Margin) -> None:
    rule, spreads = part["type"], Spreads(margin.circuit, part["type"])
    deltas, account_of, names = array(part["deltas"]), array(part["account_of"]), part["accounts"]
    net = [margin.where(lambda i: account_of[i] == a, deltas) for a in range(len(names))]  # noqa: B023 - used at once
    amounts, rates = [Form() for _ in margin.groups], list(part["delivery"])
    if part["method"] == "exact":
        sides = [spreads.sides(name, d) for name, d in zip(names, net, strict=True)]
        sizes = [long + short for long, short in sides]
        counts = spreads.counts(part["spreads"], sides)
        for spread, charge, count in zip(part["spreads"], part["charges"], counts, strict=True):
            amounts[part["account_groups"][spread["legs"][0]["accounts"][0]]] += count * charge
    else:
        for a in range(len(names)):
            legs = [[x for leg in spread["legs"] for x in leg["accounts"]] for spread in part["spreads"]]
            rates[a] += max((x for x, own in zip(part["charges"], legs, strict=True) if a in own), default=0)
        sizes = [
            magnitude(margin, rule, name, d) if rate else Form()
            for name, d, rate in zip(names, net, rates, strict=True)
        ]
    for group, rate, size in zip(part["account_groups"], rates, sizes, strict=True):
        amounts[group] += size * rate
    for g, amount in enumerate(amounts):
        margin.offset(g, rule, margin.groups[g], amount, 10**9)


def inter_commodity_credit(part: Json, margin: Margin) -> None:
    rule, spreads, deltas = part["type"], Spreads(margin.circuit, part["type"]), array(part["deltas"])
    named = {account for spread in part["spreads"] for leg in spread["legs"] for account in leg["accounts"]}
    sides = []
    for g, name in enumerate(margin.groups):
        own = margin.where(lambda i: margin.group_of(i) == g, deltas) if g in named else Form()  # noqa: B023 - at once
        sides.append(spreads.sides(f"{rule} {name}", own))
    amounts = [Form() for _ in margin.groups]
    counts = spreads.counts(part["spreads"], sides)
    for spread, credits_, count in zip(part["spreads"], part["credits"], counts, strict=True):
        for leg, credit in zip(spread["legs"], credits_, strict=True):
            amounts[leg["accounts"][0]] += count * credit
    for g, amount in enumerate(amounts):
        margin.offset(g, rule, margin.groups[g], amount, 10**15, relief=True)


def factors(part: Json, margin: Margin) -> None:
    """No equation: ``build_circuit`` has the factor."""


GROSS, NET = "requirements mode scale pools pool long short", "requirements mode scale pools pool value"
#: The encoder of each component and the keys it knows: a key it does not know could change the meaning.
COMPONENTS: dict[str, tuple[Callable[[Json, Margin], None], str]] = {
    "basis_contingency": (basis_contingency, "requirements mode expiries change"),
    "calendar_charge": (
        calendar_charge,
        "requirements method deltas account_of accounts account_groups spreads charges delivery",
    ),
    "collateral_charge": (collateral_charge, "requirements charge"),
    "dampened_tails": (dampened_tails, "requirements families risk dampeners"),
    "delta_norm": (delta_norm, "requirements group sigma delta"),
    "delta_shock_upper_bound": (pools, NET),
    "discounted_scenarios": (
        discounted_scenarios,
        "requirements scenarios expiries gain shortfall collateral_group collateral_gain",
    ),
    "expected_shortfall": (expected_shortfall, "requirements group scenarios risk level_bp weight_bp"),
    "factors": (factors, "requirements value_bp"),
    "fees": (pools, GROSS),
    "funding": (pools, GROSS),
    "gain_offset": (gain_offset, "requirements families risk"),
    "gross_charge": (pools, GROSS),
    "tiered_margin": (pools, GROSS),
    "haircuts": (haircuts, "long_value short_value tiers"),
    "inter_commodity_credit": (inter_commodity_credit, "requirements deltas spreads credits"),
    "joint_scenarios": (joint_scenarios, "requirements group scenarios risk"),
    "min_delta": (min_delta, "requirements mode net_rate_bp hedged_rate_bp delta"),
    "open_orders": (open_orders, "requirements mode rate"),
    "short_option_minimum": (short_option_minimum, "requirements mode charge strikes"),
    "skew_scenarios": (skew_scenarios, "requirements scenarios expiries gain shortfall"),
    "vega_term_upper_bound": (pools, NET),
    "worst_scenario": (worst_scenario, "requirements scenarios risk"),
}
