// The alert feed, newest first; a critical one is also said aloud and shown in the corner.

import { empty, h, keyed, setAttr, setText } from "../dom.js";
import { clock } from "../format.js";
import { makePanel } from "../panel.js";
import { on, state } from "../store.js";
import { toast } from "../toasts.js";

const MARK = { INFO: "i", WARNING: "▲", CRITICAL: "■" };

export const makeAlerts = () => {
  on(["alert"], () => {
    const alert = state.lastAlert;
    if (alert?.severity === "CRITICAL") toast(`CRITICAL: ${alert.title ?? alert.message}`, "bad");
  });
  return makePanel({
    id: "alerts",
    title: "Alerts",
    build(panel) {
      const list = h("ol");
      const feed = h("div", { class: "alerts", role: "log", "aria-label": "Alerts, newest first", tabindex: "0" }, list);
      const nothing = empty("No alerts.", "What the bot wants read appears here and in every alert sink.");
      panel.body.append(feed, nothing);
      panel.live(["alerts"], () => {
        keyed(list, state.alerts, (row) => row.serial, makeAlert);
        nothing.hidden = state.alerts.length > 0;
        feed.hidden = state.alerts.length === 0;
        const critical = state.alerts.filter((row) => row.severity === "CRITICAL").length;
        panel.note(critical ? `${critical} critical` : "");
      });
    },
  });
};

function makeAlert() {
  const parts = ["mark", "at", "what", "more"].map((kind) => h("span", { class: `alert-${kind}` }));
  const [mark, at, what, more] = parts;
  const element = h("li", { class: "alert" }, parts);
  return {
    element,
    update(row) {
      setAttr(element, "data-severity", row.severity);
      setText(mark, `${MARK[row.severity] ?? "i"} ${row.severity}`);
      setText(at, clock(row.timestamp));
      setText(what, row.title ?? row.message);
      const lines = Array.isArray(row.lines) ? row.lines.map((line) => (Array.isArray(line) ? line.join(": ") : String(line))) : [];
      setText(more, lines.length ? lines.join("\n") : row.title && row.message !== row.title ? (row.message ?? "") : "");
    },
  };
}
