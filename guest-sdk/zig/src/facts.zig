//! What the host knows about the records of a call beside the records: headers, stream times, windows, inputs. Not a store,
//! and nothing that changes while a call runs.
//!
//! Each is fetched when it is first asked for, once a call. A function that never asks does not even import it. Natively
//! there is nothing but what a test gives.

const std = @import("std");
const builtin = @import("builtin");
const columns = @import("columns.zig");
const memory = @import("memory.zig");
const record = @import("record.zig");
const Option = columns.Option;
const Slice = columns.Slice;

const Windows = extern struct { starts: Slice(i64), ends: Slice(i64) };

/// The host's answers, in the layout of the canonical ABI.
const host = if (builtin.target.cpu.arch.isWasm()) struct {
    extern "millstream:udf/context@0.1.0" fn headers(into: *Option(columns.Headers)) void;
    extern "millstream:udf/context@0.1.0" fn @"stream-times"(into: *Slice(i64)) void;
    extern "millstream:udf/context@0.1.0" fn windows(into: *Option(Windows)) void;
    extern "millstream:udf/context@0.1.0" fn inputs(into: *Option(Slice(u32))) void;
} else struct {
    fn headers(into: *Option(columns.Headers)) void {
        into.* = .{};
    }
    fn @"stream-times"(into: *Slice(i64)) void {
        into.* = .of(&.{});
    }
    fn windows(into: *Option(Windows)) void {
        into.* = .{};
    }
    fn inputs(into: *Option(Slice(u32))) void {
        into.* = .{};
    }
};

/// What is asked for once.
fn Once(comptime T: type) type {
    return union(enum) {
        unasked,
        is: T,

        fn of(self: *@This(), comptime ask: anytype) *const T {
            if (self.* == .unasked) {
                self.* = .{ .is = undefined };
                ask(&self.is);
            }
            return &self.is;
        }
    };
}

/// The facts of a call.
pub const Facts = struct {
    headers_of: Once(Option(columns.Headers)) = .unasked,
    stream_times: Once(Slice(i64)) = .unasked,
    windows: Once(Option(Windows)) = .unasked,
    inputs: Once(Option(Slice(u32))) = .unasked,

    /// What a test says about its records.
    pub const Given = struct {
        headers: ?[]const []const record.Header = null,
        stream_times: []const i64 = &.{},
        windows: ?[]const record.Window = null,
        inputs: ?[]const u32 = null,
    };

    pub fn given(facts: Given) Facts {
        var headers_of: ?columns.Headers = null;
        if (facts.headers) |all| {
            var made: columns.HeadersOut = .open();
            for (all) |headers_of_one| {
                made.begin();
                for (headers_of_one) |header| made.push(header);
            }
            headers_of = made.done();
        }
        var windows: ?Windows = null;
        if (facts.windows) |all| {
            const starts = memory.alloc(i64, all.len);
            const ends = memory.alloc(i64, all.len);
            for (all, starts, ends) |one, *start, *end| {
                start.* = one.start;
                end.* = one.end;
            }
            windows = .{ .starts = .of(starts), .ends = .of(ends) };
        }
        return .{
            .headers_of = .{ .is = .of(headers_of) },
            .stream_times = .{ .is = .of(facts.stream_times) },
            .windows = .{ .is = .of(windows) },
            .inputs = .{ .is = .of(if (facts.inputs) |all| .of(all) else null) },
        };
    }

    /// None when no record has any.
    pub fn headers(self: *Facts) ?*const columns.Headers {
        const all = self.headers_of.of(host.headers);
        return if (all.there != 0) &all.value else null;
    }

    pub fn streamTime(self: *Facts, index: usize) ?i64 {
        const all = self.stream_times.of(host.@"stream-times").slice();
        return if (index < all.len) all[index] else null;
    }

    pub fn window(self: *Facts, index: usize) ?record.Window {
        const all = self.windows.of(host.windows);
        if (all.there == 0) return null;
        const starts = all.value.starts.slice();
        const ends = all.value.ends.slice();
        return if (index < starts.len and index < ends.len) .{ .start = starts[index], .end = ends[index] } else null;
    }

    pub fn input(self: *Facts, index: usize) u32 {
        const all = self.inputs.of(host.inputs);
        if (all.there == 0) return 0;
        const of = all.value.slice();
        return if (index < of.len) of[index] else 0;
    }
};
