// An answer: its sentences coloured by their support, with citations; or the refusal with the nearest passages.
import { useState } from "preact/hooks";
import { Problem, call, fileName, html, percent } from "./base.js";
import { Source } from "./source.js";

const WORDS = { supported: "supported", unsupported: "not supported", contradicted: "contradicted" };

export function Answer({ answer, children }) {
  const [place, setPlace] = useState(null);
  return html`
    <article class="answer" aria-label="Answer">
      ${answer.abstained ? html`<${Refusal} answer=${answer} onOpen=${setPlace} />`
        : html`<${Claims} claims=${answer.claims} onOpen=${setPlace} />`}
      ${children}
      ${!answer.abstained && html`<${Passages} title="Passages read" passages=${answer.passages} onOpen=${setPlace} />`}
      <${Feedback} key=${answer.id} id=${answer.id} />
      <p class="quiet small">${answer.timings_ms && `${(answer.timings_ms.total / 1000).toFixed(1)} s · `}
        ${answer.usage.completion_tokens} tokens written · ${answer.models.generator}</p>
      ${place && html`<${Source} place=${place} onClose=${() => setPlace(null)} />`}
    </article>`;
}

export function Claims({ claims, onOpen }) {
  let number = 0;
  return html`
    <ol class="claims">${claims.map((claim) => html`
      <li class=${`claim ${claim.verdict}`}>
        <p class="sentence">${claim.text}</p>
        <p class="verdict"><span class="badge">${WORDS[claim.verdict]} · ${percent(claim.support)}</span>
          ${claim.citations.map((citation) => html`
            <button type="button" class="cite" title=${citation.quote} onClick=${() => onOpen(citation)}
              aria-label=${`Source ${(number += 1)}: ${fileName(citation.uri)}${citation.page ? ` p. ${citation.page}` : ""}`}>
              <span aria-hidden="true">❝</span> ${fileName(citation.uri)}${citation.page ? ` p. ${citation.page}` : ""}
            </button>`)}
        </p>
      </li>`)}
    </ol>`;
}

function Refusal({ answer, onOpen }) {
  return html`
    <div class="refusal">
      <h2>${answer.answer}</h2>
      <p class="quiet">${answer.reason}</p>
    </div>
    <${Passages} title="Nearest passages" open passages=${answer.passages} onOpen=${onOpen} />`;
}

export function Passages({ title, passages, onOpen, open }) {
  if (!passages.length) return null;
  return html`
    <details class="passages" open=${open}>
      <summary>${title} (${passages.length})</summary>
      <ul>${passages.map((passage) => html`
        <li><button type="button" class="passage" onClick=${() => onOpen(passage)}>
          <strong>${fileName(passage.uri)}${passage.page ? ` p. ${passage.page}` : ""}</strong>
          <span>${passage.quote.length > 260 ? `${passage.quote.slice(0, 260)}…` : passage.quote}</span>
        </button></li>`)}
      </ul>
    </details>`;
}

function Feedback({ id }) {
  const [state, setState] = useState({ sent: "", error: null });
  const [correcting, setCorrecting] = useState(false);
  const send = async (verdict, correction = "") => {
    try {
      await call("/v1/feedback", { method: "POST", json: { answer_id: id, verdict, correction } });
      setCorrecting(false);
      setState({ sent: verdict === "up" ? "Thank you." : "Thank you, noted.", error: null });
    } catch (error) {
      setState({ sent: "", error });
    }
  };
  const correct = (event) => {
    event.preventDefault();
    send("down", event.target.correction.value);
  };
  return html`
    <div class="feedback" role="group" aria-label="Feedback">
      ${state.sent ? html`<p role="status">${state.sent}</p>` : html`
        <button type="button" onClick=${() => send("up")}><span aria-hidden="true">✓</span> Right</button>
        <button type="button" aria-expanded=${correcting} onClick=${() => setCorrecting(!correcting)}>
          <span aria-hidden="true">✗</span> Wrong</button>`}
      <${Problem} error=${state.error} />
      ${correcting && html`<form onSubmit=${correct}>
        <label for="correction">What should it have said? (optional)</label>
        <textarea id="correction" name="correction" rows="2" maxlength="10000"></textarea>
        <button type="submit" class="primary">Send</button>
      </form>`}
    </div>`;
}
