// The drill-down of a report: filters, and a question's detail when it is opened. Text only ever becomes text nodes.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const list = document.getElementById("list");
const STEP = 100;
let shown = STEP;

function make(tag, text, name) {
  const node = document.createElement(tag);
  if (text !== undefined && text !== null) node.textContent = String(text);
  if (name) node.className = name;
  return node;
}

const share = (value) => (typeof value === "number" ? value.toFixed(2) : "");

// The passage with each quote that stands in it marked.
function passage(text, quotes, gold) {
  const block = make("blockquote", null, gold ? "gold" : "");
  let at = 0;
  const spans = quotes.map((quote) => [text.indexOf(quote), quote.length]).filter(([start]) => start >= 0).sort((a, b) => a[0] - b[0]);
  for (const [start, length] of spans) {
    if (start < at) continue;
    block.append(text.slice(at, start), make("mark", text.slice(start, start + length)));
    at = start + length;
  }
  block.append(text.slice(at));
  return block;
}

function answer(row) {
  const box = make("div");
  box.append(make("h3", "Answer"));
  if (!row.claims.length) box.append(make("p", row.answer || (row.reason ? `Refused: ${row.reason}` : "(none)")));
  for (const claim of row.claims) {
    const line = make("p");
    line.append(make("span", claim.text, `claim ${claim.verdict}`), make("span", ` ${claim.verdict} ${share(claim.support)}`, "quiet small"));
    box.append(line);
  }
  return box;
}

function detail(row) {
  const box = make("div", null, "inside");
  box.append(answer(row));
  if (row.golds.length) box.append(make("h3", "Expected"), make("p", row.golds.join(" / ")));
  if (row.facts.length) {
    const facts = make("dl");
    for (const [name, value] of row.facts) facts.append(make("dt", name), make("dd", value));
    box.append(facts);
  }
  if (row.read.length) box.append(make("h3", "Passages read"));
  const quotes = row.claims.flatMap((claim) => claim.quotes);
  for (const [number, score, gold] of row.read) {
    const [title, text] = data.passages[number];
    const head = [title, typeof score === "number" ? `score ${share(score)}` : "", gold ? "holds the answer" : ""];
    box.append(make("p", head.filter(Boolean).join(" · "), "quiet small"), passage(text, quotes, gold));
  }
  return box;
}

function entry(row) {
  const item = make("details", null, "question");
  item.dataset.id = row.id;
  const head = make("summary");
  if (row.outcome) head.append(make("span", row.outcome, `tag ${row.good ? "right" : "wrong"}`));
  head.append(row.question, make("span", ` ${[row.group, row.part, row.id].filter(Boolean).join(" · ")} ${share(row.support)}`, "quiet small"));
  item.append(head);
  item.addEventListener("toggle", () => { if (item.open && item.children.length === 1) item.append(detail(row)); });
  return item;
}

function options(id, values) {
  const select = document.getElementById(id);
  for (const value of [...new Set(values)].filter(Boolean).sort()) {
    const option = make("option", value);
    option.value = value;
    select.append(option);
  }
}

const field = (id) => document.getElementById(id).value;

function draw() {
  const text = field("text").toLowerCase();
  const wanted = data.questions.filter((row) => (!field("group") || row.group === field("group")) && (!field("part") || row.part === field("part"))
    && (!field("outcome") || row.outcome === field("outcome")) && `${row.id} ${row.question} ${row.answer}`.toLowerCase().includes(text));
  list.replaceChildren(...wanted.slice(0, shown).map(entry));
  document.getElementById("count").textContent = `${wanted.length} of ${data.questions.length} rows`;
  document.getElementById("more").hidden = wanted.length <= shown;
}

options("group", data.questions.map((row) => row.group));
options("part", data.questions.map((row) => row.part));
options("outcome", data.questions.map((row) => row.outcome));
for (const id of ["text", "group", "part", "outcome"]) {
  document.getElementById(id).addEventListener("input", () => { shown = STEP; draw(); });
}
document.getElementById("more").addEventListener("click", () => { shown += STEP; draw(); });
// A link such as #q=golden/examples-001, from the table of flipped questions, shows that question alone.
function follow() {
  const match = decodeURIComponent(location.hash).match(/^#q=(.*)$/);
  if (!match) return;
  document.getElementById("text").value = match[1];
  draw();
  const first = list.querySelector("details");
  if (first) { first.open = true; first.scrollIntoView(); }
}
window.addEventListener("hashchange", follow);
draw();
follow();
