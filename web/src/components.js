// What the components of a policy ask for, as equations: docs/circuit.md, sections 2 and 3; and its limits, section 4.
import { Circuit, Form, constant, sum } from "./circuit.js";
import { abs, ceilDivide, floorDivide, gcd, max, min, ofDecimal, ratioText, rootAbove } from "./rational.js";
import { Rejected, require } from "./rejected.js";

const BP = 10_000n;
const negative = (values) => values.map((x) => -x);
const numbers = (values) => [...new Set([...values].filter((x) => x >= 0n))].sort((a, b) => (a < b ? -1 : 1));

/** The columns of a two-dimensional array. */
function columns({ shape, values }) {
  const width = shape[1];
  return Array.from({ length: width }, (_, s) => {
    const column = new BigInt64Array(shape[0]);
    for (let i = 0; i < shape[0]; i++) column[i] = values[i * width + s];
    return column;
  });
}

/** Section 2: candidates, additions, offsets, equity. A group is a number, or a joint group's name. */
class Margin {
  constructor(circuit, snapshot) {
    this.circuit = circuit;
    this.snapshot = snapshot;
    this.groups = snapshot.groups;
    this.groupOf = snapshot.instruments.map((slot) => Number(slot.group));
    this.held = [];
    this.owed = [];
    this.equity = new Form();
    this.candidates = new Map();
    this.offsets = new Map();
    this.additions = new Form();
    this.flat = new Form();
  }

  row(values, here, side = "positions") {
    const coefficients = new BigInt64Array(values.length);
    for (let i = 0; i < values.length; i++) if (here(i)) coefficients[i] = values[i];
    return this.circuit.row(side, coefficients);
  }

  ofGroup(g) {
    return (i) => this.groupOf[i] === g;
  }

  candidate(group, rule, name, loss, scale = 1n, floor = false) {
    if (loss.nothing) return;
    if (!this.candidates.has(group)) this.candidates.set(group, []);
    this.candidates.get(group).push({ rule, name, loss, scale, floor });
  }

  addition(rule, name, amount, scale = 1n, flat = false) {
    let added = amount;
    if (scale > 1n) {
      const x = this.circuit.integer(`${rule}: ${name}`, ceilDivide(this.circuit.greatest(amount), scale));
      this.circuit.notNegative(rule, name, x.times(scale).minus(amount));
      added = x;
    }
    if (flat) this.flat = this.flat.plus(added);
    else this.additions = this.additions.plus(added);
  }

  offset(group, rule, name, amount, scale, relief) {
    if (amount.nothing) return;
    const greatest = this.circuit.greatest(amount);
    const x = this.circuit.integer(`${rule}: ${name}`, relief ? floorDivide(greatest, scale) : ceilDivide(greatest, scale));
    const above = x.times(scale).minus(amount);
    this.circuit.notNegative(rule, name, relief ? above.times(-1n) : above);
    this.offsets.set(group, (this.offsets.get(group) ?? new Form()).plus(x, relief ? -1n : 1n));
  }

  maximum(name, group, found) {
    const W = this.circuit.integer(name, max(...found.map(({ loss, scale }) => ceilDivide(this.circuit.greatest(loss), scale))));
    for (const { rule, name: candidate, loss, scale } of found) {
      this.circuit.notNegative(rule, `${group}: ${candidate}`, W.times(scale).minus(loss));
    }
    return W;
  }

  charges() {
    let total = this.additions;
    const joint = [...this.candidates.keys()].filter((group) => typeof group === "string");
    for (const group of [...this.groups.keys(), ...joint]) {
      let found = this.candidates.get(group) ?? [];
      const name = typeof group === "string" ? group : this.groups[group];
      if (this.offsets.has(group)) {
        const losses = found.filter(({ floor }) => !floor);
        const V = losses.length ? this.maximum(`largest loss of ${name}`, name, losses) : new Form();
        const loss = V.plus(this.offsets.get(group));
        found = [{ rule: "charge", name: "loss and spreads", loss, scale: 1n }, ...found.filter(({ floor }) => floor)];
      }
      if (found.length) total = total.plus(this.maximum(`charge of ${name}`, name, found));
    }
    return total;
  }

