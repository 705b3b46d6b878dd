// The order blotter: every order with its times, what came of it and how long the exchange took to answer.

import { get } from "../api.js";
import { empty, h, keyed } from "../dom.js";
import { clock, millis, price, quantity, words } from "../format.js";
import { loader, makePanel, plainTable, rowOf } from "../panel.js";
import { state, takeOrders } from "../store.js";

const SLOW = 1000; // ms from sent to acknowledged that is worth a look
const BAD = ["REJECTED", "REFUSED", "UNKNOWN", "EXPIRED"];

/** Milliseconds from sending an order to the exchange's answer; null while it is not there. */
export function latency(order) {
  if (order.latency_ms !== null && order.latency_ms !== undefined) return Number(order.latency_ms);
  if (!order.sent_at || !order.acknowledged_at) return null;
  return Date.parse(order.acknowledged_at) - Date.parse(order.sent_at);
}

/** The cells of an order, for every table that shows orders. */
export const orderCells = (order) => {
  const took = latency(order);
  return [
    [clock(order.intended_at ?? order.sent_at ?? order.at)],
    [order.pair ?? order.symbol, "strong", [order.account && order.account !== order.exchange ? `${order.exchange} (${order.account})` : order.exchange]],
    [`${order.side === "BUY" ? "▲" : "▼"} ${order.side}${order.action ? ` ${order.action.toLowerCase()}` : ""}`, order.side === "BUY" ? "up" : "down", [words(order.type)]],
    [millis(took), took !== null && took >= SLOW ? "num bad" : "num"],
    [price(order.price), "num", [price(order.average), "num"]],
    [quantity(order.quantity), "num", [quantity(order.filled), "num"]],
    [order.status, BAD.includes(order.status) ? "wrap bad" : "wrap", [order.reason ?? "", "hint wrap"]],
  ];
};

export const ORDER_COLUMNS = [["Time"], ["Pair", null, "Exchange"], ["Side", null, "Type"], ["Latency", "num"], ["Price", "num", "Average"], ["Quantity", "num", "Filled"], ["Status", null, "Reason"]];

export const makeOrders = () =>
  makePanel({
    id: "orders",
    title: "Orders",
    build(panel) {
      const said = h("div");
      const table = plainTable("Orders, newest first", ORDER_COLUMNS);
      const scroll = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Order blotter" }, table.element);
      panel.body.append(said, scroll);
      const row = rowOf(orderCells);
      const draw = () => {
        const rows = [...state.orders.values()].reverse();
        keyed(table.body, rows, (order) => order.order_id, row);
        scroll.hidden = rows.length === 0;
        if (rows.length) said.replaceChildren();
        const times = rows.map(latency).filter((value) => value !== null).sort((one, other) => one - other);
        const at = (part) => millis(times[Math.min(times.length - 1, Math.floor(times.length * part))]);
        panel.note(times.length ? `${rows.length} orders · latency p50 ${at(0.5)}, p99 ${at(0.99)}` : "");
      };
      const load = loader(said, () => get("/api/orders", { limit: 200 }), (answer) => {
        said.replaceChildren();
        takeOrders(answer.rows);
        if (!answer.rows.length) said.append(empty("No orders yet.", "Every order the bot sends is listed here, with the time the exchange took to answer."));
      });
      panel.live(["orders"], draw);
      panel.live(["snapshot", "refresh"], load);
    },
  });
