//! Memory of a call: an arena that each of the host's calls starts anew, and bytes that grow in it. When there is no more,
//! the function traps, and the host counts it as out of memory.

const std = @import("std");
const builtin = @import("builtin");

const backing = if (builtin.target.cpu.arch.isWasm()) std.heap.wasm_allocator else std.heap.page_allocator;
var arena = std.heap.ArenaAllocator.init(backing);

/// What is taken from this lives as long as the instance.
pub const lasting = backing;

/// What is taken from this lives until the call ends; nothing has to be freed.
pub fn allocator() std.mem.Allocator {
    return arena.allocator();
}

/// `len` items until the call ends, not zeroed.
pub fn alloc(comptime T: type, len: usize) []T {
    return allocator().alloc(T, len) catch full();
}

pub fn create(comptime T: type) *T {
    return allocator().create(T) catch full();
}

/// Gives all memory of the call back, for the next. The exports do this by themselves; for tests.
pub fn reset() void {
    _ = arena.reset(.retain_capacity);
}

/// What was taken until now stays for ever: what a function learned when it was started. Once an instance.
pub fn keep() void {
    arena = std.heap.ArenaAllocator.init(backing);
}

pub fn full() noreturn {
    @trap();
}

/// How the host puts arguments into this memory. The contract asks for places that are aligned to 8 at most.
pub fn realloc(old: ?[*]u8, old_len: usize, alignment: usize, len: usize) callconv(.c) [*]u8 {
    if (len == 0) return @ptrFromInt(alignment);
    const made = allocator().alignedAlloc(u8, .@"8", len) catch full();
    if (old) |from| @memcpy(made[0..@min(old_len, len)], from[0..@min(old_len, len)]);
    return made.ptr;
}

/// Items that grow; of bytes, also text.
pub fn List(comptime T: type) type {
    return struct {
        items: std.ArrayList(T) = .empty,

        const Self = @This();

        pub fn withCapacity(count: usize) Self {
            return .{ .items = std.ArrayList(T).initCapacity(allocator(), count) catch full() };
        }

        pub fn push(self: *Self, item: T) void {
            self.items.append(allocator(), item) catch full();
        }

        pub fn pushAll(self: *Self, items: []const T) void {
            self.items.appendSlice(allocator(), items) catch full();
        }

        pub fn pushMany(self: *Self, item: T, count: usize) void {
            self.items.appendNTimes(allocator(), item, count) catch full();
        }

        /// A number of bytes, the low one first.
        pub fn pushInt(self: *Self, comptime Int: type, number: Int) void {
            var bytes: [@sizeOf(Int)]u8 = undefined;
            std.mem.writeInt(Int, &bytes, number, .little);
            self.pushAll(&bytes);
        }

        /// Text, as std.fmt has it.
        pub fn print(self: *Self, comptime format: []const u8, arguments: anytype) void {
            self.pushAll(std.fmt.allocPrint(allocator(), format, arguments) catch full());
        }

        pub fn len(self: *const Self) usize {
            return self.items.items.len;
        }

        /// Forgets what is behind the first `count`.
        pub fn cut(self: *Self, count: usize) void {
            if (count < self.len()) self.items.shrinkRetainingCapacity(count);
        }

        pub fn slice(self: *const Self) []T {
            return self.items.items;
        }
    };
}

pub const Buffer = List(u8);

test "what a call took is used again" {
    reset();
    const first = alloc(u8, 5000);
    reset();
    try std.testing.expectEqual(first.ptr, alloc(u8, 5000).ptr);
    var text: Buffer = .{};
    text.print("{d} {s}", .{ 7, "a" });
    text.pushInt(u16, 0x0201);
    try std.testing.expectEqualStrings("7 a\x01\x02", text.slice());
    reset();
}

test "what is kept is not taken by the next call" {
    reset();
    const kept = alloc(u8, 5000);
    @memset(kept, 7);
    keep();
    defer reset();
    for (0..3) |_| {
        @memset(alloc(u8, 5000), 0);
        reset();
    }
    try std.testing.expectEqual(7, kept[4999]);
}
