// Earlier configurations, and the way back to one of them.

import { get, newKey, post } from "../api.js";
import { confirm, modal } from "../dialogs.js";
import { empty, fill, h } from "../dom.js";
import { stamp } from "../format.js";
import { loader, plainTable } from "../panel.js";
import { toast } from "../toasts.js";

/** Shows the revisions; `changed()` is called after a rollback. `unsaved()` says whether it drops what somebody has typed. */
export const showRevisions = ({ unsaved, changed }) =>
  modal(
    "Revisions of the configuration",
    (close) => {
      const box = h("div", {}, empty("Reading…"));
      const back = async (row) => {
        const key = newKey();
        close();
        const done = await confirm({
          title: `Back to revision ${row.revision}`,
          text: `Writes that configuration again as a new revision and applies it.${unsaved() ? " The changes that you have not saved are dropped." : ""}`,
          action: "Roll back",
          danger: true,
          run: () => post("/api/config/rollback", { revision: row.revision }, key),
        });
        if (!done) return;
        toast(`Revision ${done.revision ?? ""} is in force.`, "good");
        changed();
      };
      loader(box, () => get("/api/config/history"), (answer) => {
        const rows = answer.rows ?? answer.revisions ?? [];
        const table = plainTable("Revisions", [["Revision", "num"], ["When"], ["Who"], [""]]);
        fill(table.body, rows.map((row, place) => h("tr", {}, h("td", { class: "num" }, String(row.revision)), h("td", {}, stamp(row.at ?? row.created_at)), h("td", {}, row.actor ?? "the program's start"), h("td", {}, place ? h("button", { type: "button", class: "button small", on: { click: () => back(row) } }, "Roll back…") : "in force"))));
        fill(box, rows.length ? table.element : empty("No revisions yet."));
      })();
      return [box, h("div", { class: "dialog-buttons" }, h("button", { type: "button", class: "button primary", autofocus: true, on: { click: () => close() } }, "Close"))];
    },
    { kind: "dialog-wide" },
  );