  /** Amounts of groups, [group, form], by the component's mode. */
  place(part, amounts, scale) {
    const title = part.type.replaceAll("_", " ");
    if (part.mode !== "floor") {
      this.addition(part.type, title, sum(amounts.map(([, form]) => form)), scale, part.mode === "flat");
      return;
    }
    const sums = new Map();
    for (const [group, form] of amounts) sums.set(group, (sums.get(group) ?? new Form()).plus(form));
    for (const [group, form] of sums) this.candidate(group, part.type, title, form, scale, true);
  }

  /** |v| from above. */
  magnitude(rule, name, v) {
    return v.nothing ? new Form() : this.circuit.atLeast(rule, name, [v, v.times(-1n)]);
  }
}

// --- the components ---------------------------------------------------------------------------------------------

function worstScenario(part, margin) {
  const risk = columns(part.risk).map(negative);
  part.scenarios.forEach((labels, g) =>
    labels.forEach((label, s) => margin.candidate(g, part.type, label, margin.row(risk[s], margin.ofGroup(g)))),
  );
}

function shortOptionMinimum(part, margin) {
  const { circuit, groups } = margin;
  const charge = part.charge.values;
  const strikes = part.strikes?.values;
  const minima = groups.map((_, g) => {
    if (!strikes) return margin.row(charge, margin.ofGroup(g), "short");
    let minimum = new Form();
    for (const strike of numbers(strikes)) {
      const loss = margin.row(negative(charge), (i) => margin.groupOf[i] === g && strikes[i] === strike);
      if (!loss.nothing) minimum = minimum.plus(circuit.atLeast(part.type, `strike ${strikes.indexOf(strike)}`, [loss]));
    }
    return minimum;
  });
  const title = "short option minimum";
  if (part.mode === "floor") minima.forEach((minimum, g) => margin.candidate(g, part.type, title, minimum, 1n, true));
  else margin.addition(part.type, title, sum(minima), 1n, part.mode === "flat");
}

function haircuts(part, margin) {
  const [long, short] = [part.long_value.values, part.short_value.values];
  margin.held.forEach((held, j) => {
    require(long[j] >= 0n && long[j] <= short[j], "haircuts: a balance owed counts for less than one held");
    margin.equity = margin.equity.plus(held, long[j]).plus(margin.owed[j], -short[j]);
    const tiers = part.tiers.filter(({ slot }) => slot === BigInt(j));
    if (!tiers.length) return;
    const above = tiers.map(({ value, start }) => held.times(long[j] - value).minus(constant(start)));
    margin.equity = margin.equity.minus(margin.circuit.atLeast(part.type, `concentration of collateral ${j}`, above));
  });
}

function pools(part, margin) {
  const pool = part.pool.values;
  const sizes = part.pools.map(({ name }, place) => {
    const here = (i) => pool[i] === BigInt(place);
    if ("value" in part) return margin.magnitude(part.type, `net size of ${name}`, margin.row(part.value.values, here));
    return margin.row(part.long.values, here, "long").plus(margin.row(part.short.values, here, "short"));
  });
  const amounts = part.pools.map(({ name, group, lines }, place) => {
    const size = sizes[place];
    const key = typeof group === "bigint" ? Number(group) : group;
    if (size.nothing) return [key, new Form()];
    const forms = lines.map(({ slope, start }) => size.times(slope).minus(constant(start)));
    if (forms.length === 1 && lines[0].start === 0n) return [key, forms[0]];
    return [key, margin.circuit.atLeast(part.type, `charge of ${name}`, forms)];
  });
  margin.place(part, amounts, part.scale);
}

function minDelta(part, margin) {
  const delta = part.delta.values;
  const sizes = delta.map(abs);
  const amounts = margin.groups.map((name, g) => {
    const here = margin.ofGroup(g);
    const net = margin.magnitude(part.type, `net delta of ${name}`, margin.row(delta, here));
    const gross = margin.row(sizes, here, "long").plus(margin.row(sizes, here, "short"));
    return [g, net.times(2n * part.net_rate_bp - part.hedged_rate_bp).plus(gross, part.hedged_rate_bp)];
  });
  margin.place(part, amounts, 20_000n);
}

