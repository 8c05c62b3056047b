// Verifies what it is sent, one JSON object a line, and answers one a line: {"accepted": "<statement digest>"} or {"rejected": "why"}.
// test_verifier.py compares the answers with those of both Python verifiers.
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { fromHex, toHex, utf8 } from "../src/bytes.js";
import { parseClaim, parseLimit, buildCircuit } from "../src/components.js";
import { examine } from "../src/evidence.js";
import { canonical, parse } from "../src/json.js";
import { Rejected } from "../src/rejected.js";
import { readSnapshot } from "../src/snapshot.js";
import { readCommitment, Statement } from "../src/statement.js";

const snapshots = new Map();

function snapshotOf(path) {
  if (!snapshots.has(path)) {
    const snapshot = parse(new Uint8Array(readFileSync(path)), "snapshot");
    snapshots.set(path, { snapshot, snapshotDigest: readSnapshot(snapshot) });
  }
  return snapshots.get(path);
}

const statements = new Map();

function statementOf(asked) {
  const { proof, ...rest } = asked;
  const key = JSON.stringify(rest);
  if (!statements.has(key)) {
    const commitments = asked.commitments.map((text) => {
      const value = parse(utf8(text), "commitment");
      readCommitment(value);
      return value;
    });
    const claim = parseClaim(asked.claim, asked.requirement);
    const limits = asked.limits.map(parseLimit);
    const statement = new Statement({ ...snapshotOf(asked.snapshot), commitments, claim, limits, context: fromHex(asked.context, "context") });
    statement.checkCommitments();
    statement.start = statement.transcript.state;
    statements.set(key, statement);
  }
  const statement = statements.get(key);
  statement.transcript.state = statement.start;
  return statement;
}

/** What the page itself does with files, at a time of one's choosing. */
function examined({ given, mine, asked, now }) {
  const bytes = (files) => files.map(({ name, text }) => ({ name, data: utf8(text) }));
  const { verdict, checks, lacking } = examine(bytes(given), bytes(mine), asked, now);
  return { verdict, failed: checks.filter(({ state }) => state === "failed").map(({ name, detail }) => `${name}: ${detail}`), lacking };
}

function answer(asked) {
  if (asked.examine) return examined(asked.examine);
  if (asked.json !== undefined) return { canonical: canonical(parse(fromHex(asked.json, "text"), "text")) };
  if (asked.circuit) {
    const { snapshot, snapshotDigest } = snapshotOf(asked.snapshot);
    const circuit = buildCircuit(snapshot, parseClaim(asked.claim, asked.requirement), asked.limits.map(parseLimit));
    return { circuit: toHex(circuit.digest()), snapshot: toHex(snapshotDigest) };
  }
  const statement = statementOf(asked);
  statement.checkProof(statement.readProof(fromHex(asked.proof, "proof")));
  return { accepted: toHex(statement.digest) };
}

for await (const line of createInterface({ input: process.stdin })) {
  let found;
  try {
    found = answer(JSON.parse(line));
  } catch (error) {
    found = error instanceof Rejected ? { rejected: error.message } : { crashed: `${error.stack}` };
  }
  process.stdout.write(`${JSON.stringify(found)}\n`);
}
