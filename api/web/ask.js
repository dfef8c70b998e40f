// Ask a question and watch the answer come: passages, words, checked sentences, the answer.
import { useEffect, useRef, useState } from "preact/hooks";
import { Empty, Failure, Problem, call, events, html, useLoaded } from "./base.js";
import { Answer, Claims } from "./answer.js";

const NOTHING = { running: false, passages: null, words: "", claims: [], answer: null, error: null };

export function Ask({ collection }) {
  const [state, setState] = useState(NOTHING);
  const abort = useRef(null);
  const form = useRef(null);
  const [holding] = useLoaded("/v1/collections");
  useEffect(() => () => abort.current?.abort(), []);
  const change = (fields) => setState((old) => ({ ...old, ...(typeof fields === "function" ? fields(old) : fields) }));

  const take = (name, data) => {
    if (name === "passages") change({ passages: data.passages });
    if (name === "token") change((old) => ({ words: old.words + data.text }));
    if (name === "claim") change((old) => ({ claims: [...old.claims, data] }));
    if (name === "answer") change({ answer: data });
    if (name === "error") throw new Failure(500, data.error.message);
  };

  const ask = async (event) => {
    event.preventDefault();
    const question = form.current.question.value.trim();
    if (!question) return;
    abort.current?.abort();
    const mine = (abort.current = new AbortController());
    setState({ ...NOTHING, running: true });
    try {
      const response = await call("/v1/ask", {
        method: "POST", json: { question, collection, stream: true }, signal: mine.signal,
      });
      for await (const [name, data] of events(response)) take(name, data);
    } catch (error) {
      if (error.name !== "AbortError") change({ error });
    }
    if (abort.current === mine) change({ running: false });
  };
  const onKey = (event) => {
    if (event.key === "Enter" && !event.shiftKey) ask(event);
  };
  const stop = () => { abort.current?.abort(); change({ running: false }); };
  const empty = holding && !holding.collections.some((row) => row.documents);

  return html`
    <section aria-labelledby="ask-title">
      <h1 id="ask-title" class="hero">Ask your documents</h1>
      <form ref=${form} class="ask" onSubmit=${ask}>
        <label for="question" class="hidden">Question</label>
        <textarea id="question" name="question" rows="2" maxlength="4000" autofocus
          placeholder="How many days of annual leave do I get?" onKeyDown=${onKey}></textarea>
        ${state.running ? html`<button type="button" onClick=${stop}>Stop</button>`
          : html`<button type="submit" class="primary">Ask</button>`}
      </form>
      ${empty && html`<${Empty}>There are no documents yet. <a href="#/documents">Add some</a> to ask about them.<//>`}
      <div aria-live="polite" aria-busy=${state.running}>
        <${Problem} error=${state.error} />
        ${state.answer ? html`<${Answer} answer=${state.answer} />` : html`<${Progress} state=${state} />`}
      </div>
    </section>`;
}

function Progress({ state }) {
  if (!state.running) return null;
  const step = !state.passages ? "Looking for passages…"
    : state.claims.length ? "Checking each sentence…"
    : state.words ? "Writing; not checked yet…" : `Reading ${state.passages.length} passages…`;
  return html`
    <div class="answer progress">
      <p class="quiet"><span class="spinner" aria-hidden="true"></span> ${step}</p>
      ${state.claims.length ? html`<${Claims} claims=${state.claims} onOpen=${() => {}} />`
        : state.words && html`<p class="draft">${state.words.replace(/\s*\[\d*\]?/g, "")}</p>`}
    </div>`;
}
