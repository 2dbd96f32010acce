//! Columns as the contract has them, read and written. On wasm32 the structs lie in memory as the canonical ABI has the
//! records of the same names. Not for functions.

const std = @import("std");
const memory = @import("memory.zig");
const record_file = @import("record.zig");
const Facts = @import("facts.zig").Facts;
const List = memory.List;
const Record = record_file.Record;
const Group = record_file.Group;

/// A place and a length, as the canonical ABI has a list.
pub fn Slice(comptime T: type) type {
    return extern struct {
        ptr: [*]const T,
        len: usize,

        pub fn of(items: []const T) @This() {
            return .{ .ptr = items.ptr, .len = items.len };
        }

        pub fn slice(self: @This()) []const T {
            return self.ptr[0..self.len];
        }
    };
}

pub const Column = extern struct {
    offsets: Slice(u32),
    data: Slice(u8),
    /// Bit i: item i is there. Of length 0: all are.
    validity: Slice(u8),

    pub fn len(self: *const Column) usize {
        return if (self.offsets.len == 0) 0 else self.offsets.len - 1;
    }

    /// Item `index`; traps when there is none.
    pub inline fn item(self: *const Column, index: usize) ?[]const u8 {
        if (index + 1 >= self.offsets.len) @trap();
        if (self.validity.len != 0 and (self.validity.ptr[index / 8] >> @intCast(index % 8)) & 1 == 0) return null;
        const start = self.offsets.ptr[index];
        const end = self.offsets.ptr[index + 1];
        if (start > end or end > self.data.len) @trap();
        return self.data.ptr[start..end];
    }
};

pub const Batch = extern struct {
    keys: Column,
    values: Column,
    timestamps: Slice(i64),

    pub inline fn record(self: *const Batch, index: usize, facts: *Facts) Record {
        if (index >= self.timestamps.len) @trap();
        return .{
            .key = self.keys.item(index),
            .value = self.values.item(index),
            .timestamp = self.timestamps.ptr[index],
            .place = .{ .facts = facts, .index = index },
        };
    }
};

pub const Groups = extern struct {
    keys: Column,
    starts: Slice(i64),
    ends: Slice(i64),
    states: Column,
    offsets: Slice(u32),
    members: Slice(u32),

    pub fn group(self: *const Groups, index: usize) Group {
        const windowed = index < self.starts.len and index < self.ends.len;
        return .{
            .key = self.keys.item(index) orelse "",
            .window = if (windowed) .{ .start = self.starts.ptr[index], .end = self.ends.ptr[index] } else null,
        };
    }

    /// Which records are in the group, and where they stand in `members`.
    pub fn membersOf(self: *const Groups, index: usize) struct { first: usize, records: []const u32 } {
        if (index + 1 >= self.offsets.len) @trap();
        const first = self.offsets.ptr[index];
        const end = self.offsets.ptr[index + 1];
        if (first > end or end > self.members.len) @trap();
        return .{ .first = first, .records = self.members.ptr[first..end] };
    }
};

pub const Rejection = extern struct { index: u32, reason: Slice(u8) };

pub const Kept = extern struct { bits: Slice(u8), rejected: Slice(Rejection) };

pub fn Option(comptime T: type) type {
    return extern struct {
        there: u8 = 0,
        value: T = undefined,

        pub fn of(value: ?T) @This() {
            return if (value) |it| .{ .there = 1, .value = it } else .{};
        }
    };
}

pub const Headers = extern struct {
    offsets: Slice(u32),
    names: Column,
    values: Column,

    /// Those of a record; traps when there is no such record.
    pub fn of(self: *const Headers, index: usize) record_file.Headers {
        if (index + 1 >= self.offsets.len) @trap();
        return .{ .of = self, .at = self.offsets.ptr[index], .end = self.offsets.ptr[index + 1] };
    }
};

pub const OutputColumns = extern struct {
    taken: u32,
    sources: Option(Slice(u32)),
    ports: Option(Slice(u32)),
    keys: Option(Column),
    values: Option(Column),
    timestamps: Option(Slice(i64)),
    headers: Option(Headers),
    rejected: Slice(Rejection),
};

pub const Folded = extern struct { states: Column, rejected: Slice(Rejection) };

pub const Joined = extern struct { values: Column, rejected: Slice(Rejection) };

pub const Routed = extern struct { topics: Column, partitions: Option(Slice(u32)), rejected: Slice(Rejection) };

pub const Scanned = extern struct { states: Column, values: Column, rejected: Slice(Rejection) };

pub const Layouts = extern struct { current: u32, reads: Slice(u32), writes: Slice(u32) };

