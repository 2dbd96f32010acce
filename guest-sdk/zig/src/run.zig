//! The loops between a function that sees one record and the contract's columns. Not the exports.

const std = @import("std");
const memory = @import("memory.zig");
const columns = @import("columns.zig");
const List = memory.List;
const Buffer = memory.Buffer;
const Batch = columns.Batch;
const Column = columns.Column;
const ColumnOut = columns.ColumnOut;
const record_file = @import("record.zig");
const Facts = @import("facts.zig").Facts;
const Output = @import("output.zig").Output;

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

pub const Rejections = struct {
    list: List(columns.Rejection) = .{},

    pub fn push(self: *Rejections, index: usize) void {
        self.list.push(.{ .index = @intCast(index), .reason = .of(reason) });
    }

    pub fn done(self: *const Rejections) columns.Slice(columns.Rejection) {
        return .of(self.list.slice());
    }
};

/// What a function gives, with or without an error.
pub inline fn answered(answer: anytype) Error!Plain(@TypeOf(answer)) {
    return answer;
}

fn Plain(comptime T: type) type {
    return switch (@typeInfo(T)) {
        .error_union => |both| both.payload,
        else => T,
    };
}

/// Asks `filter`, a `fn (Record) bool` or `fn (Record) Error!bool`, about every record.
pub fn keep(comptime filter: anytype, records: *const Batch, facts: *Facts) columns.Kept {
    const len = records.timestamps.len;
    const bits = memory.alloc(u8, (len + 7) / 8);
    var rejected: Rejections = .{};
    @memset(bits, 0);
    for (0..len) |index| {
        if (answered(filter(records.record(index, facts)))) |kept| {
            bits[index / 8] |= @as(u8, @intFromBool(kept)) << @intCast(index % 8);
        } else |_| rejected.push(index);
    }
    return .{ .bits = .of(bits), .rejected = rejected.done() };
}

/// Runs `mapper`, a `fn (Record, *Output) void` or `fn (Record, *Output) Error!void`, over the records.
pub fn apply(comptime mapper: anytype, records: *const Batch, facts: *Facts) columns.OutputColumns {
    var out: Output = .{ .records = records, .facts = facts };
    var rejected: Rejections = .{};
    var taken: usize = 0;
    while (taken < records.timestamps.len and out.bytes() < result_bytes_max) : (taken += 1) {
        const before = out.results;
        out.record = taken;
        out.port = 0;
        answered(mapper(records.record(taken, facts), &out)) catch {
            out.forget(before);
            rejected.push(taken);
        };
    }
    return out.done(taken, rejected.done());
}

/// Asks `router`, a `fn (Record) ?[]const u8` or a `fn (Record) Route`, with or without an error, about every result.
pub fn route(comptime router: anytype, records: *const Batch, facts: *Facts) columns.Routed {
    const len = records.timestamps.len;
    const partitioned = Plain(@typeInfo(@TypeOf(router)).@"fn".return_type.?) == record_file.Route;
    var topics: ColumnOut = .withCapacity(len, 0);
    var partitions: List(u32) = .withCapacity(if (partitioned) len else 0);
    var rejected: Rejections = .{};
    for (0..len) |index| {
        // Of a result that is refused nothing counts, but there is an item for it.
        var to: record_file.Route = .{ .partition = 0 };
        if (answered(router(records.record(index, facts)))) |found| {
            if (partitioned) to = found else to.topic = found;
        } else |_| rejected.push(index);
        topics.push(to.topic);
        if (partitioned) partitions.push(to.partition);
    }
    return .{
        .topics = topics.done(),
        .partitions = .of(if (partitioned) .of(partitions.slice()) else null),
        .rejected = rejected.done(),
    };
}

/// Asks `joiner`, a `fn (Pair, *Buffer) bool` or `fn (Pair, *Buffer) Error!bool`, about every pair.
pub fn join(comptime joiner: anytype, keys: *const Column, left: *const Column, right: *const Column) columns.Joined {
    var values: ColumnOut = .withCapacity(keys.len(), left.data.len + right.data.len);
    var rejected: Rejections = .{};
    for (0..keys.len()) |index| {
        const before = values.data.len();
        var leaves = false;
        const pair: record_file.Pair = .{ .key = keys.item(index), .left = left.item(index), .right = right.item(index) };
        if (answered(joiner(pair, &values.data))) |it| {
            leaves = it;
        } else |_| rejected.push(index);
        if (!leaves) values.data.cut(before);
        values.end(leaves);
    }
    return .{ .values = values.done(), .rejected = rejected.done() };
}