/** [group, losses in each scenario]: of one joint group, or of each risk group. */
function* groupLosses(part, margin) {
  const losses = columns(part.risk).map(negative);
  if (part.group !== null) {
    yield [part.group, losses.map((loss) => margin.row(loss, () => true))];
    return;
  }
  for (const g of margin.groups.keys()) yield [g, losses.map((loss) => margin.row(loss, margin.ofGroup(g)))];
}

function jointScenarios(part, margin) {
  for (const [group, losses] of groupLosses(part, margin)) {
    part.scenarios.forEach((label, s) => margin.candidate(group, part.type, label, losses[s]));
  }
}

function expectedShortfall(part, margin) {
  const { circuit } = margin;
  const tail = (BP - part.level_bp) * BigInt(part.scenarios.length);
  const terms = [part.weight_bp * tail, BP * part.weight_bp, BP * tail];
  const common = terms.reduce(gcd);
  const [a, b, c] = terms.map((x) => x / common);
  const level = `${part.level_bp / 100n}.${String(part.level_bp % 100n).padStart(2, "0")}`.replace(/\.?0+$/, "");
  for (const [group, losses] of groupLosses(part, margin)) {
    if (losses.every((loss) => loss.nothing)) continue;
    const ends = losses.map((loss) => circuit.ends(loss));
    const low = min(...ends.map(([least]) => least));
    const high = max(...ends.map(([, greatest]) => greatest));
    const t = circuit.integer(`${part.type}: threshold`, high - low).plus(constant(low));
    const above = part.scenarios.map((label, s) =>
      circuit.atLeast(part.type, `above the threshold: ${label}`, [losses[s].minus(t)]),
    );
    const name = `expected shortfall ${level} % of ${part.scenarios.length} scenarios`;
    margin.candidate(group, part.type, name, t.times(a).plus(sum(above), b), c);
  }
}

const classLosses = (part, margin, { classes }, risk) => classes.map(({ group }) => margin.row(risk, margin.ofGroup(Number(group))));

/** What the loss of a class of several counts for. */
function counted(margin, rule, { group, offset_bp: offset, cap }, loss) {
  let y = loss.times(BP);
  if (offset < BP && !loss.nothing) {
    y = loss.times(offset).plus(margin.circuit.atLeast(rule, `losses of class ${group}`, [loss]), BP - offset);
  }
  if (cap !== null && !loss.nothing) {
    const most = constant(BP * cap);
    y = margin.circuit.atLeast(rule, `capped gains of class ${group}`, [y.plus(most)]).minus(most);
  }
  return y;
}

function gainOffset(part, margin) {
  const risk = columns(part.risk).map(negative);
  for (const family of part.families) {
    family.scenarios.forEach((label, s) => {
      const losses = classLosses(part, margin, family, risk[s]);
      if (losses.length === 1) {
        margin.candidate(Number(family.classes[0].group), part.type, label, losses[0]);
        return;
      }
      const y = sum(family.classes.map((each, i) => counted(margin, `${part.type}: ${label}`, each, losses[i])));
      margin.candidate(family.name, part.type, label, y, BP);
    });
  }
}

function dampenedTails(part, margin) {
  const { circuit } = margin;
  const risk = columns(part.risk).map(negative);
  part.families.forEach((family, place) => {
    const { classes, name } = family;
    const group = classes.length > 1 ? name : Number(classes[0].group);
    const d = constant(BP * part.dampeners[place]);
    family.scenarios.forEach((label, s) => {
      const rule = `${part.type}: ${label}`;
      const losses = classLosses(part, margin, family, risk[s]);
      const A = classes.length > 1 ? sum(classes.map((each, i) => counted(margin, rule, each, losses[i]))) : losses[0].times(BP);
      if (A.nothing) return;
      const B = max(...circuit.ends(A).map(abs), d.constant);
      const [b, c] = [circuit.integer(`${rule} ${name} beyond`, 1n), circuit.integer(`${rule} ${name} within`, 1n)];
      const y = circuit.integer(`${rule} ${name}`, B);
      circuit.equal(rule, `${name} bit`, b.plus(c).minus(constant(1n)));
      circuit.notNegative(rule, `${name} within`, b.times(B).minus(A).plus(d));
      circuit.notNegative(rule, `${name} beyond`, y.minus(A).plus(c, B));
      margin.candidate(group, part.type, label, y, BP);
    });
  });
}

