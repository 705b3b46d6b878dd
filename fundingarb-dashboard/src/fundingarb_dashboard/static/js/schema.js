// Reads a JSON schema as far as a form needs it. Pure.

/** The schema with references followed, and of alternatives the one that says most. */
export function resolve(schema, root) {
  let found = schema ?? {};
  for (let depth = 0; depth < 8; depth += 1) {
    if (found.$ref) {
      const { $ref, ...own } = found;
      const target = $ref.replace(/^#\//, "").split("/").reduce((at, part) => at?.[part], root);
      found = { ...target, ...own };
    } else if (found.allOf?.length === 1) {
      const { allOf, ...own } = found;
      found = { ...allOf[0], ...own };
    } else break;
  }
  const options = found.anyOf ?? found.oneOf;
  if (!options) return found;
  const own = options.map((option) => resolve(option, root));
  const nullable = own.some((option) => option.type === "null");
  const best = own.find((option) => option.enum) ?? own.find((option) => ["number", "integer"].includes(option.type)) ?? own.find((option) => option.type !== "null") ?? {};
  const { anyOf: _any, oneOf: _one, ...outer } = found;
  return { ...best, ...outer, nullable };
}

/** What kind of control a value gets: boolean, choice, number, words, levers, object, text. */
export function kindOf(schema, value) {
  if (schema.enum) return "choice";
  if (schema.type === "boolean" || typeof value === "boolean") return "boolean";
  if (schema.type === "array" || Array.isArray(value)) return "words";
  if (value !== null && typeof value === "object") return "object";
  if (schema.type === "object") return "object";
  if (schema.type === "integer" || schema.type === "number") return "number";
  return "text";
}

/** Whether a schema is a table of whole numbers by name (leverage by symbol). */
export function isLevers(schema, root) {
  if (schema.type !== "object" || !schema.additionalProperties) return false;
  const inner = resolve(schema.additionalProperties, root);
  return inner.type === "integer" && inner.maximum !== undefined;
}

export const at = (document, path) => path.reduce((value, key) => value?.[key], document);

/** A copy of `document` with the value at `path` replaced; undefined takes the key out. */
export function withValue(document, path, value) {
  if (!path.length) return value;
  const [key, ...rest] = path;
  const copy = Array.isArray(document) ? [...document] : { ...document };
  if (!rest.length && value === undefined) delete copy[key];
  else copy[key] = withValue(copy[key] ?? {}, rest, value);
  return copy;
}
