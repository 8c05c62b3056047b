// A bundle (zkmargin/evidence/v1), or loose files in its place, and everything that is checked of it, one check after another.
import { fromBase64, fromHex, keccak256, toHex, utf8 } from "./bytes.js";
import { parseClaim, parseLimit } from "./components.js";
import { canonical, parse } from "./json.js";
import { ratioText } from "./rational.js";
import { Rejected, require } from "./rejected.js";
import { readSnapshot, withoutData } from "./snapshot.js";
import { anything, list, object, optional, string } from "./shape.js";
import { readCommitment, Statement } from "./statement.js";
import { SETUP } from "./setup.js";
import { authenticate, challengeContext, checkChallenge, readAttestation, readChallenge, readRevocations, readTrust } from "./trust.js";

const MAGIC = utf8("zkmargin");
const SECRET = ["book", "opening", "fills", "update", "migration", "key", "venue-note", "venue-secret"];
const MANY = { commitment: "commitments", attestation: "attestations", revocations: "revocations" };
const SINGLE = ["snapshot", "trust", "challenge", "receipt"];
const SOURCES = ["market", "risk-arrays"];

const digestOf = (value) => toHex(keccak256(utf8(canonical(withoutData(value)))));

/** A file by its content: {kind, value} or {kind: "proof", data}. Secret files are refused by name, and not looked at. */
export function readFile({ name, data }) {
  if (MAGIC.every((byte, i) => data[i] === byte)) return { name, kind: "proof", data };
  const value = parse(data, name);
  const found = /^zkmargin\/([a-z-]+)\/v[0-9]+$/.exec(value?.format ?? "");
  require(found, `${name}: no file of ours`);
  require(!SECRET.includes(found[1]), `${name}: a SECRET file (${found[1]}): no verifier needs it, show it to nobody`);
  return { name, kind: found[1], value };
}

function readEvidence(value, place) {
  const document = (versions) => (inside, at) => require(versions.includes(/^zkmargin\/([a-z-]+)\/v[12]$/.exec(inside?.format ?? "")?.[1]), `${at}: not a document of its kind`);
  const claim = object({ ratio: string(/^[0-9]{1,5}\/[0-9]{1,5}$/, 11), requirement: string(null, 40), limits: list(string(null, 400), 0, 64), context: string(/^(?:[0-9a-f]{2})*$/, 2048) });
  object({
    format: anything, claim, proof: string(null, 1 << 21), snapshot: document(["snapshot"]), source: optional(document(SOURCES)),
    commitments: list(document(["commitment"]), 1, 1024), attestations: list(document(["attestation"]), 0, 4096), revocations: list(document(["revocations"]), 0, 1024),
    trust: optional(document(["trust"])), challenge: optional(document(["challenge"])), receipt: optional(document(["receipt"])),
  })(value, place);
}

/** One bundle of what was given: as it is, or made of loose files, whose claim and context the verifier says. */
function bundleOf(files, own) {
  const bundles = files.filter(({ kind }) => kind === "evidence");
  if (bundles.length) {
    require(files.length === 1, "one bundle, and nothing beside it: give your own files on the other side");
    const [{ value, name }] = bundles;
    readEvidence(value, name);
    const given = { ...value, proof: fromBase64(value.proof, "proof"), context: fromHex(value.claim.context, "context") };
    return { ...given, claim: parseClaim(value.claim.ratio, value.claim.requirement), limits: value.claim.limits.map(parseLimit), bundled: true };
  }
  const bundle = { commitments: [], attestations: [], revocations: [], snapshot: null, trust: null, challenge: null, receipt: null, source: null, proof: null };
  for (const { name, kind, value, data } of files) {
    if (kind in MANY) bundle[MANY[kind]].push(value);
    else {
      const place = SOURCES.includes(kind) ? "source" : kind;
      require(place === "proof" || place === "source" || SINGLE.includes(place), `${name}: a ${kind} has no part in a verification`);
      require(bundle[place] === null, `${name}: a second ${kind}`);
      bundle[place] = place === "proof" ? data : value;
    }
  }
  for (const place of ["proof", "snapshot"]) require(bundle[place] !== null, `no ${place}: give a bundle, or proof, snapshot and commitments`);
  require(bundle.commitments.length > 0, "no commitments");
  return { ...bundle, claim: own.claim, limits: own.limits, context: own.context ?? new Uint8Array(0), bundled: false };
}

