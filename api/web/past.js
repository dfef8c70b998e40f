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

const number = (value) => (typeof value === "number" ? (Number.isInteger(value) ? value : value.toFixed(4)) : JSON.stringify(value));

export function Reports() {
  const [found, error] = useLoaded("/v1/reports");
  return html`
    <section aria-labelledby="reports-title">
      <h1 id="reports-title">Evaluations</h1>
      <${Problem} error=${error} />
      ${found && !found.reports.length && html`<${Empty}>No evaluation was run on this machine yet. Run: answerable eval qa FILE<//>`}
      ${found && found.reports.map((run) => html`
        <details class="report" key=${run.name}><summary>${run.kind} · ${run.data}</summary>
          <table><caption class="hidden">Metrics of ${run.name}</caption>
            <thead><tr><th scope="col">Metric</th><th scope="col" class="number">Value</th></tr></thead>
            <tbody>${Object.entries(run.metrics).map(([name, value]) => html`<tr><th scope="row">${name}</th><td class="number">${number(value)}</td></tr>`)}</tbody>
          </table></details>`)}
    </section>`;
}
