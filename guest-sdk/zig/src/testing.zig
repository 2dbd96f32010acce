//! For `zig test`: functions run over records as the exports run them. Not for WebAssembly.

const std = @import("std");
const columns = @import("columns.zig");
const run = @import("run.zig");
const memory = @import("memory.zig");
const processor_file = @import("processor.zig");
const settings_file = @import("settings.zig");
const Output = @import("output.zig").Output;
const Record = @import("record.zig").Record;
const Pair = @import("record.zig").Pair;

pub const Column = columns.Column;
pub const column = columns.ColumnOut.of;
/// What the host knows of records beside them, for the `…With` below.
pub const Facts = @import("facts.zig").Facts.Given;
pub const merge = run.merge;
pub const migrate = run.migrate;

/// The columns of some records.
pub fn batch(records: []const Record) columns.Batch {
    var keys: columns.ColumnOut = .withCapacity(records.len, 0);
    var values: columns.ColumnOut = .withCapacity(records.len, 0);
    var times: memory.List(i64) = .{};
    for (records) |record| {
        keys.push(record.key);
        values.push(record.value);
        times.push(record.timestamp);
    }
    return .{ .keys = keys.done(), .values = values.done(), .timestamps = .of(times.slice()) };
}

fn factsOf(given: Facts) *@import("facts.zig").Facts {
    const facts = memory.create(@import("facts.zig").Facts);
    facts.* = .given(given);
    return facts;
}

/// What a mapper makes of records.
pub fn apply(comptime mapper: anytype, records: []const Record) columns.OutputColumns {
    return applyWith(mapper, records, .{});
}

/// The same, of records that have headers, windows, …
pub fn applyWith(comptime mapper: anytype, records: []const Record, facts: Facts) columns.OutputColumns {
    return run.apply(mapper, &batch(records), factsOf(facts));
}

/// What a filter says of records.
pub fn keep(comptime filter: anytype, records: []const Record) columns.Kept {
    return keepWith(filter, records, .{});
}

pub fn keepWith(comptime filter: anytype, records: []const Record, facts: Facts) columns.Kept {
    return run.keep(filter, &batch(records), factsOf(facts));
}

/// Where a router sends records.
pub fn route(comptime router: anytype, records: []const Record) columns.Routed {
    return routeWith(router, records, .{});
}

pub fn routeWith(comptime router: anytype, records: []const Record, facts: Facts) columns.Routed {
    return run.route(router, &batch(records), factsOf(facts));
}

/// What a joiner makes of pairs.
pub fn join(comptime joiner: anytype, pairs: []const Pair) columns.Joined {
    var sides: [3]columns.ColumnOut = undefined;
    for (&sides) |*side| side.* = .withCapacity(pairs.len, 0);
    for (pairs) |pair| {
        sides[0].push(pair.key);
        sides[1].push(pair.left);
        sides[2].push(pair.right);
    }
    return run.join(joiner, &sides[0].done(), &sides[1].done(), &sides[2].done());
}

/// Stores and timers of processors in a test: `Host.reset()` begins anew, `Host.stored(store, key)`, `Host.popTimer()`.
pub const Host = @import("host.zig").Test;

/// What a processor makes of records.
pub fn process(comptime processor: anytype, records: []const Record) columns.OutputColumns {
    return processor_file.process(processor, &batch(records), factsOf(.{}));
}

/// What comes of timers that are due, of one clock.
pub fn fire(comptime on_timer: anytype, clock: processor_file.Clock, timers: []const Host.Set) columns.OutputColumns {
    const due = memory.alloc(Record, timers.len);
    for (timers, due) |timer, *record| record.* = .{ .key = timer.key, .value = timer.name, .timestamp = timer.due };
    return processor_file.fire(on_timer, clock, &batch(due), factsOf(.{}));
}

/// Settings by name and text in pairs.
pub fn settings(pairs: []const [2][]const u8) []const settings_file.Setting {
    const all = memory.alloc(settings_file.Setting, pairs.len);
    for (pairs, all) |pair, *setting| setting.* = .{ .name = .of(pair[0]), .value = .of(pair[1]) };
    return all;
}

/// Starts the function `name` of a file with these settings.
pub fn start(functions: []const settings_file.Function, name: []const u8, pairs: []const [2][]const u8) run.Error!void {
    return settings_file.start(functions, name, settings(pairs));
}

