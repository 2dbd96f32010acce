//! Address and time of access-log lines: `[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice, Action: Login`. The value
//! is left as it is; what the address looks like is not judged.

const std = @import("std");
const millstream = @import("millstream");
const refuse = millstream.refuse;

pub const panic = millstream.panic;

const Line = struct {
    /// The text after `IP:` up to the next comma.
    ip: []const u8,
    /// The bracketed UTC time, milliseconds since 1970.
    timestamp: i64,
};

fn parse(line: []const u8) millstream.Error!Line {
    if (line.len < 21 or line[0] != '[' or line[20] != ']') {
        return refuse("the line does not start with [YYYY-MM-DD hh:mm:ss]");
    }
    const timestamp = milliseconds(line[1..20]) orelse {
        return refuse("the bracketed time is not a UTC time YYYY-MM-DD hh:mm:ss");
    };
    if (timestamp < 0) return refuse("the bracketed time is before 1970");
    const rest = behindField(line[20..]) orelse return refuse("the line has no field IP");
    const end = std.mem.indexOfScalar(u8, rest, ',') orelse rest.len;
    const ip = std.mem.trim(u8, rest[0..end], " \t\n\x0c\r");
    if (ip.len == 0) return refuse("the field IP is empty");
    return .{ .ip = ip, .timestamp = timestamp };
}

/// What is behind the first `IP:`. For so short a text quicker than std.mem.indexOf, which makes a table for each value.
fn behindField(text: []const u8) ?[]const u8 {
    var from: usize = 0;
    while (std.mem.indexOfScalarPos(u8, text, from, 'I')) |at| : (from = at + 1) {
        if (std.mem.startsWith(u8, text[at..], "IP:")) return text[at + 3 ..];
    }
    return null;
}

/// `YYYY-MM-DD hh:mm:ss` in UTC; leap seconds are not taken.
fn milliseconds(text: *const [19]u8) ?i64 {
    for ([_]usize{ 4, 7, 10, 13, 16 }, "-- ::") |place, mark| {
        if (text[place] != mark) return null;
    }
    const year = number(text[0..4]) orelse return null;
    const month = number(text[5..7]) orelse return null;
    const day = number(text[8..10]) orelse return null;
    const hour = number(text[11..13]) orelse return null;
    const minute = number(text[14..16]) orelse return null;
    const second = number(text[17..19]) orelse return null;
    const leap = @mod(year, 4) == 0 and (@mod(year, 100) != 0 or @mod(year, 400) == 0);
    const days_of_month: i64 = switch (month) {
        2 => if (leap) 29 else 28,
        4, 6, 9, 11 => 30,
        1, 3, 5, 7, 8, 10, 12 => 31,
        else => return null,
    };
    if (day < 1 or day > days_of_month or hour > 23 or minute > 59 or second > 59) return null;
    // Days since 1970 by the civil calendar, counted in years that begin in March.
    const years = if (month > 2) year else year - 1;
    const from_march = if (month > 2) month - 3 else month + 9;
    const before = years * 365 + @divFloor(years, 4) - @divFloor(years, 100) + @divFloor(years, 400);
    const days = before + @divFloor(from_march * 153 + 2, 5) + day - 1 - 719_468;
    return (days * 86_400 + (hour * 60 + minute) * 60 + second) * 1000;
}

fn number(digits: []const u8) ?i64 {
    var sum: i64 = 0;
    for (digits) |digit| {
        if (!std.ascii.isDigit(digit)) return null;
        sum = sum * 10 + (digit - '0');
    }
    return sum;
}

/// Key: the address; time: the bracketed one; value: as it is.
fn extractIp(record: millstream.Record, out: *millstream.Output) millstream.Error!void {
    const line = try parse(record.valueOrEmpty());
    out.emit(line.ip, record.value, line.timestamp);
}

comptime {
    millstream.exportMapper(extractIp);
}

test "the value column is not sent" {
    const value = "[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice, Action: Login";
    const output = millstream.testing.apply(extractIp, &.{.{ .value = value }});
    try std.testing.expectEqualStrings("192.168.1.1", output.keys.value.item(0).?);
    try std.testing.expectEqual(1_619_879_400_000, output.timestamps.value.ptr[0]);
    try std.testing.expectEqual(0, output.values.there | output.sources.there);
}

test "times of the civil calendar" {
    const cases = .{
        .{ "1970-01-01 00:00:00", 0 },
        .{ "0000-01-01 00:00:00", -62_167_219_200_000 },
        .{ "9999-12-31 23:59:59", 253_402_300_799_000 },
        .{ "2000-02-29 23:59:59", 951_868_799_000 },
        .{ "2024-03-01 00:00:00", 1_709_251_200_000 },
        .{ "1900-02-29 00:00:00", null },
        .{ "2021-13-01 00:00:00", null },
        .{ "2021-05-01 24:00:00", null },
        .{ "2021-05-0x 10:00:00", null },
        .{ "2021-05-01T10:00:00", null },
    };
    inline for (cases) |case| try std.testing.expectEqual(@as(?i64, case[1]), milliseconds(case[0]));
}

test "a line that does not parse says why" {
    const cases = [_][2][]const u8{
        .{ "", "the line does not start with [YYYY-MM-DD hh:mm:ss]" },
        .{ "[2021-05-01 14:30:00", "the line does not start with [YYYY-MM-DD hh:mm:ss]" },
        .{ "[2021-05-32 14:30:00] IP: ::1", "the bracketed time is not a UTC time YYYY-MM-DD hh:mm:ss" },
        .{ "[1969-12-31 23:59:59] IP: ::1", "the bracketed time is before 1970" },
        .{ "[2021-05-01 14:30:00] User: Alice", "the line has no field IP" },
        .{ "[2021-05-01 14:30:00] IP: , User: Alice", "the field IP is empty" },
    };
    for (cases) |case| {
        try std.testing.expectError(error.Refused, parse(case[0]));
        try std.testing.expectEqualStrings(case[1], millstream.refused());
    }
}
