// The line at the top: what this is, whether it lives, whether the figures can be trusted, and the kill switch.

import { now } from "./clock.js";
import { h, keyed, setAttr, setText } from "./dom.js";
import { words } from "./format.js";
import { retry } from "./socket.js";
import { on, state, touch } from "./store.js";

const LINK = {
  CONNECTING: ["◌", "CONNECTING"],
  LIVE: ["●", "LIVE"],
  STALE: ["◐", "STALE"],
  LOST: ["○", "NO CONNECTION"],
};

const ENGINE = { RUNNING: "▶", PAUSED: "‖", KILLED: "■", STARTING: "…", ERROR: "!" };

/** The topics with which the clock is drawn anew. */
export const CLOCKED = ["clock", "status", "heartbeat", "health"];

/** The header; `kill()` opens the kill switch, `leave()` logs out. */
export function makeHeader({ kill, leave }) {
  const simulation = h("span", { class: "badge simulation", hidden: true }, "[SIMULATION]");
  const network = h("span", { class: "network" });
  const engine = h("span", { class: "pill engine", role: "status", "aria-label": "Engine" });
  const link = h("span", { class: "pill link", role: "status", "aria-label": "Connection" });
  const exchanges = h("ul", { class: "exchanges", "aria-label": "Exchanges" });
  const time = h("time", { class: "clock", "aria-label": "Bot time, UTC" });
  const killButton = h("button", { type: "button", class: "button danger kill", id: "kill", on: { click: kill } }, "KILL");
  const element = h(
    "header",
    { class: "top" },
    h("h1", { class: "brand" }, "FUNDING", h("span", {}, "ARB")),
    simulation,
    network,
    engine,
    link,
    exchanges,
    time,
    h("button", { type: "button", class: "tool", on: { click: leave } }, "LOG OUT"),
    killButton,
  );

  const dot = () => {
    const mark = h("span", { class: "dot", "aria-hidden": "true" });
    const name = h("span");
    const item = h("li", {}, mark, name);
    return {
      element: item,
      update(exchange) {
        const said = exchangeState(exchange);
        setText(mark, said.mark);
        setText(name, exchange.name);
        setAttr(item, "data-state", said.state);
        setAttr(item, "title", `${exchange.name}: ${said.text}`);
        setAttr(item, "aria-label", `${exchange.name}: ${said.text}`);
      },
    };
  };

  /** What was latched before the connection was lost may have been released since. */
  const nameKill = () => {
    const kill = state.link.state === "LIVE" ? state.status?.kill : null;
    setText(killButton, kill?.latched ? (kill.flat ? "KILLED ✓" : "KILLING…") : "KILL");
  };

  on(["status"], () => {
    const status = state.status;
    simulation.hidden = !status?.simulation;
    setText(network, status?.network ?? "");
    const name = status?.engine?.state ?? "NO DATA";
    setText(engine, `${ENGINE[name] ?? "?"} ${name}`);
    setAttr(engine, "data-state", name);
    keyed(exchanges, status?.exchanges ?? [], (exchange) => exchange.name, dot);
    const killed = Boolean(status?.kill?.latched);
    nameKill();
    document.title = `${killed ? "KILLED · " : ""}${status?.simulation ? "[SIMULATION] " : ""}fundingarb`;
  });
  on(["link"], () => {
    const [mark, text] = LINK[state.link.state];
    setText(link, `${mark} ${text}`);
    setAttr(link, "data-state", state.link.state);
    nameKill();
  });
  const tick = () => setText(time, `${new Date(now()).toISOString().slice(0, 19).replace("T", " ")} UTC`);
  // With everything that says how long ago something was: what is drawn in one frame is drawn for one moment.
  on(CLOCKED, tick);
  setInterval(() => touch("clock"), 1000);
  tick();
  return element;
}

/** How an exchange stands: {state: "up" | "warn" | "down", mark, text}. */
export function exchangeState(exchange) {
  if (!exchange.connected) return { state: "down", mark: "✕", text: "not connected" };
  if (exchange.halted) return { state: "warn", mark: "!", text: `halted: ${exchange.halted}` };
  if (exchange.breaker && exchange.breaker !== "CLOSED" && exchange.breaker !== "closed") {
    return { state: "warn", mark: "!", text: `circuit breaker ${words(exchange.breaker)}` };
  }
  const broken = (exchange.streams ?? []).filter((stream) => stream.connected === false);
  if (broken.length) return { state: "warn", mark: "!", text: `stream down: ${broken.map((stream) => stream.stream).join(", ")}` };
  return { state: "up", mark: "●", text: "connected" };
}

