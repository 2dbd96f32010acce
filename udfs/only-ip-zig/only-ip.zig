//! Keeps lines that carry an address. Whether the address is one is not its matter.

const std = @import("std");
const millstream = @import("millstream");

pub const panic = millstream.panic;

/// Whether the value contains `IP:`.
fn onlyIp(record: millstream.Record) bool {
    const value = record.valueOrEmpty();
    var from: usize = 0;
    // For so short a text quicker than std.mem.indexOf, which makes a table for each value.
    while (std.mem.indexOfScalarPos(u8, value, from, 'I')) |at| : (from = at + 1) {
        if (std.mem.startsWith(u8, value[at..], "IP:")) return true;
    }
    return false;
}

comptime {
    millstream.exportFilter(onlyIp);
}

test "lines with an address are kept" {
    try std.testing.expect(onlyIp(.{ .value = "[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice" }));
    try std.testing.expect(onlyIp(.{ .value = "IP:" }));
    for ([_]?[]const u8{ "IP 192.168.1.1", "IP", "", null }) |other| {
        try std.testing.expect(!onlyIp(.{ .value = other }));
    }
}
