//! A running total: after each record the sum of a number in a JSON field so far. The state is the exact sum, results are decimal
//! text; a record without such a number is refused.

const std = @import("std");
const millstream = @import("millstream");
const json = @import("json.zig");
const Number = @import("number.zig").Number;
const Buffer = millstream.Buffer;
const Error = millstream.Error;

pub const panic = millstream.panic;

/// The field, from the outside in; empty: the value itself. Set when the function starts.
var path: []const []const u8 = &.{};

fn start(settings: *millstream.Settings) Error!void {
    path = &.{};
    const field = settings.get("field") orelse return;
    const names = millstream.memory.alloc([]const u8, std.mem.count(u8, field, ".") + 1);
    var all = std.mem.splitScalar(u8, field, '.');
    for (names) |*name| {
        name.* = all.next().?;
        if (name.len == 0) return refused("the setting `field` is `{s}`: between dots there are names, as in `user.age`", .{field});
    }
    path = names;
}

fn refused(comptime format: []const u8, arguments: anytype) Error {
    var why: Buffer = .{};
    why.print(format, arguments);
    return millstream.refuse(why.slice());
}

/// The path as it stands in the settings.
fn shownPath() []const u8 {
    return std.mem.join(millstream.memory.allocator(), ".", path) catch "";
}

/// The number in the field.
fn numberOf(record: millstream.Record) Error!Number {
    const value = record.value orelse return millstream.refuse("the record has no value");
    const text = json.find(value, path) catch |wrong| return switch (wrong) {
        error.NotJson => millstream.refuse("the value is not JSON"),
        error.NoField => refused("the value has no field `{s}`", .{shownPath()}),
    };
    return Number.parse(text) catch |wrong| {
        if (path.len == 0) return refused("the value {s}", .{Number.reason(wrong)});
        return refused("the field `{s}` {s}", .{ shownPath(), Number.reason(wrong) });
    };
}

const Total = struct {
    sum: Number = .{},

    pub fn decode(stored: []const u8) Error!Total {
        if (stored.len != 16) return refused("a number has 16 bytes, this state has {d}", .{stored.len});
        return .{ .sum = .{ .units = std.mem.readInt(i128, stored[0..16], .little) } };
    }

    pub fn encode(self: Total, into: *Buffer) void {
        into.pushInt(i128, self.sum.units);
    }

    pub fn add(self: *Total, record: millstream.Record) Error!void {
        self.sum = self.sum.plus(try numberOf(record)) orelse return millstream.refuse("the sum would be too large");
    }

    pub fn finish(self: Total, _: millstream.Group, into: *Buffer) bool {
        self.sum.print(into);
        return true;
    }
};

const functions = [_]millstream.Function{.{
    .name = "running-total",
    .summary = "After each record the sum of the number in a JSON field so far.",
    .interfaces = &.{.scanner},
    .settings_schema =
    \\{"type":"object","properties":{"field":{"type":"string","description":"The field that holds the number, as a.b for one inside another; without it the whole value is the number."}},"additionalProperties":false}
    ,
    .start = start,
}};

comptime {
    millstream.exportScanner(Total);
    millstream.exportFunctions(&functions);
}

const testing = millstream.testing;

fn expectTotals(expected: []const ?[]const u8, values: []const []const u8) !void {
    const records = millstream.memory.alloc(millstream.Record, values.len);
    for (values, records) |value, *record| record.* = .{ .value = value };
    const scanned = try testing.scan(Total, null, records);
    for (expected, 0..) |total, index| try std.testing.expectEqualDeep(total, scanned.values.item(index));
    const further = try testing.scan(Total, scanned.states.item(0), &.{.{ .value = "{\"n\":-1}" }});
    try std.testing.expectEqual(16, further.states.data.len);
}

test "each record has the sum so far and refused ones have none" {
    defer millstream.memory.reset();
    try testing.start(&functions, "running-total", &.{.{ "field", "n" }});
    try expectTotals(&.{ "0.1", null, "0.3", "-4.7" }, &.{ "{\"n\": 0.1}", "{\"other\": 1}", "{\"n\": 0.2}", "{\"n\":-5}" });
}

test "the state is the sum, the low byte first" {
    defer millstream.memory.reset();
    try testing.start(&functions, "running-total", &.{});
    const scanned = try testing.scan(Total, null, &.{.{ .value = "-0.000000002" }});
    try std.testing.expectEqualStrings("\xfe" ++ "\xff" ** 15, scanned.states.item(0).?);
    const on = try testing.scan(Total, scanned.states.item(0), &.{.{ .value = "1" }});
    try std.testing.expectEqualStrings("0.999999998", on.values.item(0).?);
    try std.testing.expectError(error.Refused, Total.decode("12"));
    try std.testing.expectEqualStrings("a number has 16 bytes, this state has 2", millstream.refused());
}

test "a record without such a number is refused, and says why" {
    defer millstream.memory.reset();
    try testing.start(&functions, "", &.{.{ "field", "a.n" }});
    const cases = [_]struct { ?[]const u8, []const u8 }{
        .{ null, "the record has no value" },
        .{ "{", "the value is not JSON" },
        .{ "{\"a\":{}}", "the value has no field `a.n`" },
        .{ "{\"a\":{\"n\":\"1\"}}", "the field `a.n` is not a number" },
        .{ "{\"a\":{\"n\":1e30}}", "the field `a.n` is too large" },
    };
    for (cases) |case| {
        try std.testing.expectError(error.Refused, numberOf(.{ .value = case[0] }));
        try std.testing.expectEqualStrings(case[1], millstream.refused());
    }
    var full: Total = .{ .sum = .{ .units = std.math.maxInt(i128) } };
    try std.testing.expectError(error.Refused, full.add(.{ .value = "{\"a\":{\"n\":1}}" }));
    try std.testing.expectEqual(std.math.maxInt(i128), full.sum.units);
}

test "a path with an empty name is refused" {
    defer millstream.memory.reset();
    for ([_][]const u8{ "", "a.", ".a", "a..b" }) |field| {
        try std.testing.expectError(error.Refused, testing.start(&functions, "", &.{.{ "field", field }}));
    }
    try std.testing.expectEqualStrings("the setting `field` is `a..b`: between dots there are names, as in `user.age`", millstream.refused());
}

test {
    _ = json;
    _ = @import("number.zig");
}
