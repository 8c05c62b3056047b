// The dashboard of a venue's service. It reads the same calls as any auditor, with a token that is kept in this page's
// memory only. Texts of accounts and reasons are set as text, never as HTML.
"use strict";

const MARKS = { covered: "●", due: "◐", late: "▲", refused: "✕", uncovered: "○" };
const ALARMS = new Set(["late", "refused", "uncovered"]);
const MOST_ALARMS = 100;
const MOST_MISSED = 1000; // events: who missed more begins anew at the newest one
const at = (id) => document.getElementById(id);
const view = { session: null, series: [], accounts: [], asked: 0, drawn: 0, open: null, last: 0,
  refresh: null, ticking: null, took: 0, rows: new Map() };

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = String(text);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function drawing(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
}

// A session is a token and what stops every call of it. A token that does not count any more ends it.
async function ask(path, session) {
  const headers = { authorization: `Bearer ${session.token}` };
  const answer = await fetch(path, { headers, cache: "no-store", signal: session.stop.signal });
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  session.stop.signal.throwIfAborted();
  throw Object.assign(new Error(body.error ? body.error.message : `HTTP ${answer.status}`), { status: answer.status });
}

const call = async (path) => (await ask(path, view.session)).json();

const ofAccount = (name, what) => `/v1/accounts/${encodeURIComponent(name)}${what}`;
const shown = (time) => (time ? time.replace("T", " ").replace("Z", " UTC") : "never");
const number = (ratio) => { const [num, den] = ratio.split("/").map(Number); return num / den; };
const claimed = (ratio) => number(ratio).toLocaleString("en", { maximumFractionDigits: 4 });

function stateCell(name, state) {
  const mark = element("span", MARKS[state], { "aria-hidden": "true" });
  const cell = element(name, undefined, { class: `state ${state}` });
  cell.append(mark, ` ${state}`);
  return cell;
}

function trend(ratios) {
  const cell = element("td");
  if (ratios.length === 0) { cell.textContent = "nothing yet"; return cell; }
  if (ratios.length === 1) { cell.textContent = `once ${claimed(ratios[0])}`; return cell; } // a line has two ends
  const values = ratios.map(number), low = Math.min(...values), span = Math.max(...values) - low || 1;
  const points = values.map((v, i) => `${4 + (i * 72) / Math.max(values.length - 1, 1)},${20 - (16 * (v - low)) / span}`);
  const words = `${ratios.length} proofs, from ${claimed(ratios[0])} to ${claimed(ratios[ratios.length - 1])}`;
  const picture = drawing("svg", { width: 80, height: 24, viewBox: "0 0 80 24", role: "img", "aria-label": words });
  picture.append(drawing("polyline", { class: "trend", points: points.join(" ") }));
  cell.append(picture);
  return cell;
}

function showRoster() {
  const wanted = at("filter").value;
  const counts = Object.fromEntries(Object.keys(MARKS).map((state) => [state, 0]));
  for (const one of view.accounts) if (!one.closed) counts[one.state] += 1;
  at("counts").replaceChildren(...Object.entries(counts).map(([state, count]) => {
    const item = stateCell("li", state);
    item.append(` ${count}`);
    return item;
  }));
  const focused = focus("account");
  const rows = view.accounts.filter((one) => !wanted || one.state === wanted).map(rosterRow);
  const body = at("roster").tBodies[0], there = [...body.rows];
  if (there.length === rows.length && there.every((row, i) => row.dataset.account === rows[i].dataset.account)) {
    rows.forEach((row, i) => { if (row !== there[i]) there[i].replaceWith(row); });
  } else body.replaceChildren(...rows);
  refocus("account", focused);
}

