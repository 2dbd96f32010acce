//! Tells of keys that have fallen silent: no record of a key for thirty seconds of event time gives an alarm, and the first record
//! after one gives how long the silence was. A record without a key is refused.

const std = @import("std");
const millstream = @import("millstream");
const Buffer = millstream.Buffer;
const Call = millstream.Call;
const Output = millstream.Output;

pub const panic = millstream.panic;

/// How long a key may be silent, milliseconds.
const silence_ms = 30_000;

/// The store with what each key said last: eight bytes of time, the low one first; 1 when there was an alarm about it, else 0; the
/// value.
const last = "last";

/// The output of alarms, and that of keys that are heard of again.
const alarm = 0;
const again = 1;

/// Notes what a key says and starts its thirty seconds anew.
fn heard(record: millstream.Record, out: *Output, call: *Call) millstream.Error!void {
    const key = record.key orelse return millstream.refuse("a record without a key belongs to nobody");
    const store = call.store(last);
    if (store.get(key)) |held| {
        const time = std.mem.readInt(i64, held[0..8], .little);
        if (held[8] == 1 and record.timestamp > time) {
            var silence: Buffer = .{};
            silence.print("{d}", .{record.timestamp - time});
            out.to(again);
            out.emitValue(silence.slice());
        }
        // One that comes out of order is older than what is known.
        if (record.timestamp < time) return;
    }
    var held: Buffer = .{};
    held.pushInt(i64, record.timestamp);
    held.push(0);
    held.pushAll(record.valueOrEmpty());
    store.put(key, held.slice());
    call.setTimer(.@"event-time", key, "silent", record.timestamp + silence_ms);
}

/// A key was silent for thirty seconds.
fn silent(timer: millstream.Timer, out: *Output, call: *Call) void {
    const key = timer.key orelse "";
    const store = call.store(last);
    var held: Buffer = .{};
    held.pushAll(store.get(key) orelse return);
    held.slice()[8] = 1;
    store.put(key, held.slice());
    out.to(alarm);
    out.emitValue(held.slice()[9..]);
}

comptime {
    millstream.exportProcessor(heard);
    millstream.exportOnTimer(silent);
}

const testing = millstream.testing;

fn say(comptime items: []const struct { []const u8, i64 }) @TypeOf(testing.process(heard, &.{})) {
    var records: [items.len]millstream.Record = undefined;
    for (items, &records) |item, *record| record.* = .{ .key = "k", .value = item[0], .timestamp = item[1] };
    return testing.process(heard, &records);
}

test "silence gives an alarm and its end is told" {
    defer millstream.memory.reset();
    defer testing.Host.reset();
    const heard_of = say(&.{ .{ "a", 1_000 }, .{ "b", 5_000 }, .{ "older", 2_000 } });
    try std.testing.expectEqual(3, heard_of.taken);
    try std.testing.expectEqual(0, heard_of.sources.value.len);
    const due = testing.Host.popTimer().?;
    try std.testing.expectEqual(35_000, due.due);
    const alarms = testing.fire(silent, due.clock, &.{due});
    try std.testing.expectEqualStrings("b", alarms.values.value.item(0).?);
    try std.testing.expectEqual(0, alarms.ports.there);
    const ended = say(&.{ .{ "c", 45_000 }, .{ "d", 46_000 } });
    try std.testing.expectEqual(1, ended.values.value.len());
    try std.testing.expectEqualStrings("40000", ended.values.value.item(0).?);
    try std.testing.expectEqualSlices(u32, &.{again}, ended.ports.value.slice());
    try std.testing.expectEqual(76_000, testing.Host.popTimer().?.due);
    try std.testing.expectEqualStrings("\xb0\xb3\x00\x00\x00\x00\x00\x00\x00d", testing.Host.stored(last, "k").?);
}

test "a record without a key is refused, and a timer of nothing does nothing" {
    defer millstream.memory.reset();
    defer testing.Host.reset();
    const nobody = testing.process(heard, &.{.{ .value = "x" }});
    try std.testing.expectEqual(1, nobody.rejected.len);
    const nothing = testing.fire(silent, .@"event-time", &.{.{ .clock = .@"event-time", .key = "x", .name = "silent", .due = 1 }});
    try std.testing.expectEqual(0, nothing.values.value.len());
}
