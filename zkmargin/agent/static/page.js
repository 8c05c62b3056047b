"use strict";
// The token stands behind # in the address, and is sent in a header to this page's own server only.
const state = document.getElementById("state");
const panels = document.getElementById("panels");
const token = location.hash.slice(1);

async function show() {
  try {
    const answer = await fetch("/panels", { headers: { Authorization: `Bearer ${token}` }, cache: "no-store" });
    if (answer.status === 401) {
      state.textContent = "The token is missing or wrong: open the address that zkmargin watch printed.";
      return;
    }
    const text = await answer.text();
    if (text !== show.last) {
      // What is open stays open, and where one was reading stays in view.
      const open = [...panels.querySelectorAll("details")].map((one) => one.open);
      panels.innerHTML = text; // made by our own server, which escapes every text; no script in it would run
      panels.querySelectorAll("details").forEach((one, place) => { one.open = open[place] ?? false; });
      show.last = text;
    }
    state.textContent = `as of ${new Date().toLocaleTimeString()}`;
  } catch {
    state.textContent = "The agent does not answer.";
  }
  setTimeout(show, document.hidden ? 10000 : 2000);
}
show();
