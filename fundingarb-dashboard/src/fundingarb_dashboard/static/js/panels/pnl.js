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

export const makePnl = () =>
  makePanel({
    id: "pnl",
    title: "P&L summary",
    build(panel) {
      const split = h("div", { class: "split", id: "pnl-split", hidden: true });
      const parts = PARTS.map(([name, sign]) => {
        const value = h("dd");
        split.append(h("div", { class: "part" }, h("dt", {}, name), value));
        return [name, sign, value];
      });
      const toggle = h(
        "button",
        { type: "button", class: "tool split-toggle", "aria-expanded": "false", "aria-controls": "pnl-split", on: { click: () => {
          split.hidden = !split.hidden;
          toggle.setAttribute("aria-expanded", String(!split.hidden));
        } } },
        "SPLIT",
      );
      const cards = CARDS.map(([id, label, text, sign, sub]) => {
        const value = h("dd", { class: "card-value" });
        const under = h("dd", { class: "card-sub" });
        return { card: h("div", { class: "card", "data-card": id }, h("dt", {}, label), sub ? under : null, value), value, under, text, sign, sub };
      });
      panel.body.append(h("dl", { class: "cards" }, cards.map((entry) => entry.card)), toggle, h("dl", { class: "split-box" }, split));
      panel.live(["summary"], () => {
        const summary = state.summary;
        for (const { value, under, text, sign, sub } of cards) {
          setText(value, summary ? text(summary) : "–");
          setAttr(value, "data-tone", summary && sign ? tone(sign(summary)) : null);
          if (sub) setText(under, summary ? sub(summary) : "");
        }
        for (const [name, sign, value] of parts) {
          setText(value, summary ? (sign < 0 ? paid : gain)(summary[name]) : "–");
          setAttr(value, "data-tone", summary ? tone(sign * summary[name]) : null);
        }
      });
    },
  });
