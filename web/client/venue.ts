// The client of a venue's service (`zkmargin serve`), typed by its OpenAPI description.
//
//     const venue = open("https://venue.example", token);
//     const { accounts } = await done(venue.GET("/v1/accounts"));
//     for await (const event of events("https://venue.example", token)) console.log(event.payload.kind);
//
// `schema.ts` is generated (web/client/describe.py): a call, a query or a body that the service does not know does not
// compile. Proofs are made by `zkmargin`; what is here submits them, and shows what a venue knows.

import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Schemas = components["schemas"];
export type Account = Schemas["AccountLine"];
export type Event = Schemas["Event"];
export type Receipt = Schemas["Receipt"];
export type Submission = Schemas["Submission"];
export type Venue = Client<paths>;

/** What a service answered instead: its error, as docs/decisions/0011-the-venue-service.md lists them. */
export class VenueError extends Error {
  constructor(
    readonly status: number,
    readonly fault: Schemas["Fault"],
    /** The digest of the statement, where a proof of it was accepted before. */
    readonly statement: string | null,
  ) {
    super(fault.message);
    this.name = "VenueError";
  }
}

/** Calls of one service, with the token of whoever calls. */
export function open(url: string, token?: string): Venue {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return createClient<paths>({ baseUrl: url.replace(/\/+$/, ""), headers });
}

/** What a call answered, or a `VenueError`. */
export async function done<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call;
  if (response.ok) return data as T;
  throw new VenueError(response.status, ...faultOf(error, response.status));
}

/** Signed events above a number, as they happen, until the service ends or `signal` does. */
export async function* events(url: string, token: string, after = 0, signal?: AbortSignal): AsyncGenerator<Event> {
  const asked = `${url.replace(/\/+$/, "")}/v1/events?after=${after}`;
  const response = await fetch(asked, { headers: { authorization: `Bearer ${token}` }, signal: signal ?? null });
  if (!response.ok || response.body === null) {
    const body: unknown = await response.json().catch(() => null);
    throw new VenueError(response.status, ...faultOf(body, response.status));
  }
  let text = "";
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += decoder.decode(part.value, { stream: true });
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) if (line.startsWith("data:")) yield JSON.parse(line.slice(5)) as Event;
    }
  } finally {
    await reader.cancel(); // whoever stops listening hangs up
  }
}

function faultOf(body: unknown, status: number): [Schemas["Fault"], string | null] {
  const found = body as Partial<Schemas["FaultBody"]> | null;
  if (found?.error !== undefined) return [found.error, found.statement ?? null];
  return [{ type: "unknown", message: `HTTP status ${status}`, exit_code: 2 }, null];
}
