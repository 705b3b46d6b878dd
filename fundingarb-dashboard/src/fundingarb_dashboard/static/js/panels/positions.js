// Open hedges: both legs, what is unhedged, what funding brought and will bring, how far liquidation is.

import { closePosition, setTolerance } from "../actions.js";
import { until } from "../clock.js";
import { PRESETS } from "../commands.js";
import { empty, h, keyed, setAttr, setText, uid } from "../dom.js";
import { gain, num, paid, pct, quantity, share, shortPrice, shortSpan, span, stamp, tight, tone, usd, words } from "../format.js";
import { makePanel } from "../panel.js";
import { openPositions, state } from "../store.js";

/** At which distance to liquidation a leg is marked, and at which its hedge is reduced: as the bot is configured. */
function marks() {
  const { warn, act, adl_rank } = state.status?.margin ?? {};
  return { warn: num(warn), act: num(act), rank: num(adl_rank) };
}
const BAR = 5; // the bar is full at five times the warning distance

/** A labelled figure: the label is beside it on a phone and above it for screen readers. */
function figure(label, kind = "num") {
  const value = h("span", { class: "value" });
  return { element: h("div", { class: `fig ${kind}` }, h("span", { class: "label" }, label), value), value };
}

function put(fig, text, toneOf) {
  setText(fig.value, text);
  setAttr(fig.value, "data-tone", toneOf ?? null);
}

/** An amount in full up to a thousand dollars, in whole dollars beyond. */
const roomy = (write, value) => write(value, Math.abs(num(value) ?? 0) < 1000 ? 2 : 0);

const HEAD = ["number", "pair", "status", "size", "spread", "unhedged", "funding", "P&L", "fees", "net"];

export const makePositions = () =>
  makePanel({
    id: "positions",
    title: "Positions",
    key: "F4",
    build(panel) {
      const list = h("ul", { class: "positions", tabindex: "0", "aria-label": "Open positions" });
      const nothing = empty("No open positions.", "The bot opens one when an opportunity passes every gate; F3 says what is missing, and the entry form opens one by hand.");
      panel.body.append(list, nothing);
      panel.live(["positions", "heartbeat", "clock"], () => {
        const rows = openPositions();
        keyed(list, rows, (row) => row.position_id, makePosition);
        list.hidden = rows.length === 0;
        nothing.hidden = rows.length > 0;
        panel.note(rows.length ? `${rows.length}, amounts in USD` : "");
      });
    },
  });

function makePosition() {
  const figs = Object.fromEntries(HEAD.map((name) => [name, figure(name, name === "pair" || name === "status" || name === "number" ? "" : "num")]));
  let position = null;
  let inForce = null;
  let chosen = null;
  let sending = false;
  let known = 0; // the version that the bot has answered with; rows before it are older news
  /** One at a time: who chooses again meanwhile has the last choice sent with the version that the first one made. */
  const choose = async () => {
    chosen = tolerance.value;
    if (sending) return;
    sending = true;
    let asked = null;
    let answer = null;
    while (asked !== chosen) {
      asked = chosen;
      answer = await setTolerance({ ...position, version: Math.max(known, position.version) }, asked);
      known = answer?.version ?? known;
    }
    sending = false;
    if (!answer) showTolerance(position, true);
  };
  const tolerance = h(
    "select",
    { "aria-label": "Tolerance for negative spreads", on: { change: choose } },
    PRESETS.map((preset) => h("option", { value: preset }, preset)),
  );
  const own = h("option", { value: "" });
  const close = h("button", { type: "button", class: "button danger small", on: { click: () => closePosition(position) } }, "Close");
  const coming = h("div", { class: "coming", id: uid("coming"), role: "region", "aria-label": "Next payments, USD", hidden: true });
  const more = h("button", { type: "button", class: "tool", "aria-expanded": "false", "aria-controls": coming.id, on: { click: () => unfold(coming.hidden) } }, "Payments");
  const unfold = (open) => {
    coming.hidden = !open;
    setAttr(more, "aria-expanded", String(open));
    showPayments();
  };
  const showPayments = () => {
    if (!coming.hidden) keyed(coming, position.legs, (leg) => leg.side, makeComing);
  };
  const exits = h("p", { class: "exits hint" });
  const legs = h("div", { class: "legs" });
  const element = h(
    "li",
    { class: "position" },
    h("div", { class: "position-head" }, HEAD.map((name) => figs[name].element)),
    legs,
    coming,
    h("div", { class: "position-foot" }, exits, more, h("span", { class: "label" }, "keep down to"), tolerance, close),
  );

  function update(row) {
    position = row;
    const { number } = row;
    setAttr(element, "data-status", row.status);
    put(figs.number, `${number}`);
    put(figs.pair, row.pair);
    put(figs.status, row.close_reason ? `${row.status} (${row.close_reason})` : row.status);
    put(figs.size, usd(row.size_usd, 0));
    put(figs.spread, `${pct(row.spread_8h_entry, 3)} → ${pct(row.spread_8h, 3)}`, tone(row.spread_8h));
    const naked = num(row.unhedged) ?? 0;
    const worth = num(row.unhedged_usd) === null ? quantity(naked) : usd(row.unhedged_usd, Math.abs(num(row.unhedged_usd)) < 1000 ? 2 : 0);
    put(figs.unhedged, naked === 0 ? "0.00" : `! ${worth} ${span(row.unhedged_s)}`, naked === 0 ? "dim" : "bad");
    for (const [name, key] of [["funding", "funding"], ["P&L", "unrealized"], ["net", "net"]]) {
      put(figs[name], roomy(gain, row[key]), tone(row[key]));
    }
    put(figs.fees, roomy(paid, row.fees), tone(-row.fees));
    setText(exits, (row.exits ?? []).map((exit) => `${words(exit.reason)}: ${exit.needed} (now ${exit.actual})`).join(" · "));
    showTolerance(row);
    setAttr(close, "disabled", row.status === "CLOSING");
    setAttr(close, "aria-label", `Close position ${number}, ${row.pair}`);
    setAttr(more, "aria-label", `Next payments of position ${number}, ${row.pair}`);
    showPayments();
    keyed(legs, row.legs.map((leg) => ({ ...leg, old: Boolean(state.rates.get(`${leg.exchange}|${row.pair}`)?.stale) })), (leg) => leg.side, makeLeg);
  }

  /** Shows what is in force, but leaves alone who is choosing. */
  function showTolerance(row, always = false) {
    if (!always && (sending || row.version < known || (row.tolerance === inForce && document.activeElement === tolerance))) return;
    inForce = row.tolerance;
    const preset = PRESETS.includes(row.tolerance_preset) ? row.tolerance_preset : "";
    if (preset) own.remove();
    else {
      setText(own, pct(row.tolerance));
      if (!own.isConnected) tolerance.prepend(own);
    }
    if (tolerance.value !== preset) tolerance.value = preset;
  }

  return { element, update };
}

