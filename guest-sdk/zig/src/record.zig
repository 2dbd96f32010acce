//! What a function sees: a record, a pair, a group; borrowed from the columns of a call. Not the columns themselves.

const std = @import("std");
const columns = @import("columns.zig");
const memory = @import("memory.zig");
const run = @import("run.zig");
const Facts = @import("facts.zig").Facts;

/// A record, borrowed from the columns of its batch: reading one copies nothing.
pub const Record = struct {
    /// Null: it has no key.
    key: ?[]const u8 = null,
    /// Null: it has no value (in a table: a tombstone).
    value: ?[]const u8 = null,
    /// Event time, milliseconds since 1970-01-01T00:00:00Z.
    timestamp: i64 = 0,
    /// Where its headers and the other facts are found; those of a record outside a batch are not there.
    place: Place = .{},

    /// The value, or no bytes where there is none.
    pub inline fn valueOrEmpty(self: Record) []const u8 {
        return self.value orelse "";
    }

    /// The value as text; one that is not there or not UTF-8 is refused.
    pub fn text(self: Record) run.Error![]const u8 {
        const value = self.value orelse return run.refuse("the record has no value");
        if (!std.unicode.utf8ValidateSlice(value)) return run.refuse("the value is not UTF-8");
        return value;
    }

    /// The record's headers in order; a name may come several times.
    pub fn headers(self: Record) Headers {
        const facts = self.place.facts orelse return .{};
        const given = facts.headers() orelse return .{};
        return given.of(self.place.index);
    }

    /// The value of the last header of this name; null when there is none, or its value is null.
    pub fn header(self: Record, name: []const u8) ?[]const u8 {
        var value: ?[]const u8 = null;
        var all = self.headers();
        while (all.next()) |one| {
            if (std.mem.eql(u8, one.name, name)) value = one.value;
        }
        return value;
    }

    /// The step's stream time once this record is in, milliseconds; null where nobody knows it (tests).
    pub fn streamTime(self: Record) ?i64 {
        const facts = self.place.facts orelse return null;
        return facts.streamTime(self.place.index);
    }

    /// The window of the record's key; null where keys have no window.
    pub fn window(self: Record) ?Window {
        const facts = self.place.facts orelse return null;
        return facts.window(self.place.index);
    }

    /// Which of the step's inputs, in the manifest's order, the record came from; 0 where there is only one.
    pub fn input(self: Record) u32 {
        const facts = self.place.facts orelse return 0;
        return facts.input(self.place.index);
    }
};

/// Where a record stands in its batch.
pub const Place = struct { facts: ?*Facts = null, index: usize = 0 };

/// A header of a record; a value may be null.
pub const Header = struct { name: []const u8, value: ?[]const u8 = null };

/// The headers of one record: `while (headers.next()) |header| …`.
pub const Headers = struct {
    of: ?*const columns.Headers = null,
    at: usize = 0,
    end: usize = 0,

    pub fn next(self: *Headers) ?Header {
        const of = self.of orelse return null;
        if (self.at >= self.end) return null;
        defer self.at += 1;
        return .{ .name = of.names.item(self.at) orelse "", .value = of.values.item(self.at) };
    }
};

/// Milliseconds since 1970-01-01T00:00:00Z: `start` is in it, `end` no longer.
pub const Window = struct { start: i64, end: i64 };

/// A group of an aggregate.
pub const Group = struct {
    key: []const u8 = "",
    /// Null without a window.
    window: ?Window = null,
};

/// What has met in a join: not both sides are missing.
pub const Pair = struct {
    /// Null: a stream's record without a key, which a left join joins with nothing.
    key: ?[]const u8 = null,
    /// Null: there is nothing on the left.
    left: ?[]const u8 = null,
    /// Null: there is nothing on the right.
    right: ?[]const u8 = null,
};

/// What is to be brought into another layout: a state of an aggregate or a scan, or an entry of a processor's store.
pub const Stored = struct {
    /// The name of the store, as the manifest has it; empty for the state of an aggregate or a scan.
    store: []const u8 = "",
    /// Of the group, or of the entry. A host has one for all that it stores; null where it was asked without.
    key: ?[]const u8 = null,
    /// The state, or the entry's value.
    state: []const u8,
};

/// Where a router sends a result that it also gives a partition.
pub const Route = struct {
    /// A topic of the sink's list or pattern; null: the sink's own.
    topic: ?[]const u8 = null,
    partition: u32,
};

test "a value that is no text is refused with its reason" {
    defer memory.reset();
    try std.testing.expectEqualStrings("é", try (Record{ .value = "é" }).text());
    for ([_]?[]const u8{ "\xff", "\xed\xa0\x80", null }) |value| {
        try std.testing.expectError(error.Refused, (Record{ .value = value }).text());
        const expected = if (value == null) "the record has no value" else "the value is not UTF-8";
        try std.testing.expectEqualStrings(expected, run.refused());
    }
}

test "a record outside a batch has no facts" {
    const record: Record = .{ .value = "a" };
    var headers = record.headers();
    try std.testing.expectEqual(null, headers.next());
    try std.testing.expectEqual(null, record.header("a"));
    try std.testing.expectEqual(null, record.window());
    try std.testing.expectEqual(null, record.streamTime());
    try std.testing.expectEqual(0, record.input());
}