function discountedScenarios(part, margin) {
  const [gain, shortfall] = [columns(part.gain).map(negative), columns(part.shortfall).map(negative)];
  const balances = columns(part.collateral_gain);
  const expiries = part.expiries.values;
  part.scenarios.forEach((labels, g) =>
    labels.forEach((label, s) => {
      let loss = margin.row(gain[s], margin.ofGroup(g));
      for (const expiry of numbers(expiries)) {
        const short = margin.row(shortfall[s], (i) => margin.groupOf[i] === g && expiries[i] === expiry);
        if (!short.nothing) loss = loss.plus(margin.circuit.atLeast(part.type, `expiry ${expiry} ${label}`, [short]));
      }
      part.collateral_group.values.forEach((group, j) => {
        if (group === BigInt(g)) loss = loss.minus(margin.held[j].minus(margin.owed[j]).times(balances[s][j]));
      });
      margin.candidate(g, part.type, label, loss);
    }),
  );
}

function skewScenarios(part, margin) {
  const { circuit } = margin;
  const rule = part.type;
  const [gain, shortfall] = [columns(part.gain), columns(part.shortfall)];
  const expiries = part.expiries.values;
  for (const g of margin.groups.keys()) {
    part.scenarios.forEach((label, k) => {
      let loss = new Form();
      for (const expiry of numbers(expiries)) {
        const here = (i) => margin.groupOf[i] === g && expiries[i] === expiry;
        const name = `expiry ${expiry} ${label}`;
        let G = margin.row(gain[k], here);
        const X = margin.row(shortfall[k], here);
        if (!X.nothing) {
          const B = max(circuit.greatest(X), circuit.greatest(X.times(-1n)));
          const [above, below] = ["above", "below"].map((side) => circuit.integer(`${rule}: ${name} ${side}`, B));
          const [long, short] = ["long", "short"].map((side) => circuit.integer(`${rule}: ${name} ${side}`, 1n));
          circuit.equal(rule, `${name} sides`, X.minus(above).plus(below));
          circuit.equal(rule, `${name} bit`, long.plus(short).minus(constant(1n)));
          circuit.notNegative(rule, `${name} if long`, long.times(B).minus(above));
          circuit.notNegative(rule, `${name} if short`, short.times(B).minus(below));
          G = G.minus(below);
        }
        loss = loss.plus(margin.magnitude(rule, name, G));
      }
      margin.candidate(g, rule, label, loss);
    });
  }
}

function basisContingency(part, margin) {
  const changes = columns(part.change).map(negative);
  const expiries = part.expiries.values;
  const sums = margin.groups.map(() => new Form());
  for (const expiry of numbers(expiries)) {
    const rows = changes.map((change) => margin.row(change, (i) => expiries[i] === expiry));
    const losses = rows.filter((row) => !row.nothing);
    if (!losses.length) continue;
    const g = margin.groupOf[expiries.indexOf(expiry)];
    sums[g] = sums[g].plus(margin.circuit.atLeast(part.type, `expiry ${expiry}`, losses));
  }
  if (part.mode === "floor") sums.forEach((amount, g) => margin.candidate(g, part.type, "basis contingency", amount));
  else margin.addition(part.type, "basis contingency", sum(sums), 1n, part.mode === "flat");
}

function collateralCharge(part, margin) {
  const amount = sum(margin.held.map((held, j) => held.times(part.charge.values[j])));
  margin.addition(part.type, "collateral charge", amount, 1n, true);
}

function openOrders(part, margin) {
  const amount = sum(margin.held.map((held, j) => held.plus(margin.owed[j]).times(part.rate.values[j])));
  margin.addition(part.type, "open orders", amount, BP, part.mode === "flat");
}

function deltaNorm(part, margin) {
  const { circuit, groups } = margin;
  const x = groups.map((_, g) => margin.row(part.delta.values, margin.ofGroup(g)));
  let square = new Form();
  groups.forEach((_, g) => {
    const y = sum(x.map((form, h) => form.times(part.sigma.values[g * groups.length + h])));
    if (!x[g].nothing && !y.nothing) square = square.plus(circuit.gate(x[g], y));
  });
  if (square.nothing) return;
  const root = circuit.integer(`${part.type}: root`, rootAbove(circuit.greatest(square)));
  circuit.notNegative(part.type, "delta norm", circuit.gate(root, root).minus(square));
  margin.candidate(part.group, part.type, "delta norm", root, BP);
}

