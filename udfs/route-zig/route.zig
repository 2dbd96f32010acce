//! Sends access-log lines to a topic for each action.

const std = @import("std");
const millstream = @import("millstream");

pub const panic = millstream.panic;

/// `action-login` for a line that ends with `Action: Login`; the sink's own topic for one without an action.
fn byAction(record: millstream.Record) millstream.Error!?[]const u8 {
    const line = try record.text();
    const at = std.mem.lastIndexOf(u8, line, "Action: ") orelse return null;
    const action = std.mem.trim(u8, line[at + "Action: ".len ..], " \t\n\x0c\r");
    if (action.len == 0) return millstream.refuse("the action is empty");
    var topic: millstream.Buffer = .{};
    topic.pushAll("action-");
    // Names of topics are ASCII.
    for (action) |byte| topic.push(std.ascii.toLower(byte));
    return topic.slice();
}

comptime {
    millstream.exportRouter(byAction);
}

test "lines go by their action" {
    defer millstream.memory.reset();
    const lines = [_]millstream.Record{
        .{ .value = "User: Alice, Action: Login" },
        .{ .value = "Action: A, Action: \t Log OUT " },
        .{ .value = "no such thing" },
        .{ .value = "User: Alice, Action: " },
        .{ .value = null },
    };
    const routed = millstream.testing.route(byAction, &lines);
    const topics = [_]?[]const u8{ "action-login", "action-log out", null, null, null };
    for (topics, 0..) |topic, index| try std.testing.expectEqualDeep(topic, routed.topics.item(index));
    try std.testing.expectEqual(0, routed.partitions.there);
    try std.testing.expectEqual(2, routed.rejected.len);
    for (routed.rejected.slice(), [_][]const u8{ "the action is empty", "the record has no value" }) |rejection, reason| {
        try std.testing.expectEqualStrings(reason, rejection.reason.slice());
    }
}
