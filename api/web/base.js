// What every part of the page uses: the template tag, calls to the server, and small helpers.
import { h } from "preact";
import { useEffect, useState } from "preact/hooks";
import htm from "htm";

export const html = htm.bind(h);

const KEY = "answerable-key"; // kept for this tab only

export const key = {
  get: () => sessionStorage.getItem(KEY) || "",
  set: (value) => sessionStorage.setItem(KEY, value),
};

export class Failure extends Error {
  constructor(status, message, retryAfter) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

// Calls the server; throws Failure with the server's own line.
export async function call(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  if (key.get()) headers.Authorization = `Bearer ${key.get()}`;
  if (options.json !== undefined) headers["Content-Type"] = "application/json";
  const body = options.json !== undefined ? JSON.stringify(options.json) : options.body;
  let response;
  try {
    response = await fetch(path, { method: options.method || "GET", headers, body, signal: options.signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(0, "The server cannot be reached. Is it running?");
  }
  if (response.ok) return response;
  const error = await response.json().then((value) => value.error, () => null);
  if (response.status === 401) window.dispatchEvent(new Event("key-needed"));
  throw new Failure(response.status, error ? error.message : `The server said ${response.status}.`,
    response.headers.get("Retry-After"));
}

export const read = async (path, options) => (await call(path, options)).json();

// Server-sent events of a response: yields [name, data].
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const [name, data] = block.split("\n");
      yield [name.slice("event: ".length), JSON.parse(data.slice("data: ".length))];
    }
  }
}

// Loads a path again whenever `turn` changes: [value, error, reload].
export function useLoaded(path, every = 0) {
  const [state, setState] = useState({ value: null, error: null });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let current = true;
    read(path).then(
      (value) => current && setState({ value, error: null }),
      (error) => current && setState({ value: null, error }),
    );
    return () => { current = false; };
  }, [path, turn]);
  useEffect(() => {
    if (!every) return undefined;
    const timer = setInterval(() => setTurn((n) => n + 1), every);
    return () => clearInterval(timer);
  }, [every]);
  return [state.value, state.error, () => setTurn((n) => n + 1)];
}

export const fileName = (uri) => uri.split(/[\\/]/).pop();

export const percent = (share) => `${Math.round(share * 100)} %`;

export const when = (iso) => new Date(iso).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });

// Offsets of the server count code points, JavaScript counts UTF-16 units: they differ after an emoji.
export function codePoints(text) {
  if (!/[\ud800-\udbff]/.test(text)) return { length: text.length, slice: (start, end) => text.slice(start, end) };
  const points = Array.from(text);
  return { length: points.length, slice: (start, end) => points.slice(start, end).join("") };
}

export function Problem({ error }) {
  if (!error) return null;
  const wait = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
  return html`<p class="problem" role="alert">${error.message}${wait}</p>`;
}

export function Empty({ children }) {
  return html`<p class="empty">${children}</p>`;
}