/** Every payment of a leg that is expected next, in dollars: {element, update}. */
function makeComing() {
  const name = h("span", { class: "label" });
  const list = h("ul", { class: "coming-payments" });
  const payment = () => {
    const when = h("span", { class: "hint" });
    const amount = h("span", { class: "num" });
    return {
      element: h("li", {}, amount, " ", when),
      update(next) {
        setText(amount, gain(next.amount));
        setAttr(amount, "data-tone", tone(next.amount));
        setText(when, `at ${stamp(next.at)}, in ${shortSpan(until(next.at))}`);
      },
    };
  };
  return {
    element: h("div", { class: "coming-leg" }, name, list),
    update(leg) {
      const rows = leg.next_payments ?? [];
      setText(name, `${leg.side.toLowerCase()} ${leg.account ?? leg.exchange}${rows.length ? "" : ": none is expected"}`);
      keyed(list, rows, (next) => next.at, payment);
    },
  };
}

const LEG = ["side", "exch", "quantity", "entry", "mark", "P&L", "funding", "next payment", "liq. at", "to liq.", "margin", "ADL"];

function makeLeg() {
  const figs = Object.fromEntries(LEG.map((name) => [name, figure(name, name === "side" || name === "exch" ? "" : "num")]));
  const bar = h("meter", { min: "0", "aria-label": "Distance to liquidation" });
  figs["to liq."].element.append(bar);
  const element = h("div", { class: "leg" }, LEG.map((name) => figs[name].element));

  function update(leg) {
    setAttr(element, "data-side", leg.side);
    put(figs.side, leg.side === "LONG" ? "▲ LONG" : "▼ SHORT");
    put(figs.exch, leg.account && leg.account !== leg.exchange ? `${leg.exchange} (${leg.account})` : leg.exchange);
    put(figs.quantity, quantity(leg.quantity));
    put(figs.entry, shortPrice(leg.entry));
    // What is reckoned at a mark that is not heard any more is marked as well.
    const old = leg.old && leg.mark !== null ? "! " : "";
    put(figs.mark, `${old}${shortPrice(leg.mark)}`, old ? "bad" : null);
    put(figs["P&L"], `${old}${tight(leg.unrealized)}`, old ? "bad" : tone(leg.unrealized));
    setAttr(element, "title", old ? `${leg.exchange} is not heard: mark and P&L are the last known ones` : null);
    put(figs.funding, tight(leg.funding), tone(leg.funding));
    const next = leg.next_payments?.[0];
    put(figs["next payment"], next ? `${tight(next.amount)} ${shortSpan(until(next.at))}` : "–", next ? tone(next.amount) : null);
    put(figs["liq. at"], shortPrice(leg.liquidation_price));
    const distance = num(leg.liquidation_distance);
    const { warn, act, rank } = marks();
    const below = (mark) => distance !== null && mark !== null && distance < mark;
    put(figs["to liq."], `${below(act) ? "!! " : below(warn) ? "! " : ""}${share(distance)}`, below(warn) || below(act) ? "bad" : null);
    bar.hidden = distance === null || warn === null;
    if (!bar.hidden) {
      Object.entries({ max: warn * BAR, optimum: warn * BAR, high: warn, low: act }).forEach(([name, value]) => setAttr(bar, name, value));
      bar.value = Math.max(0, Math.min(warn * BAR, distance));
      setAttr(bar, "title", `warning below ${share(warn)}, reduced below ${share(act)}`);
    }
    put(figs.margin, share(leg.margin_ratio));
    put(figs.ADL, leg.adl_rank ? `${leg.adl_rank}/5` : "–", rank !== null && leg.adl_rank >= rank ? "bad" : null);
  }
  return { element, update };
}
