//! A processor whose doings depend on what the value says: for the test of the SDK's stores and timers.

import { Bytes, Call, Clock, Output, Record, Timer, onTimer, processor } from "millstream-assemblyscript/assembly";

export * from "millstream-assemblyscript/assembly/exports/processor";
export * from "millstream-assemblyscript/assembly/exports/on-timer";

const NONE = Bytes.none();
const K = Bytes.of("k");

processor((record: Record, out: Output, call: Call): void => {
  const word = record.value.toString();
  const store = call.store("counts");
  if (word == "list") {
    store.put(record.key, Bytes.of("1"));
    const found = store.range(Bytes.of("b"), Bytes.of(""), 2);
    store.remove(Bytes.of("b"));
    let keys = "";
    for (let i = 0; i < found.length; i++) keys += `${found[i].key.toString()}=${found[i].value.toString()} `;
    return out.emitValue(Bytes.of(keys));
  }
  if (word.startsWith("own")) return store.put(record.key, record.value);
  if (word == "twice") {
    for (let i = 0; i < 2; i++) store.get(K);
    store.put(Bytes.of("twice"), K);
    for (let i = 0; i < 2; i++) call.store("counts").range(NONE, NONE, 1);
    return;
  }
  if (word == "several") {
    call.setTimer(Clock.EventTime, K, "x", 10);
    call.setTimer(Clock.EventTime, K, "y", 11);
    call.cancelTimer(Clock.EventTime, K, "y");
    call.setTimer(Clock.WallClock, K, "y", 12);
    call.setTimer(Clock.WallClock, NONE, "y", 13);
    return call.setTimer(Clock.EventTime, NONE, "y", 14);
  }
  if (word == "mess") {
    store.remove(record.key);
    store.put(record.key, Bytes.of("lost"));
    store.put(K, Bytes.of("lost"));
    call.setTimer(Clock.WallClock, NONE, "lost", 1);
    return record.reject("no");
  }
  // Counts by key, with a timer five later; `no` is refused behind everything else.
  const before = store.get(record.key);
  store.put(record.key, Bytes.of(`${(before.isNull ? 0 : before[0] - 48) + 1}`));
  call.setTimer(Clock.EventTime, record.key, "end", record.timestamp + 5);
  out.emitValue(store.get(record.key));
  if (word == "no") record.reject("no");
});

// Tells what it is told, and starts over; `bad` is refused.
onTimer((timer: Timer, out: Output, call: Call): void => {
  call.cancelTimer(timer.clock, NONE, "other");
  call.setTimer(timer.clock, timer.key, timer.name, timer.due + 1);
  if (timer.name == "bad") timer.reject("bad");
  out.emitSame();
});
