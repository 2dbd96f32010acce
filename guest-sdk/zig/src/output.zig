//! Where a mapper's results go. Not the loop over its records.

const memory = @import("memory.zig");
const columns = @import("columns.zig");
const Facts = @import("facts.zig").Facts;
const Record = @import("record.zig").Record;
const List = memory.List;
const Batch = columns.Batch;
const Column = columns.Column;
const ColumnOut = columns.ColumnOut;

/// Where results go. A column is made only when a result differs from its record; the first that does opens it, and what
/// was before is filled in from the records.
pub const Output = struct {
    records: *const Batch,
    record: usize = 0,
    results: usize = 0,
    port: u32 = 0,
    keys: ?ColumnOut = null,
    values: ?ColumnOut = null,
    timestamps: ?List(i64) = null,
    sources: ?List(u32) = null,
    ports: ?List(u32) = null,
    headers: ?columns.HeadersOut = null,
    /// Where headers are written, those of the records; null when no record has any.
    given_headers: ?*const columns.Headers = null,
    facts: *Facts,

    /// A result. A part that is the record's own, not a copy of it, costs nothing while that column is unchanged.
    pub inline fn emit(self: *Output, key: ?[]const u8, value: ?[]const u8, timestamp: i64) void {
        self.put(&self.keys, &self.records.keys, key);
        self.put(&self.values, &self.records.values, value);
        self.putTime(timestamp);
        self.end();
    }

    /// A result that is the record itself.
    pub fn emitSame(self: *Output) void {
        const own = self.at();
        self.emit(own.key, own.value, own.timestamp);
    }

    /// A result with a new value; key and time stay.
    pub fn emitValue(self: *Output, value: ?[]const u8) void {
        const own = self.at();
        self.emit(own.key, value, own.timestamp);
    }

    /// A result with a new key; value and time stay.
    pub fn emitKey(self: *Output, key: ?[]const u8) void {
        const own = self.at();
        self.emit(key, own.value, own.timestamp);
    }

    /// Sends this record's results from here on to another of the step's outputs, by its place in the list.
    pub fn to(self: *Output, port: u32) void {
        self.port = port;
    }

    /// Adds a header to the result emitted last, behind those it has from its record. Panics when this record has no result
    /// yet.
    pub fn addHeader(self: *Output, name: []const u8, value: ?[]const u8) void {
        self.headersOfLast().push(.{ .name = name, .value = value });
    }

    /// Takes all headers from the result emitted last. Panics when this record has no result yet.
    pub fn clearHeaders(self: *Output) void {
        self.headersOfLast().clearLast();
    }

    inline fn at(self: *const Output) Record {
        return self.records.record(self.record, self.facts);
    }

    fn headersOfLast(self: *Output) *columns.HeadersOut {
        if (self.results == 0 or self.sourceOf(self.results - 1) != self.record) {
            @panic("a header belongs to a result: emit the result first");
        }
        if (self.headers == null) {
            // Here alone the records' headers are asked for, so that who writes none does not import them.
            self.given_headers = self.facts.headers();
            self.headers = .open();
            for (0..self.results) |result| self.passHeaders(self.sourceOf(result));
        }
        return &self.headers.?;
    }

    /// Gives the next result those of a record.
    fn passHeaders(self: *Output, record: usize) void {
        self.headers.?.begin();
        const given = self.given_headers orelse return;
        var all = given.of(record);
        while (all.next()) |header| self.headers.?.push(header);
    }

    fn sourceOf(self: *const Output, result: usize) usize {
        return if (self.sources) |sources| sources.slice()[result] else result;
    }

    inline fn put(self: *Output, made: *?ColumnOut, given: *const Column, item: ?[]const u8) void {
        if (made.* == null) {
            if (same(item, given.item(self.record))) return;
            made.* = .withCapacity(self.records.timestamps.len, given.data.len);
            for (0..self.results) |result| made.*.?.push(given.item(self.sourceOf(result)));
        }
        made.*.?.push(item);
    }

    fn putTime(self: *Output, time: i64) void {
        const given = self.records.timestamps.slice();
        if (self.timestamps == null) {
            if (time == given[self.record]) return;
            self.timestamps = .withCapacity(given.len);
            for (0..self.results) |result| self.timestamps.?.push(given[self.sourceOf(result)]);
        }
        self.timestamps.?.push(time);
    }

    /// Ports, sources and the count: after the columns, which fill in by what was before.
    fn end(self: *Output) void {
        if (self.ports == null and self.port != 0) {
            self.ports = .{};
            self.ports.?.pushMany(0, self.results);
        }
        if (self.ports) |*ports| ports.push(self.port);
        if (self.headers != null) self.passHeaders(self.record);
        if (self.sources == null and self.results != self.record) self.openSources();
        if (self.sources) |*sources| sources.push(@intCast(self.record));
        self.results += 1;
    }

    fn openSources(self: *Output) void {
        self.sources = .withCapacity(self.results + 1);
        for (0..self.results) |result| self.sources.?.push(@intCast(result));
    }

    /// Forgets the results behind the first `results`.
    pub fn forget(self: *Output, results: usize) void {
        if (self.keys) |*keys| keys.cut(results);
        if (self.values) |*values| values.cut(results);
        if (self.timestamps) |*timestamps| timestamps.cut(results);
        if (self.sources) |*sources| sources.cut(results);
        if (self.ports) |*ports| ports.cut(results);
        if (self.headers) |*headers| headers.cut(results);
        self.results = results;
    }

    /// About how many bytes the results take.
    pub fn bytes(self: *const Output) usize {
        return (if (self.keys) |keys| keys.data.len() else 0) + (if (self.values) |values| values.data.len() else 0) +
            (if (self.headers) |headers| headers.bytes() else 0) + @sizeOf(u64) * self.results;
    }

    /// The answer, once so many records are dealt with.
    pub fn done(self: *Output, taken: usize, rejected: columns.Slice(columns.Rejection)) columns.OutputColumns {
        if (self.sources == null and (rejected.len != 0 or self.results != taken)) self.openSources();
        return .{
            .taken = @intCast(taken),
            .sources = .of(if (self.sources) |list| .of(list.slice()) else null),
            .ports = .of(if (self.ports) |list| .of(list.slice()) else null),
            .keys = .of(if (self.keys) |*column| column.done() else null),
            .values = .of(if (self.values) |*column| column.done() else null),
            .timestamps = .of(if (self.timestamps) |list| .of(list.slice()) else null),
            .headers = .of(if (self.headers) |*headers| headers.done() else null),
            .rejected = rejected,
        };
    }
};

/// The record's own bytes, not a copy of them: they can stay where they are.
fn same(left: ?[]const u8, right: ?[]const u8) bool {
    const one = left orelse return right == null;
    const other = right orelse return false;
    return one.len == other.len and (one.len == 0 or one.ptr == other.ptr);
}
