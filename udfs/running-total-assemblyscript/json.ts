//! The text of a field in a JSON value, by its path. Nothing is built of the value, and only what is on the way to the field is
//! read as text; the rest must be JSON all the same.

import { Buffer, Bytes } from "millstream-assemblyscript/assembly";

/** What became of a search. */
export enum Found {
  Yes,
  NoField,
  NotJson,
}

const TRUE = Bytes.of("true");
const FALSE = Bytes.of("false");
const NULL = Bytes.of("null");
const ESCAPES = Bytes.of('"\\/bfnrt');
const ESCAPED = Bytes.of('"\\/\b\f\n\r\t');

const QUOTE: u8 = 0x22;
const BACKSLASH: u8 = 0x5c;
const COLON: u8 = 0x3a;
const COMMA: u8 = 0x2c;
const BRACKET: u8 = 0x5b;
const BRACE: u8 = 0x7b;
/** From what opens to what closes. */
const CLOSING: u8 = 2;

export class Reader {
  private at: i32 = 0;
  private text: Bytes = Bytes.none();
  /** What was found last. */
  found: Bytes = Bytes.none();

  /** Of fields of one name the last counts. An empty path: the whole value. */
  find(value: Bytes, path: Bytes[]): Found {
    this.text = value;
    this.at = 0;
    this.space();
    const result = this.pick(path, 0);
    if (result == Found.NotJson) return result;
    if (result == Found.NoField && !this.isWhole) return result;
    this.space();
    return this.at == value.length ? result : Found.NotJson;
  }

  /** Whether the search came to the end of the value: who finds a value that has no fields goes no further. */
  private isWhole: bool = false;

  private peek(): u8 {
    // No JSON has this byte outside of a text.
    return this.at < this.text.length ? this.text[this.at] : 0;
  }

  private take(byte: u8): bool {
    if (this.at >= this.text.length || this.text[this.at] != byte) return false;
    this.at++;
    return true;
  }

  private space(): void {
    while (true) {
      const byte = this.peek();
      if (byte != 0x20 && byte != 0x09 && byte != 0x0a && byte != 0x0d) return;
      this.at++;
    }
  }

  /** Reads a value; finds what is at the path from `depth` on. */
  private pick(path: Bytes[], depth: i32): Found {
    this.isWhole = true;
    const start = this.at;
    if (depth == path.length) {
      if (!this.skip()) return Found.NotJson;
      this.found = this.text.slice(start, this.at);
      return Found.Yes;
    }
    if (this.peek() != BRACE) {
      this.isWhole = false;
      return this.peek() == BRACKET || this.skip() ? Found.NoField : Found.NotJson;
    }
    this.at++;
    this.space();
    let result = Found.NoField;
    if (this.take(BRACE + CLOSING)) return result;
    while (true) {
      const name = this.name();
      if (name.isNull || !this.colon()) return Found.NotJson;
      if (name == path[depth]) {
        result = this.pick(path, depth + 1);
        if (result == Found.NotJson || !this.isWhole) return result;
      } else if (!this.skip()) {
        return Found.NotJson;
      }
      this.space();
      if (this.take(BRACE + CLOSING)) return result;
      if (!this.take(COMMA)) return Found.NotJson;
      this.space();
    }
  }

  /** Skips a value, however deep: what is open is a list, not the stack. */
  private skip(): bool {
    const open: u8[] = [];
    while (true) {
      const byte = this.peek();
      if (byte == BRACE || byte == BRACKET) {
        this.at++;
        this.space();
        if (!this.take(byte + CLOSING)) {
          open.push(byte);
          if (byte == BRACE && !this.member()) return false;
          continue;
        }
      } else if (!this.scalar(byte)) {
        return false;
      }
      // Behind a value: the end of what is open, as often as it ends here, or the next in it.
      while (true) {
        if (!open.length) return true;
        const inside = open[open.length - 1];
        this.space();
        if (!this.take(inside + CLOSING)) {
          if (!this.take(COMMA)) return false;
          this.space();
          if (inside == BRACE && !this.member()) return false;
          break;
        }
        open.pop();
      }
    }
  }

