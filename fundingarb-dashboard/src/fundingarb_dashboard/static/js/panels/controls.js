// One control per kind of setting. Each returns {input, element?}; `changed(value)` is told what a person chose.

import { fill, h, uid } from "../dom.js";

const bounds = (schema) =>
  [["at least", schema.minimum], ["more than", schema.exclusiveMinimum], ["at most", schema.maximum], ["less than", schema.exclusiveMaximum]]
    .filter(([, bound]) => bound !== undefined)
    .map(([word, bound]) => `${word} ${bound}`)
    .join(", ");

/** What a setting means, with its limits. */
export const about = (schema) => [schema.description?.replaceAll("`", ""), bounds(schema)].filter(Boolean).join("; ") || null;

/** A number keeps the form it had: decimals are strings, counts are numbers. */
function parsed(text, schema, before) {
  const value = text.trim();
  if (value === "" && (schema.nullable || before === null)) return null;
  if (typeof before === "string" || schema.type === "string") return value;
  const number = Number(value);
  return value !== "" && Number.isFinite(number) ? number : value;
}

/** What holds while nothing is written; plugins' sections may be left out of the document. */
const usual = (schema) => (schema.default !== undefined && schema.default !== null ? String(schema.default) : schema.nullable ? "none" : null);

export function textControl(schema, value, changed) {
  const numeric = ["number", "integer"].includes(schema.type);
  const input = h("input", {
    type: "text",
    class: numeric ? "num" : null,
    inputmode: numeric ? "decimal" : null,
    autocomplete: "off",
    spellcheck: "false",
    placeholder: usual(schema),
    value: value ?? "",
    on: { input: () => changed(parsed(input.value, schema, value)) },
  });
  return { input };
}

export function choiceControl(schema, value, changed) {
  const input = h("select", { on: { change: () => changed(input.value) } }, schema.enum.map((choice) => h("option", { value: choice }, choice)));
  input.value = value ?? schema.default ?? "";
  return { input };
}

export function switchControl(schema, value, changed) {
  const input = h("input", { type: "checkbox", prop: { checked: Boolean(value ?? schema.default) }, on: { change: () => changed(input.checked) } });
  return { input };
}

/** A list of words: each can be taken away, another added. */
export function wordsControl(value, changed, suggestions = []) {
  let words = [...(value ?? [])];
  const list = h("ul", { class: "chips" });
  const options = h("datalist", { id: uid("words") }, suggestions.map((word) => h("option", { value: word })));
  const input = h("input", { type: "text", placeholder: "add…", autocomplete: "off", list: options.id });
  const set = (next) => {
    words = next;
    changed(words);
    draw();
  };
  const add = () => {
    const word = input.value.trim();
    if (word && !words.includes(word)) set([...words, word]);
    input.value = "";
    input.focus();
  };
  const draw = () =>
    fill(list, words.map((word) => h("li", {}, word, h("button", { type: "button", class: "icon-button", "aria-label": `Remove ${word}`, on: { click: () => remove(word) } }, "×"))));
  const remove = (word) => {
    const place = words.indexOf(word);
    set(words.filter((other) => other !== word));
    (list.querySelectorAll("button")[Math.min(place, words.length - 1)] ?? input).focus();
  };
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    add();
  });
  draw();
  return { input, element: h("div", { class: "words" }, list, h("div", { class: "words-add" }, input, options, h("button", { type: "button", class: "button small", on: { click: add } }, "Add"))) };
}

/** A slider per name of a table of whole numbers, and a way to add one for another name. */
export function leversControl(value, schema, changed) {
  let table = { ...(value ?? {}) };
  const box = h("div", { class: "levers" });
  const name = h("input", { type: "text", placeholder: "symbol…", autocomplete: "off", "aria-label": "Name for another value" });
  const set = (next) => {
    table = next;
    changed(table);
  };
  const most = Math.min(schema.maximum ?? 125, 125);
  const lever = (key) => {
    const id = uid("lever");
    const shown = h("output", { for: id }, `${table[key]}×`);
    const slider = h("input", { type: "range", id, min: schema.minimum ?? 1, max: most, value: table[key], on: { input: () => {
      shown.textContent = `${slider.value}×`;
      set({ ...table, [key]: Number(slider.value) });
    } } });
    const drop = h("button", { type: "button", class: "icon-button", "aria-label": `Remove ${key}`, on: { click: () => {
      const { [key]: _gone, ...rest } = table;
      set(rest);
      draw();
      name.focus();
    } } }, "×");
    return h("div", { class: "lever" }, h("label", { for: id }, key), slider, shown, drop);
  };
  const add = h("button", { type: "button", class: "button small", on: { click: () => {
    const key = name.value.trim();
    if (!key || key in table) return;
    set({ ...table, [key]: 5 });
    name.value = "";
    draw();
    name.focus();
  } } }, "Add");
  const draw = () => fill(box, Object.keys(table).map(lever), h("div", { class: "words-add" }, name, add));
  draw();
  return { input: name, element: box };
}
