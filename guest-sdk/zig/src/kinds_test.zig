//! Tests of what records have beside key, value and time, and of routers, joiners, scanners, migrators. Not of mappers' columns,
//! which testing.zig has.

const std = @import("std");
const columns = @import("columns.zig");
const memory = @import("memory.zig");
const record = @import("record.zig");
const run = @import("run.zig");
const testing = @import("testing.zig");
const Buffer = memory.Buffer;
const Header = record.Header;
const Output = @import("output.zig").Output;
const Record = record.Record;

/// A header of a record's own, another for each record.
fn own(comptime record_index: u8) Header {
    return .{ .name = "own", .value = &.{record_index} };
}

fn marked(given: Record, out: *Output) run.Error!void {
    const word = given.valueOrEmpty();
    if (std.mem.eql(u8, word, "drop")) return;
    out.emitSame();
    if (std.mem.eql(u8, word, "add")) out.addHeader("new", null);
    if (std.mem.eql(u8, word, "bare")) out.clearHeaders();
    if (std.mem.eql(u8, word, "two")) {
        out.addHeader("first", "1");
        out.emitSame();
        out.clearHeaders();
        out.addHeader("second", "2");
    }
    if (std.mem.eql(u8, word, "bad")) {
        out.addHeader("bad", "2");
        return run.refuse("it is bad");
    }
}

fn expectHeaders(expected: []const []const Header, output: columns.OutputColumns) !void {
    try std.testing.expectEqual(1, output.headers.there);
    const made = output.headers.value;
    try std.testing.expectEqual(expected.len + 1, made.offsets.len);
    try std.testing.expectEqual(made.names.len(), made.offsets.slice()[expected.len]);
    try std.testing.expectEqual(made.names.len(), made.values.len());
    for (expected, 0..) |headers, index| {
        var all = made.of(index);
        for (headers) |header| try std.testing.expectEqualDeep(header, all.next().?);
        try std.testing.expectEqual(null, all.next());
    }
}

test "headers are the record's own until one is added or taken" {
    defer memory.reset();
    const headers = [_][]const Header{ &.{own(0)}, &.{own(1)}, &.{own(2)}, &.{own(3)}, &.{own(4)}, &.{own(5)}, &.{own(6)} };
    const untouched = testing.applyWith(marked, &.{ .{ .value = "a" }, .{ .value = "b" } }, .{ .headers = headers[0..2] });
    try std.testing.expectEqual(0, untouched.headers.there);
    const words = [_][]const u8{ "drop", "a", "bad", "add", "bare", "two", "b" };
    var records: [words.len]Record = undefined;
    for (words, &records) |word, *given| given.* = .{ .value = word };
    try expectHeaders(&.{
        &.{own(1)},
        &.{ own(3), .{ .name = "new" } },
        &.{},
        &.{ own(5), .{ .name = "first", .value = "1" } },
        &.{.{ .name = "second", .value = "2" }},
        &.{own(6)},
    }, testing.applyWith(marked, &records, .{ .headers = &headers }));
    // Where records have none, a result has only what is added; a refused one leaves none, first or last.
    try expectHeaders(&.{ &.{}, &.{.{ .name = "new" }} }, testing.apply(marked, &.{ .{ .value = "a" }, .{ .value = "add" } }));
    try expectHeaders(&.{&.{}}, testing.apply(marked, &.{ .{ .value = "bad" }, .{ .value = "a" }, .{ .value = "bad" } }));
}

fn large(_: Record, out: *Output) void {
    out.emitSame();
    out.addHeader("h", memory.alloc(u8, 1 << 20));
}

test "large headers cut a call" {
    defer memory.reset();
    const records: [32]Record = @splat(.{ .value = "a" });
    try std.testing.expectEqual(8, testing.apply(large, &records).taken);
}

fn facts(given: Record, out: *Output) void {
    var text: Buffer = .{};
    var headers = given.headers();
    while (headers.next()) |header| text.print("{s}={s} ", .{ header.name, header.value orelse "-" });
    if (given.streamTime()) |time| text.print("at {d} ", .{time});
    if (given.window()) |window| text.print("{d}..{d} ", .{ window.start, window.end });
    text.print("from {d}", .{given.input()});
    out.emitValue(text.slice());
}