/** Whether everything in a bundle is about one thing. That it is says nothing about whether it is true. */
function checkTogether(bundle) {
  bundle.commitments.forEach((value, i) => readCommitment(value, `commitments[${i}]`));
  bundle.attestations.forEach((value, i) => readAttestation(value, `attestations[${i}]`));
  bundle.revocations.forEach((value, i) => readRevocations(value, `revocations[${i}]`));
  if (bundle.challenge) {
    readChallenge(bundle.challenge, "the challenge inside");
    require(!bundle.bundled || toHex(challengeContext(bundle.challenge)) === toHex(bundle.context), "the challenge inside is not what the proof answers");
  }
  if (bundle.receipt) {
    const { payload } = bundle.receipt;
    require(payload?.proof === toHex(keccak256(bundle.proof)) && payload.context === toHex(bundle.context), "the receipt inside is of another proof");
    const { trust } = payload;
    require(!bundle.trust || trust === null || trust === digestOf(bundle.trust), "the receipt inside is under another trust file");
  }
}

function ownFiles(files, asked) {
  const own = { trust: null, challenge: null, revocations: [], attestations: [], ...asked };
  for (const { name, kind, value } of files) {
    if (kind === "revocations" || kind === "attestation") {
      (kind === "revocations" ? readRevocations : readAttestation)(value, name);
      own[MANY[kind]].push(value);
    } else {
      require(kind === "trust" || kind === "challenge", `${name}: belongs to what you were given`);
      require(own[kind] === null, `${name}: a second ${kind}`);
      if (kind === "challenge") readChallenge(value, name);
      own[kind] = kind === "trust" ? readTrust(value, name) : value;
    }
  }
  require(!(own.challenge && own.context?.length), "the challenge is the context: give one of the two");
  if (own.challenge) own.context = challengeContext(own.challenge);
  return own;
}

/** The claim proved is at least what is asked for. */
function checkAsked({ claim, limits, context }, own) {
  require(claim.requirement === own.claim.requirement, `it claims the ${claim.requirement} requirement, and you ask for the ${own.claim.requirement} one`);
  const enough = claim.num * own.claim.den >= own.claim.num * claim.den;
  require(enough, `it claims ${ratioText([claim.num, claim.den])}, and you ask for at least ${ratioText([own.claim.num, own.claim.den])}`);
  for (const limit of own.limits) require(limits.some(({ text }) => text === limit.text), `it does not claim ${limit.text}`);
  if (own.context !== null) require(toHex(context) === toHex(own.context), "its context is another than yours");
}

/** Examine what was given. `given` and `mine` are files {name, data}; `asked` is {ratio, requirement, limits, context}, texts.

    Returns {verdict: "accepted" | "unauthenticated" | "rejected", checks: [{name, state, detail, ms}], facts, lacking}. */
export function examine(given, mine, asked, now) {
  const checks = [];
  const state = {};
  const step = (name, work) => {
    const begin = performance.now();
    if (checks.some((check) => check.state === "failed")) return void checks.push({ name, state: "not reached", detail: "" });
    try {
      const detail = work();
      checks.push({ name, state: detail === null ? "skipped" : "passed", detail: detail ?? "", ms: performance.now() - begin });
    } catch (error) {
      const detail = error instanceof Rejected ? error.message : `a defect of this page: ${error}`;
      checks.push({ name, state: "failed", detail, ms: performance.now() - begin });
    }
    return undefined;
  };
  step("Your own files and wishes", () => {
    const limits = (asked.limits ?? []).map(parseLimit);
    const context = asked.context ? utf8(asked.context) : null;
    state.own = ownFiles(mine.map(readFile), { claim: parseClaim(asked.ratio || "1", asked.requirement || "initial"), limits, context });
    return state.own.trust ? `a trust file of '${state.own.trust.verifier}'` : "no trust file";
  });
  step("Files are strict JSON and belong together", () => {
    state.bundle = bundleOf(given.map(readFile), state.own);
    checkTogether(state.bundle);
    return `commitments: ${state.bundle.commitments.length}, attestations: ${state.bundle.attestations.length}`;
  });
  step("Snapshot: arrays, checksums, sizes", () => {
    const { bundle } = state;
    state.snapshotDigest = readSnapshot(bundle.snapshot);
    const digest = toHex(state.snapshotDigest);
    if (bundle.source) require(digestOf(bundle.source) === bundle.snapshot.market_digest, "the market inside is not the one that the snapshot names");
    if (bundle.receipt) require(bundle.receipt.payload.snapshot?.digest === digest, "the receipt inside is about another snapshot");
    return `digest ${digest}`;
  });
  step("Circuit built from snapshot, claim and limits", () => {
    const { snapshot, commitments, claim, limits, context } = state.bundle;
    state.statement = new Statement({ snapshot, snapshotDigest: state.snapshotDigest, commitments, claim, limits, context });
    return `${state.statement.circuit.equations.length} equations, digest ${toHex(state.statement.circuitDigest)}`;
  });
  step("Commitments: setup, slots, points of the group", () => {
    state.statement.checkCommitments();
    return `parts: ${state.statement.parts.length}, statement ${toHex(state.statement.digest)}`;
  });
  step("Proof: its one encoding", () => {
    state.proof = state.statement.readProof(state.bundle.proof);
    return `${state.bundle.proof.length} bytes`;
  });
  step("Proof: the argument holds", () => {
    state.statement.checkProof(state.proof);
    return "one pairing check";
  });
  step("Claim: at least what you ask for", () => {
    checkAsked(state.bundle, state.own);
    return undefined;
  });
  step("Signatures: snapshot and commitments, by your trust file", () => {
    const { own, bundle } = state;
    if (!own.trust) return null;
    const issuers = own.revocations.map(({ payload }) => payload.issuer);
    const lists = [...own.revocations, ...bundle.revocations.filter(({ payload }) => !issuers.includes(payload.issuer))];
    state.seen = authenticate(state.statement, own.trust, [...own.attestations, ...bundle.attestations], lists, now);
    return `snapshot signed by ${state.seen.snapshot.signers.join(", ")}; parts by ${state.seen.parts.map(({ signers }) => signers.join(", ")).join("; ")}`;
  });
  step("Challenge: yours, and still open", () => {
    const { own } = state;
    if (own.challenge === null) return own.context === null ? null : "the context that you typed";
    checkChallenge(own.challenge, state.statement, own.trust, now);
    return `for '${own.challenge.audience}', until ${own.challenge.deadline}`;
  });
  return conclude(checks, state);
}

