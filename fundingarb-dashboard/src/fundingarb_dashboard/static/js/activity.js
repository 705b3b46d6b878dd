// Whether a person is there. The page asks for nothing by itself when nobody is, so that a session nobody uses can end.

const IDLE = 10 * 60 * 1000; // ms; less than the time after which the bot ends an idle session
let last = performance.now();

for (const event of ["keydown", "pointerdown", "pointermove", "wheel"]) {
  window.addEventListener(event, () => (last = performance.now()), { passive: true, capture: true });
}

export const attended = () => performance.now() - last < IDLE;
