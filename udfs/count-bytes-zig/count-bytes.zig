//! Counts records and the bytes of their values: the successor of count, whose states it reads and writes back. For
//! records that count counted, their bytes are not known and count as 0.

const std = @import("std");
const millstream = @import("millstream");
const Buffer = millstream.Buffer;
const Error = millstream.Error;

pub const panic = millstream.panic;

/// Layout 0: the u64 of count, the low byte first. Layout 1: that, and a u64 of bytes behind it.
const count = 0;

const Counts = struct {
    records: u64 = 0,
    bytes: u64 = 0,

    pub const current = 1;
    pub const reads = [_]u32{count};
    pub const writes = [_]u32{count};

    pub fn decode(stored: []const u8) Error!Counts {
        if (stored.len != 16) return millstream.refuse("a state has two counts of 8 bytes");
        return .{ .records = std.mem.readInt(u64, stored[0..8], .little), .bytes = std.mem.readInt(u64, stored[8..16], .little) };
    }

    pub fn encode(self: Counts, into: *Buffer) void {
        into.pushInt(u64, self.records);
        into.pushInt(u64, self.bytes);
    }

    pub fn add(self: *Counts, record: millstream.Record) void {
        self.records += 1;
        self.bytes += record.valueOrEmpty().len;
    }

    pub fn finish(self: Counts, _: millstream.Group, into: *Buffer) bool {
        into.print("{d} records, {d} bytes", .{ self.records, self.bytes });
        return true;
    }

    pub fn merge(left: Counts, right: Counts) Counts {
        return .{ .records = left.records + right.records, .bytes = left.bytes + right.bytes };
    }

    pub fn migrate(stored: millstream.Stored, old: u32, _: u32, into: *Buffer) Error!void {
        const len: usize = if (old == count) 8 else 16;
        if (stored.state.len != len) return millstream.refuse("a count has 8 bytes, and a state of layout 1 has two");
        into.pushAll(stored.state[0..8]);
        if (old == count) into.pushInt(u64, 0);
    }
};

comptime {
    millstream.exportAggregator(Counts);
    millstream.exportMerger(Counts);
    millstream.exportMigrator(Counts);
}

const testing = millstream.testing;

test "records and bytes are counted" {
    const records = [_]millstream.Record{ .{ .value = "ab" }, .{}, .{ .value = "cde" } };
    const folded = try testing.add(Counts, null, &records);
    try std.testing.expectEqual(0, folded.rejected.len);
    const merged = try testing.merge(Counts, &folded.states, &folded.states);
    try std.testing.expectEqualStrings("6 records, 10 bytes", (try testing.finish(Counts, merged.item(0))).?);
    try std.testing.expectEqual(null, try testing.finish(Counts, null));
}

test "states of count are read and written back" {
    const old = testing.column(&.{ "\x03\x00\x00\x00\x00\x00\x00\x00", null });
    const keys = testing.column(&.{ "k", "l" });
    const now = try testing.migrate(Counts, "", count, 1, &keys, &old);
    try std.testing.expectEqualDeep(Counts{ .records = 3 }, try Counts.decode(now.item(0).?));
    const back = try testing.migrate(Counts, "", 1, count, &keys, &now);
    try std.testing.expectEqualStrings(old.item(0).?, back.item(0).?);
    try std.testing.expectEqual(null, back.item(1));
    try std.testing.expectError(error.Refused, testing.migrate(Counts, "", 2, 1, &keys, &old));
    try std.testing.expectEqualStrings("no way from layout 2 to 1", millstream.refused());
    for ([_][]const u8{ "", "1234567", "123456789" }) |wrong| {
        try std.testing.expectError(error.Refused, Counts.decode(wrong));
        try std.testing.expectError(error.Refused, testing.migrate(Counts, "", count, 1, &keys, &testing.column(&.{wrong})));
    }
}
