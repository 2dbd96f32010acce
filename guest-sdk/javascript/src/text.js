// Text as UTF-8 and back. Not by TextEncoder, which not every engine of components has.

const INVALID = "not UTF-8";

/** The UTF-8 of a text; a lone surrogate is U+FFFD. */
export function bytes(text) {
  const out = [];
  for (const character of text) {
    let code = character.codePointAt(0);
    if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
    if (code < 0x80) out.push(code);
    else if (code < 0x800) out.push(0xc0 | (code >> 6), 0x80 | (code & 63));
    else if (code < 0x10000) out.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    else out.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
  }
  return new Uint8Array(out);
}

/** The text of UTF-8; anything else is a TypeError. */
export function text(bytes) {
  let out = "";
  for (let at = 0; at < bytes.length; ) {
    const lead = bytes[at++];
    if (lead < 0x80) {
      out += String.fromCharCode(lead);
      continue;
    }
    const more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || at + more > bytes.length) throw new TypeError(INVALID);
    let code = lead & (0x3f >> more);
    for (const end = at + more; at < end; at++) {
      if ((bytes[at] & 0xc0) !== 0x80) throw new TypeError(INVALID);
      code = (code << 6) | (bytes[at] & 63);
    }
    // Longer than it need be, a surrogate, or beyond the last.
    const least = [0x80, 0x800, 0x10000][more - 1];
    if (code < least || (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff) throw new TypeError(INVALID);
    out += String.fromCodePoint(code);
  }
  return out;
}
