//! For `zig test`: functions run over records as the exports run them. Not for WebAssembly.

const std = @import("std");
const columns = @import("columns.zig");
const run = @import("run.zig");
const memory = @import("memory.zig");

pub const Column = columns.Column;
pub const column = columns.ColumnOut.of;
pub const merge = run.merge;
pub const migrate = run.migrate;

/// The columns of some records.
pub fn batch(records: []const columns.Record) columns.Batch {
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

/// What a mapper makes of records.
pub fn apply(comptime mapper: anytype, records: []const columns.Record) columns.OutputColumns {
    return run.apply(mapper, &batch(records));
}

/// What a filter says of records.
pub fn keep(comptime filter: anytype, records: []const columns.Record) columns.Kept {
    return run.keep(filter, &batch(records));
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
pub fn add(comptime State: type, state: ?[]const u8, records: []const columns.Record) run.Error!columns.Folded {
    return run.fold(State, State.add, &group(state, records.len), &batch(records));
}

/// What leaves for a state.
pub fn finish(comptime State: type, state: ?[]const u8) run.Error!?[]const u8 {
    return (try run.finish(State, &group(state, 0))).item(0);
}

fn byValue(record: columns.Record, out: *run.Output) run.Error!void {
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
    var records: [values.len]columns.Record = undefined;
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
        fn all(_: columns.Record) bool {
            return true;
        }
    }.all, &.{}).bits.len);
}
