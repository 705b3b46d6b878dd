// What the last scan saw: what may be taken, and for the rest the gate that refused it, what it needs and what there is.

import { attended } from "../activity.js";
import { get } from "../api.js";
import { empty, h, keyed } from "../dom.js";
import { clock, gain, judged, pct, tone, usd } from "../format.js";
import { loader, makePanel, plainTable, rowOf } from "../panel.js";
import { state } from "../store.js";

const SHOWN = 100;
const AGAIN = 2000; // ms; scans may come faster than a person reads

export const makeOpportunities = (run) =>
  makePanel({
    id: "opportunities",
    title: "Opportunities",
    key: "F3",
    build(panel) {
      const table = plainTable("Opportunities, best first", [["Pair", null, "Long ▸ short"], ["Spread 8h", "num"], ["Net USD", "num"], ["Size USD", "num"], ["Verdict"], ["Needed"], ["Actual"]]);
      const said = h("div");
      const scroll = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Opportunities and why others were not taken" }, table.element);
      panel.body.append(said, scroll);
      const row = rowOf(
        (entry) => [
          [entry.pair, "strong", [`${entry.long} ▸ ${entry.short}`]],
          [pct(entry.spread_8h), `num ${tone(entry.spread_8h)}`],
          [gain(entry.net), `num ${tone(entry.net)}`],
          [usd(entry.size_usd, 0), "num"],
          entry.gate ? [`✕ ${entry.gate}`, "bad"] : ["✓ takeable", "up strong"],
          [judged(entry.gate, entry.needed), "hint wrap"],
          [judged(entry.gate, entry.actual), "hint wrap"],
        ],
        {
          click: (entry) => run({ act: "panel", panel: "calculator", args: { pair: entry.pair, long: entry.long, short: entry.short, ...(entry.size_usd ? { size_usd: String(Math.round(Number(entry.size_usd))) } : {}) } }),
          label: (entry) => `${entry.pair} long ${entry.long} short ${entry.short}: to the calculator`,
        },
      );
      let scanned = null;
      let askedAt = -AGAIN;
      const load = loader(said, () => get("/api/opportunities"), (answer) => {
        said.replaceChildren();
        keyed(table.body, answer.rows.slice(0, SHOWN), (entry) => `${entry.pair}|${entry.long}|${entry.short}`, row);
        scroll.hidden = answer.rows.length === 0;
        if (!answer.rows.length) {
          said.append(answer.scanned_at ? empty("The last scan found no candidates.", "It compares every symbol that two exchanges have; the rates panel shows what it sees.") : empty("No scan yet.", "Press Force scan, or wait for the bot: it scans when rates change."));
        }
        const takeable = answer.rows.filter((entry) => !entry.gate).length;
        panel.note(answer.scanned_at ? `${takeable} of ${answer.rows.length} takeable, scanned ${clock(answer.scanned_at)}${answer.rows.length > SHOWN ? `, best ${SHOWN} shown` : ""}` : "");
      });
      panel.live(["status", "scanned", "refresh", "snapshot"], (changed) => {
        const last = state.status?.engine?.last_scan ?? null;
        const asked = ["scanned", "refresh", "snapshot"].some((topic) => changed.has(topic));
        if (!asked && changed.size && (last === scanned || performance.now() - askedAt < AGAIN || !attended())) return;
        scanned = last;
        askedAt = performance.now();
        load();
      });
    },
  });
