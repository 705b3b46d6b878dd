// What the browser knows, fed by snapshots and events; listeners hear of changes once per frame.

import { beat, happened } from "./clock.js";
import { num } from "./format.js";

const KEEP = { alerts: 200, orders: 400, trades: 200 };

export const state = {
  session: null,
  link: { state: "CONNECTING", since: Date.now(), retryAt: null, reason: null },
  status: null,
  summary: null,
  rates: new Map(), // "exchange|pair" -> row
  pairs: new Map(), // pair -> {pair, rows: Map(exchange -> row), best: {long, short, spread} | null}
  exchanges: [],
  positions: new Map(),
  alerts: [],
  orders: new Map(),
  trades: [],
  arrived: null, // when the last frame came, performance.now()
  behind: 0, // seconds for which the bot's loop had said nothing at the last heartbeat
  heard: new Map(), // exchange -> when the bot last heard of its rates, performance.now()
};

const listeners = new Map();
const changed = new Set();
let waiting = false;

/** Calls `listener(topics)` once per frame in which one of `topics` changed; returns how to stop. */
export function on(topics, listener) {
  for (const topic of topics) {
    if (!listeners.has(topic)) listeners.set(topic, new Set());
    listeners.get(topic).add(listener);
  }
  return () => topics.forEach((topic) => listeners.get(topic).delete(listener));
}

/** Says that topics changed. */
export function touch(...topics) {
  topics.forEach((topic) => changed.add(topic));
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(flush);
}

function flush() {
  waiting = false;
  const topics = new Set(changed);
  changed.clear();
  const due = new Set();
  for (const topic of topics) listeners.get(topic)?.forEach((listener) => due.add(listener));
  for (const listener of due) listener(topics);
}

const list = (value) => (Array.isArray(value) ? value : (value?.rows ?? []));

const events = {
  SNAPSHOT(data) {
    state.rates.clear();
    state.pairs.clear();
    state.exchanges = [];
    state.positions.clear();
    list(data.rates).forEach(takeRate);
    list(data.positions).forEach(takePosition);
    state.alerts = numberedAgain(list(data.alerts).slice(0, KEEP.alerts));
    state.status = data.status ?? null;
    hear(state.status?.exchanges);
    happened(state.status?.engine?.last_scan);
    state.summary = data.summary ?? null;
    touch("status", "summary", "rates", "positions", "alerts", "snapshot");
  },
  FUNDING_RATE_UPDATE(data) {
    list(data.rows ? data : [data]).forEach(takeRate);
    touch("rates");
  },
  POSITION_UPDATE(data) {
    if (data.legs) takePosition(data);
    else {
      state.positions.delete(data.position_id);
      touch("closed");
    }
    touch("positions");
  },
  TRADE_EXECUTED(data) {
    state.trades.unshift(data);
    state.trades.length = Math.min(state.trades.length, KEEP.trades);
    touch("trades");
  },
  ENGINE_STATUS(data) {
    const { status, connected_exchanges: _connected, ...document } = data;
    const engine = { ...state.status?.engine, ...document.engine };
    if (typeof status === "string") engine.state = status;
    for (const name of ["error", "last_scan"]) if (name in document) engine[name] = document[name];
    state.status = { ...state.status, ...document, engine };
    hear(document.exchanges);
    happened(engine.last_scan);
    touch("status");
  },
  ALERT(data) {
    state.alerts.unshift(numbered(data));
    state.alerts.length = Math.min(state.alerts.length, KEEP.alerts);
    state.lastAlert = data;
    touch("alerts", "alert");
  },
  SUMMARY_UPDATE(data) {
    state.summary = data;
    touch("summary");
  },
  ORDER_UPDATE(data) {
    takeOrder(data);
    touch("orders");
  },
  HEARTBEAT(data) {
    beat(data.at);
    state.behind = data.behind_s ?? 0;
    touch("heartbeat");
  },
};

/** Takes one frame: a list of events. Types this version does not know are left alone. */
export function take(frame) {
  state.arrived = performance.now();
  for (const event of Array.isArray(frame) ? frame : [frame]) events[event?.type]?.(event.data ?? {});
}

