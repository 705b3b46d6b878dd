// The fields that name a hedge (symbol, two exchanges, size): shared by the entry form and the calculator.

import { SIZE_WANTED, sizeOf } from "../amounts.js";
import { choices, field, h } from "../dom.js";
import { exchangeOf, on, places, state } from "../store.js";

/** Fields that keep their choices up to date. `changed()` is called when a person changed one. */
export function hedgeFields(changed) {
  const select = (name) => h("select", { name, on: { change: changed } });
  const pair = field("Symbol", select("pair"));
  const long = field("Long", select("long"));
  const short = field("Short", select("short"));
  const size = field("Size, USD per leg", h("input", { name: "size_usd", type: "text", inputmode: "decimal", value: "10000", autocomplete: "off", on: { input: changed } }));
  pair.input.setAttribute("data-first", "");
  const all = { pair, long, short, size_usd: size };

  function fillChoices() {
    const before = pair.input.value;
    choices(pair.input, [...state.pairs.keys()].sort());
    if (!before && pair.input.value) pair.input.value = widest();
    if (pair.input.value !== before) best();
    sides();
  }

  function widest() {
    const spread = (entry) => entry.best?.spread ?? -1;
    return [...state.pairs.values()].reduce((one, other) => (spread(other) > spread(one) ? other : one)).pair;
  }

  function listed() {
    const rows = state.pairs.get(pair.input.value)?.rows;
    return places(rows ? [...rows.keys()].sort() : state.exchanges);
  }

  function sides() {
    for (const one of [long, short]) choices(one.input, listed());
  }

  /** What is listed for a name: itself, or the first account of the exchange of that name. */
  const place = (name) => (listed().includes(name) ? name : (listed().find((one) => exchangeOf(one) === name) ?? name));

  /** Chooses the exchanges of the widest spread. */
  function best() {
    sides();
    const found = state.pairs.get(pair.input.value)?.best;
    const [first, second] = listed();
    [long.input.value, short.input.value] = found ? [place(found.long), place(found.short)] : [first ?? "", second ?? first ?? ""];
    sides();
  }
  pair.input.addEventListener("change", best, { capture: true });
  let known = "";
  on(["rates", "status"], () => {
    const signature = `${[...state.pairs.keys()].join()} ${listed().join()}`;
    if (signature !== known) {
      known = signature;
      fillChoices();
    }
  });

  return {
    element: h("div", { class: "hedge-fields" }, Object.values(all).map((one) => one.field)),
    all,
    fill: fillChoices,
    best,
    set(args) {
      fillChoices();
      if (args.pair) {
        pair.input.value = args.pair;
        best();
      }
      for (const name of ["long", "short"]) if (args[name]) all[name].input.value = place(args[name]);
      if (args.size_usd) size.input.value = args.size_usd;
    },
    /** The hedge that is named, or null after saying at the field what is missing. */
    read() {
      Object.values(all).forEach((one) => one.fail(null));
      const size_usd = sizeOf(size.input.value);
      let good = true;
      const fail = (one, text) => {
        one.fail(text);
        good = false;
      };
      if (!pair.input.value) fail(pair, "No symbol is known yet; wait for rates.");
      else if (!state.pairs.has(pair.input.value)) fail(pair, `${pair.input.value} is not listed any more; choose another.`);
      else for (const one of [long, short]) if (!listed().includes(one.input.value)) fail(one, `${pair.input.value} is not listed on ${one.input.value} any more.`);
      if (size_usd === null) fail(size, SIZE_WANTED);
      if (exchangeOf(long.input.value) === exchangeOf(short.input.value)) fail(short, "Long and short must be on different exchanges.");
      if (!good) return null;
      return { pair: pair.input.value, long: long.input.value, short: short.input.value, size_usd };
    },
    /** Shows errors the bot returned for fields; true when there was one. */
    failures(error) {
      const names = Object.keys(error.fields ?? {}).filter((name) => name in all);
      names.forEach((name) => all[name].fail(error.fields[name]));
      return names.length > 0;
    },
  };
}

/** The 8-hour spread between two places as the rates stand; null when one is unknown. */
export function spreadNow({ pair, long, short }) {
  const rows = state.pairs.get(pair)?.rows;
  const [low, high] = [rows?.get(exchangeOf(long))?.r8, rows?.get(exchangeOf(short))?.r8];
  return low === null || low === undefined || high === null || high === undefined ? null : high - low;
}
