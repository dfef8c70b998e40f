// Documents: upload, browse, read, delete; and the jobs that read uploads.
import { useRef, useState } from "preact/hooks";
import { Empty, Problem, call, fileName, html, read, useLoaded, when } from "./base.js";
import { Source } from "./source.js";

const PAGE = 50;
const KINDS = ".txt,.md,.markdown,.html,.htm,.pdf,.docx";

export function Documents({ collection }) {
  const [first, setFirst] = useState(0);
  const [place, setPlace] = useState(null);
  const [problem, setProblem] = useState(null);
  const [found, error, reload] = useLoaded(`/v1/documents?collection=${encodeURIComponent(collection)}&limit=${PAGE}&offset=${first}`);
  const remove = async (row) => {
    if (!window.confirm(`Delete “${row.title}”? It is gone from every answer at once.`)) return;
    try {
      await call(`/v1/documents/${row.id}`, { method: "DELETE" });
      setProblem(null);
    } catch (failure) {
      setProblem(failure);
    }
    reload();
  };
  const missing = error && error.status === 404;
  return html`
    <section aria-labelledby="documents-title">
      <h1 id="documents-title">Documents <span class="quiet">in ${collection}</span></h1>
      <${Upload} collection=${collection} onDone=${reload} />
      <${Problem} error=${problem || (missing ? null : error)} />
      ${(missing || (found && !found.total)) && html`<${Empty}>No documents yet.<//>`}
      ${found && found.total > 0 && html`
        <table><caption class="hidden">Documents</caption>
          <thead><tr><th scope="col">Title</th><th scope="col" class="wide">File</th><th scope="col" class="number wide">Pages</th>
            <th scope="col" class="number wide">Passages</th><th scope="col"><span class="hidden">Actions</span></th></tr></thead>
          <tbody>${found.documents.map((row) => html`<tr key=${row.id}>
            <td><button type="button" class="link" onClick=${() => setPlace(whole(row))}>${row.title}</button></td>
            <td class="wide quiet">${fileName(row.uri)}</td><td class="number wide">${row.pages || "–"}</td>
            <td class="number wide">${row.chunks}</td>
            <td class="number"><button type="button" class="danger" aria-label=${`Delete ${row.title}`} onClick=${() => remove(row)}>Delete</button></td>
          </tr>`)}</tbody>
        </table>
        <${Pages} first=${first} total=${found.total} onGo=${setFirst} />`}
      ${place && html`<${Source} place=${place} onClose=${() => setPlace(null)} />`}
    </section>`;
}

const whole = (row) => ({ document_id: row.id, title: row.title, uri: row.uri, page: row.pages ? 1 : null, start: 0, end: 0, quote: "" });

function Pages({ first, total, onGo }) {
  if (total <= PAGE) return null;
  return html`<nav class="pages" aria-label="Pages of the list">
    <button type="button" disabled=${!first} onClick=${() => onGo(Math.max(0, first - PAGE))}>Earlier</button>
    <span>${first + 1}–${Math.min(first + PAGE, total)} of ${total}</span>
    <button type="button" disabled=${first + PAGE >= total} onClick=${() => onGo(first + PAGE)}>Later</button></nav>`;
}

function Upload({ collection, onDone }) {
  const input = useRef(null);
  const [job, setJob] = useState(null);
  const [problem, setProblem] = useState(null);
  const [over, setOver] = useState(false);
  const send = async (files) => {
    if (!files.length) return;
    const form = new FormData();
    form.append("collection", collection);
    for (const file of files) form.append("files", file);
    setProblem(null);
    try {
      let state = await read("/v1/documents", { method: "POST", body: form });
      setJob(state);
      while (state.status === "queued" || state.status === "running") {
        await new Promise((done) => setTimeout(done, 500));
        state = await read(`/v1/jobs/${state.id}`);
        setJob(state);
      }
      onDone();
    } catch (failure) {
      setProblem(failure);
    }
    input.current.value = "";
  };
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    send(event.dataTransfer.files);
  };
  return html`
    <div class=${over ? "upload over" : "upload"} onDragOver=${(event) => { event.preventDefault(); setOver(true); }}
      onDragLeave=${() => setOver(false)} onDrop=${drop}>
      <label for="files">Add documents</label>
      <input id="files" ref=${input} type="file" multiple accept=${KINDS} onChange=${(event) => send(event.target.files)} />
      <p class="quiet small">Text, Markdown, HTML, PDF or Word; drop files here. A file of the same name is replaced.</p>
      <div role="status">${job && html`<${JobLine} job=${job} />`}</div>
      <${Problem} error=${problem} />
    </div>`;
}

const STATES = { queued: "Waiting", running: "Reading", done: "Done", failed: "Failed" };

export function JobLine({ job }) {
  const failed = job.report.failed || [];
  return html`
    <p class=${`job ${failed.length ? "failed" : job.status}`}>
      <strong>${STATES[job.status]}</strong> ${job.files.length === 1 ? job.files[0] : `${job.files.length} files`}
      ${job.status === "running" && html` <progress max=${job.total} value=${job.done} aria-label="Files read"></progress>`}
      ${job.status === "done" && ` · ${job.report.added} new, ${job.report.changed} changed, ${job.report.unchanged} unchanged`}
      ${job.error && ` · ${job.error}`}
    </p>
    ${failed.length > 0 && html`<ul class="failures">${failed.map((one) => html`<li>${one.reason}</li>`)}</ul>`}`;
}

export function Jobs() {
  const [found, error] = useLoaded("/v1/jobs", 2000);
  return html`
    <section aria-labelledby="jobs-title">
      <h1 id="jobs-title">Uploads</h1>
      <${Problem} error=${error} />
      ${found && !found.jobs.length && html`<${Empty}>Nothing was uploaded yet.<//>`}
      <ul class="cards">${found && found.jobs.map((job) => html`<li key=${job.id}>
        <${JobLine} job=${job} /><p class="quiet small">${job.collection} · ${when(job.created_at)}</p></li>`)}</ul>
    </section>`;
}
