// Quick actions: automation on and off, scan, refresh, and the kill switch.

import * as actions from "../actions.js";
import { h, setAttr, setText } from "../dom.js";
import { makePanel } from "../panel.js";
import { state } from "../store.js";
import { toast } from "../toasts.js";

const JUST = 600; // ms; who presses a switch so soon after it has changed by itself has not seen that

const button = (label, click, kind = "") => h("button", { type: "button", class: `button ${kind}`, on: { click } }, label);

export const makeActions = () =>
  makePanel({
    id: "actions",
    title: "Quick actions",
    build(panel) {
      const automation = h(
        "button",
        { type: "button", class: "button switch", role: "switch", "aria-checked": "false", on: { click: turn } },
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
      let turned = -JUST; // when what the switch shows has changed, performance.now()
      function turn() {
        if (performance.now() - turned < JUST) toast("Automation has changed just now; look again.", "warn");
        else if (automation.getAttribute("aria-checked") === "true") actions.stop();
        else actions.start();
      }
      const running = () => ["RUNNING", "STARTING"].includes(state.status?.engine?.state);
      panel.live(["status"], () => {
        const killed = Boolean(state.status?.kill?.latched);
        const known = Boolean(state.status?.engine?.state);
        const shown = killed ? "KILLED" : !known ? "NOT KNOWN" : running() ? "ON" : "OFF";
        if (said.textContent && said.textContent !== shown) turned = performance.now();
        setAttr(automation, "aria-checked", String(running()));
        setAttr(automation, "disabled", killed || !known);
        setText(said, shown);
        setText(kill, killed ? "Kill switch: review…" : "Kill switch…");
      });
    },
  });
