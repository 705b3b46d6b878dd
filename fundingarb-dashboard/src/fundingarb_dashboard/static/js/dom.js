// The only way this program makes and changes elements. Text reaches the page as text nodes, never as markup.

/**
 * An element: `h("td", {class: "num", "aria-label": "net"}, "1.00")`. Handlers go in `on`, properties in `prop`;
 * children are nodes or text, null and false are left out.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    } else if (name === "prop") Object.assign(element, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

export function append(parent, children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : String(child));
  }
  return parent;
}

/** Replaces what `parent` holds. */
export function fill(parent, ...children) {
  parent.replaceChildren();
  return append(parent, children);
}

/** Sets the text of a leaf; touches the page only when it differs. */
export function setText(element, text) {
  const wanted = text === null || text === undefined ? "" : String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** Sets or (null, false) removes an attribute; touches the page only when it differs. */
export function setAttr(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const wanted = value === true ? "" : String(value);
  if (element.getAttribute(name) !== wanted) element.setAttribute(name, wanted);
}

const made = new WeakMap();

/**
 * Makes `parent` hold one element per row, in order, keeping the elements of rows that stay, and the focus in them: an
 * element that is moved loses it, so as few are moved as an insertion, a removal or one row's way up take.
 * `create(row)` returns {element, update(row)}; `update` is called for new rows too.
 */
export function keyed(parent, rows, key, create) {
  let known = made.get(parent);
  if (!known) made.set(parent, (known = new Map()));
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const stay = new Set(rows.map(key));
  for (const [id, item] of known) {
    if (stay.has(id)) continue;
    item.element.remove();
    known.delete(id);
  }
  let before = parent.firstChild;
  for (const row of rows) {
    const id = key(row);
    let item = known.get(id);
    if (!item) known.set(id, (item = create(row)));
    item.update(row);
    if (item.element === before) before = before.nextSibling;
    else parent.insertBefore(item.element, before);
  }
  if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
}

/** Makes the options of a select `names`, in order, touching none that stays. What is chosen stays chosen, listed or not. */
export function choices(select, names) {
  const chosen = select.value;
  const wanted = chosen && !names.includes(chosen) ? [...names, chosen] : names;
  keyed(select, wanted, (name) => name, (name) => ({ element: h("option", { value: name }, name), update: () => {} }));
  if (chosen && select.value !== chosen) select.value = chosen;
}

let serial = 0;

/** An id that no other element has. */
export const uid = (prefix) => `${prefix}-${(serial += 1)}`;

/** A labelled field with a place for its help and its error; `element` holds the input where it is more than that. */
export function field(label, input, help = null, element = input) {
  input.id ||= uid("field");
  const error = h("span", { class: "field-error", id: `${input.id}-error`, role: "alert" });
  const about = help ? h("span", { class: "field-help", id: `${input.id}-help` }, help) : null;
  input.setAttribute("aria-describedby", [about?.id, error.id].filter(Boolean).join(" "));
  const box = h("div", { class: "field" }, h("label", { for: input.id }, label), element, about, error);
  return {
    field: box,
    input,
    fail(text) {
      setText(error, text ?? "");
      setAttr(input, "aria-invalid", text ? "true" : null);
      box.classList.toggle("invalid", Boolean(text));
    },
  };
}

/** What an empty panel says: what is missing, and what to do about it. */
export const empty = (title, advice) =>
  h("div", { class: "empty", role: "status" }, h("strong", {}, title), advice ? h("span", {}, advice) : null);
