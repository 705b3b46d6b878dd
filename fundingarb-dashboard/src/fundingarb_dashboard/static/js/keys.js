// Function keys, as on a trading terminal. F11 and F12 stay the browser's.

export const FUNCTION_KEYS = [
  ["F1", "HELP", { act: "help" }],
  ["F2", "RATES", { act: "panel", panel: "rates" }],
  ["F3", "OPPS", { act: "panel", panel: "opportunities" }],
  ["F4", "POSN", { act: "panel", panel: "positions" }],
  ["F5", "REFRESH", { act: "refresh" }],
  ["F6", "CHART", { act: "panel", panel: "charts" }],
  ["F7", "HIST", { act: "panel", panel: "history" }],
  ["F8", "CALC", { act: "panel", panel: "calculator" }],
  ["F9", "CONF", { act: "panel", panel: "config" }],
  ["F10", "KILL", { act: "kill" }],
];

/** Listens for the function keys, `/` (command bar) and Z (enlarge the panel in use). Kill works over a dialog too. */
export function listen({ run, focusCommand, enlarge }) {
  const byKey = new Map(FUNCTION_KEYS.map(([key, , command]) => [key, command]));
  window.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const command = byKey.get(event.key);
    if (document.querySelector("dialog[open]") && (command?.act !== "kill" || document.querySelector(".dialog-kill[open]"))) {
      if (command) event.preventDefault();
      return;
    }
    const typing = event.target.matches?.("input, select, textarea, [contenteditable]");
    if (command) {
      event.preventDefault();
      run(command);
    } else if (!typing && event.key === "/") {
      event.preventDefault();
      focusCommand();
    } else if (!typing && event.key.toLowerCase() === "z") {
      enlarge();
    } else if (event.key === "Escape" && !typing) focusCommand();
  });
}
