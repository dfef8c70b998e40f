// Past answers, and what eval measured on this machine.
import { useState } from "preact/hooks";
import { Empty, Problem, html, percent, useLoaded, when } from "./base.js";
import { Answer } from "./answer.js";

export function Past() {
  const [found, error] = useLoaded("/v1/answers?limit=100");
  const [open, setOpen] = useState("");
  return html`
    <section aria-labelledby="past-title">
      <h1 id="past-title">Past answers</h1>
      <${Problem} error=${error} />
      ${found && !found.answers.length && html`<${Empty}>Nothing was asked yet.<//>`}
      <ul class="cards">${found && found.answers.map((row) => html`<li key=${row.id}>
        <button type="button" class="row" aria-expanded=${open === row.id} onClick=${() => setOpen(open === row.id ? "" : row.id)}>
          <strong>${row.question}</strong>
          <span>${row.answer}</span>
          <span class="quiet small">${row.abstained ? "refused" : `support ${percent(row.support)}`} · ${row.collection} · ${when(row.created_at)}</span>
        </button>
        ${open === row.id && html`<${Kept} id=${row.id} />`}
      </li>`)}</ul>
    </section>`;
}

function Kept({ id }) {
  const [answer, error] = useLoaded(`/v1/answers/${id}`);
  return html`<${Problem} error=${error} />${answer && html`<${Answer} answer=${answer} />`}`;
}

const number = (value) => (typeof value === "number" ? (Number.isInteger(value) ? value : value.toFixed(4)) : String(value ?? "not defined"));

// Figures by their whole names, as "golden.f1"; intervals and lists stand in the report alone.
function flat(metrics, prefix = "") {
  return Object.entries(metrics).flatMap(([name, value]) => {
    if (name === "intervals" || Array.isArray(value)) return [];
    return value && typeof value === "object" ? flat(value, `${prefix}${name}.`) : [[prefix + name, value]];
  });
}

export function Reports() {
  const [found, error] = useLoaded("/v1/reports");
  return html`
    <section aria-labelledby="reports-title">
      <h1 id="reports-title">Evaluations</h1>
      <${Problem} error=${error} />
      ${found && !found.reports.length && html`<${Empty}>No evaluation was kept in this database yet. Run: answerable eval run<//>`}
      ${found && found.reports.map((run) => html`<${Run} key=${run.name} run=${run} />`)}
    </section>`;
}

function Run({ run }) {
  const [open, setOpen] = useState(false);
  return html`
    <details class="report"><summary>${run.kind} · ${run.data} · ${when(run.created_at)}</summary>
      <p class="quiet small">${run.name}</p>
      <table><caption class="hidden">Metrics of ${run.name}</caption>
        <thead><tr><th scope="col">Metric</th><th scope="col" class="number">Value</th></tr></thead>
        <tbody>${flat(run.metrics).map(([name, value]) => html`<tr><th scope="row">${name}</th><td class="number">${number(value)}</td></tr>`)}</tbody>
      </table>
      <button type="button" aria-expanded=${open} onClick=${() => setOpen(!open)}>Rows</button>
      ${open && html`<${Rows} name=${run.name} />`}
    </details>`;
}

function Rows({ name }) {
  const [found, error] = useLoaded(`/v1/reports/${name}`);
  return html`
    <${Problem} error=${error} />
    ${found && html`<table><caption class="hidden">Rows of ${name}</caption>
      <thead><tr><th scope="col">Row</th><th scope="col">Question or claim</th><th scope="col">Answer or verdict</th><th scope="col" class="number">Support</th></tr></thead>
      <tbody>${found.rows.map((row) => html`<tr>
        <th scope="row">${[row.set, row.check, row.id].filter(Boolean).join(" · ")}</th>
        <td>${row.question || row.claim || ""}</td>
        <td>${row.refused ? "refused" : row.answer || row.verdict || ""}</td>
        <td class="number">${typeof row.support === "number" ? percent(row.support) : ""}</td></tr>`)}</tbody>
    </table>`}`;
}
