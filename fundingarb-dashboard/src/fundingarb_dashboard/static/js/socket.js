// The stream of events: connects, notices at once when it goes quiet, and starts again from a snapshot.

import { state, take, touch } from "./store.js";

const QUIET = 3000; // ms without any frame (a heartbeat comes every second) after which figures count as stale
const FIRST_RETRY = 500;
const LAST_RETRY = 15000;
const REFUSED = 1008; // the server's close code when it no longer accepts this session

let socket = null;
let timer = null;
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
  setInterval(watch, 500);
  connect();
}

/** Ends streaming. */
export function stop() {
  clearTimeout(timer);
  const old = socket;
  socket = null;
  old?.close(1000);
}

function connect() {
  clearTimeout(timer);
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const own = new WebSocket(`${scheme}://${location.host}/api/ws`);
  socket = own;
  own.addEventListener("message", (message) => {
    if (own !== socket) return;
    take(JSON.parse(message.data));
    delay = FIRST_RETRY;
    if (state.link.state !== "LIVE") link("LIVE");
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
  if (socket) return;
  delay = FIRST_RETRY;
  connect();
}

function watch() {
  if (!socket || state.arrived === null) return;
  const quiet = performance.now() - state.arrived;
  if (quiet > QUIET && state.link.state === "LIVE") link("STALE");
  // A connection that says nothing for so long is dead, whatever the operating system thinks.
  if (quiet > 3 * QUIET && socket.readyState === WebSocket.OPEN) {
    const dead = socket;
    lost({ code: 1006, reason: "" });
    dead.close();
  }
}
