//! A processor with two stores and their migrator, and nothing else: a function without an aggregator may change its layout. For
//! what it exports; not for `zig test`.

const std = @import("std");
const millstream = @import("millstream");

pub const panic = millstream.panic;

/// Keeps the first value of each key, and the last one.
fn heard(record: millstream.Record, _: *millstream.Output, call: *millstream.Call) millstream.Error!void {
    const key = record.key orelse return millstream.refuse("a record without a key belongs to nobody");
    if (call.store("first").get(key) == null) call.store("first").put(key, record.valueOrEmpty());
    call.store("last").put(key, record.valueOrEmpty());
}

/// Layout 1 has in `first` the key and a colon before the value; `last` is as it was.
const Values = struct {
    pub const current = 1;
    pub const reads = [_]u32{0};
    pub const writes = [_]u32{};

    pub fn migrate(stored: millstream.Stored, _: u32, _: u32, into: *millstream.Buffer) millstream.Error!void {
        if (std.mem.eql(u8, stored.store, "first")) {
            into.print("{s}:", .{stored.key orelse ""});
        } else if (!std.mem.eql(u8, stored.store, "last")) {
            return millstream.refuse("there are two stores, first and last");
        }
        into.pushAll(stored.state);
    }
};

comptime {
    millstream.exportProcessor(heard);
    millstream.exportMigrator(Values);
}
