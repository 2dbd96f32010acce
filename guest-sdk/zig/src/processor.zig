//! Processors: a record at a time, with stores and timers. What a function writes in a call is held here and goes to the host at
//! once, behind the last record; what it writes for a record that it refuses never goes. Not the host's side.

const std = @import("std");
const memory = @import("memory.zig");
const columns = @import("columns.zig");
const run = @import("run.zig");
const host = @import("host.zig");
const Batch = columns.Batch;
const Facts = @import("facts.zig").Facts;
const List = memory.List;
const Output = @import("output.zig").Output;

/// What time a timer goes by: the step's stream time, or the host's wall clock.
pub const Clock = host.Clock;

/// A timer that is due.
pub const Timer = struct {
    clock: Clock,
    /// Null: it is the task's.
    key: ?[]const u8,
    name: []const u8,
    /// The time for which it was set, milliseconds since 1970-01-01T00:00:00Z.
    due: i64,
};

/// An entry of a store.
pub const Entry = struct { key: []const u8, value: []const u8 };

/// An entry as this call sees it; without a value it is not there.
const Held = struct { value: ?[]const u8, written: bool };

/// In the order in which they were first seen, so that what goes to the host does not depend on hashes.
const Entries = std.array_hash_map.String(Held);

const Opened = struct { name: []const u8, entries: Entries };

/// A change of a timer; without a time it is cancelled.
const Change = struct { clock: Clock, name: []const u8, key: ?[]const u8, due: ?i64 };

/// The stores and timers of a call.
pub const Call = struct {
    stores: List(Opened) = .{},
    /// What was there before each write for the record at hand; without it nothing was known.
    undo: List(struct { store: usize, key: []const u8, before: ?Held }) = .{},
    timers: List(Change) = .{},
    /// The earliest event time for which a timer was set.
    earliest: ?i64 = null,
    /// How writes and changes go to the host; none where the function has none, so that it does not import them.
    put: ?*const fn (*Call) void = null,
    send: ?*const fn (*Call) void = null,

    /// A store of the step, by the name that the manifest gives it.
    pub fn store(self: *Call, name: []const u8) Store {
        self.put = putAll;
        for (self.stores.slice(), 0..) |opened, at| {
            if (std.mem.eql(u8, opened.name, name)) return .{ .call = self, .at = at };
        }
        self.stores.push(.{ .name = copy(name), .entries = .empty });
        return .{ .call = self, .at = self.stores.len() - 1 };
    }

    /// Sets a timer. There is one for each clock, key and name: setting it again moves it. `key` null: it is the task's.
    pub fn setTimer(self: *Call, clock: Clock, key: ?[]const u8, name: []const u8, due: i64) void {
        if (clock == .@"event-time") self.earliest = @min(self.earliest orelse due, due);
        self.change(.{ .clock = clock, .name = copy(name), .key = copyOf(key), .due = due });
    }

    /// Cancels a timer, where there is one.
    pub fn cancelTimer(self: *Call, clock: Clock, key: ?[]const u8, name: []const u8) void {
        self.change(.{ .clock = clock, .name = copy(name), .key = copyOf(key), .due = null });
    }

    fn change(self: *Call, changed: Change) void {
        self.send = sendAll;
        self.timers.push(changed);
    }

    fn putAll(self: *Call) void {
        for (self.stores.slice()) |*opened| {
            var keys: columns.ColumnOut = .withCapacity(0, 0);
            var values: columns.ColumnOut = .withCapacity(0, 0);
            for (opened.entries.keys(), opened.entries.values()) |key, *held| {
                if (!held.written) continue;
                held.written = false;
                keys.push(key);
                values.push(held.value);
            }
            if (keys.len() != 0) host.put(opened.name, keys.done(), values.done());
        }
    }

    /// Changes of timers in their order; those that follow each other and are alike go together.
    fn sendAll(self: *Call) void {
        const changes = self.timers.slice();
        var from: usize = 0;
        while (from < changes.len) {
            const first = changes[from];
            var keys: columns.ColumnOut = .withCapacity(0, 0);
            var due: List(i64) = .{};
            while (from < changes.len) : (from += 1) {
                const next = changes[from];
                if (next.clock != first.clock or !std.mem.eql(u8, next.name, first.name)) break;
                if ((next.due == null) != (first.due == null)) break;
                keys.push(next.key);
                if (next.due) |time| due.push(time);
            }
            host.time(first.clock, keys.done(), first.name, if (first.due == null) null else due.slice());
        }
        self.timers.cut(0);
    }

    fn flush(self: *Call) void {
        if (self.put) |put_all| put_all(self);
        if (self.send) |send_all| send_all(self);
    }

    /// The record at hand is refused: what was written for it is forgotten.
    fn forget(self: *Call, timers: usize, earliest: ?i64) void {
        while (self.undo.items.pop()) |undo| {
            const entries = &self.stores.slice()[undo.store].entries;
            if (undo.before) |before| entries.getPtr(undo.key).?.* = before else _ = entries.orderedRemove(undo.key);
        }
        self.timers.cut(timers);
        self.earliest = earliest;
    }
};

