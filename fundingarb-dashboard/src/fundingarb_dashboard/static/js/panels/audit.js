// Who commanded what, and what came of it.

import { attended } from "../activity.js";
import { get } from "../api.js";
import { empty, h, keyed } from "../dom.js";
import { stamp, words } from "../format.js";
import { loader, makePanel, plainTable, rowOf } from "../panel.js";

const said = (value) => (value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value));

/** Rows with a name that stays theirs when others come on top. */
function named(rows) {
  const times = new Map();
  const names = rows.map(({ at, actor, command }) => `${at} ${actor} ${command}`);
  return rows
    .map((entry, place) => [entry, names[place]])
    .reverse()
    .map(([entry, name]) => {
      times.set(name, (times.get(name) ?? 0) + 1);
      return { ...entry, name: `${name} ${times.get(name)}` };
    })
    .reverse();
}

export const makeAudit = () =>
  makePanel({
    id: "audit",
    title: "Audit",
    build(panel) {
      let loadedAt = 0;
      const nothing = h("div");
      const table = plainTable("Commands, newest first", [["When"], ["Who"], ["Command"], ["Arguments"], ["Result"]]);
      panel.body.append(nothing, h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Audit of commands" }, table.element));
      const row = rowOf((entry) => [[stamp(entry.at)], [entry.actor], [words(entry.command), "strong wrap code"], [said(entry.arguments), "hint wrap code"], [`${entry.ok === false ? "✕ " : ""}${said(entry.result)}`, entry.ok === false ? "wrap code bad" : "wrap code"]]);
      const load = loader(nothing, () => get("/api/audit", { limit: 200 }), (answer) => {
        nothing.replaceChildren();
        keyed(table.body, named(answer.rows), (entry) => entry.name, row);
        if (!answer.rows.length) nothing.append(empty("No commands yet.", "Every command of a person is recorded here."));
      });
      panel.live(["snapshot", "positions", "refresh"], (changed) => {
        if (changed.size === 1 && changed.has("positions") && (performance.now() - loadedAt < 5000 || !attended())) return;
        loadedAt = performance.now();
        load();
      });
    },
  });
