// Numbers as people write them, as the bot takes them. Pure: it knows nothing of the page.

const MOST_USD = 999999999;
export const SIZE_WANTED = `Write a size in USD from 1 to ${MOST_USD}, such as 10000, 7,500 or 2.5k.`;
export const TOLERANCE_WANTED = "a fraction below 0.1 either way, e.g. -0.0001";

/** A size in USD (5000, 5,000.50, 2.5k) in whole cents, as it is shown and sent; null when it is none the bot takes. */
export function sizeOf(text) {
  const found = /^(\d{1,3}(?:,\d{3})+|\d+)(\.\d*)?(k?)$/i.exec(String(text).trim());
  if (!found) return null;
  const [, whole, places = "", thousands] = found;
  const cents = Math.round(Number(whole.replaceAll(",", "") + places) * (thousands ? 1000 : 1) * 100);
  return cents >= 100 && cents <= MOST_USD * 100 ? String(cents / 100) : null;
}

/** A spread per 8 hours (-.0002, 0.01) as a decimal string; null when it is none that may be tolerated. */
export function fractionOf(text) {
  const found = /^(-?)(?:0*\.(\d+)|0+\.?)$/.exec(String(text).trim());
  if (!found) return null;
  const places = (found[2] ?? "").replace(/0+$/, "");
  if (!places) return "0";
  return places.startsWith("0") && places.length <= 10 ? `${found[1]}0.${places}` : null;
}
