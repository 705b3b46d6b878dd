// The command language: what a line means, and how it may go on. Pure: it knows nothing of the page.

import { fractionOf, SIZE_WANTED, sizeOf, TOLERANCE_WANTED } from "./amounts.js";

/** Words that open a panel, in the order help lists them. */
export const PANELS = {
  RATES: ["rates", "live funding rates"],
  OPPS: ["opportunities", "opportunities, and why others were not taken"],
  POSN: ["positions", "open positions"],
  ORD: ["orders", "order blotter"],
  HIST: ["history", "closed positions"],
  CHART: ["charts", "funding history of a pair"],
  CALC: ["calculator", "what a hedge would bring"],
  CONF: ["config", "configuration"],
  ALRT: ["alerts", "alerts"],
  SIM: ["simulation", "review of the simulation"],
  AUDIT: ["audit", "who commanded what"],
};

const ACTS = {
  OPEN: "OPEN pair long short usd: open a hedge",
  CLOSE: "CLOSE n: close position n",
  TOL: "TOL n preset: tolerance of position n",
  KILL: "close everything on every account",
  START: "automation on",
  STOP: "automation off",
  SCAN: "look for opportunities now",
  REFRESH: "read the accounts again",
  HELP: "commands and keys",
  LOGOUT: "end this session",
};

export const PRESETS = ["conservative", "moderate", "aggressive"];

/** Every command with its meaning, for help. */
export const listed = () => [
  ["BTC <GO>", "everything about a symbol: rates, chart, calculator"],
  ...Object.entries(PANELS).map(([word, [, meaning]]) => [word, meaning]),
  ...Object.entries(ACTS),
];

const wordsOf = (line) =>
  line
    .trim()
    .replace(/<\s*go\s*>$/i, "")
    .split(/\s+/)
    .filter(Boolean);

/** The pair a word stands for: BTC is BTC-USDT when that is the only one, or the first with that base. */
export function pairOf(word, pairs) {
  const wanted = word.toUpperCase();
  return pairs.find((pair) => pair === wanted) ?? pairs.find((pair) => pair.split("-")[0] === wanted) ?? null;
}

const wrong = (message) => ({ error: message });

/** What a line asks for: {act, ...} or {error}. `known` is {pairs, exchanges, numbers}; where an exchange has several
 * accounts, `exchanges` has their names instead of its own. */
export function parse(line, known) {
  const [first, ...rest] = wordsOf(line);
  if (!first) return wrong("Type a command; HELP lists them.");
  const verb = first.toUpperCase();
  if (verb in PANELS) return panelCommand(verb, rest, known);
  if (verb in ACTS) return actCommand(verb, rest, known);
  const pair = pairOf(first, known.pairs);
  if (pair) return rest.length ? panelOfPair(pair, rest, known) : { act: "pair", pair };
  return wrong(`${first} is neither a command nor a symbol; HELP lists the commands.`);
}

function panelOfPair(pair, rest, known) {
  const verb = rest[0].toUpperCase();
  return verb in PANELS ? panelCommand(verb, [pair, ...rest.slice(1)], known) : wrong(`${rest[0]} is not a panel; try ${pair} CHART.`);
}

function panelCommand(verb, rest, known) {
  const command = { act: "panel", panel: PANELS[verb][0], args: {} };
  if (!rest.length) return command;
  if (verb === "CONF") return { ...command, args: { path: rest[0] } };
  const pair = pairOf(rest[0], known.pairs);
  if (!pair) return wrong(`${rest[0]} is not a symbol here; the rates panel lists them.`);
  const [long, short, size_usd] = rest.slice(1).map((word) => word.toLowerCase());
  return { ...command, args: { pair, ...(long && { long }), ...(short && { short }), ...(size_usd && { size_usd }) } };
}

function actCommand(verb, rest, known) {
  if (verb === "OPEN") return openCommand(rest, known);
  if (verb === "CLOSE" || verb === "TOL") {
    const number = Number(rest[0]);
    if (!known.numbers.includes(number)) {
      return wrong(known.numbers.length ? `${verb} which? Open are ${known.numbers.join(", ")}.` : "No position is open.");
    }
    if (verb === "CLOSE") return { act: "close", number };
    const word = (rest[1] ?? "").toLowerCase();
    const wanted = PRESETS.includes(word) ? word : fractionOf(word);
    return wanted === null ? wrong(`TOL ${number} ${PRESETS.join("|")} or ${TOLERANCE_WANTED}`) : { act: "tolerance", number, wanted };
  }
  return { act: verb.toLowerCase() };
}

function openCommand([base, long, short, size], known) {
  if (!base) return { act: "panel", panel: "entry", args: {} };
  const pair = pairOf(base, known.pairs);
  if (!pair) return wrong(`${base} is not a symbol here; the rates panel lists them.`);
  const named = (word) => known.exchanges.find((name) => name.toLowerCase() === word.toLowerCase()) ?? word.toLowerCase();
  const sides = [long, short].map((word) => word && named(word));
  const stranger = sides.find((side) => side && !known.exchanges.includes(side));
  if (known.several?.includes(stranger)) return wrong(`${stranger} has several accounts; name one of ${known.exchanges.join(", ")}.`);
  if (stranger) return wrong(`${stranger} is not an exchange here; there are ${known.exchanges.join(", ")}.`);
  const args = { pair, ...(sides[0] && { long: sides[0] }), ...(sides[1] && { short: sides[1] }) };
  if (!sides[1] || !size) return { act: "panel", panel: "entry", args };
  const size_usd = sizeOf(size);
  if (size_usd === null) return wrong(`${size}: ${SIZE_WANTED}`);
  if (sides[0] === sides[1]) return wrong("Long and short must be different exchanges.");
  return { act: "open", ...args, size_usd };
}

/** How a line may go on: [{text, hint}], best first, at most `most`. */
export function complete(line, known, most = 8) {
  const typed = line.replace(/^\s+/, "");
  const words = typed.split(/\s+/);
  const last = words.pop().toUpperCase();
  const before = words.join(" ");
  const offer = choices(words.map((word) => word.toUpperCase()), known);
  return offer
    .filter(([word]) => word.toUpperCase().startsWith(last) && word.toUpperCase() !== last)
    .slice(0, most)
    .map(([word, hint]) => ({ text: before ? `${before} ${word}` : word, hint }));
}

function choices(words, known) {
  const pairs = known.pairs.map((pair) => [pair, "symbol"]);
  const exchanges = known.exchanges.map((name) => [name, "exchange"]);
  if (!words.length) {
    const panels = Object.entries(PANELS).map(([word, [, meaning]]) => [word, meaning]);
    return [...Object.entries(ACTS), ...panels, ...pairs];
  }
  const [verb] = words;
  if (verb === "CLOSE" || (verb === "TOL" && words.length === 1)) {
    return words.length === 1 ? known.numbers.map((number) => [String(number), known.names?.[number] ?? "position"]) : [];
  }
  if (verb === "TOL") return words.length === 2 ? PRESETS.map((preset) => [preset, "tolerance"]) : [];
  if (verb === "OPEN" || verb === "CALC") {
    return words.length === 1 ? pairs : words.length < 4 ? exchanges : [];
  }
  if (verb === "CHART" || verb === "RATES") return words.length === 1 ? pairs : [];
  if (pairOf(verb, known.pairs)) return words.length === 1 ? [["<GO>", "show this symbol"], ...Object.entries(PANELS).map(([word, [, meaning]]) => [word, meaning])] : [];
  return [];
}