  private scalar(first: u8): bool {
    if (first == QUOTE) return this.string();
    if (first == TRUE[0]) return this.word(TRUE);
    if (first == FALSE[0]) return this.word(FALSE);
    if (first == NULL[0]) return this.word(NULL);
    return this.number();
  }

  private colon(): bool {
    this.space();
    if (!this.take(COLON)) return false;
    this.space();
    return true;
  }

  /** The name of a member that is skipped, up to its value. */
  private member(): bool {
    return this.string() && this.colon();
  }

  private word(word: Bytes): bool {
    for (let i = 0; i < word.length; i++) if (!this.take(word[i])) return false;
    return true;
  }

  private digits(): bool {
    const start = this.at;
    while (<u8>(this.peek() - 0x30) <= 9) this.at++;
    return this.at > start;
  }

  private number(): bool {
    this.take(0x2d);
    // A digit behind a zero is nothing that may follow a value.
    if (!this.take(0x30) && !this.digits()) return false;
    if (this.take(0x2e) && !this.digits()) return false;
    if (!this.take(0x65) && !this.take(0x45)) return true;
    if (!this.take(0x2b)) this.take(0x2d);
    return this.digits();
  }

  /** Skips a text. */
  private string(): bool {
    if (!this.take(QUOTE)) return false;
    while (this.at < this.text.length) {
      const byte = this.text[this.at++];
      if (byte == QUOTE) return true;
      if (byte < 0x20) return false;
      if (byte != BACKSLASH) continue;
      if (this.take(0x75)) {
        if (this.hex() < 0) return false;
      } else if (escapeOf(this.peek()) < 0) {
        return false;
      } else {
        this.at++;
      }
    }
    return false;
  }

  /** The number of four digits; -1 where they are none. */
  private hex(): i32 {
    let code = 0;
    for (let i = 0; i < 4; i++) {
      const byte = this.peek();
      const digit = byte <= 0x39 ? <i32>byte - 0x30 : (byte | 0x20) - 0x61 + 10;
      if (digit < 0 || digit > 15 || (byte > 0x39 && digit < 10)) return -1;
      code = (code << 4) | digit;
      this.at++;
    }
    return code;
  }

  /** A text, without its escapes; null where it is none. */
  private name(): Bytes {
    const start = this.at;
    if (!this.string()) return Bytes.none();
    const end = this.at;
    const raw = this.text.slice(start + 1, end - 1);
    if (!raw.isText) return Bytes.none();
    const text = Buffer.make(raw.length);
    for (this.at = start + 1; this.at < end - 1; ) {
      const byte = this.text[this.at++];
      if (byte != BACKSLASH) text.push<u8>(byte);
      else if (this.take(0x75)) {
        if (!this.unicode(text)) return Bytes.none();
      } else {
        text.push<u8>(ESCAPED[escapeOf(this.text[this.at++])]);
      }
    }
    this.at = end;
    return text.bytes();
  }

  /** The character of four digits, or of two times four that are a pair. */
  private unicode(into: Buffer): bool {
    const code = this.hex();
    if (code < 0xd800 || code > 0xdfff) {
      into.pushText(String.fromCharCode(code));
      return true;
    }
    if (code > 0xdbff || !this.take(BACKSLASH) || !this.take(0x75)) return false;
    const low = this.hex();
    if (low < 0xdc00 || low > 0xdfff) return false;
    into.pushText(String.fromCharCode(code) + String.fromCharCode(low));
    return true;
  }
}

/** Which of the escapes that have a letter; -1: none. */
function escapeOf(letter: u8): i32 {
  for (let i = 0; i < ESCAPES.length; i++) if (ESCAPES[i] == letter) return i;
  return -1;
}
