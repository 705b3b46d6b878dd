// Figures and times as a desk reads them. Amounts arrive as decimal strings and are only rounded here, never added up.

const NONE = "–";
const MINUS = "−";
const grouped = new Map();

function decimals(digits) {
  let format = grouped.get(digits);
  if (!format) {
    format = new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    grouped.set(digits, format);
  }
  return format;
}

/** The number behind a decimal string; null when there is none. */
export function num(value) {
  if (value === null || value === undefined || value === "") return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

function rounded(number, digits, signed) {
  const text = decimals(digits).format(Math.abs(number));
  if (!/[1-9]/.test(text)) return text;
  if (number < 0) return MINUS + text;
  return signed ? `+${text}` : text;
}

/** US dollars, two places: 12,345.60. */
export const usd = (value, digits = 2) => {
  const number = num(value);
  return number === null ? NONE : rounded(number, digits, false);
};

/** US dollars with their sign: +3.20. */
export const gain = (value, digits = 2) => {
  const number = num(value);
  return number === null ? NONE : rounded(number, digits, true);
};

/** What was paid, as the signed amount it is for us: fees of 1.5 are −1.50. */
export const paid = (value, digits = 2) => {
  const number = num(value);
  return number === null ? NONE : rounded(-number, digits, true);
};

/** A fraction as a signed percentage: 0.0001 is +0.0100%. */
export const pct = (value, digits = 4) => {
  const number = num(value);
  return number === null ? NONE : `${rounded(number * 100, digits, true)}%`;
};

/** A yearly fraction as a signed percentage, with places only where they matter. */
export function yearly(value) {
  const number = num(value);
  if (number === null || Math.abs(number) < 10) return pct(value, Math.abs(number ?? 0) < 1 ? 1 : 0);
  return `${rounded(number / 10, 1, true)}k%`;
}

/** A fraction as a plain percentage: 0.5 is 50.0%. */
export const share = (value, digits = 1) => {
  const number = num(value);
  return number === null ? NONE : `${rounded(number * 100, digits, false)}%`;
};

/** A price with as many places as its size asks for. */
export const price = (value) => {
  const number = num(value);
  if (number === null) return NONE;
  const size = Math.abs(number);
  const digits = size >= 10000 ? 1 : size >= 100 ? 2 : size >= 1 ? 4 : size >= 0.01 ? 5 : size >= 0.0001 ? 6 : 8;
  return rounded(number, digits, false);
};

/** A price where there is little room: 0.00001776 is 0.0₄1776, 113189.04 is 113,189. */
export function shortPrice(value) {
  const number = num(value);
  const size = Math.abs(number ?? 0);
  if (size >= 100000) return rounded(number, 0, false);
  if (size === 0 || size >= 0.0001) return price(value);
  const zeros = -Math.floor(Math.log10(size)) - 1;
  return `0.0${String.fromCharCode(0x2080 + zeros)}${Math.round(size * 10 ** (zeros + 4))}`;
}

/** A quantity of the base asset. */
export const quantity = (value) => {
  const number = num(value);
  if (number === null) return NONE;
  const size = Math.abs(number);
  if (size >= 1e9) return `${rounded(number / 1e9, 3, false)}B`;
  if (size >= 1e6) return `${rounded(number / 1e6, 3, false)}M`;
  return rounded(number, size >= 10000 ? 0 : size >= 1000 ? 1 : size >= 1 ? 3 : 5, false);
};

/** US dollars with their sign where there is little room: fewer places for larger amounts. */
export const tight = (value) => {
  const size = Math.abs(num(value) ?? 0);
  return gain(value, size >= 1000 ? 0 : size >= 100 ? 1 : 2);
};

export const count = (value) => {
  const number = num(value);
  return number === null ? NONE : rounded(number, 0, false);
};

const two = (number) => String(Math.floor(number)).padStart(2, "0");

/** Seconds as 4:05, 1:04:05 or 2d 03:04. */
export function span(seconds) {
  const total = num(seconds);
  if (total === null) return NONE;
  const s = Math.max(0, Math.floor(total));
  if (s >= 86400) return `${Math.floor(s / 86400)}d ${two((s % 86400) / 3600)}:${two((s % 3600) / 60)}`;
  if (s >= 3600) return `${Math.floor(s / 3600)}:${two((s % 3600) / 60)}:${two(s % 60)}`;
  return `${Math.floor(s / 60)}:${two(s % 60)}`;
}

/** Seconds where there is little room: 4:05, 1h04m or 2d03h. */
export function shortSpan(seconds) {
  const total = num(seconds);
  if (total === null || total < 3600) return span(seconds);
  const hours = total / 3600;
  return hours < 24 ? `${Math.floor(hours)}h${two((total % 3600) / 60)}m` : `${Math.floor(hours / 24)}d${two(hours % 24)}h`;
}

/** Seconds as a short age: 0.4s, 12s, 3m, 2h, 5d. */
export function age(seconds) {
  const s = num(seconds);
  if (s === null) return NONE;
  if (s < 10) return `${Math.max(0, s).toFixed(1)}s`;
  if (s < 120) return `${Math.floor(s)}s`;
  if (s < 7200) return `${Math.floor(s / 60)}m`;
  if (s < 172800) return `${Math.floor(s / 3600)}h`;
  return `${Math.floor(s / 86400)}d`;
}

export const millis = (value) => {
  const ms = num(value);
  if (ms === null) return NONE;
  return ms >= 10000 ? `${(ms / 1000).toFixed(1)} s` : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
};

/** 14:03:22, UTC. */
export function clock(iso) {
  const at = iso ? new Date(iso) : null;
  return at && !Number.isNaN(at.getTime()) ? at.toISOString().slice(11, 19) : NONE;
}

/** 11-23 14:03, UTC. */
export function stamp(iso) {
  const at = iso ? new Date(iso) : null;
  return at && !Number.isNaN(at.getTime()) ? at.toISOString().slice(5, 16).replace("T", " ") : NONE;
}

/** "up", "down" or "flat": the class of a signed figure. The sign itself is in the text as well. */
export function tone(value) {
  const number = num(value);
  if (number === null || number === 0) return "flat";
  return number > 0 ? "up" : "down";
}

/** What a gate needed or found, which is text of the bot: bare fractions and amounts as people write them. */
export function judged(gate, text) {
  if (num(text) !== null) return ["spread", "identity"].includes(gate) ? pct(text) : gate === "net" ? `${gain(text)} USD` : text;
  return String(text ?? "").replace(/\d{4}-(\d\d-\d\d \d\d:)/g, "$1").replace(/( days?), 0:00:00/g, "$1");
}

/** SOME_WORDS as "some words". */
export const words = (text) => String(text ?? "").replaceAll("_", " ").toLowerCase();

export { NONE };
