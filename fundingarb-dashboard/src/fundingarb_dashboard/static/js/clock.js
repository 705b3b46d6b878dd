// The bot's clock as far as its heartbeats tell it: a demo's time may run faster than the wall's.

let anchor = { at: Date.now(), seen: performance.now() };
let speed = 1;

/** Takes a heartbeat's time. */
export function beat(iso) {
  const at = Date.parse(iso);
  if (Number.isNaN(at)) return;
  const seen = performance.now();
  const passed = seen - anchor.seen;
  if (anchor.beaten && passed > 500) {
    const measured = (at - anchor.at) / passed;
    // A tab that slept, or a bot that restarted, says nothing about how fast its time runs.
    if (measured >= 0 && measured < 100000 && passed < 5000) speed = measured < 1.2 && measured > 0.8 ? 1 : measured;
  }
  anchor = { at, seen, beaten: true };
}

/** Now, in milliseconds since 1970, as the bot sees it. */
export const now = () => anchor.at + (performance.now() - anchor.seen) * speed;

/** Seconds from now to a time; negative when it has passed, null when there is none. */
export function until(iso) {
  if (!iso) return null;
  const at = typeof iso === "number" ? iso : Date.parse(iso);
  return Number.isNaN(at) ? null : (at - now()) / 1000;
}
