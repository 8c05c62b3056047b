// A day of a maker in TypeScript, against a running service: node day.js URL ACCOUNT-TOKEN AUDITOR-TOKEN < submission.json
// Prints what it saw as one line of JSON.

import { VenueError, done, events, open, type Submission } from "../client/venue.js";

declare const process: { argv: string[]; stdin: AsyncIterable<Uint8Array> };

const [, , url = "", token = "", auditing = ""] = process.argv;
const decoder = new TextDecoder();
let given = "";
for await (const part of process.stdin) given += decoder.decode(part, { stream: true });
const submission = JSON.parse(given) as Submission;
const account = submission.account;

const maker = open(url, token);
const service = await done(maker.GET("/v1/service"));
const receipt = await done(maker.POST("/v1/proofs", { body: submission }));
const again = await done(maker.POST("/v1/proofs", { body: submission })).catch((error: unknown) => error);
const own = await done(maker.GET("/v1/accounts/{account}", { params: { path: { account } } }));
const { challenges } = await done(
  maker.POST("/v1/accounts/{account}/challenges", { params: { path: { account } }, body: { lifetime_seconds: 60 } }),
);
const denied = await done(maker.GET("/v1/accounts")).catch((error: unknown) => error);
const { accounts } = await done(open(url, auditing).GET("/v1/accounts"));
const found = await done(
  maker.GET("/v1/receipts/{statement}", { params: { path: { statement: receipt.payload.statement } } }),
);
let accepted = "";
for await (const event of events(url, auditing)) {
  if (event.payload.kind === "accepted") {
    accepted = event.payload.statement ?? "";
    break;
  }
}
console.log(
  JSON.stringify({
    name: service.name,
    statement: receipt.payload.statement,
    same: JSON.stringify(found) === JSON.stringify(receipt),
    again: again instanceof VenueError ? [again.status, again.statement] : again,
    state: own.state,
    proofs: own.proofs,
    challenges: challenges.length,
    denied: denied instanceof VenueError ? [denied.status, denied.fault.type] : denied,
    accounts: accounts.map((one) => one.account),
    accepted,
  }),
);
