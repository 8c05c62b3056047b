// Whose word counts: attestations, revocations and a challenge under a verifier's own trust file (docs/trust.md, formats.md).
import { toHex, utf8, keccak256 } from "./bytes.js";
import { canonical } from "./json.js";
import { require } from "./rejected.js";
import { hex, integer, list, literal, milliseconds, object, optional, string, time } from "./shape.js";
import { keyOf, Message, payloadDigest, possessed, readSignature, scheme, verifies } from "./signatures.js";
import { slotMaps } from "./statement.js";

const title = string(null, 200, 1);
const sequence = integer(0, (1n << 63n) - 1n);
const quoted = (text) => `'${text}'`;
const digestOf = (value) => keccak256(utf8(canonical(value)));

// --- documents --------------------------------------------------------------------------------------------------

const SNAPSHOT = (second) => ({
  kind: literal("snapshot"), series: title, sequence, snapshot: hex(32), market: hex(32), time,
  ...(second ? { policy: hex(32) } : {}), slot_maps: object({ positions: hex(32), collateral: hex(32) }),
});
const COMMITMENT = {
  kind: literal("commitment"), issuer: title, role: literal("positions", "collateral"), account: title, part: title,
  sequence, issued: time, expires: time, slot_map: hex(32), points: list(hex(48), 1, 4096), bits: integer(1, 72),
  srs: hex(32), domain_size: integer(1, 1 << 20), beneficiary: optional(title),
};
const STRUCTS = {
  snapshot: ["Snapshot", [["string", "series"], ["uint64", "sequence"], ["string", "time"], ["bytes32", "snapshot"], ["bytes32", "market"], ["bytes32", "policy"]]],
  commitment: ["Commitment", [["string", "issuer"], ["string", "role"], ["string", "account"], ["string", "part"], ["uint64", "sequence"], ["string", "expires"], ["string", "beneficiary"]]],
  revocations: ["Revocations", [["string", "issuer"], ["uint64", "sequence"], ["string", "time"]]],
};

export function readAttestation(value, place = "attestation") {
  const payload = (inside, at) => {
    const form = inside?.kind === "snapshot" ? SNAPSHOT(value.format === "zkmargin/attestation/v2") : COMMITMENT;
    object(form)(inside, at);
  };
  object({ format: literal("zkmargin/attestation/v1", "zkmargin/attestation/v2"), payload, signatures: list(readSignature, 0, 64) })(value, place);
}

export function readRevocations(value, place = "revocations") {
  const reason = string(null, 200);
  const key = object({ scheme, public_key: string(/^[0-9a-f]+$/, 96), reason });
  const payload = object({ issuer: title, sequence, time, keys: list(key, 0, 1 << 14), attestations: list(object({ payload: hex(32), reason }), 0, 1 << 14) });
  object({ format: literal("zkmargin/revocations/v1"), payload, signatures: list(readSignature, 0, 64) })(value, place);
}

export function readChallenge(value, place = "challenge") {
  object({ format: literal("zkmargin/challenge/v1"), nonce: hex(32), audience: title, issued: time, deadline: time })(value, place);
  require(!/^0+$/.test(value.nonce), `${place}: a nonce of zeros`);
  const lifetime = milliseconds(value.deadline, place) - milliseconds(value.issued, place);
  require(lifetime > 0 && lifetime <= 366 * 86_400_000, `${place}: a deadline before the issue, or more than 366 days after it`);
}

export const challengeContext = (challenge) => utf8(`zkmargin/challenge/v1 ${toHex(digestOf(challenge))}`);

/** A trust file, with what it may leave out filled in. Checks the possession of every key. */
export function readTrust(value, place = "trust file") {
  const second = value?.format === "zkmargin/trust/v2";
  const later = second ? { receipts: [], revocations: [], required: [] } : {};
  const trust = { clock_skew_seconds: 30n, ...later, ...value };
  const rule = { name: title, signers: list(title, 1, 64), threshold: integer(1, 64) };
  const age = integer(1, 366 * 86_400);
  const key = (inside, at) => {
    const own = { possession: null, format: inside?.scheme === "secp256k1" ? "zkmargin/public-key/v2" : "zkmargin/public-key/v1", ...inside };
    object({ format: literal("zkmargin/public-key/v1", "zkmargin/public-key/v2"), name: title, scheme, public_key: string(/^[0-9a-f]+$/, 96), possession: optional(hex(96)) })(own, at);
    keyOf(own.scheme, own.public_key, at);
    if (own.scheme === "bls") require(own.possession !== null && possessed(own.public_key, own.possession), `${at}: ${own.name}: possession of the key is not proved`);
  };
  const required = (inside, at) => object({ role: literal("positions", "collateral"), issuer: title, part: title, accounts: list(title, 0, 1024) })({ part: "main", accounts: [], ...inside }, at);
  const snapshots = object({ ...rule, max_age_seconds: age, ...(second ? { policies: list(hex(32), 1, 64) } : {}) });
  object({
    format: literal("zkmargin/trust/v1", "zkmargin/trust/v2"), verifier: title, beneficiary: title, clock_skew_seconds: integer(0, 3600),
    keys: list(key, 1, 256), snapshots: list(snapshots, 1), positions: list(object(rule), 1), collateral: list(object(rule), 1),
    ...(second ? { receipts: list(object(rule)), revocations: list(object({ ...rule, max_age_seconds: age })), required: list(required) } : {}),
  })(trust, place);
  const unique = (names, what) => require(new Set(names).size === names.length, `${place}: ${what}: a name or key that is there twice`);
  unique(trust.keys.map((each) => each.name), "keys");
  unique(trust.keys.map((each) => each.public_key), "keys");
  const known = new Set(trust.keys.map((each) => each.name));
  for (const field of ["snapshots", "positions", "collateral", "receipts", "revocations"]) {
    unique((trust[field] ?? []).map((each) => each.name), field);
    for (const each of trust[field] ?? []) {
      unique(each.signers, `${field}: signers`);
      require(each.signers.every((signer) => known.has(signer)), `${place}: ${field}: a signer without a key`);
      require(each.threshold <= BigInt(each.signers.length), `${place}: ${field}: a threshold that cannot be met`);
    }
  }
  return trust;
}

