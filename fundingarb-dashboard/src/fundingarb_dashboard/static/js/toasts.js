// Short notices in the corner; errors stay until they are dismissed.

import { h } from "./dom.js";

const MOST = 4;
const STAYS = 6000;
const box = h("div", { class: "toasts", role: "status", "aria-live": "polite", "aria-label": "Notices" });
const MARK = { info: "i", good: "✓", warn: "?", bad: "!" };

/** Where notices appear; put on the page once. */
export const toasts = box;

/** Shows a notice; kind is info, good, warn (nobody knows what came of it) or bad. */
export function toast(text, kind = "info") {
  const dismiss = () => item.remove();
  const item = h(
    "div",
    { class: `toast ${kind}` },
    h("span", { class: "toast-mark", "aria-hidden": "true" }, MARK[kind]),
    h("span", { class: "toast-text" }, text),
    h("button", { type: "button", class: "icon-button", "aria-label": "Dismiss", on: { click: dismiss } }, "×"),
  );
  const others = [...box.children];
  box.append(item);
  // the answer to what was just done is never the one that goes
  if (others.length >= MOST) (others.find((each) => each.matches(".info, .good")) ?? others[0]).remove();
  if (kind !== "bad" && kind !== "warn") setTimeout(dismiss, STAYS);
}
