// Requests to the bot. Every failure is an ApiError whose message says what to do.

const TIMEOUT = 20000;
const UNSAFE = "POST";

let csrf = null;
let onSignedOut = () => {};

export class ApiError extends Error {
  constructor(status, code, message, fields = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.fields = fields;
  }
}

/** Called when the bot no longer knows this session. */
export const signedOut = (handler) => {
  onSignedOut = handler;
};

/** A new idempotency key: make one per decision, and send the same one when the decision is sent again. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function request(method, path, body, headers = {}) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), TIMEOUT);
  try {
    const answer = await fetch(path, {
      method,
      credentials: "same-origin",
      cache: "no-store",
      signal: stop.signal,
      headers: body === undefined ? headers : { "Content-Type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    return await understood(answer);
  } catch (error) {
    if (error instanceof ApiError) throw error;
    if (error.name === "AbortError") {
      throw new ApiError(0, "timeout", "The bot did not answer in 20 s.");
    }
    throw new ApiError(0, "network", "The bot cannot be reached; check that it runs, then try again.");
  } finally {
    clearTimeout(timer);
  }
}

async function understood(answer) {
  const text = await answer.text();
  let document = {};
  try {
    document = text ? JSON.parse(text) : {};
  } catch {
    throw new ApiError(answer.status, "garbled", `The bot answered ${answer.status} with something that is not JSON.`);
  }
  if (answer.ok) return document;
  const error = document.error ?? {};
  if (answer.status === 401) onSignedOut();
  throw new ApiError(
    answer.status,
    error.code ?? String(answer.status),
    error.message ?? `The bot answered ${answer.status}.`,
    error.fields ?? {},
  );
}

const query = (parameters) => {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== null && item !== undefined && item !== "") search.append(name, item);
    }
  }
  const text = search.toString();
  return text ? `?${text}` : "";
};

export const get = (path, parameters = {}) => request("GET", path + query(parameters));

// After these a command may still be carried out; one that a failing database has taken in is.
const UNANSWERED = ["timeout", "network", "bot_silent", "database", "garbled", "internal"];

/** A question that is too long for an address. */
export const ask = (path, body) => request(UNSAFE, path, body, { "X-CSRF-Token": csrf ?? "" });

/**
 * A command. `key` is its idempotency key (see newKey). When nobody knows what came of it, the error is `unknown`: it may
 * have been carried out, and must be called neither done nor failed.
 */
export async function post(path, body = {}, key = newKey()) {
  try {
    return await request(UNSAFE, path, body, { "X-CSRF-Token": csrf ?? "", "Idempotency-Key": key });
  } catch (error) {
    if (UNANSWERED.includes(error.code)) {
      error.unknown = true;
      error.message = `OUTCOME UNKNOWN: it may have been carried out. ${error.message}`;
    }
    throw error;
  }
}

/** The health document, whatever status it comes with; null when there is no answer. */
export async function health() {
  try {
    const answer = await fetch("/api/health", { credentials: "same-origin", cache: "no-store" });
    return await answer.json();
  } catch {
    return null;
  }
}

/**
 * The session this browser holds; null when it has to log in. The health document tells more to those who are in, so
 * that an anonymous visit needs no request that is refused.
 */
export async function session() {
  const known = await health();
  if (known === null) throw new ApiError(0, "network", "The bot cannot be reached; check that it runs, then try again.");
  if (known.status === "ok" && !("ready" in known)) return null;
  try {
    const found = await get("/api/session");
    csrf = found.csrf;
    return found;
  } catch (error) {
    if (error.status === 401) return null;
    throw error;
  }
}

/** Logs in with {password} or {token}. */
export async function login(secret) {
  const answer = await request(UNSAFE, "/api/login", secret);
  csrf = answer.csrf;
}

export async function logout() {
  await post("/api/logout");
  csrf = null;
}