/// A column that is written.
pub const ColumnOut = struct {
    data: memory.Buffer,
    offsets: List(u32),
    /// Empty until the first null.
    validity: memory.Buffer = .{},

    pub fn withCapacity(items: usize, bytes: usize) ColumnOut {
        var made: ColumnOut = .{ .data = .withCapacity(bytes), .offsets = .withCapacity(items + 1) };
        made.offsets.push(0);
        return made;
    }

    pub fn len(self: *const ColumnOut) usize {
        return self.offsets.len() - 1;
    }

    pub inline fn push(self: *ColumnOut, item: ?[]const u8) void {
        if (item) |bytes| self.data.pushAll(bytes);
        self.end(item != null);
    }

    /// Ends the item whose bytes were pushed to `data`.
    pub inline fn end(self: *ColumnOut, there: bool) void {
        const index = self.len();
        // The contract's limit for a column.
        if (self.data.len() > std.math.maxInt(i32)) memory.full();
        self.offsets.push(@intCast(self.data.len()));
        if (!there or self.validity.len() != 0) self.mark(index, there);
    }

    fn mark(self: *ColumnOut, index: usize, there: bool) void {
        const bytes = index / 8 + 1;
        if (bytes > self.validity.len()) self.validity.pushMany(0xff, bytes - self.validity.len());
        const bit = @as(u8, 1) << @intCast(index % 8);
        const byte = &self.validity.slice()[index / 8];
        if (there) byte.* |= bit else byte.* &= ~bit;
    }

    /// Forgets the items behind the first `count`.
    pub fn cut(self: *ColumnOut, count: usize) void {
        if (count >= self.len()) return;
        self.offsets.cut(count + 1);
        self.data.cut(self.offsets.slice()[count]);
        self.validity.cut((count + 7) / 8);
    }

    pub fn done(self: *ColumnOut) Column {
        const over = self.len() % 8;
        if (self.validity.len() != 0 and over != 0) {
            self.validity.slice()[self.len() / 8] &= (@as(u8, 1) << @intCast(over)) - 1;
        }
        return .{ .offsets = .of(self.offsets.slice()), .data = .of(self.data.slice()), .validity = .of(self.validity.slice()) };
    }

    /// All of some items: for tests.
    pub fn of(items: []const ?[]const u8) Column {
        var made: ColumnOut = .withCapacity(items.len, 0);
        for (items) |item| made.push(item);
        return made.done();
    }
};

/// Headers that are written, record by record.
pub const HeadersOut = struct {
    /// Where the headers of each record begin; the end of the last is the number of names.
    starts: List(u32) = .{},
    names: ColumnOut,
    values: ColumnOut,

    pub fn open() HeadersOut {
        return .{ .names = .withCapacity(0, 0), .values = .withCapacity(0, 0) };
    }

    /// From here on, those of the next record.
    pub fn begin(self: *HeadersOut) void {
        self.starts.push(@intCast(self.names.len()));
    }

    pub fn push(self: *HeadersOut, header: record_file.Header) void {
        self.names.push(header.name);
        self.values.push(header.value);
    }

    /// The last record has none.
    pub fn clearLast(self: *HeadersOut) void {
        self.cutEntries(self.starts.slice()[self.starts.len() - 1]);
    }

    /// Forgets the records behind the first `count`.
    pub fn cut(self: *HeadersOut, count: usize) void {
        if (count >= self.starts.len()) return;
        self.cutEntries(self.starts.slice()[count]);
        self.starts.cut(count);
    }

    fn cutEntries(self: *HeadersOut, count: usize) void {
        self.names.cut(count);
        self.values.cut(count);
    }

    pub fn bytes(self: *const HeadersOut) usize {
        return self.names.data.len() + self.values.data.len() + 8 * self.names.len();
    }

    pub fn done(self: *HeadersOut) Headers {
        self.begin();
        return .{ .offsets = .of(self.starts.slice()), .names = self.names.done(), .values = self.values.done() };
    }
};

test "every place of a null is read back" {
    defer memory.reset();
    for (0..18) |len| {
        for (0..len + 1) |place| {
            var items: [17]?[]const u8 = undefined;
            for (items[0..len], 0..) |*item, index| item.* = if (index == place) null else if (index % 3 == 0) "" else "item";
            const column = ColumnOut.of(items[0..len]);
            try std.testing.expectEqual(if (place < len) (len + 7) / 8 else 0, column.validity.len);
            for (items[0..len], 0..) |item, index| try std.testing.expectEqualDeep(item, column.item(index));
        }
    }
}
