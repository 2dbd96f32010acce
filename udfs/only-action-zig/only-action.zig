//! Keeps access-log lines of one action, which the manifest names.

const std = @import("std");
const millstream = @import("millstream");
const Error = millstream.Error;

pub const panic = millstream.panic;

/// How a line of the action ends. Set when the function starts.
var field: []const u8 = "";

fn start(settings: *millstream.Settings) Error!void {
    const action = try settings.required("action");
    var text: millstream.Buffer = .{};
    text.print("Action: {s}", .{action});
    field = text.slice();
}

fn onlyAction(record: millstream.Record) Error!bool {
    return std.mem.endsWith(u8, try record.text(), field);
}

const functions = [_]millstream.Function{.{
    .name = "only-action",
    .summary = "Keeps access-log lines of one action.",
    .interfaces = &.{.filter},
    .settings_schema =
    \\{"type":"object","properties":{"action":{"type":"string"}},"required":["action"],"additionalProperties":false}
    ,
    .start = start,
}};

comptime {
    millstream.exportFilter(onlyAction);
    millstream.exportFunctions(&functions);
}

const testing = millstream.testing;

test "the action is that of the settings" {
    try testing.start(&functions, "only-action", &.{.{ "action", "Logout" }});
    const lines = [_]millstream.Record{ .{ .value = "User: Alice, Action: Login" }, .{ .value = "User: Alice, Action: Logout" }, .{ .value = "\xff" } };
    const kept = testing.keep(onlyAction, &lines);
    try std.testing.expectEqual(0b10, kept.bits.ptr[0]);
    try std.testing.expectEqual(1, kept.rejected.len);
    try std.testing.expectEqualStrings("the value is not UTF-8", kept.rejected.ptr[0].reason.slice());
}

test "without its setting, or with another, it does not start" {
    try std.testing.expectError(error.Refused, testing.start(&functions, "", &.{}));
    try std.testing.expectEqualStrings("the setting `action` is missing", millstream.refused());
    try std.testing.expectError(error.Refused, testing.start(&functions, "", &.{ .{ "action", "a" }, .{ "acton", "b" } }));
    try std.testing.expectEqualStrings("there is no setting `acton`; there are `action`", millstream.refused());
}
