//! The text of a field in a JSON value, by its path. Nothing is built of the value, and only what is on the way to the field is
//! read as text; the rest must be JSON all the same.

const std = @import("std");
const millstream = @import("millstream");
const Buffer = millstream.Buffer;

pub const Error = error{ NotJson, NoField };

/// Of fields of one name the last counts. An empty path: the whole value.
pub fn find(value: []const u8, path: []const []const u8) Error![]const u8 {
    var reader: Reader = .{ .text = value };
    reader.space();
    const found = try reader.pick(path);
    reader.space();
    if (reader.at != value.len) return error.NotJson;
    return found orelse error.NoField;
}

const Reader = struct {
    text: []const u8,
    at: usize = 0,

    fn peek(self: *const Reader) u8 {
        // No JSON has this byte outside of a text.
        return if (self.at < self.text.len) self.text[self.at] else 0;
    }

    fn take(self: *Reader, byte: u8) bool {
        if (self.at >= self.text.len or self.text[self.at] != byte) return false;
        self.at += 1;
        return true;
    }

    fn expect(self: *Reader, byte: u8) Error!void {
        if (!self.take(byte)) return error.NotJson;
    }

    fn space(self: *Reader) void {
        while (std.mem.indexOfScalar(u8, " \t\n\r", self.peek()) != null) self.at += 1;
    }

    /// Reads a value; gives the text of what is at the path.
    fn pick(self: *Reader, path: []const []const u8) Error!?[]const u8 {
        if (path.len == 0) {
            const start = self.at;
            try self.skip();
            return self.text[start..self.at];
        }
        if (self.peek() == '[') return error.NoField;
        if (self.peek() != '{') {
            try self.skip();
            return error.NoField;
        }
        self.at += 1;
        self.space();
        var found: ?[]const u8 = null;
        if (self.take('}')) return found;
        while (true) {
            const same = std.mem.eql(u8, try self.name(), path[0]);
            self.space();
            try self.expect(':');
            self.space();
            if (same) found = try self.pick(path[1..]) else try self.skip();
            self.space();
            if (self.take('}')) return found;
            try self.expect(',');
            self.space();
        }
    }

    /// Skips a value, however deep: what is open is a list, not the stack.
    fn skip(self: *Reader) Error!void {
        var open: Buffer = .{};
        while (true) {
            const byte = self.peek();
            switch (byte) {
                '{', '[' => {
                    self.at += 1;
                    self.space();
                    if (!self.take(byte + 2)) {
                        open.push(byte);
                        if (byte == '{') try self.member();
                        continue;
                    }
                },
                '"' => try self.string(),
                't' => try self.word("true"),
                'f' => try self.word("false"),
                'n' => try self.word("null"),
                else => try self.number(),
            }
            // Behind a value: the end of what is open, as often as it ends here, or the next in it.
            while (true) {
                if (open.len() == 0) return;
                const in = open.slice()[open.len() - 1];
                self.space();
                if (!self.take(in + 2)) {
                    try self.expect(',');
                    self.space();
                    if (in == '{') try self.member();
                    break;
                }
                open.cut(open.len() - 1);
            }
        }
    }

    /// The name of a member that is skipped, up to its value.
    fn member(self: *Reader) Error!void {
        try self.string();
        self.space();
        try self.expect(':');
        self.space();
    }

    fn word(self: *Reader, expected: []const u8) Error!void {
        if (!std.mem.startsWith(u8, self.text[self.at..], expected)) return error.NotJson;
        self.at += expected.len;
    }

    fn digits(self: *Reader) Error!void {
        if (!std.ascii.isDigit(self.peek())) return error.NotJson;
        while (std.ascii.isDigit(self.peek())) self.at += 1;
    }

    fn number(self: *Reader) Error!void {
        _ = self.take('-');
        // A digit behind a zero is nothing that may follow a value.
        if (!self.take('0')) try self.digits();
        if (self.take('.')) try self.digits();
        if (self.take('e') or self.take('E')) {
            if (!self.take('+')) _ = self.take('-');
            try self.digits();
        }
    }

    /// Skips a text.
    fn string(self: *Reader) Error!void {
        try self.expect('"');
        while (self.at < self.text.len) {
            const byte = self.text[self.at];
            self.at += 1;
            if (byte == '"') return;
            if (byte < 0x20) return error.NotJson;
            if (byte != '\\') continue;
            const kind = self.peek();
            self.at += 1;
            if (kind == 'u') _ = try self.hex() else if (std.mem.indexOfScalar(u8, escapes, kind) == null) return error.NotJson;
        }
        return error.NotJson;
    }

    const escapes = "\"\\/bfnrt";
    const escaped = "\"\\/\x08\x0c\n\r\t";

    fn hex(self: *Reader) Error!u21 {
        if (self.text.len - self.at < 4) return error.NotJson;
        var code: u21 = 0;
        for (self.text[self.at..][0..4]) |digit| {
            code = code * 16 + (std.fmt.charToDigit(digit, 16) catch return error.NotJson);
        }
        self.at += 4;
        return code;
    }

    /// A text, without its escapes.
    fn name(self: *Reader) Error![]const u8 {
        const start = self.at;
        try self.string();
        const raw = self.text[start + 1 .. self.at - 1];
        if (!std.unicode.utf8ValidateSlice(raw)) return error.NotJson;
        if (std.mem.indexOfScalar(u8, raw, '\\') == null) return raw;
        var text: Buffer = .{};
        var inner: Reader = .{ .text = raw };
        while (inner.at < raw.len) {
            const byte = raw[inner.at];
            inner.at += 1;
            if (byte != '\\') {
                text.push(byte);
                continue;
            }
            const kind = raw[inner.at];
            inner.at += 1;
            if (std.mem.indexOfScalar(u8, escapes, kind)) |which| text.push(escaped[which]) else try inner.unicode(&text);
        }
        return text.slice();
    }

    /// The character of four digits, or of two times four that are a pair.
    fn unicode(self: *Reader, into: *Buffer) Error!void {
        var code = try self.hex();
        if (code >= 0xd800 and code < 0xdc00) {
            try self.expect('\\');
            try self.expect('u');
            const low = try self.hex();
            if (low < 0xdc00 or low > 0xdfff) return error.NotJson;
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        }
        var bytes: [4]u8 = undefined;
        const len = std.unicode.utf8Encode(code, &bytes) catch return error.NotJson;
        into.pushAll(bytes[0..len]);
    }
};

