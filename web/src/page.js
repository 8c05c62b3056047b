// The page: drops, choices and what comes of them. Text from files goes in as text only.
import { examine } from "./evidence.js";

const MOST_BYTES = 128 * 1024 * 1024;
const at = (id) => document.getElementById(id);
const MARKS = { passed: ["✓", "passed"], failed: ["✗", "failed"], skipped: ["–", "not asked"], "not reached": ["·", "not reached"] };
const VERDICTS = {
  accepted: "Accepted",
  unauthenticated: "The proof verifies. Not accepted",
  rejected: "Rejected",
};
const files = { given: [], mine: [] };

function element(kind, text, className) {
  const made = document.createElement(kind);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

async function take(side, list) {
  for (const file of list) {
    const data = file.size <= MOST_BYTES ? new Uint8Array(await file.arrayBuffer()) : new Uint8Array(0);
    files[side].push({ name: file.name, data });
  }
  show();
}

function show() {
  for (const side of ["given", "mine"]) {
    at(`${side}-files`).replaceChildren(...files[side].map(({ name, data }) => element("li", `${name} (${data.length.toLocaleString("en")} bytes)`)));
  }
  at("asked").textContent = `at least ${at("ratio").value.trim() || "1.0"} of the ${at("requirement").value} requirement`;
  const result = at("result");
  result.hidden = files.given.length === 0;
  if (result.hidden) return;
  const asked = {
    ratio: at("ratio").value.trim(),
    requirement: at("requirement").value,
    limits: at("limits").value.split("\n").map((line) => line.trim()).filter((line) => line),
    context: at("context").value,
  };
  const begin = performance.now();
  const found = examine(files.given, files.mine, asked, Date.now());
  const spent = performance.now() - begin;
  result.className = found.verdict;
  at("verdict").textContent = VERDICTS[found.verdict];
  at("lacking").replaceChildren(...found.lacking.map((text) => element("p", text)));
  at("checks").replaceChildren(...found.checks.map(checkItem));
  at("time").textContent = `${spent.toFixed(0)} ms`;
  at("proved").hidden = found.verdict === "rejected";
  at("facts").replaceChildren(...found.facts.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  at("not-guaranteed").replaceChildren(...found.notGuaranteed.map((text) => element("li", text)));
}

function checkItem({ name, state, detail }) {
  const item = element("li", undefined, state.replace(" ", "-"));
  const [mark, word] = MARKS[state];
  const sign = element("span", mark, "mark");
  sign.setAttribute("role", "img");
  sign.setAttribute("aria-label", word);
  item.append(sign, element("span", name));
  if (detail) item.append(element("span", detail, "detail"));
  return item;
}

for (const side of ["given", "mine"]) {
  const zone = at(`${side}-zone`);
  at(side).addEventListener("change", (event) => {
    take(side, [...event.target.files]);
    event.target.value = "";
  });
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take(side, [...event.dataTransfer.files]);
  });
}
for (const id of ["ratio", "requirement", "limits", "context"]) at(id).addEventListener("change", show);
for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
at("clear").addEventListener("click", () => {
  files.given = [];
  files.mine = [];
  show();
});
