// Starts the program: logs in, builds the desk, streams, and carries commands out.

import * as actions from "./actions.js";
import { attended } from "./activity.js";
import { health, login, logout, session, signedOut } from "./api.js";
import { commandBar } from "./commandbar.js";
import { fill, h } from "./dom.js";
import { makeBanner, makeHeader } from "./header.js";
import { showHelp } from "./help.js";
import { FUNCTION_KEYS, listen } from "./keys.js";
import { showLogin, tokenInAddress } from "./login.js";
import { makePanels } from "./panels/all.js";
import { makeShell } from "./shell.js";
import { start, stop } from "./socket.js";
import { positionByNumber, state, touch } from "./store.js";
import { makeTicker } from "./ticker.js";
import { toast, toasts } from "./toasts.js";

const root = document.getElementById("root");
const HEALTH_EVERY = 5000;

async function enter() {
  const token = tokenInAddress();
  let why = null;
  if (token) {
    try {
      await login({ token });
    } catch (error) {
      why = error.message;
    }
  }
  let found = await session().catch((error) => {
    why = error.message;
    return null;
  });
  while (!found) {
    await showLogin(root, why);
    found = await session().catch(() => null);
  }
  return found;
}

function leave(why) {
  stop();
  // A fresh page holds nothing of what the old session saw.
  if (why) sessionStorage.setItem("why", why);
  location.reload();
}

function build() {
  let shell;
  const run = (command) => execute(command, shell);
  const bar = commandBar(run);
  const panels = makePanels(run);
  shell = makeShell({
    left: [panels.rates],
    middle: [
      panels.positions,
      [panels.opportunities, panels.orders, panels.history, panels.charts, panels.calculator, panels.config, panels.simulation, panels.audit],
    ],
    right: [panels.engine, panels.actions, panels.entry, panels.alerts],
  });
  const keys = h(
    "nav",
    { class: "fkeys", "aria-label": "Function keys" },
    FUNCTION_KEYS.map(([key, label, command]) =>
      h("button", { type: "button", class: command.act === "kill" ? "fkey fkey-kill" : "fkey", on: { click: () => run(command) } }, h("kbd", {}, key), label),
    ),
  );
  fill(
    root,
    h("a", { class: "skip", href: "#desk" }, "To the panels"),
    makeHeader({ kill: actions.kill, leave: () => logout().finally(() => leave()) }),
    h("div", { class: "strip" }, bar.element, makeTicker((pair) => run({ act: "pair", pair }))),
    makeBanner(),
    panels.pnl.element,
    shell.element,
    keys,
    toasts,
  );
  panels.pnl.show();
  listen({ run, focusCommand: bar.focus, enlarge: shell.enlarge });
}

function execute(command, shell) {
  const doing = {
    panel: () => shell.show(command.panel, command.args),
    pair: () => {
      shell.show("rates", { pair: command.pair }, false);
      shell.show("entry", { pair: command.pair }, false);
      shell.show("charts", { pair: command.pair }, false);
    },
    open: () => actions.openPosition(command),
    close: () => actions.closePosition(positionByNumber(command.number)),
    tolerance: () => actions.setTolerance(positionByNumber(command.number), command.wanted),
    kill: actions.kill,
    start: actions.start,
    stop: actions.stop,
    scan: actions.scan,
    refresh: actions.refresh,
    help: showHelp,
    logout: () => logout().finally(() => leave()),
  };
  doing[command.act]();
}

async function watchHealth() {
  if (!attended()) return;
  state.health = await health();
  touch("health");
}

async function main() {
  if (sessionStorage.getItem("why")) {
    const why = sessionStorage.getItem("why");
    sessionStorage.removeItem("why");
    if (!(await session().catch(() => null))) await showLogin(root, why);
  }
  state.session = await enter();
  signedOut(() => leave("The session has ended; log in again."));
  build();
  touch("status", "link", "summary", "rates", "positions", "alerts");
  start(() => session().then((found) => found ?? leave("The session has ended; log in again.")).catch(() => {}));
  watchHealth();
  setInterval(watchHealth, HEALTH_EVERY);
}

main().catch((error) => {
  toast(error.message, "bad");
  root.append(toasts);
});
