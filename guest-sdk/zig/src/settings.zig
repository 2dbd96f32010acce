//! Settings of the manifest, and how an instance becomes one of the functions of its file. Not their schema's meaning.

const std = @import("std");
const memory = @import("memory.zig");
const columns = @import("columns.zig");
const run = @import("run.zig");
const Buffer = memory.Buffer;
const Error = run.Error;
const Slice = columns.Slice;

/// A name and a value, in the layout of a tuple of two strings.
pub const Setting = extern struct { name: Slice(u8), value: Slice(u8) };

/// What the manifest gives a function under `config`: text by name; nested values are JSON text. It remembers which settings
/// were asked for, so that one nobody asks for (a slip of the pen) is refused.
pub const Settings = struct {
    given: []const Setting,
    asked: memory.List([]const u8) = .{},

    /// The text of a setting; null when it is not given. It stays for as long as the instance lives.
    pub fn get(self: *Settings, name: []const u8) ?[]const u8 {
        if (!self.isAsked(name)) self.asked.push(name);
        for (self.given) |setting| {
            if (std.mem.eql(u8, setting.name.slice(), name)) return setting.value.slice();
        }
        return null;
    }

    /// The text of a setting that must be given.
    pub fn required(self: *Settings, name: []const u8) Error![]const u8 {
        return self.get(name) orelse refused("the setting `{s}` is missing", .{name});
    }

    /// A whole number; null when it is not given.
    pub fn int(self: *Settings, comptime Int: type, name: []const u8) Error!?Int {
        const text = self.get(name) orelse return null;
        return std.fmt.parseInt(Int, text, 10) catch refused(
            "the setting `{s}` is `{s}`: a whole number from {d} to {d} is wanted",
            .{ name, text, std.math.minInt(Int), std.math.maxInt(Int) },
        );
    }

    fn isAsked(self: *const Settings, name: []const u8) bool {
        for (self.asked.slice()) |known| {
            if (std.mem.eql(u8, known, name)) return true;
        }
        return false;
    }

    fn allKnown(self: *const Settings) Error!void {
        for (self.given) |setting| {
            const name = setting.name.slice();
            if (self.isAsked(name)) continue;
            if (self.asked.len() == 0) return refused("it takes no settings, and `{s}` was given", .{name});
            return refused("there is no setting `{s}`; there are {s}", .{ name, quoted(self.asked.slice()) });
        }
    }
};

/// The interfaces of the contract that can answer for a function.
pub const Interface = enum { filter, mapper, router, aggregator, retractor, scanner, merger, migrator, joiner, processor, @"on-timer" };

/// One function of a file.
pub const Function = struct {
    /// By this a manifest picks it.
    name: []const u8,
    /// Those of the exported ones that answer for it.
    interfaces: []const Interface,
    /// A line for people.
    summary: []const u8 = "",
    /// JSON Schema of its settings; empty: it takes none.
    settings_schema: []const u8 = "",
    /// Told its settings before the first record. What it takes from `memory`, and what the settings point to, stays for as
    /// long as the instance lives. An error refuses the version.
    start: *const fn (*Settings) Error!void = withoutSettings,
};

fn withoutSettings(_: *Settings) Error!void {}

fn refused(comptime format: []const u8, arguments: anytype) Error {
    var why: Buffer = .{};
    why.print(format, arguments);
    return run.refuse(why.slice());
}

fn quoted(names: []const []const u8) []const u8 {
    var text: Buffer = .{};
    for (names, 0..) |name, index| text.print("{s}`{s}`", .{ if (index == 0) "" else ", ", name });
    return text.slice();
}

/// Starts the function `name` of a file; an empty name is the only function of a file with one.
pub fn start(functions: []const Function, name: []const u8, given: []const Setting) Error!void {
    for (functions) |function| {
        if (!(std.mem.eql(u8, function.name, name) or (name.len == 0 and functions.len == 1))) continue;
        var settings: Settings = .{ .given = given };
        try function.start(&settings);
        return settings.allKnown();
    }
    var known: memory.List([]const u8) = .{};
    for (functions) |function| known.push(function.name);
    if (name.len == 0) return refused("which of its functions is meant: {s}?", .{quoted(known.slice())});
    return refused("there is no function `{s}` in this file; there are {s}", .{ name, quoted(known.slice()) });
}