/// A store of a step.
pub const Store = struct {
    call: *Call,
    at: usize,

    inline fn opened(self: Store) *Opened {
        return &self.call.stores.slice()[self.at];
    }

    /// The value of a key; null when there is none. Good until the call ends.
    pub fn get(self: Store, key: []const u8) ?[]const u8 {
        if (self.opened().entries.get(key)) |held| return held.value;
        const found = host.get(self.opened().name, key);
        self.hold(copy(key), .{ .value = found, .written = false });
        return found;
    }

    /// Sets the value of a key.
    pub fn put(self: Store, key: []const u8, value: []const u8) void {
        self.write(key, copy(value));
    }

    /// Removes a key.
    pub fn remove(self: Store, key: []const u8) void {
        self.write(key, null);
    }

    fn write(self: Store, key: []const u8, value: ?[]const u8) void {
        const own = copy(key);
        self.call.undo.push(.{ .store = self.at, .key = own, .before = self.opened().entries.get(key) });
        self.hold(own, .{ .value = value, .written = true });
    }

    fn hold(self: Store, key: []const u8, held: Held) void {
        self.opened().entries.put(memory.allocator(), key, held) catch memory.full();
    }

    /// Entries with `start` <= key < `end` in key order, at most `limit` of them; an empty `end` is no bound.
    pub fn range(self: Store, start: []const u8, end: []const u8, limit: u32) []const Entry {
        // The host puts what this call wrote in its place among the others. Should the record be refused all the same, the host
        // forgets the call and asks again without it.
        self.call.flush();
        const found = host.range(self.opened().name, start, end, limit);
        const entries = memory.alloc(Entry, found.keys.len());
        for (entries, 0..) |*entry, index| {
            entry.* = .{ .key = found.keys.item(index) orelse "", .value = found.values.item(index) orelse "" };
        }
        return entries;
    }
};

fn copy(bytes: []const u8) []const u8 {
    const own = memory.alloc(u8, bytes.len);
    @memcpy(own, bytes);
    return own;
}

fn copyOf(bytes: ?[]const u8) ?[]const u8 {
    return copy(bytes orelse return null);
}

/// Handles records until they are all dealt with, a timer that was set is due before the next one, or the result is large.
/// `processor` is a `fn (Record, *Output, *Call) void`, with or without an error.
pub fn process(comptime processor: anytype, records: *const Batch, facts: *Facts) columns.OutputColumns {
    const Each = struct {
        of: *const Batch,
        facts: *Facts,
        newest: i64 = std.math.minInt(i64),

        /// A timer that is due before this record has to fire before it.
        fn isForNext(self: *@This(), at: usize, call: *const Call) bool {
            self.newest = @max(self.newest, self.of.timestamps.ptr[at]);
            return if (call.earliest) |due| due <= self.newest else false;
        }

        fn handle(self: *@This(), at: usize, out: *Output, call: *Call) run.Error!void {
            return run.answered(processor(self.of.record(at, self.facts), out, call));
        }
    };
    var each: Each = .{ .of = records, .facts = facts };
    return drive(&each, .{ .records = records, .facts = facts });
}

/// Handles timers; `due` has their keys, their names as values, their times. `on_timer` is a `fn (Timer, *Output, *Call) void`,
/// with or without an error.
pub fn fire(comptime on_timer: anytype, clock: Clock, due: *const Batch, facts: *Facts) columns.OutputColumns {
    const Each = struct {
        clock: Clock,
        of: *const Batch,

        fn isForNext(_: *@This(), _: usize, _: *const Call) bool {
            return false;
        }

        fn handle(self: *@This(), at: usize, out: *Output, call: *Call) run.Error!void {
            return run.answered(on_timer(Timer{
                .clock = self.clock,
                .key = self.of.keys.item(at),
                .name = self.of.values.item(at) orelse "",
                .due = self.of.timestamps.ptr[at],
            }, out, call));
        }
    };
    var each: Each = .{ .clock = clock, .of = due };
    // Values are given in any case.
    return drive(&each, .{ .records = due, .facts = facts, .values = .withCapacity(due.timestamps.len, 0) });
}

fn drive(each: anytype, output: Output) columns.OutputColumns {
    var out = output;
    var call: Call = .{};
    var rejected: run.Rejections = .{};
    var taken: usize = 0;
    while (taken < out.records.timestamps.len and out.bytes() < run.result_bytes_max) : (taken += 1) {
        if (each.isForNext(taken, &call)) break;
        const before = out.results;
        const timers = call.timers.len();
        const earliest = call.earliest;
        out.record = taken;
        out.port = 0;
        if (each.handle(taken, &out, &call)) |_| call.undo.cut(0) else |_| {
            out.forget(before);
            call.forget(timers, earliest);
            rejected.push(taken);
        }
    }
    call.flush();
    return out.done(taken, rejected.done());
}
