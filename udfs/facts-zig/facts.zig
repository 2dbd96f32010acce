//! Shows what the host says about each record, as the new value; adds a header; and logs a line for a record whose value
//! begins with `log `. For tests of hosts, not for pipelines.

const std = @import("std");
const millstream = @import("millstream");

pub const panic = millstream.panic;

/// `headers a=1 b; stream time 5; window 0..10; input 0`, with what is not there left out.
fn facts(record: millstream.Record, out: *millstream.Output) void {
    const value = record.valueOrEmpty();
    if (std.mem.startsWith(u8, value, "log ")) millstream.log(.info, "{f}", .{std.unicode.fmtUtf8(value["log ".len..])});
    var text: millstream.Buffer = .{};
    text.pushAll("headers");
    var headers = record.headers();
    while (headers.next()) |header| {
        text.print(" {s}", .{header.name});
        if (header.value) |bytes| text.print("={s}", .{bytes});
    }
    if (record.streamTime()) |time| text.print("; stream time {d}", .{time});
    if (record.window()) |window| text.print("; window {d}..{d}", .{ window.start, window.end });
    text.print("; input {d}", .{record.input()});
    out.emitValue(text.slice());
    out.addHeader("seen", "yes");
}

comptime {
    millstream.exportMapper(facts);
}

const testing = millstream.testing;

test "all that is there is shown" {
    defer millstream.memory.reset();
    const none = testing.apply(facts, &.{.{ .value = "lo" }});
    try std.testing.expectEqualStrings("headers; input 0", none.values.value.item(0).?);
    const all = testing.applyWith(facts, &.{.{}}, .{
        .headers = &.{&.{ .{ .name = "a", .value = "1" }, .{ .name = "b" } }},
        .stream_times = &.{5},
        .windows = &.{.{ .start = 0, .end = 10 }},
        .inputs = &.{1},
    });
    try std.testing.expectEqualStrings("headers a=1 b; stream time 5; window 0..10; input 1", all.values.value.item(0).?);
    const headers = &all.headers.value;
    try std.testing.expectEqual(3, headers.names.len());
    try std.testing.expectEqualStrings("seen", headers.names.item(2).?);
    try std.testing.expectEqualStrings("yes", headers.values.item(2).?);
}