/// A function as the contract has it.
pub const Described = extern struct { name: Slice(u8), interfaces: Slice(Slice(u8)), details: Slice(Setting) };

/// The functions of a file, for those who ask what is in it.
pub fn describe(functions: []const Function) *Slice(Described) {
    var all: memory.List(Described) = .{};
    for (functions) |function| {
        var interfaces: memory.List(Slice(u8)) = .{};
        for (function.interfaces) |interface| interfaces.push(.of(@tagName(interface)));
        var details: memory.List(Setting) = .{};
        for ([_][2][]const u8{ .{ "summary", function.summary }, .{ "settings-schema", function.settings_schema } }) |detail| {
            if (detail[1].len != 0) details.push(.{ .name = .of(detail[0]), .value = .of(detail[1]) });
        }
        all.push(.{ .name = .of(function.name), .interfaces = .of(interfaces.slice()), .details = .of(details.slice()) });
    }
    const list = memory.create(Slice(Described));
    list.* = .of(all.slice());
    return list;
}

const tested = struct {
    const settingsOf = @import("testing.zig").settings;
    var least: u32 = 1;

    fn startLonger(settings: *Settings) Error!void {
        least = try settings.int(u32, "least") orelse 1;
        if (least == 0) return run.refuse("never");
    }

    fn startNamed(settings: *Settings) Error!void {
        _ = try settings.required("name");
    }

    const functions = [_]Function{
        .{ .name = "longer", .interfaces = &.{.filter}, .summary = "Long ones.", .settings_schema = "{}", .start = startLonger },
        .{ .name = "twice", .interfaces = &.{ .mapper, .router } },
        .{ .name = "named", .interfaces = &.{.router}, .start = startNamed },
    };
};

test "a function is started by its name and settings" {
    defer memory.reset();
    try start(&tested.functions, "longer", tested.settingsOf(&.{.{ "least", "3" }}));
    try std.testing.expectEqual(3, tested.least);
    try start(tested.functions[0..1], "", tested.settingsOf(&.{}));
    try std.testing.expectEqual(1, tested.least);
    try start(&tested.functions, "twice", tested.settingsOf(&.{}));
}

test "what cannot start says why" {
    defer memory.reset();
    const cases = [_]struct { []const u8, []const [2][]const u8, []const u8 }{
        .{ "longer", &.{.{ "last", "3" }}, "there is no setting `last`; there are `least`" },
        .{ "longer", &.{.{ "least", "x" }}, "the setting `least` is `x`: a whole number from 0 to 4294967295 is wanted" },
        .{ "longer", &.{.{ "least", "0" }}, "never" },
        .{ "twice", &.{.{ "least", "3" }}, "it takes no settings, and `least` was given" },
        .{ "named", &.{}, "the setting `name` is missing" },
        .{ "shorter", &.{}, "there is no function `shorter` in this file; there are `longer`, `twice`, `named`" },
        .{ "", &.{}, "which of its functions is meant: `longer`, `twice`, `named`?" },
    };
    for (cases) |case| {
        try std.testing.expectError(error.Refused, start(&tested.functions, case[0], tested.settingsOf(case[1])));
        try std.testing.expectEqualStrings(case[2], run.refused());
    }
}

test "functions describe themselves" {
    defer memory.reset();
    const all = describe(&tested.functions).slice();
    try std.testing.expectEqual(3, all.len);
    try std.testing.expectEqualStrings("longer", all[0].name.slice());
    try std.testing.expectEqualStrings("settings-schema", all[0].details.slice()[1].name.slice());
    try std.testing.expectEqualStrings("Long ones.", all[0].details.slice()[0].value.slice());
    try std.testing.expectEqual(0, all[1].details.len);
    try std.testing.expectEqualStrings("router", all[1].interfaces.slice()[1].slice());
}
