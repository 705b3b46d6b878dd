// Quick actions: automation on and off, scan, refresh, and the kill switch.

import * as actions from "../actions.js";
import { h, setAttr, setText } from "../dom.js";
import { makePanel } from "../panel.js";
import { state } from "../store.js";

const button = (label, click, kind = "") => h("button", { type: "button", class: `button ${kind}`, on: { click } }, label);

export const makeActions = () =>
  makePanel({
    id: "actions",
    title: "Quick actions",
    build(panel) {
      const automation = h(
        "button",
        { type: "button", class: "button switch", role: "switch", "aria-checked": "false", on: { click: () => (running() ? actions.stop() : actions.start()) } },
        h("span", { class: "knob", "aria-hidden": "true" }),
        h("span", {}, "Automation "),
      );
      const said = h("strong");
      automation.append(said);
      const kill = button("Kill switch…", actions.kill, "danger wide");
      panel.body.append(
        automation,
        h("div", { class: "buttons" }, button("Force scan", actions.scan), button("Refresh all data", actions.refresh)),
        kill,
      );
      const running = () => ["RUNNING", "STARTING"].includes(state.status?.engine?.state);
      panel.live(["status"], () => {
        const killed = Boolean(state.status?.kill?.latched);
        setAttr(automation, "aria-checked", String(running()));
        const known = Boolean(state.status?.engine?.state);
        setAttr(automation, "disabled", killed || !known);
        setText(said, killed ? "KILLED" : !known ? "NOT KNOWN" : running() ? "ON" : "OFF");
        setText(kill, killed ? "Kill switch: review…" : "Kill switch…");
      });
    },
  });
