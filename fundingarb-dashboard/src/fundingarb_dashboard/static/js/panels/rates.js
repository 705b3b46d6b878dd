// Live funding rates: a row per symbol and exchange, or a row per symbol across exchanges.

import { until } from "../clock.js";
import { empty, h } from "../dom.js";
import { age, clock, pct, shortPrice, shortSpan, tone, yearly } from "../format.js";
import { makePanel, tool } from "../panel.js";
import { state } from "../store.js";
import { virtualTable } from "../vtable.js";

const SORT_EVERY = 1000; // ms; rows do not jump about more often than this
const ageOf = (row) => (performance.now() - (state.heard.get(row.exchange) ?? row.since)) / 1000;
const spreadOf = (row) => state.pairs.get(row.pair)?.best ?? null;
const untilText = (at) => {
  const left = until(at);
  return left === null ? "–" : left < 0 ? "due" : shortSpan(left);
};

/** Room for so many figures, with the paddings of a cell. */
const room = (figures, share = 1, paddings = 6) => `minmax(calc(${figures}ch + ${paddings}px), ${share}fr)`;
const bare = (text) => text.replace("%", ""); // the column's head says what it is

const LIST = [
  { id: "pair", title: "PAIR", width: room(9.2, 1.4, 9), sort: (row) => row.pair, text: (row) => row.pair },
  { id: "exchange", title: "EXCH", width: room(7, 0.7), sort: (row) => row.exchange, text: (row) => row.exchange },
  { id: "rate", title: "RATE %", about: "Paid per interval by longs to shorts", width: room(7), num: true, sort: (row) => Number(row.rate), text: (row) => bare(pct(row.rate)), tone: (row) => tone(row.rate) },
  { id: "r8", title: "8H %", about: "The same per 8 hours", width: room(7), num: true, sort: (row) => row.r8 ?? -9, text: (row) => bare(pct(row.r8)), tone: (row) => tone(row.r8) },
  { id: "apr", title: "APR %", about: "The same per year, without compounding", width: room(6, 0.8), num: true, sort: (row) => Number(row.apr ?? 0), text: (row) => bare(yearly(row.apr)), tone: (row) => tone(row.apr) },
  { id: "predicted", title: "PRED %", about: "What is predicted for the settlement after", width: room(7), num: true, sort: (row) => Number(row.predicted ?? -9), text: (row) => bare(pct(row.predicted)), tone: (row) => tone(row.predicted) },
  { id: "interval", title: "INT", about: "Hours between settlements", width: "26px", num: true, sort: (row) => Number(row.interval_h), text: (row) => `${Number(row.interval_h)}h` },
  { id: "next", title: "NEXT", about: "Time to the next settlement", width: room(6, 0.7), num: true, sort: (row) => row.next ?? Infinity, text: (row) => untilText(row.next) },
  { id: "best", title: "SPREAD", about: "Widest 8-hour spread of this symbol", width: room(9), num: true, sort: (row) => spreadOf(row)?.spread ?? -9, text: (row) => pct(spreadOf(row)?.spread), tone: (row) => tone(spreadOf(row)?.spread) },
  { id: "mark", title: "MARK", width: room(8), num: true, sort: (row) => Number(row.mark ?? 0), text: (row) => shortPrice(row.mark) },
  { id: "age", title: "AGE", about: "Since this exchange's rates were last heard", width: room(5, 0.5, 9), num: true, sort: (row) => ageOf(row), text: (row) => (row.stale ? `! ${age(ageOf(row))}` : age(ageOf(row))), tone: (row) => (row.stale ? "bad" : "dim") },
];

const matrix = (exchanges) => [
  { id: "pair", title: "PAIR", width: room(9.2, 1.2, 9), sort: (row) => row.pair, text: (row) => row.pair },
  ...exchanges.map((name) => ({
    id: `at-${name}`,
    title: name.toUpperCase(),
    about: `8-hour rate on ${name}`,
    width: room(9),
    num: true,
    sort: (row) => row.rows.get(name)?.r8 ?? -9,
    text: (row) => (row.rows.get(name)?.stale ? `! ${pct(row.rows.get(name).r8)}` : pct(row.rows.get(name)?.r8)),
    tone: (row) => (row.rows.get(name)?.stale ? "bad" : tone(row.rows.get(name)?.r8)),
  })),
  { id: "best", title: "SPREAD", about: "Widest 8-hour spread", width: room(9), num: true, sort: (row) => row.best?.spread ?? -9, text: (row) => pct(row.best?.spread), tone: (row) => tone(row.best?.spread) },
  { id: "apr", title: "APR", about: "The spread per year", width: room(6, 0.8), num: true, sort: (row) => row.best?.spread ?? -9, text: (row) => yearly(row.best ? row.best.spread * 1095 : null), tone: (row) => tone(row.best?.spread) },
  { id: "sides", title: "LONG▸SHORT", width: room(15, 1.4, 9), sort: (row) => row.best?.long ?? "", text: (row) => (row.best ? `${row.best.long}▸${row.best.short}` : "–") },
];

