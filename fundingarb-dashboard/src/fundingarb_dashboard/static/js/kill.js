// What a latched kill switch has still to close, leg by leg, until everything is flat.

import { modal } from "./dialogs.js";
import { h, keyed, setAttr, setText } from "./dom.js";
import { clock, quantity } from "./format.js";
import { rowOf } from "./panel.js";
import { on, state } from "./store.js";

const leg = rowOf((row) => [
  [row.account],
  [row.symbol],
  [row.flat ? "0" : quantity(row.quantity), "num"],
  [row.flat ? "✓ flat" : row.reason || "being closed", row.flat ? "up" : ""],
]);

/** Takes what is open now into `seen` (account and symbol -> leg), and says of what was seen before whether it is flat. */
export function look(seen, positions, notFlat) {
  for (const row of seen.values()) row.flat = true;
  for (const position of positions) {
    for (const { account, quantity: held } of position.legs) {
      seen.set(`${account} ${position.pair}`, { account, symbol: position.pair, quantity: held, reason: "", flat: !Number(held) });
    }
  }
  for (const row of notFlat) {
    const symbol = row.symbol ?? row.pair ?? "the account";
    seen.set(`${row.account} ${symbol}`, { account: row.account, symbol, quantity: row.quantity, reason: row.reason, flat: false });
  }
  return [...seen.values()];
}

/** Shows the progress of the kill; `release` is offered once all is flat. */
export function showKill({ release }) {
  const seen = new Map();
  let off = () => {};
  const shown = modal(
    "Kill switch",
    (close) => {
      const verdict = h("p", { class: "kill-verdict", role: "status", "aria-live": "assertive" });
      const rows = h("tbody");
      const table = h(
        "table",
        { class: "table" },
        h("thead", {}, h("tr", {}, ["Account", "Symbol", "Quantity", "State"].map((title, at) => h("th", { scope: "col", class: at === 2 ? "num" : null }, title)))),
        rows,
      );
      const free = h(
        "button",
        { type: "button", class: "button", on: { click: () => { close(); release(); } } },
        "Release…",
      );
      const draw = () => {
        const kill = state.status?.kill ?? {};
        const legs = look(seen, state.positions.values(), kill.not_flat ?? []);
        const open = legs.filter((row) => !row.flat);
        const orders = state.status?.engine?.pending_orders ?? 0;
        setAttr(table, "hidden", legs.length === 0);
        keyed(rows, legs, (row) => `${row.account} ${row.symbol}`, leg);
        free.disabled = !(kill.latched && kill.flat);
        setAttr(verdict, "data-flat", kill.latched && kill.flat && state.link.state === "LIVE" ? "yes" : "no");
        const stale = state.link.state !== "LIVE";
        if (stale) setText(verdict, `? NOT KNOWN: nothing arrives from the bot since ${clock(new Date(state.link.since).toISOString())} UTC. What is below is from before; look at the exchanges.`);
        else if (!kill.latched) setText(verdict, "The kill switch is not latched.");
        else if (kill.flat) setText(verdict, "✓ FLAT: every account was seen without positions and orders.");
        else if (open.length) setText(verdict, `CLOSING: ${open.length} ${open.length === 1 ? "leg is" : "legs are"} not flat yet, ${orders} orders pending.`);
        else setText(verdict, "CLOSING: waiting until every account was seen flat.");
      };
      off = on(["status", "positions", "link"], draw);
      draw();
      return [
        verdict,
        table,
        h("p", { class: "hint" }, "Closing goes on when this window is shut. If a leg stays, close it at the exchange by hand."),
        h("div", { class: "dialog-buttons" }, free, h("button", { type: "button", class: "button primary", autofocus: true, on: { click: () => close() } }, "Close this window")),
      ];
    },
    { kind: "dialog-danger dialog-wide dialog-kill" },
  );
  return shown.finally(() => off());
}
