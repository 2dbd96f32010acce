//! The left and the right value with a comma between; `-` stands for the side that is missing. A value with a comma is
//! refused, as nobody could tell the sides apart; two values that are the same leave nothing.

import { Buffer, Bytes, Pair, joiner } from "millstream-assemblyscript/assembly";

export * from "millstream-assemblyscript/assembly/exports/joiner";

const COMMA = Bytes.of(",");
const MISSING = Bytes.of("-");

// Both sides of a pair.
joiner((pair: Pair, out: Buffer): bool => {
  if (pair.left.contains(COMMA) || pair.right.contains(COMMA)) pair.reject("a value has a comma");
  if (pair.left == pair.right) return false;
  out.pushBytes(pair.left.isNull ? MISSING : pair.left);
  out.pushBytes(COMMA);
  out.pushBytes(pair.right.isNull ? MISSING : pair.right);
  return true;
});
