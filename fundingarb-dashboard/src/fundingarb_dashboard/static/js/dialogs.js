// Modal dialogs on the browser's own <dialog>: it keeps the focus inside and closes on Escape.

import { fill, h, uid } from "./dom.js";
import { toast } from "./toasts.js";

/** Opens a dialog; `build(close)` returns its content. Resolves with what `close` was given, undefined for Escape. */
export function modal(title, build, { kind = "" } = {}) {
  return new Promise((resolve) => {
    const heading = uid("dialog");
    const dialog = h("dialog", { class: `dialog ${kind}`, "aria-labelledby": heading });
    const content = h("div", { class: "dialog-body" });
    dialog.append(h("h2", { id: heading }, title), content);
    let result;
    const close = (value) => {
      result = value;
      dialog.close();
    };
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    fill(content, build(close));
    document.body.append(dialog);
    dialog.showModal();
    (dialog.querySelector("[autofocus]") ?? dialog.querySelector("button"))?.focus();
  });
}

const FIGURE = /^[+−]?\d[\d.,:]*( ?\S{1,4})?$/; // with its unit

/** A list of facts: [[name, value, tone?]]. A figure is kept on one line. */
export const facts = (rows) =>
  h(
    "dl",
    { class: "facts" },
    rows.map(([name, value, tone]) => h("div", {}, h("dt", {}, name), h("dd", { class: [FIGURE.test(value) ? "num" : null, tone].filter(Boolean).join(" ") || null }, value))),
  );

/**
 * Asks before something is done. `run()` does it while the dialog waits; its failure is shown there and may be tried
 * again. Who closes the dialog meanwhile is told in the corner. `typed` is a word that has to be typed first; `extra` is
 * shown in between. Resolves with what `run` returned, undefined when called off.
 */
export function confirm({ title, text, rows = [], action, danger = false, typed = null, extra = null, kind = "", run }) {
  return modal(
    title,
    (close) => {
      const wrong = h("p", { class: "dialog-error", role: "alert" });
      const go = h("button", { type: "submit", class: danger ? "button danger" : "button primary" }, action);
      const word = h("input", { type: "text", autocomplete: "off", spellcheck: "false", autofocus: true, id: uid("typed") });
      let busy = false;
      const ready = () => (go.disabled = busy || Boolean(typed && word.value.trim().toUpperCase() !== typed));
      word.addEventListener("input", ready);
      if (!typed) go.setAttribute("autofocus", "");
      ready();
      const submit = async (event) => {
        event.preventDefault();
        if (go.disabled) return;
        busy = true;
        ready();
        wrong.textContent = "";
        try {
          const answer = (await run()) ?? true;
          if (!go.isConnected) toast(`${title}: it was carried out after all.`, "good");
          else close(answer);
        } catch (error) {
          wrong.textContent = error.unknown ? `${error.message} Pressing ${action} again asks for the same, once.` : error.message;
          wrong.classList.toggle("unknown", Boolean(error.unknown));
          busy = false;
          ready();
          if (document.activeElement === document.body) go.focus(); // a button that was disabled has lost it
          if (!go.isConnected) toast(`${title}: ${error.message}`, error.unknown ? "warn" : "bad");
        }
      };
      return h(
        "form",
        { on: { submit } },
        text ? h("p", {}, text) : null,
        rows.length ? facts(rows) : null,
        extra,
        typed ? h("div", { class: "field" }, h("label", { for: word.id }, `Type ${typed} to go on`), word) : null,
        wrong,
        h(
          "div",
          { class: "dialog-buttons" },
          h("button", { type: "button", class: "button", on: { click: () => close() } }, "Cancel"),
          go,
        ),
      );
    },
    { kind: `${danger ? "dialog-danger" : ""} ${kind}` },
  );
}
