// A snapshot: docs/formats.md. Its keys all written out, its arrays by shape and checksum, its parts of the right sizes.
import { fromBase64, keccak256, toHex, utf8 } from "./bytes.js";
import { canonical } from "./json.js";
import { require } from "./rejected.js";
import { anything, boolean, decimal, hex, integer, list, literal, name, object, optional, string, time } from "./shape.js";

const INT64 = 1n << 63n;
const MOST_ELEMENTS = 1 << 25;
const LEAST_INT64 = -INT64;
const requirement = literal("initial", "maintenance");
const label = string(null, 8000);
const count = integer(0, INT64 - 1n);

/** An array, decoded in place: `values` (BigInt64Array) beside its shape, its data gone. `size` says what shape it must have. */
const array = (size) => (value, place) => {
  object({ shape: list(integer(0, MOST_ELEMENTS), 1, 3), keccak256: hex(32), data: string(null, Infinity) })(value, place);
  const shape = value.shape.map(Number);
  const elements = shape.reduce((a, b) => a * b, 1);
  require(elements <= MOST_ELEMENTS, `${place}: too many elements`);
  require(!size || (shape.length === size.length && size.every((n, i) => n === null || n === shape[i])), `${place}: not of its shape`);
  const bytes = fromBase64(value.data, place);
  require(bytes.length === 8 * elements, `${place}: not as many bytes as its shape says`);
  require(toHex(keccak256(bytes)) === value.keccak256, `${place}: the checksum is not that of its data`);
  const values = new BigInt64Array(bytes.buffer); // little-endian, as every machine with a browser is
  require(!values.includes(LEAST_INT64), `${place}: a value outside 64 bits with sign`);
  delete value.data;
  Object.defineProperty(value, "values", { value: values });
  Object.defineProperty(value, "shape", { value: shape, enumerable: true });
};

/** The keys of each component; a key that is not known could change the meaning. `N`, `M`: slots; `G`: groups. */
function components({ N, M, G }) {
  const modes = literal("floor", "added", "flat");
  const group = (value, place) => (typeof value === "bigint" ? integer(0, G - 1)(value, place) : label(value, place));
  const lines = list(object({ slope: integer(0, 1n << 62n), start: integer(0, 1n << 160n) }), 1, 64);
  const risk = array([N, null]);
  const requirements = list(requirement, 1);
  const pools = { requirements, mode: modes, scale: integer(1, 1n << 62n), pools: list(object({ name: label, group, lines })), pool: array([N]) };
  const gross = { ...pools, long: array([N]), short: array([N]) };
  const net = { ...pools, value: array([N]) };
  const classes = list(object({ group: integer(0, G - 1), offset_bp: integer(0, 10_000), cap: optional(count) }), 1);
  const families = { requirements, families: list(object({ name: label, classes, scenarios: list(label, 1, 1024) })), risk };
  const legs = list(object({ accounts: list(integer(0, 1 << 20), 1, 4096), ratio: integer(1, 1n << 62n), side: literal("A", "B") }), 2);
  const spreads = { requirements, deltas: array([N]), spreads: list(object({ label: string(null, 200), legs }), 0, 65536) };
  const byGroup = list(list(label, 0, 1024), G, G);
  const joint = { requirements, group: optional(label), scenarios: list(label, 1, 1024), risk };
  return {
    basis_contingency: { requirements, mode: literal("floor", "added"), expiries: array([N]), change: array([N, 2]) },
    calendar_charge: { ...spreads, method: literal("exact", "convex_bound"), account_of: array([N]), accounts: list(label), account_groups: list(integer(0, G - 1)), charges: list(count), delivery: list(count) },
    collateral_charge: { requirements, charge: array([M]) },
    dampened_tails: { ...families, dampeners: list(count) },
    delta_norm: { requirements, group: label, sigma: array([G, G]), delta: array([N]) },
    delta_shock_upper_bound: net,
    discounted_scenarios: { requirements, scenarios: byGroup, expiries: array([N]), gain: risk, shortfall: risk, collateral_group: array([M]), collateral_gain: array([M, null]) },
    expected_shortfall: { ...joint, level_bp: integer(1, 9_999), weight_bp: integer(1, 10_000) },
    factors: { requirements, value_bp: integer(10_000, 1n << 32n) },
    fees: gross,
    funding: gross,
    gain_offset: families,
    gross_charge: gross,
    haircuts: { long_value: array([M]), short_value: array([M]), tiers: list(object({ slot: integer(0, M), value: count, start: integer(0, 1n << 120n) })) },
    inter_commodity_credit: { ...spreads, credits: list(list(count)) },
    joint_scenarios: joint,
    min_delta: { requirements, mode: modes, net_rate_bp: integer(0, 10_000), hedged_rate_bp: integer(0, 10_000), delta: array([N]) },
    open_orders: { requirements, mode: literal("added", "flat"), rate: array([M]) },
    short_option_minimum: { requirements, mode: modes, charge: array([N]), strikes: optional(array([N])) },
    skew_scenarios: { requirements, scenarios: list(label, 1, 1024), expiries: array([N]), gain: risk, shortfall: risk },
    tiered_margin: gross,
    vega_term_upper_bound: net,
    worst_scenario: { requirements, scenarios: byGroup, risk },
  };
}

/** How many columns an array of scenarios must have. */
function scenariosOf(part) {
  if (part.families) return part.families.map(({ scenarios }) => scenarios.length);
  if (!part.scenarios) return [];
  return part.type === "worst_scenario" || part.type === "discounted_scenarios" ? part.scenarios.map((labels) => labels.length) : [part.scenarios.length];
}

