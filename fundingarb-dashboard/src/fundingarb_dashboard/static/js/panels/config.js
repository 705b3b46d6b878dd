// The configuration: a form from the schema, errors at their fields, the difference before saving, hot reload.

import { ask as check, get, newKey, post } from "../api.js";
import { confirm } from "../dialogs.js";
import { empty, field, fill, h, setText } from "../dom.js";
import { loader, makePanel, plainTable, tool } from "../panel.js";
import { at, isLevers, kindOf, resolve, withValue } from "../schema.js";
import { state } from "../store.js";
import { toast } from "../toasts.js";
import { about, choiceControl, leversControl, switchControl, textControl, wordsControl } from "./controls.js";
import { showRevisions } from "./revisions.js";

const DESK = ["trading.symbols", "leverage", "trading.leverage", "trading.min_spread_base", "trading.min_spread_per_10k", "trading.min_net_usd", "trading.max_position_per_pair_usd", "trading.order_fill_timeout_seconds", "trading.entry_buffer_minutes", "trading.negative_spread_tolerance"];
const DESK_PAGE = "desk";

export const makeConfig = () =>
  makePanel({
    id: "config",
    title: "Configuration",
    key: "F9",
    build(panel) {
      let got = null; // {revision, document, schema, restart_keys} as the bot has it
      let draft = null;
      let page = DESK_PAGE;
      let fields = new Map(); // dotted path -> field
      let saving = false;
      let newest = 0; // the revision that the bot spoke of last
      const pages = h("div", { class: "config-pages", role: "group", "aria-label": "Sections" });
      const form = h("form", { class: "config-form", "aria-label": "Settings", on: { submit: save } });
      const said = h("div");
      const changes = h("span", { class: "config-changes", role: "status" });
      const apply = h("button", { type: "button", class: "button primary small", on: { click: save } }, "Save & apply");
      const undo = h("button", { type: "button", class: "button small", on: { click: undoAll } }, "Undo");
      panel.body.append(said, h("div", { class: "config" }, pages, form), h("div", { class: "config-foot" }, changes, undo, apply));
      panel.tools.append(tool("REVISIONS", "Earlier configurations", () => showRevisions({ unsaved: () => Boolean(got && typed()), changed: undoAll })));

      const load = loader(said, () => get("/api/config"), (answer) => {
        said.replaceChildren();
        newest = answer.revision;
        if (got && typed()) return void count(); // typed while the answer was on its way
        if (JSON.stringify(answer) !== JSON.stringify(got)) take(answer);
      });

      function take(answer) {
        got = answer;
        draft = answer.document;
        newest = answer.revision;
        drawPages();
        drawForm();
        count();
      }

      const changed = () => JSON.stringify(draft) !== JSON.stringify(got.document);

      /** Whether something would be lost by drawing the form anew: changes, and what is not added to a list yet. */
      const typed = () => changed() || [...form.querySelectorAll(".words-add input")].some((input) => input.value.trim());

      function undoAll() {
        if (got) take(got);
        load();
      }

      const differs = (path) => JSON.stringify(at(draft, path)) !== JSON.stringify(at(got.document, path));
      const restarts = (path) => (got.restart_keys ?? []).some((key) => path.join(".") === key || path.join(".").startsWith(`${key}.`));

      /** Says whether there is something to save, and which revision was saved meanwhile by somebody else. */
      function count() {
        const moved = newest === got.revision ? "" : `; revision ${newest} was saved meanwhile, Undo shows it`;
        setText(changes, (changed() ? "● unsaved changes" : `revision ${got.revision}`) + moved);
        apply.disabled = !changed();
        undo.disabled = !changed() && !moved;
      }

      /** Takes the marks off what is saved now; the form itself stays as it is. */
      function drawSaved() {
        for (const [path, one] of fields) one.field.classList.toggle("changed", differs(path.split(".")));
        count();
      }

      function drawPages() {
        const names = [DESK_PAGE, ...Object.keys(got.document)];
        fill(pages, names.map((name) =>
          h("button", { type: "button", class: "config-page", "aria-pressed": String(name === page), on: { click: () => turn(name) } }, name),
        ));
      }

      function turn(name) {
        page = name;
        drawPages();
        drawForm();
      }

      /** Draws the page at hand; who is on it already stays where they are. */
      function drawForm() {
        const path = [...fields].find(([, one]) => one.input && one.input === document.activeElement)?.[0];
        const top = form.dataset.page === page ? form.scrollTop : 0;
        form.dataset.page = page;
        fields = new Map();
        const paths = page === DESK_PAGE ? DESK.map((path) => path.split(".")).filter((path) => at(draft, path) !== undefined) : [[page]];
        fill(form, paths.map((path) => control(path, schemaAt(path), page === DESK_PAGE ? path.join(".") : path.at(-1))));
        if (!form.children.length) form.append(empty("Nothing to set here."));
        form.scrollTop = top;
        if (path) fields.get(path)?.input?.focus({ preventScroll: true });
      }

      function schemaAt(path) {
        let schema = resolve(got.schema, got.schema);
        for (const key of path) {
          const inner = schema.properties?.[key] ?? (typeof schema.additionalProperties === "object" ? schema.additionalProperties : {});
          schema = resolve(inner, got.schema);
        }
        return schema;
      }

      function control(path, schema, label) {
        const value = at(draft, path);
        const kind = kindOf(schema, value);
        const changed = (next) => {
          draft = withValue(draft, path, next);
          fields.get(path.join("."))?.field.classList.toggle("changed", differs(path));
          fields.get(path.join("."))?.fail(null);
          count();
        };
        if (kind === "object" && !isLevers(schema, got.schema)) return group(path, schema, label, value);
        const made = make(kind, path, schema, value, changed);
        const one = field(`${label}${restarts(path) ? " (restart)" : ""}`, made.input, about(schema), made.element ?? made.input);
        fields.set(path.join("."), one);
        one.field.classList.toggle("changed", differs(path));
        return one.field;
      }

      function make(kind, path, schema, value, changed) {
        if (kind === "object") return leversControl(value, resolve(schema.additionalProperties, got.schema), changed);
        if (kind === "choice") return choiceControl(schema, value, changed);
        if (kind === "boolean") return switchControl(schema, value, changed);
        if (kind === "words") return wordsControl(value, changed, path.at(-1) === "symbols" ? [...state.pairs.keys()].sort() : []);
        return textControl(schema, value, changed);
      }

      function group(path, schema, label, value) {
        const names = [...new Set([...Object.keys(schema.properties ?? {}), ...Object.keys(value ?? {})])];
        const error = h("span", { class: "field-error", role: "alert" });
        const box = h("fieldset", { class: "config-group" }, h("legend", {}, label), schema.description ? h("p", { class: "hint" }, schema.description.replaceAll("`", "")) : null, error);
        fields.set(path.join("."), { field: box, fail: (text) => setText(error, text ?? "") });
        names.forEach((name) => box.append(control([...path, name], schemaAt([...path, name]), name)));
        if (!names.length) box.append(h("p", { class: "hint" }, "nothing set"));
        const inner = schema.additionalProperties ? resolve(schema.additionalProperties, got.schema) : {};
        if (isLevers(inner, got.schema)) box.append(adder(path, value ?? {}));
        return box;
      }

      /** Adds a table of levers for one more exchange or account. */
      function adder(path, value) {
        const names = [...new Set([...state.exchanges, ...Object.keys(got.document.accounts ?? {})])].filter((name) => !(name in value));
        const choice = h("select", { "aria-label": "Exchange or account" }, names.map((name) => h("option", { value: name }, name)));
        const add = () => {
          draft = withValue(draft, [...path, choice.value], { default: 5 });
          drawForm();
          count();
        };
        return names.length ? h("div", { class: "words-add" }, choice, h("button", { type: "button", class: "button small", on: { click: add } }, "Add")) : "";
      }

      /** Says errors at their fields, on the page of the first of them; who writes elsewhere is left there. */
      function show(errors, stay = false) {
        const paths = Object.keys(errors);
        if (!paths.length) return;
        const nearest = (path) => {
          const parts = path.split(".");
          while (parts.length && !fields.has(parts.join("."))) parts.pop();
          return fields.get(parts.join("."));
        };
        if (!nearest(paths[0]) && !stay) turn(paths[0].split(".")[0]);
        for (const path of paths) nearest(path)?.fail(errors[path]);
        setText(changes, `✕ ${paths[0]}: ${errors[paths[0]]}`);
        if (!stay) nearest(paths[0])?.input?.focus();
      }

      async function save(event) {
        event.preventDefault();
        if (apply.disabled || saving) return;
        saving = true;
        const wanted = draft; // what is checked, shown and saved is one and the same, whatever is typed meanwhile
        try {
          const checked = await check("/api/config/check", { document: wanted });
          const errors = asFields(checked.errors);
          if (Object.keys(errors).length) show(errors, draft !== wanted);
          else await ask(wanted, checked.diff ?? []);
        } catch (error) {
          if (Object.keys(error.fields ?? {}).length) show(error.fields, draft !== wanted);
          else toast(error.message, "bad");
        } finally {
          saving = false;
        }
      }

      async function ask(wanted, diff) {
        const key = newKey();
        const done = await confirm({
          title: `Save ${diff.length} ${diff.length === 1 ? "change" : "changes"}`,
          text: "Takes effect between two scans, without a restart, unless it says so.",
          extra: diffTable(diff),
          action: "Save & apply",
          run: () => post("/api/config/update", { document: wanted, base_revision: got.revision }, key),
        });
        if (!done) return;
        toast(done.restart?.length ? `Revision ${done.revision} is saved; restart the bot for ${done.restart.join(", ")}.` : `Revision ${done.revision} is in force.`, "good");
        got = { ...got, document: wanted, revision: done.revision };
        newest = done.revision;
        drawSaved();
        load();
      }

      panel.opened = ({ path }) => {
        const begin = () => {
          if (!path || !got) return;
          const [first] = path.split(".");
          if (first in got.document) turn(first);
          fields.get(path)?.input?.focus();
        };
        // Who has gone elsewhere while the answer was on its way is not fetched back.
        if (got) begin();
        else load().then(() => (panel.element.contains(document.activeElement) ? begin() : null));
      };
      panel.live(["refresh"], () => {
        if (got) load();
      });
    },
  });

const asFields = (errors) => (Array.isArray(errors) ? Object.fromEntries(errors.map((error) => [error.path, error.message])) : (errors ?? {}));

const said = (value) => (value === null || value === undefined ? "none" : typeof value === "object" ? JSON.stringify(value) : String(value));

/** What changes, line by line. */
export function diffTable(diff) {
  const table = plainTable("Changes", [["Setting"], ["Before"], ["After"], ["Takes effect"]]);
  fill(table.body, diff.map((row) => h("tr", {}, h("td", { class: "strong" }, row.path), h("td", { class: "diff-before" }, `− ${said(row.before)}`), h("td", { class: "diff-after" }, `+ ${said(row.after)}`), h("td", { class: row.restart ? "bad" : "" }, row.restart ? "! after a restart" : "at once"))));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Changes" }, table.element);
}
