// Closed hedges; each opens its full account.

import { get } from "../api.js";
import { empty, h, keyed } from "../dom.js";
import { gain, paid, span, stamp, tone, usd, words } from "../format.js";
import { loader, makePanel, plainTable, rowOf } from "../panel.js";
import { showAccount } from "./account.js";

const PAGE = 50;

export const makeHistory = () =>
  makePanel({
    id: "history",
    title: "Closed",
    key: "F7",
    build(panel) {
      const said = h("div");
      const table = plainTable("Closed positions, newest first", [["Closed", null, "Held for"], ["Pair", null, "Long ▸ short"], ["Size", "num"], ["Why"], ["Net", "num"], ["Funding", "num", "Fees"], ["Price", "num"], ["Basis", "num", "Slippage"]]);
      const more = h("button", { type: "button", class: "button small", hidden: true, on: { click: () => older() } }, "Older…");
      const scroll = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Closed positions" }, table.element, more);
      panel.body.append(said, scroll);
      let rows = [];
      let next = null;
      const signed = (value) => [gain(value), `num ${tone(value)}`];
      const row = rowOf(
        (closed) => [
          [stamp(closed.closed_at), null, [span(closed.duration_s)]],
          [closed.pair, "strong", [`${closed.long} ▸ ${closed.short}`]],
          [usd(closed.size_usd, 0), "num"],
          [words(closed.close_reason), "wrap"],
          [gain(closed.net), `num strong ${tone(closed.net)}`],
          [...signed(closed.funding), [paid(closed.fees), `num ${tone(-closed.fees)}`]],
          signed(closed.price),
          [...signed(closed.basis), signed(closed.slippage)],
        ],
        { click: showAccount, label: (closed) => `${closed.pair}, closed ${stamp(closed.closed_at)}: full account` },
      );
      const draw = () => {
        said.replaceChildren();
        keyed(table.body, rows, (closed) => closed.position_id, row);
        scroll.hidden = rows.length === 0;
        more.hidden = !next;
        if (!rows.length) said.append(empty("Nothing was closed yet.", "Closed hedges stay here with their payments, fills and the reason."));
        panel.note(rows.length ? `${rows.length}${next ? "+" : ""}, amounts in USD` : "");
      };
      const load = loader(said, () => get("/api/history", { limit: PAGE }), (answer) => {
        const fresh = new Set(answer.rows.map((closed) => closed.position_id));
        const older = rows.filter((closed) => !fresh.has(closed.position_id));
        // What was looked back at stays, unless so much was closed since that there is a gap.
        if (older.length && older.length < rows.length) rows = [...answer.rows, ...older];
        else [rows, next] = [answer.rows, answer.next ?? null];
        draw();
      });
      const older = loader(said, () => get("/api/history", { limit: PAGE, before: next }), (answer) => {
        const known = new Set(rows.map((closed) => closed.position_id));
        rows = [...rows, ...answer.rows.filter((closed) => !known.has(closed.position_id))];
        next = answer.next ?? null;
        draw();
      });
      panel.live(["snapshot", "closed", "refresh"], load);
    },
  });