// --- who signed what --------------------------------------------------------------------------------------------

const messageOf = ({ format, payload }, kind) => new Message(format, payload, format === "zkmargin/attestation/v1" ? null : STRUCTS[kind]);

/** The names of the trusted signers, enough of them. */
function quorum(trust, rules, name, what, document, kind, revoked) {
  const rule = rules.find((each) => each.name === name);
  require(rule, `your trust file trusts no ${what} ${quoted(name)}`);
  const nameOf = new Map(trust.keys.map((key) => [`${key.scheme} ${key.public_key}`, key.name]));
  const message = messageOf(document, kind);
  const signers = new Set();
  for (const signature of document.signatures) {
    const keys = signature.public_keys.map((key) => `${signature.scheme} ${key}`);
    const names = keys.map((key) => nameOf.get(key));
    if (!names.every((each) => rule.signers.includes(each)) || keys.some((key) => revoked.keys.has(key))) continue;
    require(verifies(signature, message), `the signature of ${names.join(", ")} does not verify`);
    names.forEach((each) => signers.add(each));
  }
  require(BigInt(signers.size) >= rule.threshold, `${quoted(name)}: ${signers.size} of ${rule.threshold} signatures that count`);
  return { rule, signers: [...signers].sort() };
}

function checkRevocations(trust, lists, now) {
  const revoked = { keys: new Set(), attestations: new Set() };
  const skew = 1000 * Number(trust.clock_skew_seconds);
  for (const rule of trust.revocations ?? []) {
    const own = lists.filter(({ payload }) => payload.issuer === rule.name);
    require(own.length > 0, `no list of revocations by ${quoted(rule.name)}`);
    require(own.length === 1, `more than one list of revocations by ${quoted(rule.name)}: give the newest`);
    quorum(trust, trust.revocations, rule.name, "revocations by", own[0], "revocations", { keys: new Set() });
    const age = now - milliseconds(own[0].payload.time);
    require(age <= 1000 * Number(rule.max_age_seconds) + skew, `the list of revocations by ${quoted(rule.name)} is too old: ${own[0].payload.time}`);
    require(age >= -skew, `the list of revocations by ${quoted(rule.name)} is from the future`);
  }
  for (const { payload } of lists.filter(({ payload: { issuer } }) => (trust.revocations ?? []).some(({ name }) => name === issuer))) {
    payload.keys.forEach((key) => revoked.keys.add(`${key.scheme} ${key.public_key}`));
    payload.attestations.forEach((each) => revoked.attestations.add(each.payload));
  }
  return revoked;
}

/** Attestations of the same thing as one, with the signatures of all; at most one of each series or part. */
function merged(attestations) {
  const streams = new Map();
  for (const attestation of attestations) {
    const { payload, format } = attestation;
    const stream = payload.kind === "snapshot" ? ["snapshot", payload.series] : ["commitment", payload.issuer, payload.role, payload.account, payload.part];
    const key = JSON.stringify(stream);
    const first = streams.get(key);
    if (!first) streams.set(key, { ...attestation });
    else {
      require(first.format === format && canonical(first.payload) === canonical(payload), "two attestations of one series or part that differ: give the newest only");
      first.signatures = [...first.signatures, ...attestation.signatures];
    }
  }
  return [...streams.values()];
}

