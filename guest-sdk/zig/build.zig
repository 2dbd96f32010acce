//! Makes the module `millstream`, and runs its tests: `zig build test`.

const std = @import("std");

pub fn build(b: *std.Build) void {
    const module = b.addModule("millstream", .{ .root_source_file = b.path("src/millstream.zig") });
    const tested = b.createModule(.{
        .root_source_file = module.root_source_file,
        .target = b.graph.host,
        .optimize = .Debug,
    });
    const tests = b.addTest(.{ .root_module = tested });
    b.step("test", "Runs the tests, natively").dependOn(&b.addRunArtifact(tests).step);
}