export const makeRates = (run) =>
  makePanel({
    id: "rates",
    title: "Funding rates",
    key: "F2",
    build(panel) {
      let mode = "list";
      let sorting = { column: "best", down: true };
      let filter = "";
      let frozen = false;
      let sortedAt = -SORT_EVERY;
      let shown = "";

      const search = h("input", { type: "search", class: "filter", placeholder: "filter…", "aria-label": "Filter rates by symbol or exchange", "data-first": true, on: { input: () => { filter = search.value.trim().toUpperCase(); redo(); } } });
      const freeze = tool("FREEZE", "Hold the table still", () => {
        frozen = !frozen;
        freeze.setAttribute("aria-pressed", String(frozen));
        panel.element.classList.toggle("frozen", frozen);
        redo();
      }, { "aria-pressed": "false" });
      const view = tool("MATRIX", "One row per symbol, exchanges side by side", () => {
        mode = mode === "list" ? "matrix" : "list";
        view.setAttribute("aria-pressed", String(mode === "matrix"));
        shown = "";
        redo();
      }, { "aria-pressed": "false" });
      panel.tools.append(search, view, freeze);

      const table = virtualTable({
        label: "Funding rates",
        columns: LIST,
        sorted: () => sorting,
        onSort(column) {
          const down = sorting.column === column ? !sorting.down : column !== "pair" && column !== "exchange";
          sorting = { column, down };
          redo();
        },
        enter: (row) => row && run({ act: "pair", pair: row.pair }),
      });
      const nothing = h("div", { class: "rates-empty", hidden: true });
      panel.body.append(table.element, nothing);

      const columnsNow = () => (mode === "list" ? LIST : matrix(state.exchanges));
      const redo = () => { sortedAt = -SORT_EVERY; draw(true); };

      function arrange() {
        const columns = columnsNow();
        const signature = mode === "list" ? mode : `${mode} ${state.exchanges.join()}`;
        if (shown !== signature) {
          shown = signature;
          table.setColumns(columns);
        }
        const by = (columns.find((column) => column.id === sorting.column) ?? columns[0]).sort;
        const source = mode === "list" ? state.rates.values() : state.pairs.values();
        const rows = [...source].filter((row) => matches(row));
        const keys = new Map(rows.map((row) => [row, by(row)]));
        const sign = sorting.down ? -1 : 1;
        rows.sort((one, other) => {
          const [a, b] = [keys.get(one), keys.get(other)];
          return (a < b ? -sign : a > b ? sign : 0) || (one.key < other.key ? -1 : 1);
        });
        return rows;
      }

      /** A row as it is now, whatever happens to what it is made of. */
      const still = (row) => ({ key: row.key, pair: row.pair, cells: columnsNow().map((column) => [column.text(row), column.tone?.(row) ?? ""]) });

      const matches = (row) => !filter || row.pair.includes(filter) || (row.exchange ?? "").toUpperCase().includes(filter);

      function draw(forced) {
        if (frozen && !forced) return;
        if (performance.now() - sortedAt >= SORT_EVERY || forced || !nothing.hidden) {
          sortedAt = performance.now();
          const rows = arrange();
          table.setRows(frozen ? rows.map(still) : rows);
          nothing.hidden = rows.length > 0;
          table.element.hidden = rows.length === 0;
          if (!rows.length) nothing.replaceChildren(filter && state.rates.size ? empty(`Nothing matches ${filter}.`, "Clear the filter to see every rate.") : empty("No funding rates yet.", "They come when an exchange's stream is connected; the engine panel says which ones are."));
          panel.note(frozen ? `FROZEN at ${clock(Date.now())}` : `${rows.length}${filter ? ` of ${mode === "list" ? state.rates.size : state.pairs.size}` : ""}`);
        } else table.refresh();
      }

      panel.live(["rates", "heartbeat"], () => draw(false));
      panel.opened = ({ pair }) => {
        if (!pair) return;
        search.value = pair;
        filter = pair;
        redo();
      };
    },
  });
