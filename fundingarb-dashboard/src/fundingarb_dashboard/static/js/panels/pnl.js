// The result at a glance; on demand, what it is made of.

import { h, setAttr, setText } from "../dom.js";
import { count, gain, paid, share, span, tone } from "../format.js";
import { makePanel } from "../panel.js";
import { state } from "../store.js";

const CARDS = [
  ["realized", "Realised", (s) => gain(s.realized), (s) => s.realized],
  ["unrealized", "Unrealised", (s) => gain(s.unrealized), (s) => s.unrealized],
  ["funding", "Funding", (s) => gain(s.funding), (s) => s.funding],
  ["fees", "Fees", (s) => paid(s.fees), (s) => -s.fees],
  ["net", "Net", (s) => gain(s.net), (s) => s.net],
  ["win_rate", "Win rate", (s) => (s.trades ? share(s.win_rate) : "–"), null, (s) => (s.trades ? `${count(s.wins)} of ${count(s.trades)}` : "no trades yet")],
  ["trades", "Trades", (s) => count(s.trades), null, (s) => `${count(s.open)} open`],
  ["average", "Avg duration", (s) => span(s.average_duration_s), null],
];
// Slippage and basis are what the price result consists of. Fees are positive when paid.
const PARTS = [["funding", 1], ["price", 1], ["basis", 1], ["slippage", 1], ["fees", -1]];
const SPLIT = {
  realized: ["Realised", "funding + price − fees, as the exchanges booked them"],
  unrealized: ["Unrealised", "closing at the marks; funding and fees are realised when they are booked"],
  net: ["Net", "realised + unrealised, before the fees of closing"],
};

export const makePnl = () =>
  makePanel({
    id: "pnl",
    title: "P&L summary",
    build(panel) {
      let shown = null;
      const name = h("strong", { class: "split-name" });
      const note = h("span", { class: "split-note" });
      const parts = PARTS.map(([part, sign]) => {
        const value = h("dd");
        return { element: h("div", { class: "part" }, h("dt", {}, part), value), part, sign, value };
      });
      const split = h(
        "section",
        { class: "split", id: "pnl-split", hidden: true, "aria-label": "What it consists of, USD" },
        name,
        h("dl", { class: "split-parts" }, parts.map((each) => each.element)),
        note,
      );
      const toggles = new Map();
      const draw = () => {
        const summary = state.summary;
        for (const [id, toggle] of toggles) setAttr(toggle, "aria-expanded", String(id === shown));
        split.hidden = shown === null;
        if (!shown) return;
        const found = summary?.splits?.[shown];
        setText(name, `${SPLIT[shown][0]}, USD`);
        setText(note, summary && !found ? "a mark is not known" : SPLIT[shown][1]);
        for (const { part, sign, value } of parts) {
          setText(value, found ? (sign < 0 ? paid : gain)(found[part]) : "–");
          setAttr(value, "data-tone", found ? tone(sign * found[part]) : null);
        }
      };
      const toggle = (id, label) => {
        const choose = () => {
          shown = shown === id ? null : id;
          draw();
        };
        const button = h("button", { type: "button", class: "split-toggle", title: `What ${label.toLowerCase()} consists of`, "aria-controls": "pnl-split", on: { click: choose } }, label);
        toggles.set(id, button);
        return button;
      };
      const cards = CARDS.map(([id, label, text, sign, sub]) => {
        const value = h("dd", { class: "card-value", "data-unit": sign ? "USD" : null });
        const under = h("dd", { class: "card-sub" });
        const title = h("dt", {}, SPLIT[id] ? toggle(id, label) : label);
        return { card: h("div", { class: "card", "data-card": id }, title, sub ? under : null, value), value, under, text, sign, sub };
      });
      panel.body.append(h("dl", { class: "cards" }, cards.map((entry) => entry.card)), split);
      panel.live(["summary"], () => {
        const summary = state.summary;
        for (const { value, under, text, sign, sub } of cards) {
          setText(value, summary ? text(summary) : "–");
          setAttr(value, "data-tone", summary && sign ? tone(sign(summary)) : null);
          if (sub) setText(under, summary ? sub(summary) : "");
        }
        draw();
      });
    },
  });
