// Opens a hedge by hand.

import { openPosition } from "../actions.js";
import { h, setAttr, setText } from "../dom.js";
import { pct, tone, yearly } from "../format.js";
import { makePanel } from "../panel.js";
import { hedgeFields, spreadNow } from "./hedgeform.js";

export const makeEntry = () =>
  makePanel({
    id: "entry",
    title: "Position entry",
    build(panel) {
      const spread = h("output", { class: "spread-now" });
      const fields = hedgeFields(show);
      const form = h(
        "form",
        { class: "entry", "aria-label": "Open a position", on: { submit } },
        fields.element,
        h("div", { class: "entry-foot" }, h("span", { class: "label" }, "Spread, 8 h"), spread, h("button", { type: "submit", class: "button primary" }, "Open position")),
      );
      panel.body.append(form);

      function show() {
        const { pair, long, short } = fields.all;
        const value = spreadNow({ pair: pair.input.value, long: long.input.value, short: short.input.value });
        setText(spread, value === null ? "–" : `${pct(value)} (${yearly(value * 1095)} APR)`);
        setAttr(spread, "data-tone", tone(value));
      }

      async function submit(event) {
        event.preventDefault();
        const hedge = fields.read();
        if (hedge) await openPosition({ ...hedge, spread: spreadNow(hedge) });
      }

      panel.opened = (args) => {
        fields.set(args);
        show();
      };
      panel.live(["rates"], () => show());
      fields.fill();
    },
  });
