// From simulation to live: the figures that decide, what is in the way, and the switch that takes the master password.

import { get, newKey, post } from "./api.js";
import { confirm, facts, modal } from "./dialogs.js";
import { field, fill, h } from "./dom.js";
import { count, gain, num, paid, tone } from "./format.js";
import { state, touch } from "./store.js";

/** What the bot says of the way from here to live trading. */
export const wayLive = () => get("/api/live");

/** The figures of a review, and under them what is in the way. */
export function wayShown(way) {
  const { review, obstacles } = way;
  const hours = (value) => num(value).toFixed(1);
  return [
    review
      ? facts([
          ["Simulated with this configuration", `${hours(review.hours)} of ${hours(review.needed)} h`, num(review.hours) < num(review.needed) ? "bad" : "up"],
          ["Hedges closed", count(review.hedges)],
          ["Result", `${gain(review.result)} USD`, tone(review.result)],
          ["of it funding / fees", `${gain(review.funding)} / ${paid(review.fees)} USD`],
          ["Critical alerts", count(review.critical_alerts), num(review.critical_alerts) ? "bad" : null],
        ])
      : null,
    obstacles.length
      ? h("ul", { class: "obstacles", "aria-label": "What is in the way of going live" }, obstacles.map((text) => h("li", {}, `✕ ${text}`)))
      : h("p", { class: "up" }, "✓ Nothing is in the way."),
  ];
}

/**
 * Shows the review `way`, asks for the word LIVE and the master password, and has the next start trade with real money.
 * Resolves with the bot's answer, undefined when called off.
 */
export async function goLive(way) {
  const password = field("Master password", h("input", { type: "password", autocomplete: "off", required: true, autofocus: true }), "That of the vault; it is not kept.");
  const shown = h("div", { class: "way" }, wayShown(way));
  let key = newKey();
  let before = null;
  const run = async () => {
    const given = password.input.value;
    const body = { confirm: "LIVE", ticket: way.ticket, master_password: given };
    if (before !== null && before !== given) key = newKey(); // another request than the one nobody knows the outcome of
    before = given;
    try {
      const answer = await post("/api/live", body, key);
      touch("live");
      return answer;
    } catch (error) {
      if (error.unknown) throw error;
      // The attempt has used its ticket up: the next one is about a review that is shown here first.
      before = null;
      key = newKey();
      way = await wayLive().catch(() => way);
      fill(shown, wayShown(way));
      if (password.input.value === given) password.input.select();
      throw error;
    }
  };
  const done = await confirm({
    title: "Go live",
    text: "From its next start on this bot trades with real money, on the accounts that are configured.",
    rows: state.positions.size ? [["Open on testnet, looked after no more", count(state.positions.size), "bad"]] : [],
    extra: [shown, password.field],
    action: "Go live",
    danger: true,
    typed: "LIVE",
    run,
  });
  if (done) await told(done);
  return done;
}

/** Says what to do now, until it was read. */
const told = (done) =>
  modal("Sent live", (close) => [
    h("p", {}, done.said),
    h("p", { class: "hint" }, done.restart ? "Until it is started again this bot goes on simulating; nothing trades with real money yet." : "No restart is needed."),
    h("div", { class: "dialog-buttons" }, h("button", { type: "button", class: "button primary", autofocus: true, on: { click: () => close() } }, "Close")),
  ]);
