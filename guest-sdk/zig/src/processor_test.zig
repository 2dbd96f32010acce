//! Tests of processors. Not of the columns of their results, which are those of mappers.

const std = @import("std");
const columns = @import("columns.zig");
const memory = @import("memory.zig");
const run = @import("run.zig");
const testing = @import("testing.zig");
const processor = @import("processor.zig");
const Buffer = memory.Buffer;
const Call = processor.Call;
const Host = testing.Host;
const Output = @import("output.zig").Output;
const Record = @import("record.zig").Record;

fn done() void {
    Host.reset();
    memory.reset();
}

/// Counts by key, with a timer five later; `no` is refused behind everything else.
fn count(record: Record, out: *Output, call: *Call) run.Error!void {
    const key = record.key orelse "";
    const before = if (call.store("counts").get(key)) |bytes| bytes[0] else 0;
    call.store("counts").put(key, &.{before + 1});
    call.setTimer(.@"event-time", record.key, "end", record.timestamp + 5);
    out.emitValue(call.store("counts").get(key));
    if (std.mem.eql(u8, record.valueOrEmpty(), "no")) return run.refuse("no");
}

fn at(key: []const u8, value: []const u8, timestamp: i64) Record {
    return .{ .key = key, .value = value, .timestamp = timestamp };
}

test "records see what those before wrote, and nothing of those refused" {
    defer done();
    const output = testing.process(count, &.{ at("a", "x", 1), at("b", "x", 2), at("a", "no", 3), at("c", "no", 3), at("a", "x", 3) });
    try std.testing.expectEqual(5, output.taken);
    try std.testing.expectEqualSlices(u32, &.{ 0, 1, 4 }, output.sources.value.slice());
    for ([_][]const u8{ "\x01", "\x01", "\x02" }, 0..) |value, index| {
        try std.testing.expectEqualStrings(value, output.values.value.item(index).?);
    }
    try std.testing.expectEqual(2, output.rejected.len);
    try std.testing.expectEqual(3, output.rejected.ptr[1].index);
    try std.testing.expectEqualStrings("\x02", Host.stored("counts", "a").?);
    try std.testing.expectEqualStrings("\x01", Host.stored("counts", "b").?);
    try std.testing.expectEqual(null, Host.stored("counts", "c"));
    // A question for each key, one put, one for the timers.
    try std.testing.expectEqual(3 + 1 + 1, Host.asked);
    const first = Host.popTimer().?;
    try std.testing.expectEqualStrings("b", first.key.?);
    try std.testing.expectEqual(7, first.due);
    try std.testing.expectEqual(8, Host.popTimer().?.due);
    try std.testing.expectEqual(null, Host.popTimer());
}

fn stops(times: []const i64) !usize {
    defer done();
    const records = memory.alloc(Record, times.len);
    for (times, records) |time, *record| record.* = at("a", "x", time);
    return testing.process(count, records).taken;
}

test "a call stops before the record at which its timer is due" {
    try std.testing.expectEqual(2, try stops(&.{ 1, 5, 9 }));
    try std.testing.expectEqual(1, try stops(&.{ 1, 6, 9 }));
    try std.testing.expectEqual(4, try stops(&.{ 1, 3, 5, 2 }));
    // The second sets one for a time that has passed.
    try std.testing.expectEqual(2, try stops(&.{ 9, 1, 2 }));
    // One that was refused has set none.
    defer done();
    try std.testing.expectEqual(2, testing.process(count, &.{ at("a", "no", 1), at("a", "x", 6) }).taken);
}

/// Lists a store, and writes before and after.
fn list(record: Record, out: *Output, call: *Call) void {
    const store = call.store("s");
    store.put(record.valueOrEmpty(), "1");
    const found = store.range("b", "", 2);
    store.remove("b");
    var keys: Buffer = .{};
    for (found) |entry| keys.pushAll(entry.key);
    out.emitValue(keys.slice());
}

test "a range has what was written so far" {
    defer done();
    const output = testing.process(list, &.{ at("", "c", 1), at("", "a", 1), at("", "b", 1), at("", "d", 1) });
    for ([_][]const u8{ "c", "c", "bc", "cd" }, 0..) |value, index| {
        try std.testing.expectEqualStrings(value, output.values.value.item(index).?);
    }
    try std.testing.expectEqual(null, Host.stored("s", "b"));
    try std.testing.expectEqual(3, Host.entries.items.len);
}

