//! {{name}}: the key becomes the first word of the value.

const std = @import("std");
const millstream = @import("millstream");

pub const panic = millstream.panic;

/// Refuses a record whose value has no word.
fn firstWord(record: millstream.Record, out: *millstream.Output) millstream.Error!void {
    var words = std.mem.tokenizeScalar(u8, record.valueOrEmpty(), ' ');
    const word = words.next() orelse return millstream.refuse("the value has no word");
    out.emitKey(word);
}

comptime {
    millstream.exportMapper(firstWord);
}

test "the first word becomes the key" {
    const output = millstream.testing.apply(firstWord, &.{ .{ .value = "GET /index.html" }, .{ .value = " " } });
    try std.testing.expectEqualStrings("GET", output.keys.value.item(0).?);
    try std.testing.expectEqual(1, output.rejected.len);
    try std.testing.expectEqualStrings("the value has no word", output.rejected.ptr[0].reason.slice());
}