/** Checks a snapshot's value in place and gives its digest. Arrays become `values`. */
export function readSnapshot(value, place = "snapshot") {
  require(value && typeof value === "object", `${place}: not an object`);
  const versions = { "zkmargin/snapshot/v1": 1, "zkmargin/snapshot/v2": 2 };
  const version = versions[value.format];
  require(version !== undefined, `${place}: not a snapshot of a version that is known`);
  const second = version === 2;
  const slots = second ? { listed: integer(0, 65536), retired: boolean } : {};
  const layout = { domain_size: integer(8, 4096), position_bits: integer(1, 72), range_proved: boolean };
  const instrument = {
    id: name, kind: literal("option", "future", "perpetual", "spot"), group: count, underlying: name, lot: decimal,
    expiry: optional(string(null, 60)), strike: optional(decimal), option_type: optional(literal("call", "put")),
    settlement: literal("linear", "inverse"), multiplier: decimal, ...slots,
  };
  const asset = { asset: name, lot: decimal, price: integer(1, INT64), bits: integer(1, 72), negative_allowed: boolean, ...slots };
  const N = Array.isArray(value.instruments) ? value.instruments.length : 0;
  const M = Array.isArray(value.collateral) ? value.collateral.length : 0;
  const G = Array.isArray(value.groups) ? value.groups.length : 0;
  const known = components({ N, M, G });
  const component = (part, at) => {
    require(part && Object.hasOwn(known, part.type), `${at}: a component that this page does not know`);
    object({ type: anything, ...known[part.type] })(part, at);
  };
  object({
    format: anything, name: string(null, 200), time, quote: name, money_unit: literal("0.000000001"), market_digest: hex(32),
    policy: anything, groups: list(name, 0, 8192), instruments: list(object(instrument), 0, 65536),
    layout: object(second ? { ...layout, position_capacity: integer(0, 65536), collateral_capacity: integer(0, 4096) } : layout),
    collateral: list(object(asset), 0, 4096), marks: array([N]), deltas: array([N]), sensitivities: anything,
    components: list(component, 0, 65), ...(second ? { universe: optional(hex(32)), carried: list(anything) } : {}),
  })(value, place);
  check(value, place);
  return keccak256(utf8(canonical(withoutData(value))));
}

/** What must fit together, beyond the form of each key. */
function check(value, place) {
  const { layout, instruments, collateral, groups, policy } = value;
  const n = layout.domain_size;
  require((n & (n - 1n)) === 0n, `${place}: a domain size that is no power of two`);
  const k = BigInt(Math.log2(Number(n)));
  for (const bits of [layout.position_bits, ...collateral.map((slot) => slot.bits)]) {
    require(bits % k === 0n, `${place}: a bound that is no whole number of digits`);
  }
  for (const names of [instruments.map(({ id }) => id), collateral.map(({ asset }) => asset), groups]) {
    require(new Set(names).size === names.length, `${place}: a name that is there twice`);
  }
  instruments.forEach(({ id, group, underlying }) => require(groups[Number(group)] === underlying, `${place}: ${id}: its group is not its underlying`));
  require(new Set(instruments.map(({ group }) => group)).size === groups.length, `${place}: a risk group without an instrument`);
  const factors = policy?.requirements;
  object({ initial: integer(1, 1n << 32n), maintenance: integer(1, 1n << 32n) })(factors, `${place}.policy.requirements`);
  require(value.components.filter(({ type }) => type === "haircuts").length === 1, `${place}: not one component says what collateral counts for`);
  value.components.forEach((part, i) => {
    const lengths = scenariosOf(part);
    for (const key of ["risk", "gain", "shortfall", "collateral_gain"]) {
      if (part[key] && lengths.length) require(part[key].shape[1] === Math.max(...lengths), `${place}.components[${i}].${key}: not of its shape`);
    }
    const sizes = [[part.accounts, part.account_groups], [part.accounts, part.delivery], [part.spreads, part.charges], [part.spreads, part.credits], [part.families, part.dampeners]];
    for (const [a, b] of sizes) if (a && b) require(a.length === b.length, `${place}.components[${i}]: lists of different lengths`);
    const accounts = part.accounts?.length ?? groups.length;
    for (const { legs } of part.spreads ?? []) for (const leg of legs) require(leg.accounts.every((account) => account < BigInt(accounts)), `${place}.components[${i}]: a leg of no account`);
    part.credits?.forEach((credits, s) => require(credits.length === part.spreads[s].legs.length, `${place}.components[${i}]: credits of other legs`));
  });
  const retired = (slots) => slots.flatMap((slot, i) => (slot.retired ? [i] : []));
  for (const i of retired(instruments)) {
    require(value.marks.values[i] === 0n && value.deltas.values[i] === 0n, `${place}: a retired slot that is worth something`);
  }
}

/** A document as its digest sees it: arrays by shape and checksum. */
export function withoutData(value) {
  if (Array.isArray(value)) return value.map(withoutData);
  if (value === null || typeof value !== "object") return value;
  const keys = Object.keys(value);
  if (keys.length === 3 && ["shape", "keccak256", "data"].every((key) => keys.includes(key))) {
    const checksum = toHex(keccak256(fromBase64(value.data, "an array")));
    require(checksum === value.keccak256, "an array: the checksum is not that of its data");
    return { shape: value.shape, keccak256: checksum };
  }
  return Object.fromEntries(keys.map((key) => [key, withoutData(value[key])]));
}
