// The bot's clock as far as its heartbeats tell it: a demo's time may run faster than the wall's.

const KEPT = 20; // heartbeats from which the speed is reckoned: one's delay counts little against the time of all
const NEAR = 5; // the last ones; that with the least delay says what time it is
const PAUSE = 5000; // ms without a heartbeat after which those before say nothing: a tab slept, a bot was restarted
const ASTRAY = 30_000; // ms of the wall's time by which the clock may be ahead before it is put back

const HOUR = 3_600_000; // ms; before the first heartbeat, what happened longer ago is of a demo's time

let beats = [];
let speed = 1;
let shown = Date.now();
let instant = null;

/** Takes a heartbeat's time. */
export function beat(iso) {
  const at = Date.parse(iso);
  if (Number.isNaN(at)) return;
  const seen = performance.now();
  const last = beats.at(-1);
  if (last && (seen - last.seen > PAUSE || at < last.at)) beats = [];
  beats = [...beats, { at, seen }].slice(-KEPT);
  if (seen - beats[0].seen > 500) {
    const measured = slope();
    if (measured < 100000) speed = measured < 1.2 && measured > 0.8 ? 1 : measured;
  }
  const ahead = shown - reckoned();
  if (ahead > ASTRAY * speed || ahead < -ASTRAY * speed) shown = reckoned();
  instant = null;
}

/** Takes a time at which something has happened: it is not earlier now. */
export function happened(iso) {
  const at = Date.parse(iso ?? "");
  if (Number.isNaN(at)) return;
  if (beats.length ? at <= shown || at - shown > ASTRAY * speed : at <= shown && shown - at < HOUR) return;
  shown = at;
  instant = null;
}

/** The bot's milliseconds per millisecond of the wall: the straight line nearest to all heartbeats that are kept. */
function slope() {
  const mean = (of) => beats.reduce((total, one) => total + of(one), 0) / beats.length;
  const [x, y] = [mean((one) => one.seen), mean((one) => one.at - beats[0].at)];
  const spread = mean((one) => (one.seen - x) ** 2);
  return mean((one) => (one.seen - x) * (one.at - beats[0].at - y)) / spread;
}

/** A heartbeat may be late and is never early: the latest of what they say is right. */
function reckoned() {
  if (!beats.length) return shown;
  return Math.max(...beats.slice(-NEAR).map(({ at, seen }) => at + (performance.now() - seen) * speed));
}

/** Now, in milliseconds since 1970, as the bot sees it: the same for all that is drawn at once, never going back. */
export function now() {
  if (instant === null) {
    instant = shown = Math.max(shown, reckoned());
    queueMicrotask(() => (instant = null));
  }
  return instant;
}

/** Seconds from now to a time; negative when it has passed, null when there is none. */
export function until(iso) {
  if (!iso) return null;
  const at = typeof iso === "number" ? iso : Date.parse(iso);
  return Number.isNaN(at) ? null : (at - now()) / 1000;
}
