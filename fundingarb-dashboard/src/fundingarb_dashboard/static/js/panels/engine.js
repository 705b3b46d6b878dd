// The engine: what it does, what it waits for, and how everything it depends on stands.

import { now, until } from "../clock.js";
import { empty, h, keyed, setAttr, setText } from "../dom.js";
import { age, clock, count, gain, millis, share, span, usd } from "../format.js";
import { CLOCKED, databaseTrouble, exchangeState } from "../header.js";
import { makePanel } from "../panel.js";
import { state } from "../store.js";

const FACTS = ["state", "waits for", "last scan", "pending orders", "database"];

export const makeEngine = () =>
  makePanel({
    id: "engine",
    title: "Engine status",
    build(panel) {
      const values = {};
      const list = h("dl", { class: "facts compact" }, FACTS.map((name) => h("div", {}, h("dt", {}, name), (values[name] = h("dd")))));
      const exchanges = h("ul", { class: "venues", "aria-label": "Connected exchanges" });
      const heads = h("div", { class: "venue account account-head" }, h("span", {}, "account"), ["equity", "free", "MR"].map((name) => h("span", { class: "num" }, name)));
      const accounts = h("ul", { class: "venues accounts", "aria-label": "Accounts" });
      const nothing = empty("No engine data.", "The engine has said nothing yet: wait for its start, or read the bot's log.");
      panel.body.append(nothing, list, exchanges, heads, accounts);

      panel.live(CLOCKED, () => {
        const { status, health } = state;
        const engine = status?.engine;
        const known = Boolean(engine?.state);
        nothing.hidden = known;
        list.hidden = !known;
        heads.hidden = !known;
        if (!known) return;
        const up = engine.started_at ? `, up for ${span(-until(engine.started_at))}` : "";
        setText(values.state, engine.error ? `${engine.state}: ${engine.error}` : `${engine.state}${up}`);
        setAttr(values.state, "data-tone", { RUNNING: "up", PAUSED: "warn", STARTING: "warn" }[engine.state] ?? "bad");
        // The day is said by the clock, but for another one.
        setText(values["waits for"], (engine.waiting_for || "–").replaceAll(`${new Date(now()).toISOString().slice(0, 10)} `, ""));
        const since = until(engine.last_scan);
        setText(values["last scan"], engine.last_scan ? `${clock(engine.last_scan)}, ${age(Math.max(0, -since))} ago` : "none yet");
        setText(values["pending orders"], count(engine.pending_orders));
        const lag = health ? ` · loop lag ${millis(health.loop_lag_ms)}` : "";
        setText(values.database, health ? `${databaseTrouble(health) ?? "ok"}${lag}` : "–");
        keyed(exchanges, status.exchanges ?? [], (row) => row.name, venue);
        keyed(accounts, status.accounts ?? [], (row) => row.account, account);
      });
    },
  });

function venue() {
  const parts = ["dot", "name", "said", "extra"].map((kind) => h("span", { class: kind }));
  const [dot, name, said, extra] = parts;
  const element = h("li", { class: "venue" }, parts);
  return {
    element,
    update(row) {
      const stands = exchangeState(row);
      setAttr(element, "data-state", stands.state);
      setText(dot, stands.mark);
      setText(name, row.name);
      setText(said, stands.text);
      const streams = row.streams?.length ? `${row.streams.length} ${row.streams.length === 1 ? "stream" : "streams"}` : "";
      const offset = row.clock_offset_ms !== null && row.clock_offset_ms !== undefined ? `clock ${gain(row.clock_offset_ms, 0)} ms` : "";
      setText(extra, [streams, offset].filter(Boolean).join(" · "));
    },
  };
}

function account() {
  const parts = ["name", "equity num", "free num", "margin num"].map((kind) => h("span", { class: kind }));
  const [name, equity, free, margin] = parts;
  const element = h("li", { class: "venue account" }, parts);
  return {
    element,
    update(row) {
      setAttr(element, "data-state", row.halted ? "warn" : "up");
      setAttr(element, "title", row.halted ?? `${row.account} on ${row.exchange}`);
      setText(name, row.halted ? `! ${row.account}` : row.account);
      setText(equity, `${usd(row.equity, 0)} ${row.currency ?? "USD"}`);
      setText(free, usd(row.free, 0));
      setText(margin, share(row.margin_ratio, 0));
    },
  };
}
