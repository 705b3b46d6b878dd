// The review of the simulation: what to look at before going live.

import { get } from "../api.js";
import { facts } from "../dialogs.js";
import { fill, h } from "../dom.js";
import { count, gain, num, share, span, tone } from "../format.js";
import { loader, makePanel } from "../panel.js";

const pairs = (value) =>
  Array.isArray(value) ? value.map((row) => [row.gate ?? row.severity ?? row[0], row.count ?? row[1]]) : Object.entries(value ?? {});

function bars(title, rows) {
  const most = Math.max(1, ...rows.map(([, n]) => Number(n)));
  return h(
    "section",
    {},
    h("h3", {}, title),
    rows.length
      ? h("dl", { class: "bars" }, rows.sort((one, other) => other[1] - one[1]).map(([name, n]) => h("div", {}, h("dt", {}, name), h("dd", {}, h("meter", { min: "0", max: String(most), value: String(n), "aria-hidden": "true" }), count(n)))))
      : h("p", { class: "hint" }, "none"),
  );
}

export const makeSimulation = () =>
  makePanel({
    id: "simulation",
    title: "Simulation",
    build(panel) {
      const box = h("div", { class: "simulation-review" });
      panel.body.append(box);
      const load = loader(box, () => get("/api/simulation"), (review) => {
        const hours = review.hours ?? review.hours_run;
        fill(
          box,
          h("p", { class: "hint" }, "What this bot did on simulated or test exchanges. Before real money: read the refusals and the alerts, and let it run for as long as you mean to trust it."),
          h(
            "div",
            { class: "account-columns" },
            facts([
              ["Ran for", hours === null || hours === undefined ? "–" : span(num(hours) * 3600)],
              ["Hedges", count(review.hedges)],
              ["Net", `${gain(review.net)} USD`, tone(review.net)],
              ["Win rate", share(review.win_rate)],
              ["Longest unhedged", `${num(review.worst_unhedged_s)?.toFixed(1) ?? "–"} s`],
            ]),
            bars("Refusals by gate", pairs(review.refusals)),
            bars("Alerts by severity", pairs(review.alerts)),
          ),
        );
      });
      panel.live(["snapshot", "closed", "refresh"], load);
    },
  });