/// Asks twice for everything.
fn twice(_: Record, _: *Output, call: *Call) void {
    const store = call.store("s");
    for (0..2) |_| _ = store.get("none");
    store.put("k", "v");
    for (0..2) |_| _ = store.range("", "", 1);
}

test "the host is asked for a key once, and given a write once" {
    defer done();
    _ = testing.process(twice, &.{.{}});
    try std.testing.expectEqual(1 + 1 + 2, Host.asked);
}

/// Timers of several names, set and cancelled in turn.
fn several(_: Record, _: *Output, call: *Call) void {
    call.setTimer(.@"event-time", "k", "x", 10);
    call.setTimer(.@"event-time", "k", "y", 11);
    call.cancelTimer(.@"event-time", "k", "y");
    call.setTimer(.@"wall-clock", "k", "y", 12);
    call.setTimer(.@"wall-clock", null, "y", 13);
    call.setTimer(.@"event-time", null, "y", 14);
}

test "changes of timers come in their order, alike ones together" {
    defer done();
    _ = testing.process(several, &.{.{}});
    try std.testing.expectEqual(5, Host.asked);
    for ([_][]const u8{ "x", "y", "y", "y" }, [_]?[]const u8{ "k", "k", null, null }, [_]i64{ 10, 12, 13, 14 }) |name, key, due| {
        const timer = Host.popTimer().?;
        try std.testing.expectEqual(due == 12 or due == 13, timer.clock == .@"wall-clock");
        try std.testing.expectEqualStrings(name, timer.name);
        try std.testing.expectEqualDeep(key, timer.key);
        try std.testing.expectEqual(due, timer.due);
    }
    try std.testing.expectEqual(null, Host.popTimer());
}

/// Writes over and over, then refuses.
fn rewrite(record: Record, _: *Output, call: *Call) run.Error!void {
    const store = call.store("s");
    if (record.key != null) return store.put("k", record.valueOrEmpty());
    store.remove("k");
    store.put("k", "lost");
    store.put("new", "lost");
    call.setTimer(.@"wall-clock", null, "lost", 1);
    return run.refuse("no");
}

test "what is refused leaves the last that was not" {
    defer done();
    _ = testing.process(rewrite, &.{ at("", "kept", 0), .{}, .{} });
    try std.testing.expectEqualStrings("kept", Host.stored("s", "k").?);
    try std.testing.expectEqual(1, Host.entries.items.len);
    try std.testing.expectEqual(null, Host.popTimer());
}

/// Tells what it is told, and starts over; `bad` is refused.
fn ring(timer: processor.Timer, out: *Output, call: *Call) run.Error!void {
    call.cancelTimer(timer.clock, null, "other");
    call.setTimer(timer.clock, timer.key, timer.name, timer.due + 1);
    if (std.mem.eql(u8, timer.name, "bad")) return run.refuse("bad");
    out.emitSame();
}

test "timers are told and their results have values" {
    defer done();
    Host.timers.append(memory.allocator(), .{ .clock = .@"wall-clock", .key = null, .name = "other", .due = 1 }) catch memory.full();
    const due = [_]Host.Set{
        .{ .clock = .@"wall-clock", .key = "a", .name = "one", .due = 7 },
        .{ .clock = .@"wall-clock", .key = "b", .name = "bad", .due = 7 },
        .{ .clock = .@"wall-clock", .key = "b", .name = "two", .due = 9 },
    };
    const output = testing.fire(ring, .@"wall-clock", &due);
    try std.testing.expectEqual(3, output.taken);
    try std.testing.expectEqualSlices(u32, &.{ 0, 2 }, output.sources.value.slice());
    try std.testing.expectEqual(0, output.keys.there);
    try std.testing.expectEqual(1, output.values.there);
    for ([_][]const u8{ "one", "two" }, 0..) |value, index| {
        try std.testing.expectEqualStrings(value, output.values.value.item(index).?);
    }
    for ([_][]const u8{ "one", "two" }, [_][]const u8{ "a", "b" }, [_]i64{ 8, 10 }) |name, key, time| {
        const set = Host.popTimer().?;
        try std.testing.expectEqualStrings(name, set.name);
        try std.testing.expectEqualStrings(key, set.key.?);
        try std.testing.expectEqual(time, set.due);
    }
    try std.testing.expectEqual(null, Host.popTimer());
    // Also where nothing leaves.
    try std.testing.expectEqual(1, testing.fire(ring, .@"event-time", &.{}).values.there);
}
