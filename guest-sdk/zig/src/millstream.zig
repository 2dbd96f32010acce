//! Millstream functions in Zig: written on single records, run on columns underneath. Version 0.1.0, for contract 0.1.0.
//!
//! `comptime { millstream.exportFilter(onlyIp); }` exports a function for WebAssembly, and nothing natively, so that
//! `zig test` runs a function's tests.
//!
//! SPDX-License-Identifier: Apache-2.0

const std = @import("std");
const builtin = @import("builtin");
const run = @import("run.zig");
const columns = @import("columns.zig");
const record = @import("record.zig");
const settings = @import("settings.zig");
const processor_file = @import("processor.zig");
const Facts = @import("facts.zig").Facts;
pub const memory = @import("memory.zig");

pub const Record = record.Record;
pub const Header = record.Header;
pub const Window = record.Window;
pub const Group = record.Group;
pub const Pair = record.Pair;
pub const Route = record.Route;
pub const Stored = record.Stored;
pub const Output = @import("output.zig").Output;
pub const Call = processor_file.Call;
pub const Store = processor_file.Store;
pub const Clock = processor_file.Clock;
pub const Timer = processor_file.Timer;
pub const Settings = settings.Settings;
pub const Function = settings.Function;
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
        std.debug.assert(@sizeOf(Answer(columns.Joined)) == 36);
        std.debug.assert(@sizeOf(Answer(columns.Routed)) == 48);
        std.debug.assert(@sizeOf(Answer(columns.Scanned)) == 60);
        std.debug.assert(@sizeOf(columns.Groups) == 80);
        std.debug.assert(@sizeOf(settings.Described) == 24);
        @export(&memory.realloc, .{ .name = "cabi_realloc" });
    }
}

fn nameOf(comptime interface: []const u8, comptime name: []const u8) []const u8 {
    return "millstream:udf/" ++ interface ++ "@0.1.0#" ++ name;
}

/// Exports a function and its post-return, which frees all memory of the call.
fn exportAs(comptime interface: []const u8, comptime name: []const u8, comptime function: anytype) void {
    const full = nameOf(interface, name);
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

/// Exports a function of a batch, which comes in its columns: keys, values, timestamps.
fn exportOfBatch(comptime interface: []const u8, comptime name: []const u8, comptime Of: type) void {
    const Answered = @typeInfo(@TypeOf(Of.answer)).@"fn".return_type.?;
    const Exported = struct {
        fn call(a: Offsets, b: usize, c: Bytes, d: usize, e: Bytes, f: usize, g: Offsets, h: usize, i: Bytes, j: usize, k: Bytes, l: usize, times: [*]const i64, len: usize) callconv(.c) *Answer(Answered) {
            const records: columns.Batch = .{
                .keys = columnOf(a, b, c, d, e, f),
                .values = columnOf(g, h, i, j, k, l),
                .timestamps = .{ .ptr = times, .len = len },
            };
            var facts: Facts = .{};
            return .of(Of.answer(&records, &facts));
        }
    };
    exportAs(interface, name, &Exported.call);
}

/// Exports a filter: `fn (Record) bool`, or `fn (Record) Error!bool`.
pub fn exportFilter(comptime filter: anytype) void {
    if (!is_wasm) return;
    exportOfBatch("filter", "keep", struct {
        fn answer(records: *const columns.Batch, facts: *Facts) columns.Kept {
            return run.keep(filter, records, facts);
        }
    });
}

/// Exports a mapper: `fn (Record, *Output) void`, or `fn (Record, *Output) Error!void`.
pub fn exportMapper(comptime mapper: anytype) void {
    if (!is_wasm) return;
    exportOfBatch("mapper", "apply", struct {
        fn answer(records: *const columns.Batch, facts: *Facts) columns.OutputColumns {
            return run.apply(mapper, records, facts);
        }
    });
}

/// Exports a router, for sinks: `fn (Record) ?[]const u8`, a topic of the sink's list or pattern, or null, the sink's own
/// topic; or `fn (Record) Route`, which says the partition too, that else is the key's. With or without `Error!`.
pub fn exportRouter(comptime router: anytype) void {
    if (!is_wasm) return;
    exportOfBatch("router", "route", struct {
        fn answer(records: *const columns.Batch, facts: *Facts) columns.Routed {
            return run.route(router, records, facts);
        }
    });
}

/// Exports a processor: `fn (Record, *Output, *Call) void`, or with `Error!`; the call has its stores and timers.
pub fn exportProcessor(comptime processor: anytype) void {
    if (!is_wasm) return;
    exportOfBatch("processor", "process", struct {
        fn answer(records: *const columns.Batch, facts: *Facts) columns.OutputColumns {
            return processor_file.process(processor, records, facts);
        }
    });
}

/// Exports what handles the timers that a processor sets, beside it: `fn (Timer, *Output, *Call) void`, or with `Error!`. Results
/// have the timer's key and its due time unless they are given others.
pub fn exportOnTimer(comptime on_timer: anytype) void {
    if (!is_wasm) return;
    const Exported = struct {
        // The clock, and the timers in their columns: keys, names, times.
        fn fire(clock: Clock, a: Offsets, b: usize, c: Bytes, d: usize, e: Bytes, f: usize, g: Offsets, h: usize, i: Bytes, j: usize, k: Bytes, l: usize, times: [*]const i64, len: usize) callconv(.c) *Answer(columns.OutputColumns) {
            const due: columns.Batch = .{
                .keys = columnOf(a, b, c, d, e, f),
                .values = columnOf(g, h, i, j, k, l),
                .timestamps = .{ .ptr = times, .len = len },
            };
            var facts: Facts = .{};
            return .of(processor_file.fire(on_timer, clock, &due, &facts));
        }
    };
    exportAs("on-timer", "fire", &Exported.fire);
}

/// Exports a joiner: `fn (Pair, *Buffer) bool`, or `fn (Pair, *Buffer) Error!bool`, which writes the value of a pair and says
/// whether there is one; without, it is null, and of two tables the row is gone.
pub fn exportJoiner(comptime joiner: anytype) void {
    if (!is_wasm) return;
    const Exported = struct {
        fn join(given: *const extern struct { keys: columns.Column, left: columns.Column, right: columns.Column }) callconv(.c) *Answer(columns.Joined) {
            return .of(run.join(joiner, &given.keys, &given.left, &given.right));
        }
    };
    exportAs("joiner", "join", &Exported.join);
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
            var facts: Facts = .{};
            return .of(run.fold(State, State.add, &given.groups, &given.records, &facts));
        }
        fn finish(groups: *const columns.Groups) callconv(.c) *Answer(columns.Column) {
            return .of(run.finish(State, groups));
        }
    };
    exportAs("aggregator", "add", &Exported.add);
    exportAs("aggregator", "finish", &Exported.finish);
}

