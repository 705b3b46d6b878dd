// The desk: which panel is where, which tab is open, which one is enlarged.

import { h } from "./dom.js";

/**
 * Lays out panels: `columns` are lists of slots, a slot is one panel or a list of panels shown as tabs.
 * Returns {element, show(id, args), enlarge()}.
 */
export function makeShell(columns) {
  const places = new Map();
  const element = h("main", { class: "desk", id: "desk", tabindex: "-1" });

  const place = (panel, dock = null) => {
    places.set(panel.id, { panel, dock });
    panel.element.querySelector(".panel-tools").after(
      h("button", { type: "button", class: "icon-button enlarge", "aria-label": `Enlarge ${panel.title}`, title: "Enlarge (Z)", on: { click: () => enlarge(panel) } }, "⤢"),
    );
  };

  for (const [name, slots] of Object.entries(columns)) {
    const column = h("div", { class: `column column-${name}` });
    for (const slot of slots) {
      if (Array.isArray(slot)) column.append(makeDock(slot, place));
      else {
        place(slot);
        column.append(slot.element);
      }
    }
    element.append(column);
  }
  for (const { panel, dock } of places.values()) if (!dock) panel.show();

  function enlarge(panel) {
    const slot = panel.element.closest(".dock") ?? panel.element;
    const was = slot.classList.contains("enlarged");
    element.querySelectorAll(".enlarged").forEach((other) => other.classList.remove("enlarged"));
    slot.classList.toggle("enlarged", !was);
    element.classList.toggle("has-enlarged", !was);
  }

  return {
    element,
    show(id, args = {}, focus = true) {
      const { panel, dock } = places.get(id);
      const other = element.querySelector(".enlarged");
      if (other && !other.contains(panel.element)) enlarge(panel);
      if (dock) dock.open(panel, args);
      else panel.show(args);
      panel.element.scrollIntoView({ block: "nearest" });
      // a panel that was asked for one of its fields has put the focus there
      if (focus && !panel.element.contains(document.activeElement)) (panel.element.querySelector("[data-first]") ?? panel.element).focus({ preventScroll: true });
    },
    enlarge() {
      const inUse = document.activeElement?.closest?.(".panel");
      const found = [...places.values()].find(({ panel }) => panel.element === inUse);
      const already = element.querySelector(".enlarged");
      if (found) enlarge(found.panel);
      else if (already) {
        already.classList.remove("enlarged");
        element.classList.remove("has-enlarged");
      }
    },
  };
}

function makeDock(panels, place) {
  const tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Panels" });
  const element = h("div", { class: "dock" }, tabs);
  let current = null;
  const dock = {
    open(panel, args = {}) {
      if (current && current !== panel) current.hide();
      current = panel;
      for (const { own, tab } of entries) {
        const chosen = own === panel;
        own.element.hidden = !chosen;
        tab.setAttribute("aria-selected", String(chosen));
        tab.tabIndex = chosen ? 0 : -1;
      }
      panel.show(args);
    },
  };
  const entries = panels.map((own) => {
    const tab = h(
      "button",
      { type: "button", role: "tab", class: "tab", id: `tab-${own.id}`, "aria-controls": own.element.id, on: { click: () => dock.open(own) } },
      own.title,
    );
    tabs.append(tab);
    element.append(own.element);
    place(own, dock);
    return { own, tab };
  });
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = entries.findIndex(({ own }) => own === current);
    const { own, tab } = entries[(at + step + entries.length) % entries.length];
    dock.open(own);
    tab.focus();
  });
  dock.open(panels[0]);
  return element;
}
