// What every panel is built of: a titled region, updates only while it is seen, and loading with a said failure.

import { empty, fill, h, setAttr, setText, uid } from "./dom.js";
import { on } from "./store.js";

/**
 * A panel. `build(panel)` fills it in when it is first shown; `panel.live(topics, draw)` draws now and whenever a topic
 * changed while the panel is in view, and again when it comes into view.
 */
export function makePanel({ id, title, key = null, build }) {
  const heading = uid("panel");
  const tools = h("div", { class: "panel-tools" });
  const note = h("span", { class: "panel-note" });
  const body = h("div", { class: "panel-body" });
  const element = h(
    "section",
    { class: `panel panel-${id}`, id: `panel-${id}`, "aria-labelledby": heading, tabindex: "-1" },
    h(
      "header",
      { class: "panel-head" },
      h("h2", { id: heading }, key ? h("kbd", {}, key) : null, title),
      note,
      tools,
    ),
    body,
  );
  const draws = [];
  const panel = {
    id,
    title,
    element,
    body,
    tools,
    visible: false,
    note: (text) => setText(note, text),
    live(topics, draw) {
      const entry = { draw, due: true };
      draws.push(entry);
      on(topics, (changed) => {
        if (panel.visible) draw(changed);
        else entry.due = true;
      });
      if (panel.visible) run(entry);
    },
    /** Called with arguments each time the panel is asked for. */
    opened: () => {},
    show(args = {}) {
      if (!panel.visible) {
        panel.visible = true;
        if (!panel.built) {
          panel.built = true;
          build(panel);
        }
        draws.filter((entry) => entry.due).forEach(run);
      }
      panel.opened(args);
    },
    hide() {
      panel.visible = false;
      draws.forEach((entry) => (entry.due = true));
    },
  };
  const run = (entry) => {
    entry.due = false;
    entry.draw(new Set());
  };
  return panel;
}

/** Loads with `fetcher` and hands the answer to `draw`; a failure is shown in `box` with a way to try again. What a
 * panel shows beside the box stays there. */
export function loader(box, fetcher, draw) {
  let turn = 0;
  const load = async () => {
    const mine = (turn += 1);
    try {
      const answer = await fetcher();
      if (mine !== turn) return;
      delete box.dataset.failed;
      draw(answer);
    } catch (error) {
      if (mine !== turn) return;
      const kept = box.parentElement?.querySelector(":scope > .scroll tbody > *, :scope > .config form > *");
      const said = empty("This could not be read.", kept ? `${error.message} What is below is from before.` : error.message);
      said.append(h("button", { type: "button", class: "button small", on: { click: load } }, "Try again"));
      fill(box, said);
      box.dataset.failed = "yes";
    }
  };
  return load;
}

/** A button for the panel's head. */
export const tool = (label, about, click, attributes = {}) =>
  h("button", { type: "button", class: "tool", title: about, ...attributes, on: { click } }, label);

/** A plain table: columns [[title, class?, title of the second line?]] and a body to fill. Returns {element, body}. */
export function plainTable(label, columns) {
  const body = h("tbody");
  const element = h(
    "table",
    { class: "table", "aria-label": label },
    h("thead", {}, h("tr", {}, columns.map(([title, kind, under]) => h("th", { scope: "col", class: kind ?? null }, under ? [h("span", { class: "line" }, title), " ", h("span", { class: "line" }, under)] : title)))),
    body,
  );
  return { element, body };
}

/** Puts into a cell what it says: [text, class?], or [text, class?, [text, class?]] with a second line. */
export function putCell(cell, [text, kind, under]) {
  const wanted = kind ?? "";
  if (!under) {
    setText(cell, text);
    if (cell.className !== wanted) cell.className = wanted;
    return;
  }
  if (cell.children.length !== 2) fill(cell, h("span"), h("span"));
  [[text, kind], under].forEach(([said, own], at) => {
    setText(cell.children[at], said);
    setAttr(cell.children[at], "class", `line ${own ?? ""}`.trim());
  });
  const side = wanted.split(" ").includes("num") ? "num" : "";
  if (cell.className !== side) cell.className = side;
}

/** A row of a table whose cells are kept: cells(row) as `putCell` takes them. For dom.keyed. */
export function rowOf(cells, { click = null, label = null } = {}) {
  return (first) => {
    const shape = cells(first);
    const tds = shape.map(() => h("td"));
    const element = h("tr", {}, tds);
    const item = { element, row: first };
    if (click) {
      element.classList.add("clickable");
      element.tabIndex = 0;
      if (label) element.setAttribute("aria-label", label(first));
      element.addEventListener("click", () => click(item.row));
      element.addEventListener("keydown", (event) => {
        if (event.key === "Enter") click(item.row);
      });
    }
    item.update = (row) => {
      item.row = row;
      cells(row).forEach((said, at) => putCell(tds[at], said));
    };
    return item;
  };
}
