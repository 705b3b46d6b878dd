// The way in: a password, or the one-time token that the bot printed when it started.

import { login } from "./api.js";
import { field, fill, h } from "./dom.js";

/** The token in the address (…/#token=…), which is taken out of it at once. */
export function tokenInAddress() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (!found) return null;
  history.replaceState(null, "", location.pathname);
  return decodeURIComponent(found[1]);
}

/** Shows the login form in `root` until somebody is in; `why` says why it is asked for. */
export function showLogin(root, why = null) {
  return new Promise((resolve) => {
    const secret = field(
      "Password or one-time token",
      h("input", { type: "password", name: "secret", autocomplete: "current-password", required: true }),
      "The bot prints a token when it starts; `fundingarb dashboard password` sets a password.",
    );
    const button = h("button", { type: "submit", class: "button primary" }, "Log in");
    const submit = async (event) => {
      event.preventDefault();
      secret.fail(null);
      button.disabled = true;
      const value = secret.input.value.trim();
      try {
        await enter(value);
        resolve();
      } catch (error) {
        secret.fail(error.message);
        if (secret.input.value.trim() === value) secret.input.select(); // what was typed meanwhile stays
      } finally {
        button.disabled = false;
      }
    };
    fill(
      root,
      h(
        "main",
        { class: "login" },
        h(
          "form",
          { class: "login-box", on: { submit }, "aria-labelledby": "login-title" },
          h("h1", { id: "login-title" }, "FUNDING", h("span", {}, "ARB")),
          h("p", { class: "login-about" }, "Funding-rate arbitrage terminal"),
          why ? h("p", { class: "login-why", role: "status" }, why) : null,
          h("input", { type: "text", name: "username", autocomplete: "username", value: "operator", hidden: true }),
          secret.field,
          button,
        ),
      ),
    );
    secret.input.focus();
  });
}

// One field for both: a token is long and has no spaces, and what is not one is a password.
const TOKEN = /^[A-Za-z0-9_-]{40,}$/;

async function enter(value) {
  if (!TOKEN.test(value)) return login({ password: value });
  try {
    return await login({ token: value });
  } catch (error) {
    if (error.status !== 401 && error.status !== 403) throw error;
    return login({ password: value });
  }
}
