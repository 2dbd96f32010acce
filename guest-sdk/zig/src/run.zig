//! The loops between a function that sees one record and the contract's columns. Not the exports.

const std = @import("std");
const memory = @import("memory.zig");
const columns = @import("columns.zig");
const List = memory.List;
const Buffer = memory.Buffer;
const Batch = columns.Batch;
const Column = columns.Column;
const ColumnOut = columns.ColumnOut;
const Record = columns.Record;

/// Result bytes of one call after which a mapper stops early; the host asks again with the rest of the records.
pub const result_bytes_max = 8 << 20;

pub const Error = error{Refused};

var reason: []const u8 = "";

/// `return refuse("…")`: the function will not handle this record, or, where it says so, this call. The reason is for
/// people; it must stay until the call ends.
pub fn refuse(why: []const u8) Error {
    reason = why;
    return error.Refused;
}

/// Why something was refused last.
pub fn refused() []const u8 {
    return reason;
}

const Rejections = struct {
    list: List(columns.Rejection) = .{},

    fn push(self: *Rejections, index: usize) void {
        self.list.push(.{ .index = @intCast(index), .reason = .of(reason) });
    }

    fn done(self: *const Rejections) columns.Slice(columns.Rejection) {
        return .of(self.list.slice());
    }
};

/// What a function gives, with or without an error.
inline fn answered(answer: anytype) Error!Plain(@TypeOf(answer)) {
    return answer;
}

fn Plain(comptime T: type) type {
    return switch (@typeInfo(T)) {
        .error_union => |both| both.payload,
        else => T,
    };
}

/// Asks `filter`, a `fn (Record) bool` or `fn (Record) Error!bool`, about every record.
pub fn keep(comptime filter: anytype, records: *const Batch) columns.Kept {
    const len = records.timestamps.len;
    const bits = memory.alloc(u8, (len + 7) / 8);
    var rejected: Rejections = .{};
    @memset(bits, 0);
    for (0..len) |index| {
        if (answered(filter(records.record(index)))) |kept| {
            bits[index / 8] |= @as(u8, @intFromBool(kept)) << @intCast(index % 8);
        } else |_| rejected.push(index);
    }
    return .{ .bits = .of(bits), .rejected = rejected.done() };
}

/// Where results go. A column is made only when a result differs from its record; the first that does opens it, and what
/// was before is filled in from the records.
pub const Output = struct {
    records: *const Batch,
    record: usize = 0,
    results: usize = 0,
    port: u32 = 0,
    keys: ?ColumnOut = null,
    values: ?ColumnOut = null,
    timestamps: ?List(i64) = null,
    sources: ?List(u32) = null,
    ports: ?List(u32) = null,

    /// A result. A part that is the record's own, not a copy of it, costs nothing while that column is unchanged.
    pub inline fn emit(self: *Output, key: ?[]const u8, value: ?[]const u8, timestamp: i64) void {
        self.put(&self.keys, &self.records.keys, key);
        self.put(&self.values, &self.records.values, value);
        self.putTime(timestamp);
        self.end();
    }

    /// A result that is the record itself.
    pub fn emitSame(self: *Output) void {
        const own = self.records.record(self.record);
        self.emit(own.key, own.value, own.timestamp);
    }

    /// A result with a new value; key and time stay.
    pub fn emitValue(self: *Output, value: ?[]const u8) void {
        const own = self.records.record(self.record);
        self.emit(own.key, value, own.timestamp);
    }

    /// A result with a new key; value and time stay.
    pub fn emitKey(self: *Output, key: ?[]const u8) void {
        const own = self.records.record(self.record);
        self.emit(key, own.value, own.timestamp);
    }

    /// Sends this record's results from here on to another of the step's outputs, by its place in the list.
    pub fn to(self: *Output, port: u32) void {
        self.port = port;
    }

    fn sourceOf(self: *const Output, result: usize) usize {
        return if (self.sources) |sources| sources.slice()[result] else result;
    }

    inline fn put(self: *Output, made: *?ColumnOut, given: *const Column, item: ?[]const u8) void {
        if (made.* == null) {
            if (same(item, given.item(self.record))) return;
            made.* = .withCapacity(self.records.timestamps.len, given.data.len);
            for (0..self.results) |result| made.*.?.push(given.item(self.sourceOf(result)));
        }
        made.*.?.push(item);
    }

    fn putTime(self: *Output, time: i64) void {
        const given = self.records.timestamps.slice();
        if (self.timestamps == null) {
            if (time == given[self.record]) return;
            self.timestamps = .withCapacity(given.len);
            for (0..self.results) |result| self.timestamps.?.push(given[self.sourceOf(result)]);
        }
        self.timestamps.?.push(time);
    }

    /// Ports, sources and the count: after the columns, which fill in by what was before.
    fn end(self: *Output) void {
        if (self.ports == null and self.port != 0) {
            self.ports = .{};
            self.ports.?.pushMany(0, self.results);
        }
        if (self.ports) |*ports| ports.push(self.port);
        if (self.sources == null and self.results != self.record) self.openSources();
        if (self.sources) |*sources| sources.push(@intCast(self.record));
        self.results += 1;
    }

    fn openSources(self: *Output) void {
        self.sources = .withCapacity(self.results + 1);
        for (0..self.results) |result| self.sources.?.push(@intCast(result));
    }

    fn forget(self: *Output, results: usize) void {
        if (self.keys) |*keys| keys.cut(results);
        if (self.values) |*values| values.cut(results);
        if (self.timestamps) |*timestamps| timestamps.cut(results);
        if (self.sources) |*sources| sources.cut(results);
        if (self.ports) |*ports| ports.cut(results);
        self.results = results;
    }

    fn bytes(self: *const Output) usize {
        return (if (self.keys) |keys| keys.data.len() else 0) + (if (self.values) |values| values.data.len() else 0);
    }
};

