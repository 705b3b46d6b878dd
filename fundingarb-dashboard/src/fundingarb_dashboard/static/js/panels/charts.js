// Settled funding rates of one symbol on several exchanges, the spread between them, and our own settlements.

import { get } from "../api.js";
import { choices, empty, field, fill, h, keyed } from "../dom.js";
import { pct, stamp } from "../format.js";
import { loader, makePanel, plainTable } from "../panel.js";
import { on, state } from "../store.js";

const COLOURS = ["#5cc8ff", "#ffb000", "#c792ea", "#3ddc84", "#ff8f6b", "#e6e6e6"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
let loading = null;

/** Plotly, fetched once when the first chart is opened. */
function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = h("script", { src: "/vendor/plotly.min.js" });
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => {
      loading = null;
      reject(new Error("plotly.min.js could not be loaded from the bot; is the package plotly installed beside the dashboard?"));
    });
    document.head.append(script);
  });
  return loading;
}

export const makeCharts = () =>
  makePanel({
    id: "charts",
    title: "Charts",
    key: "F6",
    build(panel) {
      const pair = field("Symbol", h("select", { "data-first": true, on: { change: () => load() } }));
      const days = field("Period", h("select", { on: { change: () => load() } }, [["1", "1 day"], ["7", "7 days"], ["30", "30 days"], ["90", "90 days"]].map(([value, text]) => h("option", { value }, text))));
      days.input.value = "7";
      const boxes = h("div", { class: "checks" });
      const chosen = h("fieldset", { class: "checks" }, h("legend", {}, "Exchanges"), boxes);
      const plot = h("div", { class: "plot", role: "img", "aria-label": "Chart of settled funding rates" });
      const said = h("div");
      const table = h("div");
      const numbers = h("details", { class: "figures" }, h("summary", {}, "As figures"), table);
      panel.body.append(h("div", { class: "chart-controls" }, pair.field, days.field, chosen), said, plot, numbers);

      const wanted = () => [...chosen.querySelectorAll("input:checked")].map((input) => input.value);

      function options() {
        choices(pair.input, [...state.pairs.keys()].sort());
        keyed(boxes, state.exchanges, (name) => name, (name) => ({
          element: h("label", {}, h("input", { type: "checkbox", value: name, prop: { checked: true }, on: { change: () => load() } }), name),
          update: () => {},
        }));
      }

      const load = loader(
        said,
        async () => {
          if (!pair.input.value) return null;
          if (plot.childElementCount === 0) fill(said, empty("Loading the chart…"));
          const asked = { pair: pair.input.value, exchange: wanted(), days: days.input.value };
          const [answer, library] = await Promise.all([get("/api/rates/history", asked), plotly()]);
          return { asked, answer, library };
        },
        (got) => {
          said.replaceChildren();
          const filled = got?.answer.series.filter((series) => series.points.length) ?? [];
          plot.hidden = numbers.hidden = filled.length === 0;
          if (!filled.length) {
            said.append(empty("No settled rates for this choice.", "The bot stores each rate when it settles; choose a longer period or another symbol."));
            return;
          }
          draw(got.library, plot, got.asked, filled, got.answer.own ?? []);
          figures(table, filled);
        },
      );

      panel.opened = (args) => {
        options();
        if (args.pair) pair.input.value = args.pair;
        load();
      };
      on(["snapshot"], () => {
        if (!panel.visible) return;
        options();
        load();
      });
      options();
    },
  });

const plain = (text) => String(text).replace(/[<>&]/g, "");

function draw(library, plot, { pair, days }, series, own) {
  const traces = series.map((one, at) => ({
    type: "scatter",
    mode: "lines",
    name: plain(one.exchange),
    x: one.points.map(([t]) => t),
    y: one.points.map(([, rate]) => Number(rate) * 100),
    line: { color: COLOURS[at % COLOURS.length], dash: DASHES[at % DASHES.length], width: 1.5, shape: "hv" },
    hovertemplate: "%{y:.4f}%<extra>%{fullData.name}</extra>",
  }));
  if (series.length > 1) traces.push(spreadTrace(series));
  if (own.length) traces.push(ownTrace(own, series));
  const grid = { gridcolor: "#1e2730", zerolinecolor: "#52606d", linecolor: "#2b3640", tickfont: { size: 10 } };
  const layout = {
    title: { text: `${plain(pair)}: settled rate, 8-hour equivalent (%)`, font: { size: 12 }, x: 0.01, xanchor: "left" },
    paper_bgcolor: "#0f1418",
    plot_bgcolor: "#0b0f13",
    font: { color: "#c3ced8", family: "monospace", size: 11 },
    margin: { l: 58, r: 12, t: 30, b: 30 },
    xaxis: { ...grid, type: "date" },
    yaxis: { ...grid, ticksuffix: "%" },
    legend: { orientation: "h", y: 1.08, x: 1, xanchor: "right", font: { size: 10 } },
    hovermode: "x unified",
    uirevision: `${pair} ${days}`, // who has zoomed in stays there when the same is drawn again
  };
  library.react(plot, traces, layout, { displayModeBar: false, responsive: true });
}

function spreadTrace(series) {
  const byTime = new Map();
  for (const one of series) for (const [t, rate] of one.points) byTime.set(t, [...(byTime.get(t) ?? []), Number(rate) * 100]);
  const times = [...byTime.keys()].filter((t) => byTime.get(t).length > 1).sort();
  return {
    type: "scatter",
    mode: "lines",
    name: "widest spread",
    x: times,
    y: times.map((t) => Math.max(...byTime.get(t)) - Math.min(...byTime.get(t))),
    fill: "tozeroy",
    fillcolor: "rgba(255,176,0,0.12)",
    line: { color: "rgba(255,176,0,0.55)", width: 1, shape: "hv" },
    hovertemplate: "%{y:.4f}%<extra>spread</extra>",
  };
}

function ownTrace(own, series) {
  const top = Math.max(...series.flatMap((one) => one.points.map(([, rate]) => Number(rate) * 100)));
  return {
    type: "scatter",
    mode: "markers",
    name: "own settlements",
    x: own.map((row) => row.t),
    y: own.map(() => top),
    text: own.map((row) => `${plain(row.account)} ${Number(row.amount) >= 0 ? "+" : ""}${row.amount} USD`),
    marker: { symbol: own.map((row) => (Number(row.amount) >= 0 ? "triangle-up" : "triangle-down")), size: 9, color: own.map((row) => (Number(row.amount) >= 0 ? "#3ddc84" : "#ff7b72")) },
    hovertemplate: "%{text}<extra>own</extra>",
  };
}

function figures(box, series) {
  const table = plainTable("Settled rates", [["Exchange"], ["Last settled"], ["Rate 8h", "num"], ["Average", "num"], ["Settlements", "num"]]);
  fill(table.body, series.map((one) => {
    const values = one.points.map(([, rate]) => Number(rate));
    const [t, last] = one.points.at(-1);
    return h("tr", {}, h("td", {}, one.exchange), h("td", {}, stamp(t)), h("td", { class: "num" }, pct(last)), h("td", { class: "num" }, pct(values.reduce((a, b) => a + b, 0) / values.length)), h("td", { class: "num" }, String(values.length)));
  }));
  fill(box, table.element);
}
