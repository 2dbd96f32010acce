//! Exact decimal numbers of up to nine decimals, in 128 bits. No floats, whose sums depend on the order; nothing is rounded.

import { Buffer, Bytes } from "millstream-assemblyscript/assembly";

const DECIMALS_MAX = 9;
const HALF: u64 = 0xffffffff;
const HIGH_MAX: u64 = 0x7fffffffffffffff;

const POINT: u8 = 0x2e;
const MINUS: u8 = 0x2d;
const PLUS: u8 = 0x2b;

@inline function isDigit(byte: u8): bool {
  return byte >= 0x30 && byte <= 0x39;
}

/** In units of the last decimal, as the two halves of a number of 128 bits, negative ones as its complement. */
export class Decimal {
  low: u64 = 0;
  high: u64 = 0;

  set(low: u64, high: u64): void {
    this.low = low;
    this.high = high;
  }

  get isNegative(): bool {
    return this.high > HIGH_MAX;
  }

  negate(): void {
    this.low = ~this.low + 1;
    this.high = ~this.high + (this.low ? 0 : 1);
  }

  /** Adds the other; false, and as it was, when the sum is out of range. */
  add(other: Decimal): bool {
    const low = this.low + other.low;
    const high = this.high + other.high + (low < this.low ? 1 : 0);
    // Of two with one sign the sum has this sign.
    if (this.isNegative == other.isNegative && this.isNegative != high > HIGH_MAX) return false;
    this.set(low, high);
    return true;
  }

  /** Ten times as much, and a digit; false when it is out of range. Not of a negative one. */
  private shift(digit: u64): bool {
    const first = (this.low & HALF) * 10 + digit;
    const second = (this.low >> 32) * 10 + (first >> 32);
    const carry = second >> 32;
    if (this.high > (HIGH_MAX - carry) / 10) return false;
    this.set((second << 32) | (first & HALF), this.high * 10 + carry);
    return true;
  }

  /** A tenth; what is over. Not of a negative one. */
  private tenth(): u64 {
    const high = this.high / 10;
    const upper = ((this.high % 10) << 32) | (this.low >> 32);
    const lower = ((upper % 10) << 32) | (this.low & HALF);
    this.set(((upper / 10) << 32) | (lower / 10), high);
    return lower % 10;
  }

  private get isZero(): bool {
    return !this.low && !this.high;
  }

  /** Becomes a JSON number; what is wrong with it, in words that follow what it is wrong with. */
  parse(text: Bytes): string | null {
    this.set(0, 0);
    const length = text.length;
    const negative = length > 0 && text[0] == MINUS;
    let at = negative ? 1 : 0;
    const whole = at;
    let point = -1;
    for (; at < length && (text[at] | 0x20) != 0x65; at++) {
      if (point < 0 && text[at] == POINT) point = at;
      else if (!isDigit(text[at])) return "is not a number";
    }
    if (at == whole || point == whole) return "is not a number";
    for (let i = whole; i < at; i++) {
      if (i != point && !this.shift(<u64>(text[i] - 0x30))) return "has too many digits";
    }
    if (this.isZero) return null;
    let places = DECIMALS_MAX - (point < 0 ? 0 : at - point - 1);
    if (at < length) {
      const exponent = exponentOf(text, at + 1);
      if (exponent == NO_EXPONENT) return "is not a number";
      places += exponent;
    }
    // Ends early: what is not 0 leaves the range, or the whole numbers.
    for (; places > 0; places--) if (!this.shift(0)) return "is too large";
    for (; places < 0; places++) if (this.tenth()) return "has more than 9 decimals";
    if (negative) this.negate();
    return null;
  }

  /** Writes decimal text. */
  print(into: Buffer): void {
    const rest = new Decimal();
    rest.set(this.low, this.high);
    if (this.isNegative) {
      into.push<u8>(MINUS);
      rest.negate();
      // The smallest of all is its own complement, and as one without a sign what it should be.
    }
    const digits: u8[] = [];
    for (let place = 0; place <= DECIMALS_MAX || !rest.isZero; place++) digits.push(<u8>rest.tenth() + 0x30);
    let last = 0;
    while (last < DECIMALS_MAX && digits[last] == 0x30) last++;
    for (let place = digits.length - 1; place >= last; place--) {
      if (place == DECIMALS_MAX - 1) into.push<u8>(POINT);
      into.push<u8>(digits[place]);
    }
  }
}

const NO_EXPONENT = i32.MIN_VALUE;
/** Of a number with so many digits as a value may have, none above is in range. */
const EXPONENT_MAX = 1_000_000_000;

/** With a sign or without; what fits no 32 bits is none. */
function exponentOf(text: Bytes, from: i32): i32 {
  const negative = from < text.length && text[from] == MINUS;
  let at = from;
  if (negative || (from < text.length && text[from] == PLUS)) at++;
  if (at == text.length) return NO_EXPONENT;
  let number: i64 = 0;
  for (; at < text.length; at++) {
    if (!isDigit(text[at])) return NO_EXPONENT;
    number = number * 10 + <i64>(text[at] - 0x30);
    if (number > <i64>i32.MAX_VALUE + (negative ? 1 : 0)) return NO_EXPONENT;
  }
  const most = min<i64>(number, EXPONENT_MAX);
  return <i32>(negative ? -most : most);
}
