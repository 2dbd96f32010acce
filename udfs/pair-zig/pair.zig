//! The left and the right value with a comma between; `-` stands for the side that is missing. A value with a comma is
//! refused, as nobody could tell the sides apart; two values that are the same leave nothing.

const std = @import("std");
const millstream = @import("millstream");

pub const panic = millstream.panic;

/// Both sides of a pair.
fn pair(given: millstream.Pair, into: *millstream.Buffer) millstream.Error!bool {
    for ([_]?[]const u8{ given.left, given.right }) |side| {
        if (std.mem.indexOfScalar(u8, side orelse "", ',') != null) return millstream.refuse("a value has a comma");
    }
    if (given.left != null and given.right != null and std.mem.eql(u8, given.left.?, given.right.?)) return false;
    into.pushAll(given.left orelse "-");
    into.push(',');
    into.pushAll(given.right orelse "-");
    return true;
}

comptime {
    millstream.exportJoiner(pair);
}

test "a side that is missing is a dash, and one with a comma is refused" {
    defer millstream.memory.reset();
    const joined = millstream.testing.join(pair, &.{
        .{ .key = "k", .left = "a", .right = "b" },
        .{ .key = "k", .left = "a" },
        .{ .right = "" },
        .{ .key = "k", .left = "a", .right = "a" },
        .{ .key = "k", .left = "a", .right = "b,c" },
    });
    const values = [_]?[]const u8{ "a,b", "a,-", "-,", null, null };
    for (values, 0..) |value, index| try std.testing.expectEqualDeep(value, joined.values.item(index));
    try std.testing.expectEqual(1, joined.rejected.len);
    try std.testing.expectEqualStrings("a value has a comma", joined.rejected.ptr[0].reason.slice());
}