/// Exports a scanner, of the same type, beside an aggregator or without: what `finish` writes leaves after each record.
pub fn exportScanner(comptime State: type) void {
    if (!is_wasm) return;
    const Exported = struct {
        fn scan(given: *const FoldArguments) callconv(.c) *Answer(columns.Scanned) {
            var facts: Facts = .{};
            return .of(run.scan(State, &given.groups, &given.records, &facts));
        }
    };
    exportAs("scanner", "scan", &Exported.scan);
}

/// Exports the aggregator's `remove(*State, Record) Error!void`, beside it.
pub fn exportRetractor(comptime State: type) void {
    if (!is_wasm) return;
    const Exported = struct {
        fn remove(given: *const FoldArguments) callconv(.c) *Answer(columns.Folded) {
            var facts: Facts = .{};
            return .of(run.fold(State, State.remove, &given.groups, &given.records, &facts));
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

/// Exports the layouts of what a function stores, beside an aggregator, a scanner or a processor; of an aggregate the type may be
/// the state's own. It has `current: u32`, the layout that is written; `reads` and `writes`, arrays of others; and
/// `migrate(Stored, old: u32, now: u32, *Buffer) Error!void`, which writes the state in the layout `now`; the key stays as it
/// is. A function has one layout, of all its stores. In a file of several functions these may be variables that `start` sets.
pub fn exportMigrator(comptime Layouts: type) void {
    if (!is_wasm) return;
    const Exported = struct {
        fn describe() callconv(.c) *columns.Layouts {
            const layouts = memory.create(columns.Layouts);
            layouts.* = .{ .current = Layouts.current, .reads = .of(&Layouts.reads), .writes = .of(&Layouts.writes) };
            return layouts;
        }
        // The store's name, the layouts, the keys, the states.
        fn migrate(store: Bytes, store_len: usize, old: u32, now: u32, a: Offsets, b: usize, c: Bytes, d: usize, e: Bytes, f: usize, g: Offsets, h: usize, i: Bytes, j: usize, k: Bytes, l: usize) callconv(.c) *Answer(columns.Column) {
            return .of(run.migrate(Layouts, store[0..store_len], old, now, &columnOf(a, b, c, d, e, f), &columnOf(g, h, i, j, k, l)));
        }
    };
    exportAs("migrator", "describe", &Exported.describe);
    exportAs("migrator", "migrate", &Exported.migrate);
}

const Started = extern struct { failed: u8, reason: columns.Slice(u8) };

/// Exports the file's functions, each with a name, a summary and settings, which it learns before the first record. What
/// answers for them is exported beside this, once an interface.
pub fn exportFunctions(comptime functions: []const Function) void {
    if (!is_wasm) return;
    const Exported = struct {
        var is_started = false;

        fn described() callconv(.c) *columns.Slice(settings.Described) {
            return settings.describe(functions);
        }
        fn start(name: Bytes, name_len: usize, given: [*]const settings.Setting, len: usize) callconv(.c) *Started {
            const started = memory.create(Started);
            const answer = if (is_started) refuse("this instance was started before") else settings.start(functions, name[0..name_len], given[0..len]);
            started.* = if (answer) |_| .{ .failed = 0, .reason = .of("") } else |_| .{ .failed = 1, .reason = .of(refused()) };
            is_started = is_started or started.failed == 0;
            keep_all = started.failed == 0;
            return started;
        }
        var keep_all = false;

        /// What a function that was started has taken stays.
        fn post(_: usize) callconv(.c) void {
            if (keep_all) memory.keep() else memory.reset();
        }
    };
    exportAs("lifecycle", "functions", &Exported.described);
    const full = nameOf("lifecycle", "start");
    @export(&Exported.start, .{ .name = full });
    @export(&Exported.post, .{ .name = "cabi_post_" ++ full });
}

test {
    _ = memory;
    _ = record;
    _ = settings;
    _ = columns;
    _ = testing;
    _ = @import("kinds_test.zig");
    _ = @import("processor_test.zig");
}