test "facts belong to their records" {
    defer memory.reset();
    const records = [_]Record{ .{}, .{} };
    const output = testing.applyWith(facts, &records, .{
        .headers = &.{ &.{ .{ .name = "a", .value = "1" }, .{ .name = "b" } }, &.{.{ .name = "a", .value = "" }} },
        .stream_times = &.{ 5, 15 },
        .windows = &.{ .{ .start = 0, .end = 10 }, .{ .start = 10, .end = 20 } },
        .inputs = &.{ 1, 0 },
    });
    try std.testing.expectEqualStrings("a=1 b=- at 5 0..10 from 1", output.values.value.item(0).?);
    try std.testing.expectEqualStrings("a= at 15 10..20 from 0", output.values.value.item(1).?);
    const none = testing.apply(facts, &records);
    try std.testing.expectEqualStrings("from 0", none.values.value.item(1).?);
}

fn hasUser(given: Record) bool {
    return std.mem.eql(u8, given.header("user") orelse "", "b");
}

test "of headers with one name the last counts" {
    defer memory.reset();
    const kept = testing.keepWith(hasUser, &.{ .{}, .{}, .{} }, .{ .headers = &.{
        &.{ .{ .name = "user", .value = "a" }, .{ .name = "user", .value = "b" }, .{ .name = "x" } },
        &.{ .{ .name = "user", .value = "b" }, .{ .name = "user" } },
        &.{},
    } });
    try std.testing.expectEqual(0b001, kept.bits.ptr[0]);
}

fn byLevel(given: Record) run.Error!?[]const u8 {
    const level = try given.text();
    if (level.len == 0) return run.refuse("an empty line");
    return if (std.mem.eql(u8, level, "debug")) null else level;
}

fn byLength(given: Record) record.Route {
    return .{ .topic = if (given.window() == null) null else "windowed", .partition = @intCast(given.valueOrEmpty().len) };
}

test "each result has a topic, the sink's own or a reason" {
    defer memory.reset();
    const records = [_]Record{ .{ .value = "error" }, .{ .value = "debug" }, .{ .value = "" }, .{ .value = "warn" } };
    const routed = testing.route(byLevel, &records);
    const topics = [_]?[]const u8{ "error", null, null, "warn" };
    for (topics, 0..) |topic, index| try std.testing.expectEqualDeep(topic, routed.topics.item(index));
    try std.testing.expectEqual(0, routed.partitions.there);
    try std.testing.expectEqual(1, routed.rejected.len);
    try std.testing.expectEqual(2, routed.rejected.ptr[0].index);
    const parted = testing.routeWith(byLength, &records, .{ .windows = &.{.{ .start = 0, .end = 1 }} });
    try std.testing.expectEqualSlices(u32, &.{ 5, 5, 0, 4 }, parted.partitions.value.slice());
    try std.testing.expectEqualDeep(@as(?[]const u8, "windowed"), parted.topics.item(0));
    try std.testing.expectEqual(null, parted.topics.item(1));
    // Whatever is in the batch.
    try std.testing.expectEqual(1, testing.route(byLength, &.{}).partitions.there);
}

fn both(pair: record.Pair, into: *Buffer) run.Error!bool {
    into.pushAll(pair.left orelse "");
    if (pair.left == null) return run.refuse("nothing on the left");
    into.pushAll(pair.right orelse return false);
    return true;
}

test "each pair has a value, none or a reason" {
    defer memory.reset();
    const joined = testing.join(both, &.{
        .{ .key = "a", .left = "1", .right = "x" },
        .{ .key = "b", .left = "2" },
        .{ .right = "y" },
        .{ .key = "d", .left = "", .right = "" },
    });
    const values = [_]?[]const u8{ "1x", null, null, "" };
    for (values, 0..) |value, index| try std.testing.expectEqualDeep(value, joined.values.item(index));
    try std.testing.expectEqual(2, joined.values.data.len);
    try std.testing.expectEqual(1, joined.rejected.len);
    try std.testing.expectEqual(2, joined.rejected.ptr[0].index);
    try std.testing.expectEqualStrings("nothing on the left", joined.rejected.ptr[0].reason.slice());
}

