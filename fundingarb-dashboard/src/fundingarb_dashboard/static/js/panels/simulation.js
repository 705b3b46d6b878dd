// The review of the simulation: what to look at before going live, and the way there.

import { get } from "../api.js";
import { facts } from "../dialogs.js";
import { fill, h, setAttr, setText } from "../dom.js";
import { count, gain, num, share, span, tone } from "../format.js";
import { goLive, wayLive, wayShown } from "../golive.js";
import { loader, makePanel } from "../panel.js";
import { toast } from "../toasts.js";

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

/** The way to live trading: {element, load}. */
function makeWay() {
  let asking = false;
  const shown = h("div", { class: "way" });
  const sent = h("p", { class: "sent", role: "status", hidden: true });
  // A ticket is good for some minutes only: what is decided on is a review of now.
  const ask = async () => {
    if (asking) return;
    asking = true;
    try {
      const way = await wayLive();
      if (way.ticket) await goLive(way);
    } catch (error) {
      toast(error.message, "bad");
    } finally {
      asking = false;
      load();
    }
  };
  const go = h("button", { type: "button", class: "button danger", disabled: true, on: { click: ask } }, "Go live…");
  const load = loader(shown, wayLive, (way) => {
    fill(shown, wayShown(way));
    setAttr(go, "disabled", !way.ticket);
    setAttr(sent, "hidden", !way.sent);
    setText(sent, way.sent ? `Sent live at ${way.sent}. Until then this bot goes on simulating.` : "");
  });
  const element = h(
    "section",
    { class: "going-live", "aria-label": "Going live" },
    h("h3", {}, "Going live"),
    h("p", { class: "hint" }, "Real money takes the simulated hours, this review and the master password; then the bot is started again."),
    shown,
    sent,
    go,
  );
  return { element, load };
}

export const makeSimulation = () =>
  makePanel({
    id: "simulation",
    title: "Simulation",
    build(panel) {
      const box = h("div", { class: "review" });
      const way = makeWay();
      panel.body.append(h("div", { class: "simulation-review", tabindex: "0", role: "region", "aria-label": "Review of the simulation" }, box, way.element));
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
      panel.live(["snapshot", "closed", "refresh", "live"], () => {
        load();
        way.load();
      });
    },
  });