/** Takes the status that a command's answer carries: it is newer than what the stream has brought. */
export function takeStatus(answer) {
  if (answer?.status) events.ENGINE_STATUS(answer.status);
  return answer;
}

/** Rows of GET /api/orders. */
export function takeOrders(rows) {
  [...rows].reverse().forEach(takeOrder);
  touch("orders");
}

/** Notes how old each exchange's rates are; a rate that stays the same for long is not an old one. */
function hear(exchanges) {
  for (const { name, rate_age_s: old } of exchanges ?? []) {
    if (num(old) === null) state.heard.delete(name);
    else state.heard.set(name, performance.now() - num(old) * 1000);
  }
}

function takeOrder(row) {
  state.orders.set(row.order_id, row);
  for (const id of state.orders.keys()) {
    if (state.orders.size <= KEEP.orders) break;
    state.orders.delete(id);
  }
}

let alertSerial = 0;
const numbered = (alert) => ({ ...alert, serial: (alertSerial += 1) });

/** Alerts of a snapshot: those that are shown already keep their number, so that nobody who reads them is put back. */
function numberedAgain(alerts) {
  const told = ({ timestamp, title, message }) => `${timestamp} ${title} ${message}`;
  const known = new Map();
  for (const alert of state.alerts) known.set(told(alert), [...(known.get(told(alert)) ?? []), alert.serial]);
  return alerts.map((alert) => ({ ...alert, serial: known.get(told(alert))?.shift() ?? (alertSerial += 1) }));
}

function takeRate(data) {
  const key = `${data.exchange}|${data.pair}`;
  const old = state.rates.get(key);
  if (data.gone) return void (old && dropRate(key, old));
  const row = { ...old, ...data };
  row.key = `${row.pair}|${row.exchange}`;
  row.r8 = num(row.rate_8h);
  row.next = row.next_funding_time ? Date.parse(row.next_funding_time) : null;
  row.since = performance.now() - (num(data.age_s) ?? 0) * 1000;
  row.moved = old && old.r8 !== row.r8 ? Math.sign(row.r8 - old.r8) : 0;
  state.rates.set(key, row);
  let pair = state.pairs.get(row.pair);
  if (!pair) state.pairs.set(row.pair, (pair = { key: row.pair, pair: row.pair, rows: new Map(), best: null }));
  pair.rows.set(row.exchange, row);
  pair.best = bestSpread(pair.rows);
  if (!state.exchanges.includes(row.exchange)) state.exchanges = [...state.exchanges, row.exchange].sort();
}

/** Forgets an instrument that is not listed any more. */
function dropRate(key, row) {
  state.rates.delete(key);
  const pair = state.pairs.get(row.pair);
  pair.rows.delete(row.exchange);
  pair.best = bestSpread(pair.rows);
  if (!pair.rows.size) state.pairs.delete(row.pair);
}

/** The widest spread between fresh rates of one pair: long where the rate is lowest, short where it is highest. */
export function bestSpread(rows) {
  let long = null;
  let short = null;
  for (const row of rows.values()) {
    if (row.r8 === null || row.stale) continue;
    if (!long || row.r8 < long.r8) long = row;
    if (!short || row.r8 > short.r8) short = row;
  }
  if (!long || long === short) return null;
  return { long: long.exchange, short: short.exchange, spread: short.r8 - long.r8 };
}

function takePosition(data) {
  state.positions.set(data.position_id, data);
}

/** The open position that commands call by `number`: the bot's own, the same in every browser and never another's. */
export const positionByNumber = (number) => [...state.positions.values()].find((position) => position.number === number) ?? null;

/**
 * The names by which commands call where a leg may be: an exchange, or its accounts where it has several of them; of the
 * exchanges that are given.
 */
export function places(exchanges) {
  const accounts = state.status?.accounts ?? [];
  return exchanges.flatMap((name) => {
    const own = accounts.filter((row) => row.exchange === name).map((row) => row.account);
    return own.length > 1 ? own.sort() : [name];
  });
}

/** The exchange of a place. */
export function exchangeOf(place) {
  return state.status?.accounts?.find((row) => row.account === place)?.exchange ?? place;
}

/** Open positions in the order of their numbers. */
export const openPositions = () => [...state.positions.values()].sort((one, other) => one.number - other.number);