/** The steps of rule `spread`. */
class Spreads {
  constructor(circuit, kind) {
    Object.assign(this, { circuit, kind, made: 0 });
  }

  bits(name, count) {
    const bits = Array.from({ length: count }, (_, i) => this.circuit.integer(`${name} ${i}`, 1n));
    this.circuit.equal("spread", name, sum(bits).minus(constant(1n)));
    return bits;
  }

  sides(name, d) {
    if (d.nothing) return [new Form(), new Form()];
    const B = max(this.circuit.greatest(d), this.circuit.greatest(d.times(-1n)), 1n);
    const sides = ["long", "short"].map((side) => this.circuit.integer(`${name} ${side}`, B));
    const bits = this.bits(`${name} side`, 2);
    this.circuit.equal("spread", `${name} sides`, d.minus(sides[0]).plus(sides[1]));
    sides.forEach((side, i) => this.circuit.notNegative("spread", `${name} one side`, bits[i].times(B).minus(side)));
    return sides;
  }

  leastCount(name, legs) {
    if (legs.some(({ x }) => x.nothing)) return new Form();
    const M = legs.map(({ x }) => max(this.circuit.greatest(x), 0n));
    const n = this.circuit.integer(`${name} count`, min(...legs.map(({ ratio }, l) => floorDivide(M[l], ratio))));
    const bits = this.bits(`${name} binds`, legs.length);
    legs.forEach(({ x, ratio }, l) => {
      this.circuit.notNegative("spread", `${name} has the deltas`, x.minus(n.times(ratio)));
      const complete = constant(ratio - 1n + M[l]).minus(bits[l].times(M[l])).minus(x).plus(n, ratio);
      this.circuit.notNegative("spread", `${name} is complete`, complete);
    });
    return n;
  }

  counts(spreads, accounts) {
    let block = accounts.map((_, i) => i);
    const left = accounts.map((sides) => [...sides]);
    return spreads.map(({ legs }) => {
      const places = legs.map((leg) => leg.accounts.map(Number));
      for (const own of places) {
        const first = block[own[0]];
        for (const other of new Set(own.map((account) => block[account]))) {
          if (other === first) continue;
          left[first] = left[first].map((form, side) => form.plus(left[other][side]));
          block = block.map((x) => (x === other ? first : x));
        }
      }
      const [A, B] = ["A", "B"].map((side) => {
        const own = legs.filter((leg) => leg.side === side).map((leg) => `${leg.accounts.join(" ")} / ${leg.ratio}`);
        return own.sort().join("; ");
      });
      let count = new Form();
      for (const turned of A === B ? [0] : [0, 1]) {
        this.made++;
        const taken = legs.map((leg, l) => ({ at: block[places[l][0]], side: Number(leg.side === "B") ^ turned, ratio: leg.ratio }));
        const n = this.leastCount(`${this.kind} ${this.made}`, taken.map(({ at, side, ratio }) => ({ x: left[at][side], ratio })));
        for (const { at, side, ratio } of taken) left[at][side] = left[at][side].minus(n.times(ratio));
        count = count.plus(n);
      }
      return count;
    });
  }
}

function calendarCharge(part, margin) {
  const spreads = new Spreads(margin.circuit, part.type);
  const accountOf = part.account_of.values;
  const net = part.accounts.map((_, a) => margin.row(part.deltas.values, (i) => accountOf[i] === BigInt(a)));
  const amounts = margin.groups.map(() => new Form());
  const rates = [...part.delivery];
  let sizes;
  if (part.method === "exact") {
    const sides = part.accounts.map((name, a) => spreads.sides(name, net[a]));
    sizes = sides.map(([long, short]) => long.plus(short));
    spreads.counts(part.spreads, sides).forEach((count, i) => {
      const g = Number(part.account_groups[Number(part.spreads[i].legs[0].accounts[0])]);
      amounts[g] = amounts[g].plus(count, part.charges[i]);
    });
  } else {
    part.accounts.forEach((_, a) => {
      const named = part.charges.filter((_charge, i) => part.spreads[i].legs.some((leg) => leg.accounts.includes(BigInt(a))));
      rates[a] += max(0n, ...named);
    });
    sizes = part.accounts.map((name, a) => (rates[a] ? margin.magnitude(part.type, name, net[a]) : new Form()));
  }
  part.account_groups.forEach((group, a) => {
    amounts[Number(group)] = amounts[Number(group)].plus(sizes[a], rates[a]);
  });
  amounts.forEach((amount, g) => margin.offset(g, part.type, margin.groups[g], amount, 10n ** 9n, false));
}

