// Columns of byte strings as the contract has them, read into arrays and made of arrays. Not what functions see.

import { bytes, text } from "./text.js";

/** Bytes as they are, text as its UTF-8, or null; `what` it should have been, for who gives something else. */
export function bytesOf(item, what) {
  if (typeof item === "string") return bytes(item);
  // Not by instanceof: what an engine of components gives may be of another realm.
  if (item === null || (ArrayBuffer.isView(item) && item.BYTES_PER_ELEMENT === 1)) return item;
  throw new TypeError(`${what} is bytes, text or null, not ${item}`);
}

/** A `bytes-column` of these items: bytes, text (its UTF-8) or null. */
export function column(given) {
  const items = given.map((item) => bytesOf(item, "a key, a value or a state"));
  const offsets = new Uint32Array(items.length + 1);
  let length = 0;
  let nulls = false;
  items.forEach((item, index) => {
    if (item === null) nulls = true;
    else length += item.length;
    offsets[index + 1] = length;
  });
  const data = new Uint8Array(length);
  const validity = new Uint8Array(nulls ? (items.length + 7) >> 3 : 0);
  items.forEach((item, index) => {
    if (item === null) return;
    data.set(item, offsets[index]);
    if (nulls) validity[index >> 3] |= 1 << (index & 7);
  });
  return { offsets, data, validity };
}

/** An item of a column: a view of its bytes, or null. */
export function itemOf({ offsets, data, validity }, index) {
  const isThere = validity.length === 0 || (validity[index >> 3] >> (index & 7)) & 1;
  return isThere ? data.subarray(offsets[index], offsets[index + 1]) : null;
}

/** The items of a column. */
export function items(column) {
  const found = new Array(Math.max(column.offsets.length - 1, 0));
  for (let index = 0; index < found.length; index++) found[index] = itemOf(column, index);
  return found;
}

/** `header-columns` of each record's headers, which are pairs of a name and a value. */
export function headerColumns(records) {
  const offsets = new Uint32Array(records.length + 1);
  const all = records.flatMap((headers, index) => {
    offsets[index + 1] = offsets[index] + headers.length;
    return headers;
  });
  return { offsets, names: column(all.map(([name]) => name)), values: column(all.map(([, value]) => value)) };
}

/** The headers of each record. */
export function headersOf({ offsets, names, values }) {
  const texts = items(names).map(text);
  const pairs = items(values).map((value, index) => [texts[index], value]);
  return Array.from({ length: offsets.length - 1 }, (_, index) => pairs.slice(offsets[index], offsets[index + 1]));
}