/// The record's own bytes, not a copy of them: they can stay where they are.
fn same(left: ?[]const u8, right: ?[]const u8) bool {
    const one = left orelse return right == null;
    const other = right orelse return false;
    return one.len == other.len and (one.len == 0 or one.ptr == other.ptr);
}

/// Runs `mapper`, a `fn (Record, *Output) void` or `fn (Record, *Output) Error!void`, over the records.
pub fn apply(comptime mapper: anytype, records: *const Batch) columns.OutputColumns {
    var out: Output = .{ .records = records };
    var rejected: Rejections = .{};
    var taken: usize = 0;
    while (taken < records.timestamps.len and out.bytes() < result_bytes_max) : (taken += 1) {
        const before = out.results;
        out.record = taken;
        out.port = 0;
        answered(mapper(records.record(taken), &out)) catch {
            out.forget(before);
            rejected.push(taken);
        };
    }
    if (out.sources == null and (rejected.list.len() != 0 or out.results != taken)) out.openSources();
    return .{
        .taken = @intCast(taken),
        .sources = .of(if (out.sources) |list| .of(list.slice()) else null),
        .ports = .of(if (out.ports) |list| .of(list.slice()) else null),
        .keys = .of(if (out.keys) |*column| column.done() else null),
        .values = .of(if (out.values) |*column| column.done() else null),
        .timestamps = .of(if (out.timestamps) |list| .of(list.slice()) else null),
        .headers = .{},
        .rejected = rejected.done(),
    };
}

/// The state of a new group: its default, unless the type has a `start`.
inline fn started(comptime State: type, group: columns.Group) State {
    return if (@hasDecl(State, "start")) State.start(group) else .{};
}

/// Folds the members of each group into its state, by `State.add`, or out of it, by `State.remove`.
pub fn fold(comptime State: type, comptime take: anytype, groups: *const columns.Groups, records: *const Batch) Error!columns.Folded {
    const len = groups.keys.len();
    var states: ColumnOut = .withCapacity(len, groups.states.data.len + 16 * len);
    var rejected: Rejections = .{};
    for (0..len) |index| {
        const stored = groups.states.item(index);
        var state: State = if (stored) |bytes| try answered(State.decode(bytes)) else started(State, groups.group(index));
        const members = groups.membersOf(index);
        var added = false;
        for (members.records, members.first..) |member, place| {
            if (member >= records.timestamps.len) @trap();
            if (answered(take(&state, records.record(member)))) |_| {
                added = true;
            } else |_| rejected.push(place);
        }
        // A group whose every record was refused is as it was: stored bytes, or nothing.
        if (!added) {
            states.push(stored);
        } else if (@hasDecl(State, "isGone") and state.isGone()) {
            states.end(false);
        } else {
            state.encode(&states.data);
            states.end(true);
        }
    }
    return .{ .states = states.done(), .rejected = rejected.done() };
}

/// What leaves for each group; null where nothing was stored.
pub fn finish(comptime State: type, groups: *const columns.Groups) Error!Column {
    const len = groups.keys.len();
    var results: ColumnOut = .withCapacity(len, groups.states.data.len + 16 * len);
    for (0..len) |index| {
        const before = results.data.len();
        var leaves = false;
        if (groups.states.item(index)) |bytes| {
            const state: State = try answered(State.decode(bytes));
            leaves = state.finish(groups.group(index), &results.data);
        }
        if (!leaves) results.data.cut(before);
        results.end(leaves);
    }
    return results.done();
}

/// Joins two states of each key; a null side leaves the other as it is.
pub fn merge(comptime State: type, left: *const Column, right: *const Column) Error!Column {
    var merged: ColumnOut = .withCapacity(left.len(), left.data.len + 16 * left.len());
    for (0..left.len()) |index| {
        const one = left.item(index) orelse {
            merged.push(right.item(index));
            continue;
        };
        const other = right.item(index) orelse {
            merged.push(one);
            continue;
        };
        const both: State = try answered(State.merge(try answered(State.decode(one)), try answered(State.decode(other))));
        both.encode(&merged.data);
        merged.end(true);
    }
    return merged.done();
}

/// Brings each state from the layout `old` to `now`; null stays null.
pub fn migrate(comptime State: type, old: u32, now: u32, states: *const Column) Error!Column {
    const reads: []const u32 = &State.reads;
    const writes: []const u32 = &State.writes;
    const has = std.mem.indexOfScalar;
    const known = (now == State.current and has(u32, reads, old) != null) or
        (old == State.current and has(u32, writes, now) != null);
    if (!known) {
        var why: Buffer = .{};
        why.print("no way from layout {d} to {d}", .{ old, now });
        return refuse(why.slice());
    }
    var migrated: ColumnOut = .withCapacity(states.len(), states.data.len + 16 * states.len());
    for (0..states.len()) |index| {
        const state = states.item(index);
        if (state) |bytes| try answered(State.migrate(bytes, old, now, &migrated.data));
        migrated.end(state != null);
    }
    return migrated.done();
}
