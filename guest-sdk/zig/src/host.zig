//! Stores and timers as the host has them: imported in WebAssembly; natively those of a test. Not for functions, which have
//! what processor.zig makes of them.

const std = @import("std");
const builtin = @import("builtin");
const columns = @import("columns.zig");
const memory = @import("memory.zig");
const Column = columns.Column;

/// The contract's `clock`.
pub const Clock = enum(i32) { @"event-time", @"wall-clock" };

pub const Entries = extern struct { keys: Column, values: Column };

const used = if (builtin.target.cpu.arch.isWasm()) Imported else Test;

pub const get = used.get;
pub const put = used.put;
pub const range = used.range;
pub const time = used.time;

const Imported = struct {
    const Bytes = [*]const u8;
    const Offsets = [*]const u32;
    /// A handle, or why not.
    const Answer = extern struct { failed: u8, is: extern union { handle: i32, reason: columns.Slice(u8) } };

    extern "millstream:udf/state@0.1.0" fn @"[static]store.open"(name: Bytes, len: usize, into: *Answer) void;
    extern "millstream:udf/state@0.1.0" fn @"[method]store.get"(store: i32, a: Offsets, b: usize, c: Bytes, d: usize, e: Bytes, f: usize, into: *Column) void;
    extern "millstream:udf/state@0.1.0" fn @"[method]store.put"(store: i32, a: Offsets, b: usize, c: Bytes, d: usize, e: Bytes, f: usize, g: Offsets, h: usize, i: Bytes, j: usize, k: Bytes, l: usize) void;
    extern "millstream:udf/state@0.1.0" fn @"[method]store.range"(store: i32, start: Bytes, start_len: usize, end: Bytes, end_len: usize, limit: u32, into: *Entries) void;
    extern "millstream:udf/timers@0.1.0" fn set(clock: i32, a: Offsets, b: usize, c: Bytes, d: usize, e: Bytes, f: usize, name: Bytes, name_len: usize, due: [*]const i64, due_len: usize) void;
    extern "millstream:udf/timers@0.1.0" fn cancel(clock: i32, a: Offsets, b: usize, c: Bytes, d: usize, e: Bytes, f: usize, name: Bytes, name_len: usize) void;

    /// Stores that were opened, for as long as the instance lives: as many as the manifest gives the step.
    var opened: std.ArrayList(struct { name: []const u8, handle: i32 }) = .empty;

    fn handleOf(name: []const u8) i32 {
        for (opened.items) |store| {
            if (std.mem.eql(u8, store.name, name)) return store.handle;
        }
        var answer: Answer = undefined;
        @"[static]store.open"(name.ptr, name.len, &answer);
        if (answer.failed != 0) @panic(answer.is.reason.slice());
        const own = memory.lasting.dupe(u8, name) catch memory.full();
        opened.append(memory.lasting, .{ .name = own, .handle = answer.is.handle }) catch memory.full();
        return answer.is.handle;
    }

    fn get(store: []const u8, key: []const u8) ?[]const u8 {
        var keys: columns.ColumnOut = .withCapacity(1, key.len);
        keys.push(key);
        const k = keys.done();
        var found: Column = undefined;
        @"[method]store.get"(handleOf(store), k.offsets.ptr, k.offsets.len, k.data.ptr, k.data.len, k.validity.ptr, k.validity.len, &found);
        return found.item(0);
    }

    fn put(store: []const u8, k: Column, v: Column) void {
        @"[method]store.put"(handleOf(store), k.offsets.ptr, k.offsets.len, k.data.ptr, k.data.len, k.validity.ptr, k.validity.len, v.offsets.ptr, v.offsets.len, v.data.ptr, v.data.len, v.validity.ptr, v.validity.len);
    }

    fn range(store: []const u8, start: []const u8, end: []const u8, limit: u32) Entries {
        var found: Entries = undefined;
        @"[method]store.range"(handleOf(store), start.ptr, start.len, end.ptr, end.len, limit, &found);
        return found;
    }

    /// Sets timers of one name, or cancels them where there are no times.
    fn time(clock: Clock, k: Column, name: []const u8, due: ?[]const i64) void {
        if (due) |times| {
            set(@intFromEnum(clock), k.offsets.ptr, k.offsets.len, k.data.ptr, k.data.len, k.validity.ptr, k.validity.len, name.ptr, name.len, times.ptr, times.len);
        } else {
            cancel(@intFromEnum(clock), k.offsets.ptr, k.offsets.len, k.data.ptr, k.data.len, k.validity.ptr, k.validity.len, name.ptr, name.len);
        }
    }
};

