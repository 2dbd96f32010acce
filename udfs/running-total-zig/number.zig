//! Exact decimal numbers of up to nine decimals. No floats, whose sums depend on the order; nothing is rounded.

const std = @import("std");
const millstream = @import("millstream");

const decimals_max = 9;
const one = std.math.pow(u128, 10, decimals_max);
/// Digits that fit an u64 always: the usual case, without the slow arithmetic of 128 bits.
const short = 19;

pub const Number = struct {
    /// In units of the last decimal.
    units: i128 = 0,

    pub const Wrong = error{ IsNone, HasManyDigits, HasManyDecimals, IsLarge };

    /// What is wrong, in words that follow what it is wrong with.
    pub fn reason(wrong: Wrong) []const u8 {
        return switch (wrong) {
            error.IsNone => "is not a number",
            error.HasManyDigits => "has too many digits",
            error.HasManyDecimals => "has more than 9 decimals",
            error.IsLarge => "is too large",
        };
    }

    /// Reads a JSON number.
    pub fn parse(text: []const u8) Wrong!Number {
        const at_exponent = std.mem.indexOfAny(u8, text, "eE");
        const digits = text[0 .. at_exponent orelse text.len];
        const point = std.mem.indexOfScalar(u8, digits, '.');
        const fraction = if (point) |at| digits[at + 1 ..] else "";
        const signed = digits[0 .. point orelse digits.len];
        const negative = signed.len != 0 and signed[0] == '-';
        const whole = signed[@intFromBool(negative)..];
        if (whole.len == 0) return error.IsNone;
        for ([_][]const u8{ whole, fraction }) |part| {
            for (part) |byte| if (!std.ascii.isDigit(byte)) return error.IsNone;
        }
        var units = try digitsOf(whole, fraction);
        if (units == 0) return .{};
        const exponent: i64 = if (at_exponent) |at| try exponentOf(text[at + 1 ..]) else 0;
        var shift = decimals_max + exponent - @as(i64, @intCast(fraction.len));
        // Ends early: units are not 0, so that they leave the range or the whole numbers.
        while (shift > 0) : (shift -= 1) units = std.math.mul(i128, units, 10) catch return error.IsLarge;
        while (shift < 0) : (shift += 1) {
            if (@rem(units, 10) != 0) return error.HasManyDecimals;
            units = @divExact(units, 10);
        }
        return .{ .units = if (negative) -units else units };
    }

    /// The sum; null when it is out of range.
    pub fn plus(self: Number, other: Number) ?Number {
        return .{ .units = std.math.add(i128, self.units, other.units) catch return null };
    }

    /// Decimal text.
    pub fn print(self: Number, into: *millstream.Buffer) void {
        const magnitude = @abs(self.units);
        into.print("{s}{d}", .{ if (self.units < 0) "-" else "", magnitude / one });
        var rest: u64 = @intCast(magnitude % one);
        if (rest == 0) return;
        var digits: usize = decimals_max;
        while (rest % 10 == 0) : (rest /= 10) digits -= 1;
        into.print(".{[rest]d:0>[digits]}", .{ .rest = rest, .digits = digits });
    }
};

/// Digits before and behind the point as one number.
fn digitsOf(whole: []const u8, fraction: []const u8) Number.Wrong!i128 {
    if (whole.len + fraction.len <= short) {
        var few: u64 = 0;
        for ([_][]const u8{ whole, fraction }) |part| {
            for (part) |digit| few = few * 10 + (digit - '0');
        }
        return few;
    }
    var many: i128 = 0;
    for ([_][]const u8{ whole, fraction }) |part| {
        for (part) |digit| {
            many = std.math.mul(i128, many, 10) catch return error.HasManyDigits;
            many = std.math.add(i128, many, digit - '0') catch return error.HasManyDigits;
        }
    }
    return many;
}

/// With a sign or without.
fn exponentOf(text: []const u8) Number.Wrong!i64 {
    const digits = if (text.len != 0 and (text[0] == '+' or text[0] == '-')) text[1..] else text;
    for (digits) |digit| if (!std.ascii.isDigit(digit)) return error.IsNone;
    return std.fmt.parseInt(i32, text, 10) catch error.IsNone;
}

fn shown(text: []const u8) Number.Wrong![]const u8 {
    var into: millstream.Buffer = .{};
    (try Number.parse(text)).print(&into);
    return into.slice();
}

test "numbers are read and written without rounding" {
    defer millstream.memory.reset();
    const cases = [_][2][]const u8{
        .{ "0", "0" },
        .{ "-0.0", "0" },
        .{ "0e999999999999", "0" },
        .{ "12", "12" },
        .{ "-12.50", "-12.5" },
        .{ "-0.25", "-0.25" },
        .{ "0.000000010", "0.00000001" },
        .{ "1.5e3", "1500" },
        .{ "1.5e+3", "1500" },
        .{ "15E-1", "1.5" },
        .{ "1000e-9", "0.000001" },
        .{ "0.1234567890", "0.123456789" },
        .{ "9999999999999999999", "9999999999999999999" },
        .{ "-12345678901234567890.5", "-12345678901234567890.5" },
        .{ "170141183460469231731687303715", "170141183460469231731687303715" },
        .{ "170141183460469231731687303715.884105727", "170141183460469231731687303715.884105727" },
    };
    for (cases) |case| try std.testing.expectEqualStrings(case[1], try shown(case[0]));
}

test "what is no number or does not fit is refused" {
    const cases = [_]struct { []const u8, Number.Wrong }{
        .{ "", error.IsNone },
        .{ "-", error.IsNone },
        .{ "--1", error.IsNone },
        .{ "\"1\"", error.IsNone },
        .{ "true", error.IsNone },
        .{ "1.5x", error.IsNone },
        .{ "1e", error.IsNone },
        .{ "1e99999999999", error.IsNone },
        .{ "0.0000000001", error.HasManyDecimals },
        .{ "1e-99999", error.HasManyDecimals },
        .{ "1e30", error.IsLarge },
        .{ "1e2147483647", error.IsLarge },
        .{ "170141183460469231731687303716", error.IsLarge },
        .{ "-1701411834604692317316873037159", error.IsLarge },
        .{ "9999999999999999999999999999999999999999", error.HasManyDigits },
    };
    for (cases) |case| try std.testing.expectError(case[1], Number.parse(case[0]));
}

test "a sum that does not fit is none" {
    const tenth = try Number.parse("0.1");
    try std.testing.expectEqual(2 * tenth.units, tenth.plus(tenth).?.units);
    try std.testing.expectEqual(null, (Number{ .units = std.math.maxInt(i128) }).plus(tenth));
}