/// One group with all records in it.
pub fn group(state: ?[]const u8, records: usize) columns.Groups {
    const members = memory.alloc(u32, records);
    for (members, 0..) |*member, index| member.* = @intCast(index);
    const offsets = memory.alloc(u32, 2);
    offsets[0] = 0;
    offsets[1] = @intCast(records);
    return .{
        .keys = column(&.{"k"}),
        .starts = .of(&.{}),
        .ends = .of(&.{}),
        .states = column(&.{state}),
        .offsets = .of(offsets),
        .members = .of(members),
    };
}

/// One group's state once the records are in.
pub fn add(comptime State: type, state: ?[]const u8, records: []const Record) run.Error!columns.Folded {
    return run.fold(State, State.add, &group(state, records.len), &batch(records), factsOf(.{}));
}

/// The same, and what leaves after each record.
pub fn scan(comptime State: type, state: ?[]const u8, records: []const Record) run.Error!columns.Scanned {
    return run.scan(State, &group(state, records.len), &batch(records), factsOf(.{}));
}

/// What leaves for a state.
pub fn finish(comptime State: type, state: ?[]const u8) run.Error!?[]const u8 {
    return (try run.finish(State, &group(state, 0))).item(0);
}

fn byValue(record: Record, out: *Output) run.Error!void {
    const word = record.value.?;
    const is = struct {
        fn is(value: []const u8, expected: []const u8) bool {
            return std.mem.eql(u8, value, expected);
        }
    }.is;
    if (is(word, "same")) return out.emitSame();
    if (is(word, "twice")) {
        out.emitValue("one");
        return out.emitValue(null);
    }
    if (is(word, "port")) {
        out.to(2);
        return out.emit("key", record.value, 99);
    }
    if (is(word, "mega")) return out.emitValue(memory.alloc(u8, 1 << 20));
    if (is(word, "bad")) {
        out.emitKey("lost");
        return run.refuse("no");
    }
}

fn applied(comptime values: []const []const u8) columns.OutputColumns {
    var records: [values.len]Record = undefined;
    for (values, 0..) |value, index| records[index] = .{ .value = value, .timestamp = @intCast(index) };
    return apply(byValue, &records);
}

test "a column is made when a result differs" {
    defer memory.reset();
    const same = applied(&.{ "same", "same" });
    try std.testing.expectEqual(2, same.taken);
    try std.testing.expectEqual(0, same.sources.there | same.keys.there | same.values.there | same.timestamps.there);
    const output = applied(&.{ "same", "drop", "twice", "port", "same" });
    try std.testing.expectEqualSlices(u32, &.{ 0, 2, 2, 3, 4 }, output.sources.value.slice());
    try std.testing.expectEqualSlices(u32, &.{ 0, 0, 0, 2, 0 }, output.ports.value.slice());
    try std.testing.expectEqualSlices(i64, &.{ 0, 2, 2, 99, 4 }, output.timestamps.value.slice());
    const values = [_]?[]const u8{ "same", "one", null, "port", "same" };
    const keys = [_]?[]const u8{ null, null, null, "key", null };
    for (values, keys, 0..) |value, key, index| {
        try std.testing.expectEqualDeep(value, output.values.value.item(index));
        try std.testing.expectEqualDeep(key, output.keys.value.item(index));
    }
}

test "a refused record leaves nothing" {
    defer memory.reset();
    const output = applied(&.{ "twice", "bad", "same", "bad" });
    try std.testing.expectEqualSlices(u32, &.{ 0, 0, 2 }, output.sources.value.slice());
    try std.testing.expectEqual(2, output.rejected.len);
    try std.testing.expectEqual(3, output.rejected.ptr[1].index);
    try std.testing.expectEqualStrings("no", output.rejected.ptr[1].reason.slice());
    try std.testing.expectEqual(3, output.keys.value.len());
    try std.testing.expectEqual(0, output.keys.value.data.len);
}

test "a large result is cut, an empty batch has an empty answer" {
    defer memory.reset();
    try std.testing.expectEqual(8, applied(&@as([32][]const u8, @splat("mega"))).taken);
    const empty = apply(byValue, &.{});
    try std.testing.expectEqual(0, empty.taken | empty.sources.there);
    try std.testing.expectEqual(0, keep(struct {
        fn all(_: Record) bool {
            return true;
        }
    }.all, &.{}).bits.len);
}
