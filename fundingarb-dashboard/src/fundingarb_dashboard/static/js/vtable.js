// A table of thousands of rows of which only those in view exist on the page, and only changed cells are touched.

import { h, setAttr, uid } from "./dom.js";

const SPARE = 4; // rows kept beyond either edge
const ROW = 20; // px, unless the style sheet says otherwise

/**
 * columns: [{id, title, about, width, num, sort(row) -> comparable, text(row), tone(row), label(row)}].
 * `enter(row)` is called for Enter and double click. A row with `cells` ([[text, tone]...]) shows these. The result: {element, setRows, setColumns, refresh, selected}.
 */
export function virtualTable({ label, columns, sorted, onSort, enter }) {
  const head = h("div", { class: "vt-head", role: "rowgroup" });
  const body = h("div", { class: "vt-body", role: "rowgroup" });
  const view = h(
    "div",
    { class: "vt", role: "grid", tabindex: "0", "aria-label": label, "aria-rowcount": "0" },
    head,
    body,
  );
  const table = { element: view, selected: null };
  const pool = [];
  const prefix = uid("row");
  let rows = [];
  let current = -1;
  let aimed = null; // key of the row on which a button was pressed
  let titles = [];
  let rowHeight = ROW;

  /** The height of a row as the style sheet has it for this width of screen. */
  function measure() {
    const height = Number.parseFloat(getComputedStyle(view).getPropertyValue("--row")) || ROW;
    if (height === rowHeight) return;
    rowHeight = height;
    pool.forEach((line) => (line.index = -1));
    body.style.height = `${rows.length * rowHeight}px`;
  }

  table.setColumns = (next) => {
    columns = next;
    view.style.setProperty("--columns", columns.map((column) => column.width).join(" "));
    titles = columns.map((column) => heading(column));
    head.replaceChildren(h("div", { class: "vt-row vt-titles", role: "row" }, titles));
    pool.splice(0).forEach((line) => line.element.remove());
    rows = []; // those of before may not have what the new columns show; setRows follows
    showSort();
  };

  function heading(column) {
    const cell = h(
      "div",
      { class: column.num ? "vt-cell num" : "vt-cell", role: "columnheader", title: column.about },
      column.sort
        ? h("button", { type: "button", class: "vt-sort", tabindex: "-1", on: { click: () => onSort(column.id) } }, column.title)
        : column.title,
    );
    cell.column = column;
    return cell;
  }

  function showSort() {
    for (const cell of titles) {
      const { id, sort } = cell.column;
      if (!sort) continue;
      const mine = sorted().column === id;
      cell.setAttribute("aria-sort", mine ? (sorted().down ? "descending" : "ascending") : "none");
    }
  }

  function makeLine() {
    const cells = columns.map((column) =>
      h("div", { class: column.num ? "vt-cell num" : "vt-cell", role: "gridcell" }),
    );
    const element = h("div", { class: "vt-row", role: "row" }, cells);
    const line = { element, cells, texts: columns.map(() => null), tones: columns.map(() => null), index: -1 };
    // Rows may change their places between two presses of a button: what was aimed at is meant.
    element.addEventListener("pointerdown", () => (aimed = rows[line.index]?.key ?? null));
    element.addEventListener("click", (event) => {
      const meant = aimed === null ? line.index : rows.findIndex((row) => row.key === aimed);
      aimed = null;
      if (event.detail < 2) select(meant);
    });
    element.addEventListener("dblclick", () => table.selected && enter?.(table.selected));
    body.append(element);
    pool.push(line);
    return line;
  }

  function put(line, index) {
    const row = rows[index];
    if (line.index !== index) {
      line.index = index;
      line.element.style.transform = `translateY(${index * rowHeight}px)`;
      line.element.id = `${prefix}-${index}`;
      line.element.setAttribute("aria-rowindex", index + 2);
    }
    if (line.element.hidden) line.element.hidden = false;
    if (line.chosen !== (index === current)) {
      line.chosen = index === current;
      line.element.setAttribute("aria-selected", line.chosen);
    }
    for (let at = 0; at < columns.length; at += 1) {
      const text = row.cells ? row.cells[at][0] : columns[at].text(row);
      if (line.texts[at] !== text) line.cells[at].textContent = line.texts[at] = text;
      const tone = row.cells ? row.cells[at][1] : (columns[at].tone?.(row) ?? "");
      if (line.tones[at] !== tone) line.cells[at].dataset.tone = line.tones[at] = tone;
    }
  }

  function draw() {
    const first = Math.max(0, Math.floor(view.scrollTop / rowHeight) - SPARE);
    const last = Math.min(rows.length, Math.ceil((view.scrollTop + view.clientHeight) / rowHeight) + SPARE);
    while (pool.length < last - first) makeLine();
    // A row keeps its line while it scrolls, so that only lines entering the view are rewritten.
    pool.forEach((line) => (line.used = false));
    for (let index = first; index < last; index += 1) {
      const line = pool[index % pool.length];
      line.used = true;
      put(line, index);
    }
    for (const line of pool) if (!line.used && !line.element.hidden) line.element.hidden = true;
    setAttr(view, "aria-activedescendant", current >= 0 ? `${prefix}-${current}` : null);
  }

  function select(index) {
    current = Math.max(-1, Math.min(rows.length - 1, index));
    table.selected = rows[current] ?? null;
    if (current >= 0) {
      const top = current * rowHeight;
      const room = view.clientHeight - head.offsetHeight;
      if (top < view.scrollTop) view.scrollTop = top;
      else if (top + rowHeight > view.scrollTop + room) view.scrollTop = top + rowHeight - room;
    }
    draw();
  }

  view.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(view.clientHeight / rowHeight) - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -rows.length, End: rows.length };
    if (event.key in steps) {
      event.preventDefault();
      select(Math.max(0, current + steps[event.key]));
    } else if (event.key === "Enter" && current >= 0) {
      event.preventDefault();
      enter?.(table.selected);
    }
  });
  view.addEventListener("scroll", draw, { passive: true });
  new ResizeObserver(() => { measure(); draw(); }).observe(view);

  table.setRows = (next) => {
    rows = next;
    body.style.height = `${rows.length * rowHeight}px`;
    view.setAttribute("aria-rowcount", rows.length + 1);
    current = table.selected ? rows.findIndex((row) => row.key === table.selected.key) : -1;
    showSort();
    draw();
  };
  table.refresh = draw;
  table.setColumns(columns);
  return table;
}
