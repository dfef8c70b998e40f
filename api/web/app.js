// The page: header, the choice of collection, and the part that the address names.
import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { html, key, useLoaded } from "./base.js";
import { Ask } from "./ask.js";
import { Documents, Jobs } from "./documents.js";
import { Past, Reports } from "./past.js";

const PARTS = [["ask", "Ask", Ask], ["documents", "Documents", Documents], ["uploads", "Uploads", Jobs],
  ["answers", "Past answers", Past], ["reports", "Evaluations", Reports]];

const here = () => window.location.hash.replace(/^#\//, "") || "ask";

function App() {
  const [part, setPart] = useState(here());
  const [collection, setCollection] = useState("default");
  const [turn, setTurn] = useState(0); // grows with each new key: everything is loaded again
  const main = useRef(null);
  useEffect(() => {
    const go = () => { setPart(here()); main.current.focus(); };
    window.addEventListener("hashchange", go);
    return () => window.removeEventListener("hashchange", go);
  }, []);
  const [, label, Part] = PARTS.find(([name]) => name === part) || PARTS[0];
  useEffect(() => { document.title = `${label} · Answerable`; }, [label]);
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>Skip to the content</a>
    <header class="top">
      <a class="brand" href="#/ask"><img src="/web/icon.svg" alt="" width="28" height="28" /> Answerable</a>
      <nav aria-label="Parts of the page">${PARTS.map(([name, text]) => html`
        <a href=${`#/${name}`} aria-current=${name === part ? "page" : undefined}>${text}</a>`)}</nav>
      <${Choice} key=${turn} collection=${collection} onChange=${setCollection} />
    </header>
    <main id="main" ref=${main} tabindex="-1"><${Part} key=${`${part} ${collection} ${turn}`} collection=${collection} /></main>
    <footer class="quiet small">Every sentence is checked against its sources. <a href="/docs">Interface for programs</a></footer>
    <${KeyDialog} onKey=${() => setTurn((n) => n + 1)} />`;
}

function Choice({ collection, onChange }) {
  const [found] = useLoaded("/v1/collections");
  const names = [...new Set([collection, ...(found ? found.collections.map((row) => row.name) : [])])].sort();
  useEffect(() => {
    if (found && found.collections.length && !found.collections.some((row) => row.name === collection)) {
      onChange(found.collections[0].name);
    }
  }, [found]);
  return html`<label class="choice"><span class="quiet small">Collection</span>
    <select value=${collection} onChange=${(event) => onChange(event.target.value)}>
      ${names.map((name) => html`<option value=${name} selected=${name === collection}>${name}</option>`)}</select></label>`;
}

function KeyDialog({ onKey }) {
  const dialog = useRef(null);
  useEffect(() => {
    const ask = () => { if (!dialog.current.open) dialog.current.showModal(); };
    window.addEventListener("key-needed", ask);
    return () => window.removeEventListener("key-needed", ask);
  }, []);
  const take = (event) => {
    event.preventDefault();
    key.set(event.target.access.value.trim());
    dialog.current.close();
    onKey();
  };
  return html`
    <dialog ref=${dialog} aria-labelledby="key-title" class="key"><form onSubmit=${take}>
      <h2 id="key-title">Access key</h2>
      <p>This server asks for a key. Who runs it can make you one.</p>
      <label for="access">Key</label>
      <input id="access" name="access" type="password" autocomplete="off" required />
      <button type="submit" class="primary">Open</button>
    </form></dialog>`;
}

render(html`<${App} />`, document.getElementById("app"));
