//! Millstream functions in Zig: written on single records, run on columns underneath. Version 0.1.0, for contract 0.1.0.
//!
//! `comptime { millstream.exportFilter(onlyIp); }` exports a function for WebAssembly, and nothing natively, so that
//! `zig test` runs a function's tests. Not here: headers, settings, stores, timers.
//!
//! SPDX-License-Identifier: Apache-2.0

const std = @import("std");
const builtin = @import("builtin");
const run = @import("run.zig");
const columns = @import("columns.zig");
pub const memory = @import("memory.zig");

pub const Record = columns.Record;
pub const Group = columns.Group;
pub const Output = run.Output;
pub const Buffer = memory.Buffer;
pub const Error = run.Error;
pub const refuse = run.refuse;
pub const refused = run.refused;
pub const testing = @import("testing.zig");

const is_wasm = builtin.target.cpu.arch.isWasm();

pub const Level = enum(i32) { trace, debug, info, warn, @"error" };

const host = if (is_wasm) struct {
    extern "millstream:udf/log@0.1.0" fn write(level: i32, text: [*]const u8, len: usize) void;
} else struct {};

/// A line for the host's log, as std.fmt has it; natively to standard error. A host may drop lines.
pub fn log(level: Level, comptime format: []const u8, arguments: anytype) void {
    if (is_wasm) {
        var line: Buffer = .{};
        line.print(format, arguments);
        host.write(@intFromEnum(level), line.slice().ptr, line.len());
    } else {
        std.debug.print("{t}: " ++ format ++ "\n", .{level} ++ arguments);
    }
}

fn panicked(message: []const u8, _: ?usize) noreturn {
    if (is_wasm) host.write(@intFromEnum(Level.@"error"), message.ptr, message.len);
    @trap();
}

/// `pub const panic = millstream.panic;` in the function's file: the message of a panic goes to the log before the trap.
pub const panic = if (is_wasm) std.debug.FullPanic(panicked) else std.debug.FullPanic(std.debug.defaultPanic);

/// 0 and what is asked for, or 1 and why not.
fn Answer(comptime T: type) type {
    return extern struct {
        failed: u8,
        is: extern union { given: T, reason: columns.Slice(u8) },

        fn of(given: Error!T) *@This() {
            const answer = memory.create(@This());
            if (given) |it| {
                answer.* = .{ .failed = 0, .is = .{ .given = it } };
            } else |_| {
                answer.* = .{ .failed = 1, .is = .{ .reason = .of(refused()) } };
            }
            return answer;
        }
    };
}

comptime {
    if (is_wasm) {
        std.debug.assert(@sizeOf(Answer(columns.OutputColumns)) == 168);
        std.debug.assert(@sizeOf(Answer(columns.Kept)) == 20);
        std.debug.assert(@sizeOf(Answer(columns.Folded)) == 36);
        std.debug.assert(@sizeOf(columns.Groups) == 80);
        @export(&memory.realloc, .{ .name = "cabi_realloc" });
    }
}

/// Exports a function and its post-return, which frees all memory of the call.
fn exportAs(comptime interface: []const u8, comptime name: []const u8, comptime function: anytype) void {
    const full = "millstream:udf/" ++ interface ++ "@0.1.0#" ++ name;
    const Post = struct {
        fn post(_: usize) callconv(.c) void {
            memory.reset();
        }
    };
    @export(function, .{ .name = full });
    @export(&Post.post, .{ .name = "cabi_post_" ++ full });
}

const Offsets = [*]const u32;
const Bytes = [*]const u8;

fn columnOf(offsets: Offsets, offsets_len: usize, data: Bytes, data_len: usize, valid: Bytes, valid_len: usize) columns.Column {
    return .{
        .offsets = .{ .ptr = offsets, .len = offsets_len },
        .data = .{ .ptr = data, .len = data_len },
        .validity = .{ .ptr = valid, .len = valid_len },
    };
}

/// Exports a filter: `fn (Record) bool`, or `fn (Record) Error!bool`.
pub fn exportFilter(comptime filter: anytype) void {
    if (!is_wasm) return;
    const Exported = struct {
        // The batch in its columns: keys, values, timestamps.
        fn keep(a: Offsets, b: usize, c: Bytes, d: usize, e: Bytes, f: usize, g: Offsets, h: usize, i: Bytes, j: usize, k: Bytes, l: usize, times: [*]const i64, len: usize) callconv(.c) *Answer(columns.Kept) {
            const records: columns.Batch = .{
                .keys = columnOf(a, b, c, d, e, f),
                .values = columnOf(g, h, i, j, k, l),
                .timestamps = .{ .ptr = times, .len = len },
            };
            return .of(run.keep(filter, &records));
        }
    };
    exportAs("filter", "keep", &Exported.keep);
}

