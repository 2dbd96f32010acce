// Tells what its engine sees, by what the value asks for; some values make it do what a host must withstand. For tests of
// hosts, not for pipelines.

import { mapper } from "millstream-sdk";

const held = [];

const asked = {
  time: () => `${Date.now()} ${new Date(0).getTimezoneOffset()}`,
  random: () => [Math.random(), Math.random()].map((number) => number.toFixed(6)).join(" "),
  record: (record) => JSON.stringify([record.timestamp, record.headers.length, record.streamTime, record.input]),
  print: () => console.warn("printed", 1, null),
  "throw an error": () => null.length,
  "throw a text": () => {
    throw "a text";
  },
  "throw nothing": () => {
    throw undefined;
  },
  recurse: function recurse() {
    return `${recurse()}`;
  },
  spin() {
    for (;;);
  },
  hoard() {
    for (;;) held.push(new Uint8Array(1 << 20).fill(1));
  },
  // A megabyte that only a collector finds: rings of objects that nobody holds.
  litter() {
    for (let made = 0; made < 1_000; made++) {
      const [one, other] = [{ bytes: new Uint8Array(1 << 10) }, {}];
      one.other = other;
      other.other = one;
    }
  },
};

/** The answer as the value; a value that asks for nothing fails the call. */
export function told(record) {
  const answer = Object.hasOwn(asked, record.text) ? asked[record.text] : null;
  if (answer === null) throw new Error(`nobody knows what ${record.text} is`);
  return { value: `${answer(record)}` };
}

mapper(told);
