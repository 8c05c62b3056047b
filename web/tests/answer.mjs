// Verifies what it is sent, one JSON object a line, and answers one a line: {"accepted": "<statement digest>"} or {"rejected": "why"}.
// test_verifier.py compares the answers with those of both Python verifiers.
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { fromHex, toHex, utf8 } from "../src/bytes.js";
import { parseClaim, parseLimit, buildCircuit } from "../src/components.js";
import { parse } from "../src/json.js";
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

function answer(asked) {
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
