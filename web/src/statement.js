// What a proof is about: commitments, their slots, and what the transcript absorbs first (docs/formats.md, docs/protocol.md 4).
import { bigEndian, fromHex, keccak256, toHex, utf8 } from "./bytes.js";
import { proofHolds, readProof } from "./argument.js";
import { buildCircuit } from "./components.js";
import { point, setupDigest } from "./group.js";
import { canonical, compare } from "./json.js";
import { require } from "./rejected.js";
import { hex, integer, list, literal, object, string } from "./shape.js";
import { Transcript } from "./transcript.js";

const SLOTS = { positions: "instruments", collateral: "collateral" };
const ROLES = Object.keys(SLOTS);

export function readCommitment(value, place = "commitment") {
  const part = object({ role: literal(...ROLES), alias: string(null, 200, 1), slot_map: hex(32), points: list(hex(48), 1, 4096), bits: integer(1, 72) });
  object({ format: literal("zkmargin/commitment/v1"), srs: hex(32), domain_size: integer(1, 1 << 20), parts: list(part, 1, 1024) })(value, place);
}

/** The slot maps that a part of a role may have: one in version 1, a chain in version 2. */
export function slotMaps(snapshot, role) {
  const slots = snapshot[SLOTS[role]];
  const n = snapshot.layout.domain_size;
  const terms = (names, own) => own.map((slot) => names.map((name) => slot[name]));
  const digest = (value) => toHex(keccak256(utf8(canonical(value))));
  const assets = ["asset", "lot"];
  if (snapshot.format === "zkmargin/snapshot/v1") {
    const names = role === "positions" ? ["id", "kind", "settlement", "multiplier", "lot"] : assets;
    return [digest({ format: "zkmargin/slot-map/v1", n, role, slots: terms(names, slots) })];
  }
  const instruments = ["id", "kind", "underlying", "expiry", "strike", "option_type", "settlement", "multiplier", "lot"];
  const names = role === "positions" ? instruments : assets;
  const capacity = snapshot.layout[role === "positions" ? "position_capacity" : "collateral_capacity"];
  const listings = [...new Set([0n, ...slots.map(({ listed }) => listed)])].sort((a, b) => (a < b ? -1 : 1));
  const chain = [];
  for (const listing of listings) {
    const first = slots.filter(({ listed }) => listed < listing).length;
    const own = slots.filter(({ listed }) => listed === listing);
    chain.push(digest({ format: "zkmargin/slot-map/v2", role, n, capacity, previous: chain.at(-1) ?? null, first, slots: terms(names, own) }));
  }
  return chain;
}

/** All parts of an account in canonical order; the account's points by column are their sums. */
export function gather(commitments, snapshot, circuit) {
  for (const { srs, domain_size: size } of commitments) {
    require(srs === toHex(setupDigest), "commitment: another setup");
    require(size === BigInt(circuit.n), "commitment: another domain size");
  }
  const parts = commitments.flatMap((document) => document.parts);
  for (const role of ROLES) {
    const digests = slotMaps(snapshot, role);
    const own = parts.filter((part) => part.role === role);
    require(own.length > 0, `commitment: no part for ${role}`);
    require(own.every((part) => digests.includes(part.slot_map)), `commitment: a part for ${role} is about other slots`);
    require(own.every((part) => part.points.length === circuit.segments(role)), `commitment: a part for ${role} has another number of points`);
  }
  require(new Set(parts.map((part) => part.points.join())).size === parts.length, "commitment: a part is given twice");
  if (!circuit.rangeProved) {
    const stated = parts.filter(({ role }) => role === "positions").reduce((total, { bits }) => total + (1n << bits) - 1n, 0n);
    require(stated <= circuit.P, "commitment: stated bounds that add up too far");
  }
  const sorted = parts.map((part) => ({ part, text: canonical(part) }));
  sorted.sort((a, b) => compare(a.text, b.text));
  return sorted.map(({ part }) => part);
}

function addUp(parts) {
  const sums = {};
  for (const part of parts) {
    part.points.forEach((text, s) => {
      const column = `${part.role}[${s}]`;
      const at = point(fromHex(text, "commitment"), `commitment of ${part.role}`);
      sums[column] = sums[column] ? sums[column].add(at) : at;
    });
  }
  for (const [column, sum] of Object.entries(sums)) require(!sum.is0(), `commitment ${column}: parts that cancel`);
  return sums;
}

export class Statement {
  /** From values that were read: snapshot and its digest, commitments, claim, limits, context (bytes). */
  constructor({ snapshot, snapshotDigest, commitments, claim, limits, context }) {
    require(context.length <= 1024 && limits.length <= 64, "a context or a list of limits that is too long");
    Object.assign(this, { snapshot, snapshotDigest, commitments, claim, limits, context });
    this.circuit = buildCircuit(snapshot, claim, limits);
    this.circuitDigest = this.circuit.digest();
  }

  /** The commitments' parts are about this snapshot; their points are decoded and added up. */
  checkCommitments() {
    this.parts = gather(this.commitments, this.snapshot, this.circuit);
    this.committed = addUp(this.parts);
    const transcript = new Transcript();
    const { claim, limits, parts } = this;
    transcript.absorb("srs", setupDigest);
    transcript.absorb("snapshot", this.snapshotDigest);
    transcript.absorb("circuit", this.circuitDigest);
    transcript.absorb("claim", utf8(`${claim.num}/${claim.den} ${claim.requirement}`));
    transcript.absorb("limits", bigEndian(limits.length, 4));
    for (const limit of limits) transcript.absorb("limit", utf8(limit.text));
    transcript.absorb("parts", bigEndian(parts.length, 4));
    for (const part of parts) transcript.absorb("part", utf8(canonical(part)));
    transcript.absorb("context", this.context);
    this.transcript = transcript;
    this.digest = transcript.state;
  }

  readProof(data) {
    return readProof(data, this.circuit);
  }

  checkProof(proof) {
    proofHolds(this.transcript, this.circuit, this.committed, proof);
  }
}