/// The state of a new group: its default, unless the type has a `start`.
inline fn started(comptime State: type, group: record_file.Group) State {
    return if (@hasDecl(State, "start")) State.start(group) else .{};
}

/// Folds the members of each group into its state, by `State.add`, or out of it, by `State.remove`.
pub fn fold(comptime State: type, comptime take: anytype, groups: *const columns.Groups, records: *const Batch, facts: *Facts) Error!columns.Folded {
    return foldInto(State, take, null, groups, records, facts);
}

/// Folds the members of each group into its state, and finishes after each of them. A record that is refused leaves nothing.
pub fn scan(comptime State: type, groups: *const columns.Groups, records: *const Batch, facts: *Facts) Error!columns.Scanned {
    var values: ColumnOut = .withCapacity(groups.members.len, 16 * groups.members.len);
    const folded = try foldInto(State, State.add, &values, groups, records, facts);
    return .{ .states = folded.states, .values = values.done(), .rejected = folded.rejected };
}

/// `values`, when it is there, gets what leaves after each member.
inline fn foldInto(comptime State: type, comptime take: anytype, values: ?*ColumnOut, groups: *const columns.Groups, records: *const Batch, facts: *Facts) Error!columns.Folded {
    const len = groups.keys.len();
    var states: ColumnOut = .withCapacity(len, groups.states.data.len + 16 * len);
    var rejected: Rejections = .{};
    for (0..len) |index| {
        const stored = groups.states.item(index);
        const group = groups.group(index);
        var state: State = if (stored) |bytes| try answered(State.decode(bytes)) else started(State, group);
        const members = groups.membersOf(index);
        var added = false;
        for (members.records, members.first..) |member, place| {
            const refusal = answered(take(&state, records.record(member, facts)));
            if (refusal) |_| {
                added = true;
                if (values) |column| pushFinished(State, state, group, column);
            } else |_| {
                rejected.push(place);
                if (values) |column| column.push(null);
            }
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

fn pushFinished(comptime State: type, state: State, group: record_file.Group, column: *ColumnOut) void {
    const before = column.data.len();
    const leaves = state.finish(group, &column.data);
    if (!leaves) column.data.cut(before);
    column.end(leaves);
}

/// What leaves for each group; null where nothing was stored.
pub fn finish(comptime State: type, groups: *const columns.Groups) Error!Column {
    const len = groups.keys.len();
    var results: ColumnOut = .withCapacity(len, groups.states.data.len + 16 * len);
    for (0..len) |index| {
        if (groups.states.item(index)) |bytes| {
            pushFinished(State, try answered(State.decode(bytes)), groups.group(index), &results);
        } else results.push(null);
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

/// Brings each state from the layout `old` to `now`; null stays null. `keys` has one for each of `states`; `store` is empty for
/// an aggregate's.
pub fn migrate(comptime Layouts: type, store: []const u8, old: u32, now: u32, keys: *const Column, states: *const Column) Error!Column {
    const reads: []const u32 = &Layouts.reads;
    const writes: []const u32 = &Layouts.writes;
    const has = std.mem.indexOfScalar;
    const known = (now == Layouts.current and has(u32, reads, old) != null) or
        (old == Layouts.current and has(u32, writes, now) != null);
    if (!known) {
        var why: Buffer = .{};
        why.print("no way from layout {d} to {d}", .{ old, now });
        return refuse(why.slice());
    }
    var migrated: ColumnOut = .withCapacity(states.len(), states.data.len + 16 * states.len());
    for (0..states.len()) |index| {
        const state = states.item(index);
        if (state) |bytes| {
            const stored: record_file.Stored = .{ .store = store, .key = keys.item(index), .state = bytes };
            try answered(Layouts.migrate(stored, old, now, &migrated.data));
        }
        migrated.end(state != null);
    }
    return migrated.done();
}