function conclude(checks, { statement, seen, bundle, own }) {
  const rejected = checks.some(({ state }) => state === "failed");
  const lacking = [];
  if (!rejected && !own.trust) lacking.push("Nothing is authenticated: no trust file of your own says whose signatures count.");
  if (!rejected && own.context === null) lacking.push("Whom it was made for, and when, is its own word: no challenge or context of your own was given.");
  if (rejected) return { verdict: "rejected", checks, facts: [], notGuaranteed: [], lacking };
  const { claim, limits, context } = statement;
  const { snapshot } = bundle;
  const who = (part, i) => `${part.role} of '${part.alias}': ${seen ? `attested by '${seen.parts[i].payload.issuer}', until ${seen.parts[i].payload.expires}` : "not authenticated"}`;
  const bound = `every position is within 2^${snapshot.layout.position_bits} lots`;
  const ratio = ratioText([claim.num, claim.den]);
  const facts = [
    ["Claim", `equity is at least ${ratio === "1" ? "" : `${ratio} times `}the ${claim.requirement} margin requirement`],
    ...limits.map(({ text }) => ["Limit", text]),
    ["Policy", `calls itself '${snapshot.policy.name}', digest ${digestOf(snapshot.policy)}`],
    ["Snapshot", `${snapshot.name}; ${snapshot.instruments.length} instruments, ${snapshot.collateral.length} collateral assets`],
    ["Taken at", snapshot.time],
    ["Snapshot digest", toHex(statement.snapshotDigest)],
    ["Bounds", `${bound} (${snapshot.layout.range_proved ? "proved" : "said by whoever made the commitments"})`],
    ...statement.parts.map((part, i) => ["Commitment", who(part, i)]),
    ["Context", context.length ? contextText(context) : "none"],
    ["Statement", toHex(statement.digest)],
    ["Setup", `${SETUP.name}, digest ${SETUP.digest}`],
  ];
  return { verdict: lacking.length ? "unauthenticated" : "accepted", checks, facts, notGuaranteed: notGuaranteed(seen, own), lacking };
}

function contextText(context) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(context);
    return /\p{C}/u.test(text) ? `0x${toHex(context)}` : `'${text}'`;
  } catch {
    return `0x${toHex(context)}`;
  }
}

function notGuaranteed(seen, own) {
  return [
    seen ? "that the signers told the truth: your trust file says whose word counts" : "whose commitments these are, and whose snapshot: nobody whom you named has signed anything. Parts are added up, so a part that the prover made up can cancel the positions in another",
    "that the book is complete: positions or debts that were not committed are not in it",
    "that the collateral exists, is free of other claims, or can be sold at the snapshot's prices",
    "that the snapshot's prices are right, or its charges its policy's: zkmargin snapshot check rebuilds it from its market",
    "anything about another time than the snapshot's, or about losses beyond the policy's scenarios",
    own.challenge ? "that the challenge is used once: this page remembers nothing, a ledger does" : "that it is shown for the first time: this page remembers nothing, a ledger does",
  ];
}