// A row of an account, the one that is drawn where nothing of it changed: a thousand accounts are not drawn anew because
// one of them proved something.
function rosterRow(one) {
  const said = JSON.stringify(one), known = view.rows.get(one.account);
  if (known && known.said === said) return known.row;
  const row = element("tr", undefined, { "data-account": one.account }), head = element("th", undefined, { scope: "row" });
  const button = element("button", one.account, { type: "button", class: "name", "data-account": one.account });
  button.addEventListener("click", () => openAccount(one.account, true).catch(problem));
  head.append(button);
  const last = one.last ? `${claimed(one.last.ratio)} × ${one.last.requirement}` : "nothing";
  row.append(head, one.closed ? element("td", "closed") : stateCell("td", one.state),
    element("td", one.until ? shown(one.until) : "after its first proof"),
    element("td", `${claimed(one.terms.ratio)} × ${one.terms.requirement}`), element("td", last), trend(one.trend),
    element("td", one.proofs));
  view.rows.set(one.account, { said, row });
  return row;
}

// What is drawn anew keeps the keyboard's place: the button about the same thing.
function focus(about) {
  return document.activeElement && document.activeElement.dataset ? document.activeElement.dataset[about] : undefined;
}

function refocus(about, focused) {
  if (focused === undefined) return;
  const again = [...document.querySelectorAll(`button[data-${about}]`)].find((one) => one.dataset[about] === focused);
  if (again) again.focus();
}

function fact(term, value) {
  return [element("dt", term), element("dd", value)];
}

function showTimeline(coverage) {
  const payload = coverage.payload, begin = Date.parse(payload.begin), span = Date.parse(payload.end) - begin || 1;
  const words = `${payload.proven} of ${payload.snapshots.length} snapshots proven, largest gap ` +
    `${(payload.largest_gap_ms / 1000).toLocaleString("en")} s`;
  const picture = drawing("svg", { viewBox: "0 0 720 40", width: 720, height: 40, role: "img", "aria-label": words });
  picture.append(drawing("line", { class: "axis", x1: 6, x2: 714, y1: 20, y2: 20 }));
  for (const one of payload.snapshots) {
    const x = 6 + (708 * (Date.parse(one.time) - begin)) / span;
    const mark = drawing("circle", { class: one.statement ? "yes" : "no", cx: x, cy: 20, r: 5 });
    mark.append(Object.assign(drawing("title", {}), {
      textContent: `number ${one.sequence}, ${shown(one.time)}: ${one.statement ? "proven" : "not proven"}` }));
    picture.append(mark);
  }
  const missing = payload.snapshots.filter((one) => !one.statement);
  const rest = missing.length ? `not proven: number ${missing.map((one) => one.sequence).join(", ")}` : "no exception";
  return [picture, element("p", `${payload.series}: ${words}; ${rest}.`)];
}