/// Bytes so far; nothing leaves at an odd sum.
const Sum = struct {
    bytes: u8 = 0,

    pub fn decode(stored: []const u8) run.Error!Sum {
        if (stored.len != 1) return run.refuse("a state has a byte");
        return .{ .bytes = stored[0] };
    }

    pub fn encode(self: Sum, into: *Buffer) void {
        into.push(self.bytes);
    }

    pub fn add(self: *Sum, given: Record) run.Error!void {
        self.bytes += @intCast((try given.text()).len);
    }

    pub fn finish(self: Sum, group: record.Group, into: *Buffer) bool {
        into.print("{s}{d}", .{ group.key, self.bytes });
        return self.bytes % 2 == 0;
    }

    pub fn isGone(self: Sum) bool {
        return self.bytes == 0;
    }
};

test "after each record leaves what is so far, and nothing after one that is refused" {
    defer memory.reset();
    const scanned = try testing.scan(Sum, "\x04", &.{ .{ .value = "ab" }, .{ .value = null }, .{ .value = "c" }, .{ .value = "d" } });
    const values = [_]?[]const u8{ "k6", null, null, "k8" };
    for (values, 0..) |value, index| try std.testing.expectEqualDeep(value, scanned.values.item(index));
    try std.testing.expectEqual("k6k8".len, scanned.values.data.len);
    try std.testing.expectEqualStrings("\x08", scanned.states.item(0).?);
    try std.testing.expectEqual(1, scanned.rejected.len);
    try std.testing.expectEqual(1, scanned.rejected.ptr[0].index);
    const gone = try testing.scan(Sum, null, &.{.{ .value = "" }});
    try std.testing.expectEqual(null, gone.states.item(0));
    try std.testing.expectEqualStrings("k0", gone.values.item(0).?);
    try std.testing.expectError(error.Refused, testing.scan(Sum, "", &.{.{ .value = "" }}));
}

/// Of layout 1 are: in the store `names` the key before what was there, of all else the length of the store's name.
const Longer = struct {
    pub const current = 1;
    pub const reads = [_]u32{0};
    pub const writes = [_]u32{};

    pub fn migrate(stored: record.Stored, old: u32, now: u32, into: *Buffer) run.Error!void {
        if (std.mem.eql(u8, stored.state, "bad")) return run.refuse("it is bad");
        if (old != 0 or now != 1) return run.refuse("another way");
        if (std.mem.eql(u8, stored.store, "names")) {
            into.pushAll(stored.key orelse "nobody");
        } else into.print("{d}", .{stored.store.len});
        into.pushAll(stored.state);
    }
};

test "a migrator is told store, key and state" {
    defer memory.reset();
    const keys = testing.column(&.{ "a", "gone", "", null });
    const old = testing.column(&.{ "x", null, "y", "" });
    const cases = [_]struct { []const u8, [4]?[]const u8 }{
        .{ "names", .{ "ax", null, "y", "nobody" } },
        .{ "last", .{ "4x", null, "4y", "4" } },
        .{ "", .{ "0x", null, "0y", "0" } },
    };
    for (cases) |case| {
        const made = try testing.migrate(Longer, case[0], 0, 1, &keys, &old);
        for (case[1], 0..) |state, index| try std.testing.expectEqualDeep(state, made.item(index));
    }
    try std.testing.expectError(error.Refused, testing.migrate(Longer, "", 0, 1, &keys, &testing.column(&.{"bad"})));
    try std.testing.expectEqualStrings("it is bad", run.refused());
    try std.testing.expectError(error.Refused, testing.migrate(Longer, "", 1, 0, &keys, &old));
    try std.testing.expectEqualStrings("no way from layout 1 to 0", run.refused());
}

/// The layouts of whichever function of a file was started.
const Chosen = struct {
    pub var current: u32 = 0;
    pub var reads = [_]u32{0};
    pub const writes = [_]u32{};

    pub fn migrate(stored: record.Stored, old: u32, now: u32, into: *Buffer) void {
        into.print("{s} {d}>{d}", .{ stored.state, old, now });
    }
};

test "functions of a file may have layouts that differ" {
    defer memory.reset();
    const one = testing.column(&.{"k"});
    try std.testing.expectError(error.Refused, testing.migrate(Chosen, "last", 2, 3, &one, &one));
    Chosen.current = 3;
    Chosen.reads = .{2};
    try std.testing.expectEqualStrings("k 2>3", (try testing.migrate(Chosen, "last", 2, 3, &one, &one)).item(0).?);
    try std.testing.expectError(error.Refused, testing.migrate(Chosen, "last", 0, 3, &one, &one));
}
