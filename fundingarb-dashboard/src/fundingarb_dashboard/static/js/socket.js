// The stream of events: connects, notices at once when it goes quiet, and starts again from a snapshot.

import { state, take, touch } from "./store.js";

const QUIET = 3000; // ms without any frame (a heartbeat comes every second), or of a stalled bot, until figures count as stale
const FIRST_RETRY = 500;
const LAST_RETRY = 15000;
const REFUSED = 1008; // the server's close code when it no longer accepts this session

let socket = null;
let timer = null;
let watching = null;
let begunAt = 0;
let delay = FIRST_RETRY;
let onRefused = () => {};

function link(name, details = {}) {
  if (state.link.state !== name) state.link = { ...state.link, since: Date.now() };
  state.link = { ...state.link, state: name, retryAt: null, ...details };
  touch("link");
}

/** Starts streaming; `refused` is called when the session may be over. */
export function start(refused) {
  onRefused = refused;
  delay = FIRST_RETRY;
  watching = setInterval(watch, 500);
  connect();
}

/** Ends streaming. */
export function stop() {
  clearTimeout(timer);
  clearInterval(watching);
  drop();
}

function connect() {
  clearTimeout(timer);
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const own = new WebSocket(`${scheme}://${location.host}/api/ws`);
  socket = own;
  begunAt = performance.now();
  own.addEventListener("message", (message) => {
    if (own !== socket) return;
    take(JSON.parse(message.data));
    delay = FIRST_RETRY;
    const now = state.behind * 1000 > QUIET ? "STALE" : "LIVE";
    if (state.link.state !== now) link(now);
  });
  own.addEventListener("close", (event) => {
    if (own === socket) lost(event);
  });
}

function lost(event) {
  socket = null;
  const retryAt = Date.now() + delay;
  link("LOST", { retryAt, reason: event.reason || null });
  if (event.code === REFUSED) onRefused();
  timer = setTimeout(connect, delay);
  delay = Math.min(delay * 2, LAST_RETRY);
}

/** Tries at once instead of waiting. */
export function retry() {
  if (state.link.state === "LIVE") return;
  drop();
  delay = FIRST_RETRY;
  connect();
}

/** Forgets the connection without hearing of its end. */
function drop() {
  const old = socket;
  socket = null;
  old?.close();
}

function watch() {
  if (!socket) return;
  const quiet = performance.now() - Math.max(state.arrived ?? 0, begunAt);
  if (quiet > QUIET && state.link.state === "LIVE") link("STALE");
  // A connection that says nothing for so long is dead, whatever the operating system thinks.
  if (quiet > 3 * QUIET) {
    drop();
    lost({ code: 1006, reason: "" });
  }
}