/// Exports a mapper: `fn (Record, *Output) void`, or `fn (Record, *Output) Error!void`.
pub fn exportMapper(comptime mapper: anytype) void {
    if (!is_wasm) return;
    const Exported = struct {
        fn apply(a: Offsets, b: usize, c: Bytes, d: usize, e: Bytes, f: usize, g: Offsets, h: usize, i: Bytes, j: usize, k: Bytes, l: usize, times: [*]const i64, len: usize) callconv(.c) *Answer(columns.OutputColumns) {
            const records: columns.Batch = .{
                .keys = columnOf(a, b, c, d, e, f),
                .values = columnOf(g, h, i, j, k, l),
                .timestamps = .{ .ptr = times, .len = len },
            };
            return .of(run.apply(mapper, &records));
        }
    };
    exportAs("mapper", "apply", &Exported.apply);
}

const FoldArguments = extern struct { groups: columns.Groups, records: columns.Batch };

/// Exports an aggregator: a type that is the state of a group. It has `decode([]const u8) Error!State`,
/// `encode(State, *Buffer) void`, `add(*State, Record) Error!void` and `finish(State, Group, *Buffer) bool`, which says
/// whether anything leaves; a new group's state is its default, or of `start(Group) State`; `isGone(State) bool` removes
/// a group. What cannot fail may leave `Error!` out.
pub fn exportAggregator(comptime State: type) void {
    if (!is_wasm) return;
    const Exported = struct {
        fn add(given: *const FoldArguments) callconv(.c) *Answer(columns.Folded) {
            return .of(run.fold(State, State.add, &given.groups, &given.records));
        }
        fn finish(groups: *const columns.Groups) callconv(.c) *Answer(columns.Column) {
            return .of(run.finish(State, groups));
        }
    };
    exportAs("aggregator", "add", &Exported.add);
    exportAs("aggregator", "finish", &Exported.finish);
}

/// Exports the aggregator's `remove(*State, Record) Error!void`, beside it.
pub fn exportRetractor(comptime State: type) void {
    if (!is_wasm) return;
    const Exported = struct {
        fn remove(given: *const FoldArguments) callconv(.c) *Answer(columns.Folded) {
            return .of(run.fold(State, State.remove, &given.groups, &given.records));
        }
    };
    exportAs("retractor", "remove", &Exported.remove);
}

/// Exports the aggregator's `merge(State, State) Error!State`, beside it; the first is the earlier.
pub fn exportMerger(comptime State: type) void {
    if (!is_wasm) return;
    const Exported = struct {
        fn merge(given: *const extern struct { keys: columns.Column, left: columns.Column, right: columns.Column }) callconv(.c) *Answer(columns.Column) {
            return .of(run.merge(State, &given.left, &given.right));
        }
    };
    exportAs("merger", "merge", &Exported.merge);
}

/// Exports the aggregator's layouts, beside it: `current: u32`, the layout it writes; `reads` and `writes`, arrays of
/// others; `migrate([]const u8, old: u32, now: u32, *Buffer) Error!void`.
pub fn exportMigrator(comptime State: type) void {
    if (!is_wasm) return;
    const Exported = struct {
        fn describe() callconv(.c) *columns.Layouts {
            const layouts = memory.create(columns.Layouts);
            layouts.* = .{ .current = State.current, .reads = .of(&State.reads), .writes = .of(&State.writes) };
            return layouts;
        }
        // The store's name, the layouts, the keys, the states.
        fn migrate(_: Bytes, _: usize, old: u32, now: u32, _: Offsets, _: usize, _: Bytes, _: usize, _: Bytes, _: usize, a: Offsets, b: usize, c: Bytes, d: usize, e: Bytes, f: usize) callconv(.c) *Answer(columns.Column) {
            return .of(run.migrate(State, old, now, &columnOf(a, b, c, d, e, f)));
        }
    };
    exportAs("migrator", "describe", &Exported.describe);
    exportAs("migrator", "migrate", &Exported.migrate);
}

test {
    _ = memory;
    _ = columns;
    _ = testing;
}