/// Stores and timers for tests of processors: they are there until the test begins anew, and nothing fires by itself.
pub const Test = struct {
    pub const Entry = struct { store: []const u8, key: []const u8, value: []const u8 };
    pub const Set = struct { clock: Clock, key: ?[]const u8, name: []const u8, due: i64 };

    pub var entries: std.ArrayList(Entry) = .empty;
    pub var timers: std.ArrayList(Set) = .empty;
    /// Questions asked: what a function costs besides its own work.
    pub var asked: usize = 0;

    /// Nothing is stored, and no timer is set. Before the memory of a test is given back, or after.
    pub fn reset() void {
        entries = .empty;
        timers = .empty;
        asked = 0;
    }

    /// What a store has for a key.
    pub fn stored(store: []const u8, key: []const u8) ?[]const u8 {
        for (entries.items) |entry| {
            if (std.mem.eql(u8, entry.store, store) and std.mem.eql(u8, entry.key, key)) return entry.value;
        }
        return null;
    }

    /// Takes the timer away that was due first.
    pub fn popTimer() ?Set {
        var first: usize = 0;
        for (timers.items, 0..) |timer, at| {
            if (timer.due < timers.items[first].due) first = at;
        }
        return if (timers.items.len == 0) null else timers.orderedRemove(first);
    }

    fn get(store: []const u8, key: []const u8) ?[]const u8 {
        asked += 1;
        return stored(store, key);
    }

    fn put(store: []const u8, keys: Column, values: Column) void {
        asked += 1;
        for (0..keys.len()) |index| {
            const key = keys.item(index).?;
            for (entries.items, 0..) |entry, at| {
                if (!std.mem.eql(u8, entry.store, store) or !std.mem.eql(u8, entry.key, key)) continue;
                _ = entries.orderedRemove(at);
                break;
            }
            const value = values.item(index) orelse continue;
            entries.append(memory.allocator(), .{ .store = store, .key = key, .value = value }) catch memory.full();
        }
    }

    fn range(store: []const u8, start: []const u8, end: []const u8, limit: u32) Entries {
        asked += 1;
        const inOrder = struct {
            fn inOrder(_: void, one: Entry, other: Entry) bool {
                return std.mem.lessThan(u8, one.key, other.key);
            }
        }.inOrder;
        std.mem.sort(Entry, entries.items, {}, inOrder);
        var keys: columns.ColumnOut = .withCapacity(0, 0);
        var values: columns.ColumnOut = .withCapacity(0, 0);
        for (entries.items) |entry| {
            if (!std.mem.eql(u8, entry.store, store) or std.mem.lessThan(u8, entry.key, start)) continue;
            if (keys.len() == limit or (end.len != 0 and !std.mem.lessThan(u8, entry.key, end))) break;
            keys.push(entry.key);
            values.push(entry.value);
        }
        return .{ .keys = keys.done(), .values = values.done() };
    }

    fn time(clock: Clock, keys: Column, name: []const u8, due: ?[]const i64) void {
        asked += 1;
        for (0..keys.len()) |index| {
            const key = keys.item(index);
            for (timers.items, 0..) |timer, at| {
                if (timer.clock != clock or !std.mem.eql(u8, timer.name, name) or !same(timer.key, key)) continue;
                _ = timers.orderedRemove(at);
                break;
            }
            const times = due orelse continue;
            timers.append(memory.allocator(), .{ .clock = clock, .key = key, .name = name, .due = times[index] }) catch memory.full();
        }
    }

    fn same(one: ?[]const u8, other: ?[]const u8) bool {
        return std.mem.eql(u8, one orelse return other == null, other orelse return false);
    }
};
