// Everything a person can have the bot do, each asked for once, confirmed where money moves, and reported.

import { newKey, post } from "./api.js";
import { confirm } from "./dialogs.js";
import { field, h } from "./dom.js";
import { gain, pct, quantity, usd } from "./format.js";
import { showKill } from "./kill.js";
import { state, takeStatus, touch } from "./store.js";
import { toast } from "./toasts.js";

const where = (id) => encodeURIComponent(id);

/** A command without a question: says what happened, or what went wrong. */
async function tell(path, body, done) {
  try {
    const answer = takeStatus(await post(path, body));
    toast(done, "good");
    return answer;
  } catch (error) {
    toast(error.message, error.unknown ? "warn" : "bad");
    return null;
  }
}

export const start = () => tell("/api/engine/start", {}, "Automation is on: the bot opens hedges by itself.");
export const stop = () => tell("/api/engine/stop", {}, "Automation is off: no new hedges; open ones are looked after.");
export const scan = () => tell("/api/engine/scan", {}, "Looking at every symbol.").then(() => touch("scanned"));

/** Reads the accounts again, and every panel with them. */
export const refresh = () => tell("/api/engine/refresh", {}, "Reading every account.").then(() => touch("refresh"));

/** Asks, then opens a hedge of `size_usd` by hand. Resolves with the answer, undefined when called off. */
export async function openPosition({ pair, long, short, size_usd, spread = null, net = null }) {
  const key = newKey();
  const done = await confirm({
    title: `Open ${pair}`,
    text: state.status?.simulation ? "On the simulated exchanges." : "With real money, on the exchanges named below.",
    rows: [
      ["Long", long],
      ["Short", short],
      ["Size per leg", `${usd(size_usd)} USD`],
      ...(spread === null ? [] : [["Spread now, 8 h", pct(spread)]]),
      ...(net === null ? [] : [["Expected net", `${gain(net)} USD`]]),
    ],
    action: "Open position",
    run: () => post("/api/positions/open", { pair, long, short, size_usd: String(size_usd) }, key),
  });
  if (done) toast(`Opening ${pair}: long ${long}, short ${short}, ${usd(size_usd)} USD.`, "good");
  return done;
}

/** Asks, then closes a position. */
export async function closePosition(position) {
  const key = newKey();
  const base = position.pair.split("-")[0];
  const legs = position.legs.map((leg) => [leg.side.toLowerCase(), `${quantity(leg.quantity)} ${base} on ${leg.exchange} (${leg.account})`]);
  const done = await confirm({
    title: `Close ${position.pair} (${position.number})`,
    text: "Both legs are closed at once, at prices the market gives.",
    rows: [
      ...legs,
      ["Size per leg", `${usd(position.size_usd)} USD`],
      ["Net so far", `${gain(position.net)} USD`],
    ],
    action: "Close position",
    danger: true,
    run: () => post(`/api/positions/${where(position.position_id)}/close`, { version: position.version }, key),
  });
  if (done) toast(`Closing ${position.pair} (${position.number}).`, "good");
  return done;
}

/** Sets the lowest spread a position tolerates: a preset's name or a fraction. */
export function setTolerance(position, wanted) {
  const body = /^[a-z]+$/.test(wanted) ? { preset: wanted } : { value: wanted };
  return tell(
    `/api/positions/${where(position.position_id)}/tolerance`,
    { ...body, version: position.version },
    `${position.pair}: tolerance is ${wanted} now.`,
  );
}

/**
 * Asks for the word KILL, latches the kill switch, then shows every leg until all are flat. What was latched before the
 * connection was lost may have been released since: it may be asked for again then.
 */
export async function kill() {
  if (state.status?.kill?.latched && state.link.state === "LIVE") return showKill({ release });
  const key = newKey();
  const done = await confirm({
    title: "Kill switch",
    text: "Cancels every order and closes every position on every account at market prices, and halts automation until somebody releases it.",
    rows: [
      ["Open positions", String(state.positions.size)],
      ...(state.status?.kill?.foreign ?? []).map((leg) => [`Not of this bot: ${leg.symbol} on ${leg.account}`, quantity(leg.quantity), "bad"]),
    ],
    action: "Kill",
    danger: true,
    typed: "KILL",
    kind: "dialog-kill",
    run: () => post("/api/engine/kill", { confirm: "KILL" }, key).then(takeStatus),
  });
  return done ? showKill({ release }) : undefined;
}

/** Asks, then releases the kill switch. */
export async function release() {
  const needed = Boolean(state.status?.kill?.needs_password);
  const password = field("Master password", h("input", { type: "password", autocomplete: "off" }), "That of the vault; it is not kept.");
  const done = await confirm({
    title: "Release the kill switch",
    text: "Automation may open hedges again.",
    action: "Release",
    danger: true,
    extra: needed ? password.field : null,
    // A wrong password is another request than the right one, and releasing twice is the same as once: a key for each.
    run: () => post("/api/engine/resume", needed ? { master_password: password.input.value } : {}, newKey()).then(takeStatus),
  });
  if (done) toast("The kill switch is released.", "good");
}