async function saveReceipt(statement) {
  const receipt = await call(`/v1/receipts/${statement}`);
  const link = element("a", "", { download: `receipt-${statement.slice(0, 16)}.json` });
  link.href = URL.createObjectURL(new Blob([JSON.stringify(receipt, null, 1) + "\n"], { type: "application/json" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // a browser may fetch it later than at once
}

async function openAccount(name, move) {
  view.open = name;
  const end = new Date(), begin = new Date(end - 3_600_000);
  const times = `from=${begin.toISOString()}&to=${end.toISOString()}`;
  const coverage = view.series.map((series) => call(ofAccount(name, `/coverage?series=${encodeURIComponent(series)}&${times}`)));
  const [one, proofs, refusals, ...covered] = await Promise.all([call(ofAccount(name, "")),
    call(ofAccount(name, "/proofs?limit=50")), call(ofAccount(name, "/refusals?limit=50")), ...coverage]);
  if (view.open !== name) return;
  at("account-title").textContent = `Account ${name}`;
  const limits = one.terms.limits.length ? `, ${one.terms.limits.join(", ")}` : "";
  at("facts").replaceChildren(
    ...fact("State", `${one.state} since ${shown(one.since)}`), ...fact("Proof due at", shown(one.until)),
    ...fact("Asked", `${claimed(one.terms.ratio)} × ${one.terms.requirement}${limits}, every ${one.terms.period_seconds} s, late after ${one.terms.grace_seconds} s more`),
    ...fact("Parts", one.parts.map((p) => `${p.role} by ${p.issuer} (${p.part}) until ${shown(p.expires)}`).join("; ") || "none"),
    ...fact("Open challenges", one.challenges.length));
  at("timeline").replaceChildren(...covered.flatMap(showTimeline));
  const focused = focus("statement");
  at("proofs").tBodies[0].replaceChildren(...proofs.items.map((p) => {
    const row = element("tr"), cell = element("td");
    const words = `Save the receipt of ${shown(p.accepted)}`;
    const button = element("button", "Save", { type: "button", "aria-label": words, "data-statement": p.statement });
    button.addEventListener("click", () => saveReceipt(p.statement).catch(problem));
    cell.append(button);
    row.append(element("td", shown(p.accepted)), element("td", `${p.series} ${p.sequence}, ${shown(p.snapshot_time)}`),
      element("td", `${claimed(p.ratio)} × ${p.requirement}`), element("td", p.counts ? "yes" : "no: below the terms"), cell);
    return row;
  }));
  refocus("statement", focused);
  at("refusals").tBodies[0].replaceChildren(...refusals.items.map((r) => {
    const row = element("tr");
    row.append(element("td", shown(r.time)), element("td", r.check), element("td", r.reason));
    return row;
  }));
  at("account").hidden = false;
  if (move) at("account-title").focus();
}

async function showSnapshots() {
  const lists = await Promise.all(view.series.map((s) => call(`/v1/snapshots?series=${encodeURIComponent(s)}&limit=5`)));
  at("snapshots").tBodies[0].replaceChildren(...lists.flatMap((list) => list.items).map((one) => {
    const row = element("tr");
    row.append(element("td", one.series), element("td", one.sequence), element("td", shown(one.time)),
      element("td", shown(one.published)), element("td", one.snapshot, { class: "digest" }));
    return row;
  }));
}

function alarm(payload) {
  const item = element("li");
  item.append(`${shown(payload.time)} `);
  const before = payload.previous ? `${payload.previous} → ` : "";
  if (payload.kind === "state") item.append(`${payload.account}: ${before}`, stateCell("span", payload.state));
  else item.append(`${payload.account}: a proof was refused (${payload.check}): ${payload.reason}`);
  at("alarms").prepend(item);
  while (at("alarms").children.length > MOST_ALARMS) at("alarms").lastElementChild.remove();
  at("no-alarms").hidden = true;
}

// Where the stream begins: at the newest event that the roster knows of. What came before it is not told again, however
// much the service keeps; the alarms that stand are in the roster.
function beginAt(newest) {
  view.last = newest;
  at("alarms").replaceChildren();
  at("no-alarms").hidden = false;
  const standing = view.accounts.filter((one) => !one.closed).flatMap((one) => [
    ...(ALARMS.has(one.state) ? [{ kind: "state", time: one.since, account: one.account, state: one.state }] : []),
    ...(one.refused ? [{ ...one.refused, kind: "refused", account: one.account }] : [])]);
  standing.sort((a, b) => Date.parse(a.time) - Date.parse(b.time)).slice(-MOST_ALARMS).forEach(alarm);
}

function happened(payload) {
  view.last = payload.number;
  if (payload.kind === "refused" || (payload.kind === "state" && ALARMS.has(payload.state))) alarm(payload);
  // a roster that takes long to get and draw is asked for less often: most of the time the page does nothing
  if (view.refresh === null) view.refresh = setTimeout(refresh, Math.max(300, 4 * view.took));
}

// The newest event's number; the roster is drawn unless a later one is drawn already.
async function loadRoster() {
  const order = ++view.asked, session = view.session, begin = performance.now();
  try {
    const found = await call("/v1/accounts");
    if (view.session !== session || order < view.drawn) return found.newest_event;
    view.drawn = order;
    view.accounts = found.accounts;
    at("as-of").textContent = `As of ${shown(new Date().toISOString().slice(0, 19) + "Z")}.`;
    at("main").classList.remove("stale");
    showRoster();
    view.took = performance.now() - begin;
    return found.newest_event;
  } catch (error) {
    if (view.session === session && order > view.drawn) stale();
    throw error;
  }
}

// What is shown stays, and says that it may be wrong by now.
function stale() {
  if (at("main").classList.contains("stale")) return;
  at("main").classList.add("stale");
  at("as-of").prepend("Stale: states may have changed since. ");
}

async function refresh() {
  view.refresh = null;
  try {
    await loadRoster();
    await showSnapshots();
    if (view.open !== null) await openAccount(view.open, false);
    at("problem").textContent = "";
  } catch (error) { problem(error); }
}

// EventSource sends no token, so the stream is read here.
async function listen(session) {
  for (let again = false; ; again = true) {
    let lost = "connection lost, trying again";
    try {
      if (again) { // while nobody listened, more may have happened than is worth telling; a restored service knows less
        const newest = await loadRoster();
        if (newest < view.last || newest > view.last + MOST_MISSED) beginAt(newest);
      }
      const answer = await ask(`/v1/events?after=${view.last}`, session);
      at("connection").textContent = "live";
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ""; ;) {
        const { done, value } = await reader.read();
        if (done) break;
        const parts = (rest + value).split("\n\n");
        rest = parts.pop();
        for (const part of parts) {
          const data = part.split("\n").find((line) => line.startsWith("data: "));
          if (data) happened(JSON.parse(data.slice(6)).payload);
        }
      }
    } catch (error) {
      if (error.status === 401) problem(error);
      else if (error.status) lost = `not live, trying again: ${error.message}`;
    }
    if (session.stop.signal.aborted) return;
    at("connection").textContent = lost;
    await new Promise((resolve) => setTimeout(resolve, 2000));
    if (session.stop.signal.aborted) return;
  }
}

function problem(error) {
  if (error.name === "AbortError") return; // a call of a session that ended
  if (error.status === 401) leave(`The session ended: ${error.message}`);
  else at("problem").textContent = error.message;
}

// The token is forgotten, and with it what it was good for.
function leave(message) {
  view.session.stop.abort();
  clearInterval(view.ticking);
  clearTimeout(view.refresh);
  Object.assign(view, { series: [], accounts: [], drawn: view.asked, open: null, last: 0, refresh: null, rows: new Map() });
  view.session.token = "";
  for (const name of ["counts", "alarms", "facts", "timeline"]) at(name).replaceChildren();
  for (const name of ["roster", "proofs", "refusals", "snapshots"]) at(name).tBodies[0].replaceChildren();
  at("main").hidden = true;
  at("account").hidden = true;
  at("enter").hidden = false;
  at("connection").textContent = "not connected";
  at("problem").textContent = message;
  at("token").focus();
}

at("enter").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (view.session !== null) view.session.stop.abort(); // shown twice
  const session = view.session = { token: at("token").value.trim(), stop: new AbortController() };
  at("problem").textContent = "";
  try {
    const service = await call("/v1/service");
    view.series = service.series;
    at("name").textContent = service.name;
    document.title = `${service.name} – zkmargin`;
    beginAt(await loadRoster());
  } catch (error) {
    if (view.session === session) leave(error.message);
    return;
  }
  at("token").value = "";
  at("enter").hidden = true;
  at("main").hidden = false;
  at("main").focus();
  listen(session);
  showSnapshots().catch(problem);
  view.ticking = setInterval(refresh, 10_000); // states change with the clock too
});
at("filter").addEventListener("change", showRoster);
at("close").addEventListener("click", () => {
  const name = view.open;
  view.open = null;
  at("account").hidden = true;
  const back = [...document.querySelectorAll("button.name")].find((one) => one.dataset.account === name);
  (back || at("main")).focus();
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && view.open !== null) at("close").click(); });
