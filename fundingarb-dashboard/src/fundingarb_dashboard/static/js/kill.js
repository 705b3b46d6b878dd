// What a latched kill switch has still to close, leg by leg, until everything is flat.

import { modal } from "./dialogs.js";
import { fill, h, setAttr, setText } from "./dom.js";
import { quantity } from "./format.js";
import { on, state } from "./store.js";

const leg = (row) =>
  h(
    "tr",
    {},
    h("td", {}, row.account),
    h("td", {}, row.symbol ?? row.pair),
    h("td", { class: "num" }, quantity(row.quantity)),
    h("td", {}, row.reason || "closing"),
  );

/** Shows the progress of the kill; `release` is offered once all is flat. */
export function showKill({ release }) {
  let off = () => {};
  const shown = modal(
    "Kill switch",
    (close) => {
      const verdict = h("p", { class: "kill-verdict", role: "status", "aria-live": "assertive" });
      const rows = h("tbody");
      const table = h(
        "table",
        { class: "table" },
        h("thead", {}, h("tr", {}, ["Account", "Symbol", "Quantity", "Why it is not flat yet"].map((title, at) => h("th", { scope: "col", class: at === 2 ? "num" : null }, title)))),
        rows,
      );
      const free = h(
        "button",
        { type: "button", class: "button", on: { click: () => { close(); release(); } } },
        "Release…",
      );
      const draw = () => {
        const kill = state.status?.kill ?? {};
        const open = kill.not_flat ?? [];
        const orders = state.status?.engine?.pending_orders ?? 0;
        setAttr(table, "hidden", open.length === 0);
        fill(rows, open.map(leg));
        free.disabled = !(kill.latched && kill.flat);
        setAttr(verdict, "data-flat", kill.latched && kill.flat ? "yes" : "no");
        if (!kill.latched) setText(verdict, "The kill switch is not latched.");
        else if (kill.flat) setText(verdict, "✓ FLAT: every account was seen without positions and orders.");
        else if (open.length) setText(verdict, `CLOSING: ${open.length} ${open.length === 1 ? "leg is" : "legs are"} not flat yet, ${orders} orders pending.`);
        else setText(verdict, "CLOSING: waiting until every account was seen flat.");
      };
      off = on(["status", "positions"], draw);
      draw();
      return [
        verdict,
        table,
        h("p", { class: "hint" }, "Closing goes on when this window is shut. If a leg stays, close it at the exchange by hand."),
        h("div", { class: "dialog-buttons" }, free, h("button", { type: "button", class: "button primary", autofocus: true, on: { click: () => close() } }, "Close this window")),
      ];
    },
    { kind: "dialog-danger dialog-wide" },
  );
  return shown.finally(() => off());
}
