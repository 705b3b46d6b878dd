// The command line with completion: type, Tab takes the suggestion, Enter goes.

import { complete, parse } from "./commands.js";
import { fill, h, setAttr, setText } from "./dom.js";
import { openPositions, places, state } from "./store.js";

const MOST_REMEMBERED = 50;

/** What the command language may refer to now. */
export function known() {
  const positions = openPositions();
  const configured = state.status?.exchanges?.map((exchange) => exchange.name) ?? [];
  return {
    pairs: [...state.pairs.keys()].sort(),
    exchanges: places(configured.length ? configured : state.exchanges),
    several: configured.filter((name) => !places([name]).includes(name)),
    numbers: positions.map((position) => position.number),
    names: Object.fromEntries(positions.map((position) => [position.number, position.pair])),
  };
}

/** The command bar; `run(command)` carries a parsed command out. */
export function commandBar(run) {
  const list = h("ul", { class: "suggestions", id: "suggestions", role: "listbox", "aria-label": "Suggestions", hidden: true });
  const input = h("input", {
    id: "command",
    type: "text",
    role: "combobox",
    autocomplete: "off",
    autocapitalize: "characters",
    spellcheck: "false",
    placeholder: "BTC <GO>   CLOSE 1   OPEN ETH binance bybit 5000   HELP",
    "aria-label": "Command",
    "aria-controls": "suggestions",
    "aria-expanded": "false",
    "aria-autocomplete": "list",
    "aria-describedby": "command-message",
  });
  const message = h("span", { class: "command-message", id: "command-message", role: "status", "aria-live": "polite" });
  const past = [];
  let recalled = 0;
  let offers = [];
  let chosen = -1;

  function show() {
    offers = input.value ? complete(input.value, known()) : [];
    chosen = -1;
    draw();
  }

  function draw() {
    setAttr(list, "hidden", offers.length === 0);
    setAttr(input, "aria-expanded", offers.length > 0 ? "true" : "false");
    setAttr(input, "aria-activedescendant", chosen >= 0 ? `suggestion-${chosen}` : null);
    fill(list, offers.map((offer, at) =>
      h(
        "li",
        { role: "option", id: `suggestion-${at}`, "aria-selected": String(at === chosen), on: { mousedown: (event) => { event.preventDefault(); accept(at); } } },
        h("span", {}, offer.text),
        h("span", { class: "hint" }, offer.hint),
      ),
    ));
  }

  function accept(at) {
    const text = offers[at].text;
    input.value = text.endsWith("<GO>") ? text : `${text} `;
    input.focus();
    show();
  }

  function go() {
    const line = input.value;
    const command = parse(line, known());
    offers = [];
    draw();
    message.classList.toggle("wrong", Boolean(command.error));
    setText(message, command.error ?? "");
    if (command.error) return;
    past.push(line);
    past.splice(0, Math.max(0, past.length - MOST_REMEMBERED));
    recalled = past.length;
    input.value = "";
    run(command);
  }

  const keys = {
    Enter: () => (chosen >= 0 ? accept(chosen) : go()),
    Tab: () => (offers.length ? accept(Math.max(0, chosen)) : false),
    ArrowDown: () => (offers.length ? move(1) : recall(1)),
    ArrowUp: () => (offers.length && chosen >= 0 ? move(-1) : recall(-1)),
    Escape: () => {
      if (!offers.length && !input.value) return input.blur();
      input.value = "";
      return show();
    },
  };

  function move(step) {
    chosen = (chosen + step + offers.length) % offers.length;
    draw();
  }

  function recall(step) {
    recalled = Math.max(0, Math.min(past.length, recalled + step));
    input.value = past[recalled] ?? "";
  }

  input.addEventListener("keydown", (event) => {
    if (event.shiftKey || !(event.key in keys)) return;
    if (keys[event.key]() !== false) event.preventDefault();
  });
  input.addEventListener("input", () => { setText(message, ""); show(); });
  input.addEventListener("blur", () => { offers = []; draw(); });

  const element = h(
    "div",
    { class: "commandbar", role: "search", "aria-label": "Command bar" },
    h("span", { class: "prompt", "aria-hidden": "true" }, ">"),
    h("div", { class: "command-box" }, input, list),
    h("button", { type: "button", class: "go", on: { click: go } }, "GO"),
    message,
  );
  return { element, focus: () => { input.focus(); input.select(); } };
}
