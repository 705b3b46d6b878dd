// The full account of one hedge: what it earned by part, its orders, fills and payments, why it closed, and what
// holding it longer would have brought.

import { facts, modal } from "../dialogs.js";
import { empty, fill, h } from "../dom.js";
import { clock, gain, paid, price, quantity, span, stamp, tone, usd, words } from "../format.js";
import { loader, plainTable, putCell } from "../panel.js";
import { get } from "../api.js";
import { ORDER_COLUMNS, orderCells } from "./orders.js";

const cellsRow = (cells) =>
  h("tr", {}, cells.map((said) => {
    const cell = h("td");
    putCell(cell, said);
    return cell;
  }));

function section(title, columns, rows, cells) {
  const table = plainTable(title, columns);
  fill(table.body, rows.map((row) => cellsRow(cells(row))));
  return h(
    "section",
    {},
    h("h3", {}, `${title} (${rows.length})`),
    rows.length ? h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, table.element) : h("p", { class: "hint" }, "none"),
  );
}

/** Shows the account of a closed hedge. */
export function showAccount(closed) {
  return modal(
    `${closed.pair}: the full account`,
    (close) => {
      const box = h("div", { class: "account-box" }, empty("Reading…"));
      loader(box, () => get(`/api/history/${encodeURIComponent(closed.position_id)}`), (full) => draw(box, { ...closed, ...full }))();
      return [box, h("div", { class: "dialog-buttons" }, h("button", { type: "button", class: "button primary", autofocus: true, on: { click: () => close() } }, "Close"))];
    },
    { kind: "dialog-wide" },
  );
}

const longer = (value) => (value === null || value === undefined ? ["not known", null] : [`${gain(value)} USD`, tone(value)]);

function draw(box, full) {
  const held = full.held_longer ?? {};
  fill(
    box,
    h(
      "div",
      { class: "account-columns" },
      facts([
        ["Long / short", `${full.long} / ${full.short}`],
        ["Size per leg", `${usd(full.size_usd)} USD`],
        ["Opened", stamp(full.opened_at)],
        ["Closed", stamp(full.closed_at)],
        ["Held for", span(full.duration_s)],
        ["Closed because", words(full.close_reason)],
      ]),
      facts([
        ...["Funding", "Price", "Basis", "Slippage"].map((name) => [`${name}, USD`, gain(full[name.toLowerCase()]), tone(full[name.toLowerCase()])]),
        ["Fees, USD", paid(full.fees), tone(-full.fees)],
        ["Net", `${gain(full.net)} USD`, `${tone(full.net)} total`],
      ]),
      h(
        "div",
        {},
        facts([["Holding 1 h longer", ...longer(held.h1)], ["4 h longer", ...longer(held.h4)], ["24 h longer", ...longer(held.h24)]]),
        held.note ? h("p", { class: "hint" }, held.note) : null,
      ),
    ),
    section("Funding payments", [["When"], ["Exchange"], ["Leg"], ["USD", "num"]], full.payments ?? [], (row) => [[stamp(row.at)], [row.exchange ?? row.account], [words(row.leg ?? row.side)], [gain(row.amount, 4), `num ${tone(row.amount)}`]]),
    section("Fills", [["When"], ["Exchange"], ["Side"], ["Price", "num"], ["Quantity", "num"], ["Fee, USD", "num"]], full.fills ?? [], (row) => [[clock(row.at)], [row.exchange ?? row.account], [words(row.side)], [price(row.price), "num"], [quantity(row.quantity ?? row.size), "num"], [paid(row.fee, 4), "num"]]),
    section("Orders", ORDER_COLUMNS, full.orders ?? [], (row) => orderCells({ pair: full.pair, ...row })),
  );
}
