// What a hedge would cost and bring: threshold, four fees, depth slippage, break-even, every payment by date.

import { get } from "../api.js";
import { facts } from "../dialogs.js";
import { fill, h } from "../dom.js";
import { gain, judged, num, paid, pct, stamp, tone, usd } from "../format.js";
import { loader, makePanel, plainTable } from "../panel.js";
import { hedgeFields } from "./hedgeform.js";

export const makeCalculator = (run) =>
  makePanel({
    id: "calculator",
    title: "Calculator",
    key: "F8",
    build(panel) {
      const result = h("div", { class: "calc-result", "aria-live": "polite" });
      let hedge = null;
      const fields = hedgeFields(() => {});
      const load = loader(
        result,
        async () => {
          const asked = hedge;
          return [asked, await get("/api/calculator", asked)];
        },
        ([asked, answer]) => draw(asked, answer),
      );
      const form = h(
        "form",
        { class: "calc-form", "aria-label": "Calculator", on: { submit: (event) => { event.preventDefault(); go(); } } },
        fields.element,
        h("div", { class: "buttons" },
          h("button", { type: "submit", class: "button primary" }, "Calculate"),
          h("button", { type: "button", class: "button", on: { click: () => { const named = fields.read(); if (named) run({ act: "panel", panel: "entry", args: named }); } } }, "To entry"),
        ),
      );
      panel.body.append(h("div", { class: "calc" }, form, result));

      function go() {
        hedge = fields.read();
        if (hedge) load();
      }

      function draw(asked, answer) {
        const about = h("p", { class: "strong" }, `${asked.pair}: long ${asked.long}, short ${asked.short}, ${usd(asked.size_usd)} USD`);
        const net = num(answer.net);
        const verdict = answer.refusals?.length
          ? h("p", { class: "calc-verdict bad" }, "✕ Would be refused: ", answer.refusals.map((refusal) => (typeof refusal === "string" ? refusal : `${refusal.gate}: needs ${judged(refusal.gate, refusal.needed)}, is ${judged(refusal.gate, refusal.actual)}`)).join("; "))
          : h("p", { class: "calc-verdict good" }, "✓ Passes every gate now.");
        const rows = [
          ["Net", `${gain(net)} USD`, `${tone(net)} total`],
          ["Spread, 8 h", pct(answer.spread_8h), tone(answer.spread_8h)],
          ["Threshold at this size", pct(answer.threshold)],
          ["Expected funding, USD", gain(answer.funding ?? sum(answer.payments)), tone(answer.funding ?? sum(answer.payments))],
          ...feeRows(answer.fees),
          ["Depth slippage, USD", paid(answer.slippage), "down"],
          ["Adverse basis, USD", paid(answer.basis), "down"],
          ["Break-even", answer.break_even_h === null || answer.break_even_h === undefined ? "never at this spread" : `${num(answer.break_even_h).toFixed(1)} h`],
        ];
        fill(result, about, verdict, h("div", { class: "calc-columns" }, facts(rows), payments(answer.payments ?? [])));
      }

      panel.opened = (args) => {
        fields.set(args);
        if (args.pair) go();
      };
      fields.fill();
      fields.best();
    },
  });

// A sum for display only: the bot's own net is what counts.
const sum = (payments) => (payments ?? []).reduce((total, payment) => total + (num(payment.amount) ?? 0), 0);

function feeRows(fees) {
  if (fees === null || typeof fees !== "object") return [["Fees", paid(fees), "down"]];
  return Object.entries(fees).map(([name, value]) => [name === "total" ? "Fees, all four, USD" : `Fee, ${name.replaceAll("_", " ")}`, paid(value), "down"]);
}

function payments(rows) {
  const table = plainTable("Expected payments", [["When, UTC"], ["Leg"], ["USD", "num"], ["Sum, USD", "num"]]);
  let total = 0;
  fill(table.body, rows.map((row) => {
    total += num(row.amount) ?? 0;
    return h("tr", {}, h("td", {}, stamp(row.at)), h("td", {}, `${(row.leg ?? row.side ?? "").toLowerCase()} ${row.exchange ?? ""}`), h("td", { class: `num ${tone(row.amount)}` }, gain(row.amount)), h("td", { class: "num" }, usd(total)));
  }));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Expected payments" }, table.element);
}
