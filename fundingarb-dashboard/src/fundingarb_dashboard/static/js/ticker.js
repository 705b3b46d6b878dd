// The tape: the widest spreads, passing by. It stands still for people who asked for less motion, and on hover.

import { h, keyed, setAttr, setText } from "./dom.js";
import { pct, tone } from "./format.js";
import { on, state } from "./store.js";

const SHOWN = 24;
const EVERY = 2000; // ms between two looks at which spreads are widest

/** The tape; `open(pair)` is called for a click. */
export function makeTicker(open) {
  const strips = [0, 1].map((copy) => h("div", { class: "tape-strip", "aria-hidden": copy ? "true" : null }));
  const element = h("div", { class: "tape", role: "region", "aria-label": "Widest spreads" }, h("div", { class: "tape-run" }, strips));
  let drawn = -EVERY;

  const create = (copy) => (first) => {
    const name = h("strong");
    const spread = h("span");
    const sides = h("span", { class: "hint" });
    const element = h(
      "button",
      { type: "button", class: "tape-item", tabindex: copy ? "-1" : null, on: { click: () => open(first.pair) } },
      name,
      spread,
      sides,
    );
    return {
      element,
      update(entry) {
        setText(name, entry.pair.split("-")[0]);
        setText(spread, pct(entry.best.spread));
        setAttr(spread, "data-tone", tone(entry.best.spread));
        setText(sides, `${entry.best.long}▸${entry.best.short}`);
      },
    };
  };
  const makers = strips.map((_, copy) => create(copy));

  on(["rates"], () => {
    if (performance.now() - drawn < EVERY) return;
    const widest = [...state.pairs.values()]
      .filter((entry) => entry.best)
      .sort((one, other) => other.best.spread - one.best.spread)
      .slice(0, SHOWN);
    if (widest.length) drawn = performance.now();
    strips.forEach((strip, copy) => keyed(strip, widest, (entry) => entry.pair, makers[copy]));
  });
  return element;
}
