// The source of a citation in a dialog: the document's text with the passage marked, or the page of a PDF.
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem, call, codePoints, fileName, html, useLoaded } from "./base.js";

const AROUND = 3000; // characters shown before and after the passage, until all is asked for

export function Source({ place, onClose }) {
  const dialog = useRef(null);
  const [view, setView] = useState(place.page ? "page" : "text");
  const [found, error] = useLoaded(`/v1/documents/${place.document_id}`);
  useEffect(() => { dialog.current.showModal(); }, []);
  const tab = (name, label) => html`
    <button type="button" role="tab" aria-selected=${view === name} onClick=${() => setView(name)}>${label}</button>`;
  return html`
    <dialog ref=${dialog} class="source" aria-labelledby="source-title" onClose=${onClose}
      onClick=${(event) => event.target === dialog.current && dialog.current.close()}>
      <div class="source-inner">
        <header>
          <div>
            <h2 id="source-title">${place.title || fileName(place.uri)}</h2>
            <p class="quiet">${fileName(place.uri)}${place.page ? ` · page ${place.page}` : ""} ·
              characters ${place.start}–${place.end}</p>
          </div>
          <button type="button" class="icon" aria-label="Close the source" onClick=${() => dialog.current.close()}>✕</button>
        </header>
        ${place.page && html`<div role="tablist" aria-label="How to show the source" class="tabs">
          ${tab("page", "Page")}${tab("text", "Text")}</div>`}
        <div class="source-body" tabindex="0" role="region" aria-label="Source">
          <${Problem} error=${error} />
          ${view === "page" ? html`<${PagePicture} place=${place} />` : found && html`<${Text} found=${found} place=${place} />`}
        </div>
      </div>
    </dialog>`;
}

function Text({ found, place }) {
  const mark = useRef(null);
  const [all, setAll] = useState(false);
  const text = codePoints(found.text);
  const first = all ? 0 : Math.max(0, place.start - AROUND);
  const last = all ? text.length : Math.min(text.length, place.end + AROUND);
  const quote = text.slice(place.start, place.end);
  useEffect(() => { mark.current?.scrollIntoView({ block: "center" }); }, [all]);
  if (place.quote && quote !== place.quote) {
    return html`<p class="problem" role="alert">The document has changed since; the passage read:</p>
      <blockquote>${place.quote}</blockquote><pre class="text">${found.text}</pre>`;
  }
  return html`
    ${(first > 0 || last < text.length) && html`<p><button type="button" onClick=${() => setAll(true)}>Show the whole document</button></p>`}
    <pre class="text">${first > 0 ? "… " : ""}${text.slice(first, place.start)}<mark ref=${mark}>${quote}</mark>${text.slice(place.end, last)}${last < text.length ? " …" : ""}</pre>`;
}

function PagePicture({ place }) {
  const [picture, setPicture] = useState({ url: "", error: null });
  useEffect(() => {
    let url = "";
    const path = `/v1/documents/${place.document_id}/pages/${place.page}?start=${place.start}&end=${place.end}`;
    call(path).then(async (response) => {
      url = URL.createObjectURL(await response.blob());
      setPicture({ url, top: Number(response.headers.get("X-Mark-Top") || 0), error: null });
    }).catch((error) => setPicture({ url: "", error }));
    return () => URL.revokeObjectURL(url);
  }, [place]);
  if (picture.error) return html`<${Problem} error=${picture.error} /><blockquote>${place.quote}</blockquote>`;
  if (!picture.url) return html`<p class="quiet">Loading the page…</p>`;
  const show = ({ target }) => { target.closest(".source-body").scrollTop = picture.top * target.height - 120; };
  return html`<img src=${picture.url} onLoad=${show} alt=${`Page ${place.page} of ${fileName(place.uri)}; the passage reads: ${place.quote}`} />`;
}