function interCommodityCredit(part, margin) {
  const spreads = new Spreads(margin.circuit, part.type);
  const named = new Set(part.spreads.flatMap(({ legs }) => legs.flatMap(({ accounts }) => accounts.map(Number))));
  const sides = margin.groups.map((name, g) => {
    const own = named.has(g) ? margin.row(part.deltas.values, margin.ofGroup(g)) : new Form();
    return spreads.sides(`${part.type} ${name}`, own);
  });
  const amounts = margin.groups.map(() => new Form());
  spreads.counts(part.spreads, sides).forEach((count, i) =>
    part.spreads[i].legs.forEach(({ accounts }, l) => {
      amounts[Number(accounts[0])] = amounts[Number(accounts[0])].plus(count, part.credits[i][l]);
    }),
  );
  amounts.forEach((amount, g) => margin.offset(g, part.type, margin.groups[g], amount, 10n ** 15n, true));
}

export const ENCODERS = {
  basis_contingency: basisContingency,
  calendar_charge: calendarCharge,
  collateral_charge: collateralCharge,
  dampened_tails: dampenedTails,
  delta_norm: deltaNorm,
  delta_shock_upper_bound: pools,
  discounted_scenarios: discountedScenarios,
  expected_shortfall: expectedShortfall,
  factors: () => undefined, // no equation: buildCircuit has the factor
  fees: pools,
  funding: pools,
  gain_offset: gainOffset,
  gross_charge: pools,
  haircuts,
  inter_commodity_credit: interCommodityCredit,
  joint_scenarios: jointScenarios,
  min_delta: minDelta,
  open_orders: openOrders,
  short_option_minimum: shortOptionMinimum,
  skew_scenarios: skewScenarios,
  tiered_margin: pools,
  vega_term_upper_bound: pools,
  worst_scenario: worstScenario,
};

// --- claims and limits ------------------------------------------------------------------------------------------

const LIMIT = /^(?:(headroom)()|(net-exposure|gross-exposure|position|collateral) (\S+)) (<=|>=) ((?:0|[1-9][0-9]*)(?:\.[0-9]+)?|(?:0|[1-9][0-9]*)\/[1-9][0-9]*)$/;

/** A limit as it is typed, or in its canonical text. */
export function parseLimit(typed) {
  const found = LIMIT.exec(typed);
  require(found, `not a limit: ${String(typed).slice(0, 80)}`);
  const kind = found[1] ?? found[3];
  const subject = found[2] ?? found[4] ?? "";
  require((found[5] === ">=") === ["headroom", "collateral"].includes(kind), `the wrong relation: ${typed.slice(0, 80)}`);
  const [num, den] = found[6].includes("/") ? found[6].split("/") : [null, null];
  const bound = num === null ? ofDecimal(found[6], "a limit") : [BigInt(num), BigInt(den)];
  require(num === null || (gcd(...bound) === 1n && bound[1] > 1n), "a limit's fraction that is not in lowest terms");
  const canonical = [kind, subject, found[5], ratioText(bound)].filter((word) => word).join(" ");
  return { kind, subject, bound, text: canonical };
}

export function parseClaim(typed, requirement) {
  const parts = String(typed).split("/");
  require(parts.length <= 2, "not a claim");
  const [a, b] = [ofDecimal(parts[0], "a claim"), ofDecimal(parts[1] ?? "1", "a claim")];
  require(b[0] > 0n && a[0] > 0n, "not a claim");
  const [x, y] = [a[0] * b[1], a[1] * b[0]];
  const common = gcd(x, y);
  const claim = { num: x / common, den: y / common, requirement };
  require(claim.num < 1n << 16n && claim.den < 1n << 16n, "not a claim: beyond 65535");
  require(["initial", "maintenance"].includes(requirement), "no such requirement");
  return claim;
}