/** The challenge is this verifier's, of this time, and the statement's context. */
export function checkChallenge(challenge, statement, trust, now) {
  const skew = 1000 * Number(trust?.clock_skew_seconds ?? 30n);
  require(now <= milliseconds(challenge.deadline) + skew, `the deadline has passed: ${challenge.deadline}`);
  require(now >= milliseconds(challenge.issued) - skew, `it is from the future: ${challenge.issued}`);
  if (trust) require(challenge.audience === trust.verifier, `it is addressed to ${quoted(challenge.audience)}, and your trust file is of ${quoted(trust.verifier)}`);
  const expected = challengeContext(challenge);
  require(toHex(statement.context) === toHex(expected), "the proof answers another: its context is not this challenge's digest");
}

/** Who signed the snapshot and each part. Throws Rejected with the first reason that keeps one from counting. */
export function authenticate(statement, trust, attestations, lists, now) {
  const revoked = checkRevocations(trust, lists, now);
  const found = { snapshots: [], parts: [] };
  for (const attestation of merged(attestations)) {
    const { payload, format } = attestation;
    require(!revoked.attestations.has(toHex(payloadDigest(format, payload))), "an attestation that is revoked");
    const ofSnapshot = payload.kind === "snapshot";
    const [rules, name, what] = ofSnapshot ? [trust.snapshots, payload.series, "snapshots of the series"] : [trust[payload.role], payload.issuer, `attestations of ${payload.role} by`];
    const { rule, signers } = quorum(trust, rules, name, what, attestation, payload.kind, revoked);
    (ofSnapshot ? found.snapshots : found.parts).push({ payload, rule, signers });
  }
  require(found.snapshots.length > 0, "nobody signed the snapshot");
  require(found.snapshots.length === 1, "more than one snapshot is attested");
  checkSnapshot(found.snapshots[0], statement, trust, now);
  const parts = statement.parts.map((part) => attestedPart(part, found.parts, statement));
  for (const each of found.parts) require(parts.includes(each), "a part is attested that is not in the statement");
  for (const { payload } of parts) checkCurrent(payload, trust, now);
  require(new Set(statement.parts.map(({ alias }) => alias)).size === 1, "parts of different accounts do not add up");
  checkRequired(parts, trust);
  return { snapshot: found.snapshots[0], parts };
}

function checkSnapshot({ payload, rule }, statement, trust, now) {
  const { snapshot, snapshotDigest } = statement;
  const policy = toHex(digestOf(snapshot.policy));
  const expected = { snapshot: toHex(snapshotDigest), market: snapshot.market_digest, time: snapshot.time, ...(payload.policy ? { policy } : {}) };
  for (const [key, value] of Object.entries(expected)) require(payload[key] === value, `the attested snapshot is another: its ${key} differs`);
  for (const role of ["positions", "collateral"]) require(payload.slot_maps[role] === slotMaps(snapshot, role).at(-1), "the attested snapshot is another: its slots differ");
  const age = now - milliseconds(payload.time);
  const skew = 1000 * Number(trust.clock_skew_seconds);
  require(age <= 1000 * Number(rule.max_age_seconds) + skew, `the snapshot is stale: ${Math.floor(age / 1000)} s old, at most ${rule.max_age_seconds} s are allowed`);
  require(age >= -skew, "the snapshot is from the future");
  if (rule.policies) require(rule.policies.includes(policy), `the snapshot's policy is none that your trust file allows: ${policy}`);
  for (const quote of snapshot.carried ?? []) require(quote.age_seconds <= rule.max_age_seconds, `the snapshot carries ${quoted(quote.id)} at a quote that was too old`);
}

function attestedPart(part, candidates, statement) {
  const found = candidates.find(({ payload }) => payload.points.join() === part.points.join());
  require(found, `nobody attested the ${part.role} of ${quoted(part.alias)}`);
  const { payload } = found;
  const expected = { role: part.role, account: part.alias, slot_map: part.slot_map, bits: part.bits, srs: statement.commitments[0].srs, domain_size: BigInt(statement.circuit.n) };
  for (const [key, value] of Object.entries(expected)) require(payload[key] === value, `the attested commitment is another: its ${key} differs`);
  return found;
}

function checkCurrent(payload, trust, now) {
  const skew = 1000 * Number(trust.clock_skew_seconds);
  require(now < milliseconds(payload.expires) + skew, `the attestation by ${quoted(payload.issuer)} has expired: ${payload.expires}`);
  require(now >= milliseconds(payload.issued) - skew, `the attestation by ${quoted(payload.issuer)} is from the future`);
  if (payload.role === "collateral") require(payload.beneficiary === trust.beneficiary, `the collateral is held for ${quoted(payload.beneficiary)}, not for ${quoted(trust.beneficiary)}`);
}

function checkRequired(parts, trust) {
  const account = parts[0].payload.account;
  for (const { role, issuer, part = "main", accounts = [] } of trust.required ?? []) {
    if (accounts.length && !accounts.includes(account)) continue;
    const there = parts.some(({ payload }) => payload.role === role && payload.issuer === issuer && payload.part === part);
    require(there, `your trust file requires ${role} ${quoted(part)} by ${quoted(issuer)}`);
  }
}
