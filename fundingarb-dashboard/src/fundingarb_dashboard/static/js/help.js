// Commands and keys on one page.

import { listed } from "./commands.js";
import { modal } from "./dialogs.js";
import { h } from "./dom.js";
import { FUNCTION_KEYS } from "./keys.js";

const OTHER = [
  ["/ or Esc", "command bar"],
  ["Tab", "takes the first suggestion; otherwise the next control"],
  ["↑ ↓", "earlier commands; rows of a table"],
  ["Enter", "carries the command out; opens the row"],
  ["Z", "enlarges the panel in use, and back"],
];

const rows = (pairs, tag) => h("dl", { class: "help-list" }, pairs.map(([word, meaning]) => h("div", {}, h("dt", {}, h(tag, {}, word)), h("dd", {}, meaning))));

/** Shows the help. */
export const showHelp = () =>
  modal(
    "Help",
    (close) => [
      h(
        "div",
        { class: "help-columns" },
        h("section", {}, h("h3", {}, "Commands"), rows(listed(), "code")),
        h("section", {}, h("h3", {}, "Keys"), rows([...FUNCTION_KEYS.map(([key, label]) => [key, label.toLowerCase()]), ...OTHER], "kbd")),
      ),
      h("p", { class: "hint" }, "Positions are called by the number in front of them. <GO> is the Enter key. The HTTP interface is described at ", h("a", { href: "/api/docs" }, "/api/docs"), "."),
      h("div", { class: "dialog-buttons" }, h("button", { type: "button", class: "button primary", autofocus: true, on: { click: () => close() } }, "Close")),
    ],
    { kind: "dialog-wide" },
  );