function encodeLimit(circuit, snapshot, limit, headroom) {
  const within = (form) => circuit.notNegative(`limit ${limit.kind}`, limit.text, form);
  const [num, den] = limit.bound;
  const scaled = (by, divide) => divide(num * by, den);
  if (limit.kind === "headroom") return within(headroom.minus(constant(scaled(10n ** 13n, ceilDivide))));
  const ofCollateral = limit.kind === "collateral";
  const slots = ofCollateral ? snapshot.collateral : snapshot.instruments;
  const key = ofCollateral ? "asset" : limit.kind === "position" ? "id" : "underlying";
  const at = slots.findIndex((slot) => slot[key] === limit.subject);
  require(at >= 0, `the snapshot has no ${limit.subject.slice(0, 80)}`);
  const perLot = (divide) => {
    const lot = ofDecimal(slots[at].lot, "a lot");
    return divide(num * lot[1], den * lot[0]);
  };
  if (ofCollateral) return within(Form.atom("collateral", at).minus(constant(perLot(ceilDivide))));
  const coefficients = new BigInt64Array(slots.length);
  if (limit.kind === "position") coefficients[at] = 1n;
  else slots.forEach((slot, i) => slot.underlying === limit.subject && (coefficients[i] = snapshot.deltas.values[i]));
  const bound = constant(limit.kind === "position" ? perLot(floorDivide) : scaled(10n ** 9n, floorDivide));
  if (limit.kind === "gross-exposure") {
    const sizes = coefficients.map(abs);
    return within(bound.minus(circuit.row("long", sizes)).minus(circuit.row("short", sizes)));
  }
  const net = circuit.row("positions", coefficients);
  within(bound.minus(net));
  return within(bound.plus(net));
}

/** The circuit of a snapshot, a claim and limits: section 2, "the order of construction". */
export function buildCircuit(snapshot, claim, limits) {
  const { layout, instruments, collateral } = snapshot;
  const retired = (slots) => slots.flatMap((slot, i) => (slot.retired ? [i] : []));
  const circuit = new Circuit({
    n: Number(layout.domain_size),
    slots: instruments.length,
    positionBits: layout.position_bits,
    rangeProved: layout.range_proved,
    assets: collateral.map(({ bits, negative_allowed: negative }) => ({ bits, negative })),
    capacity: { positions: Number(layout.position_capacity ?? 0n), collateral: Number(layout.collateral_capacity ?? 0n) },
    retired: { positions: retired(instruments), collateral: retired(collateral) },
  });
  const margin = new Margin(circuit, snapshot);
  circuit.assets.forEach(({ negative }, j) => {
    const held = circuit.integer(`collateral ${j} held`, circuit.balanceBound(j));
    const owed = negative ? circuit.integer(`collateral ${j} owed`, circuit.balanceBound(j)) : new Form();
    circuit.equal("collateral bound", `collateral ${j}`, Form.atom("collateral", j).minus(held).plus(owed));
    margin.held.push(held);
    margin.owed.push(owed);
  });
  margin.equity = circuit.row("positions", snapshot.marks.values).times(BP);
  let [num, den] = [snapshot.policy.requirements[claim.requirement], 1n];
  for (const part of snapshot.components) {
    if (!(part.requirements ?? [claim.requirement]).includes(claim.requirement)) continue;
    const encode = ENCODERS[part.type];
    if (!encode) throw new Rejected(`a component that this page does not know: ${part.type}`);
    encode(part, margin);
    if (part.type === "factors") [num, den] = [num * part.value_bp, den * BP];
  }
  const required = margin.charges().times(ceilDivide(num, den)).plus(margin.flat, BP);
  circuit.notNegative("claim", `${claim.num}:${claim.den}`, margin.equity.times(claim.den).minus(required.times(claim.num)));
  for (const limit of limits) encodeLimit(circuit, snapshot, limit, margin.equity.minus(required));
  return circuit;
}