test "a field is found at its path" {
    defer millstream.memory.reset();
    const value =
        \\ {"a": {"n": 1.50, "m": [2, {}, [], [[{"x":[null,true,false,"\u12aB\\"]}]]]}, "n": "x", "\u006e": 7, "o": {"n": 3}, "\ud83d\ude00/\n": 8 }
    ;
    try std.testing.expectEqualStrings("1.50", try find(value, &.{ "a", "n" }));
    // The last of a name, escapes read.
    try std.testing.expectEqualStrings("7", try find(value, &.{"n"}));
    try std.testing.expectEqualStrings("8", try find(value, &.{"😀/\n"}));
    try std.testing.expectEqualStrings("{\"n\": 3}", try find(value, &.{"o"}));
    try std.testing.expectEqualStrings("12", try find(" 12 \r\n", &.{}));
    try std.testing.expectEqualStrings("1", try find("{\"m\":\"\xff\",\"n\":1}", &.{"n"}));
    for ([_][]const []const u8{ &.{"b"}, &.{ "a", "x" }, &.{ "n", "m" }, &.{ "a", "m", "n" } }) |path| {
        try std.testing.expectError(error.NoField, find(value, path));
    }
    try std.testing.expectError(error.NoField, find("{}", &.{"a"}));
    try std.testing.expectError(error.NoField, find("{\"a\":1,\"a\":2}", &.{ "a", "b" }));
}

test "what is deep is skipped" {
    defer millstream.memory.reset();
    const deep = "[" ** 100_000 ++ "]" ** 100_000;
    try std.testing.expectEqualStrings("1", try find("{\"m\":" ++ deep ++ ",\"n\":1}", &.{"n"}));
    try std.testing.expectError(error.NotJson, find("[" ** 100_000, &.{}));
}

test "what is not JSON is told from what has no field" {
    defer millstream.memory.reset();
    const cases = [_][]const u8{
        "",                " ",                      "x",               "{",                   "{\"a\"",        "{\"a\":",         "{\"a\":1",
        "{\"a\":1,",       "{\"a\":1,}",             "{a:1}",           "{\"a\":1} x",         "{\"a\":01}",    "{\"a\":1.}",      "{\"a\":.5}",
        "{\"a\":-}",       "{\"a\":1e}",             "{\"a\":tru}",     "{\"a\":[1,]}",        "{\"a\":[1 2]}", "{\"a\":{\"b\"}}", "{\"a\":[}",
        "{\"a\":\"",       "{\"a\":\"\n\"}",         "{\"a\":\"\\x\"}", "{\"a\":\"\\u12g4\"}", "{\"a\":\"\\u1", "{\"\xff\":1}",    "{\"\\ud800\":1}",
        "{\"\\udc00\":1}", "{\"\\ud800\\u0041\":1}", "{\"a\":+1}",      "{\"a\":\"\\",
    };
    for (cases) |case| try std.testing.expectError(error.NotJson, find(case, &.{"a"}));
}