/** What is wrong with the database according to the health document; null when nothing is known to be. */
export function databaseTrouble(health) {
  const said = health?.database;
  if (said === null || said === undefined || said === true || ["ok", "up", "reachable"].includes(said)) return null;
  return typeof said === "string" ? said : "not reachable";
}

/** The strip below the header that says what is wrong, and what to do about it; empty when nothing is. */
export function makeBanner() {
  const element = h("div", { class: "banners", role: "alert" });
  const draw = () => {
    const rows = troubles().map(([kind, title, advice]) => ({ kind, title, advice }));
    setAttr(document.body, "data-stale", state.link.state === "LIVE" || state.link.state === "CONNECTING" ? null : "yes");
    keyed(element, rows, (row) => `${row.kind} ${row.title}`, makeTrouble);
  };
  on(["link", "status", "health", "snapshot"], draw);
  setInterval(draw, 1000);
  return element;
}

function makeTrouble({ kind, title }) {
  const advice = h("span");
  const again = title.startsWith("Connection lost") ? h("button", { type: "button", class: "button small", on: { click: retry } }, "Retry now") : null;
  return {
    element: h("div", { class: `banner ${kind}` }, h("strong", {}, title), advice, again),
    update: (row) => setText(advice, row.advice),
  };
}

function troubles() {
  const rows = [];
  const { link, status } = state;
  if (link.state === "LOST") {
    const wait = link.retryAt ? Math.max(0, Math.ceil((link.retryAt - Date.now()) / 1000)) : 0;
    const since = new Date(link.since).toISOString().slice(11, 19);
    rows.push(["bad", `Connection lost at ${since} UTC.`, `The figures below are from before that. Trying again ${wait ? `in ${wait} s` : "now"}; if it stays, check that the bot runs.`]);
  } else if (link.state === "STALE") {
    rows.push(["bad", "Nothing arrives from the bot.", "The figures below are stale. Its loop may be stalled: look at `fundingarb status`."]);
  }
  if (!status) return rows;
  if (!status.engine?.state) {
    rows.push(["warn", "No engine data.", "The dashboard runs, the engine has said nothing yet. Wait for its start, or read the bot's log."]);
    return rows;
  }
  const { engine, kill } = status;
  if (kill?.latched) rows.push(["bad", kill.flat ? "Kill switch latched; everything is flat." : "Kill switch latched; closing everything.", kill.flat ? "Press F10 to review and release it." : "Press F10 to watch it, leg by leg."]);
  if (engine.state === "ERROR" || engine.error) rows.push(["bad", "Engine error.", `${engine.error ?? "It stopped without saying why"}. Open hedges stay as they are; read the log, correct the cause and restart the bot.`]);
  const database = databaseTrouble(state.health);
  if (database) {
    rows.push(["bad", "The database is not reachable.", "No new hedges are opened until it is; closing goes on. Start the database, the bot reconnects by itself."]);
  }
  for (const exchange of status.exchanges ?? []) {
    const said = exchangeState(exchange);
    if (said.state === "down") rows.push(["warn", `${exchange.name} is down.`, "No trading there; open hedges are kept. Watch the other leg; the bot goes on when the exchange answers."]);
    else if (exchange.halted) rows.push(["warn", `${exchange.name} is halted.`, exchange.halted]);
  }
  for (const account of status.accounts ?? []) {
    if (account.halted && account.halted !== "starting") rows.push(["warn", `Entries on ${account.account} are off.`, account.halted]);
  }
  for (const service of status.failed_services ?? []) {
    rows.push(["warn", `Service ${service.name} has ended.`, `${service.reason}. Trading goes on without it; restart the bot to have it back.`]);
  }
  if (engine.state === "STARTING") rows.push(["info", "The bot is starting.", engine.waiting_for || "It reads every account before it trades."]);
  return rows;
}
