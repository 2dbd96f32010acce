//! `zig build`: {{name}}.wasm; `zig build test`: its tests, natively and as the host would run it.

const std = @import("std");

pub fn build(b: *std.Build) void {
    const program = b.option([]const u8, "millstream", "the program millstream") orelse "millstream";
    const sdk = b.dependency("millstream", .{}).module("millstream");
    const imports: []const std.Build.Module.Import = &.{.{ .name = "millstream", .module = sdk }};
    const source = b.path("src/function.zig");

    const module = b.createModule(.{
        .root_source_file = source,
        .target = b.resolveTargetQuery(.{
            .cpu_arch = .wasm32,
            .os_tag = .freestanding,
            .cpu_model = .{ .explicit = &std.Target.wasm.cpu.generic },
            .cpu_features_add = std.Target.wasm.featureSet(&.{.bulk_memory}),
        }),
        .optimize = .ReleaseFast,
        .imports = imports,
    });
    const core = b.addExecutable(.{ .name = "core", .root_module = module });
    core.entry = .disabled;
    core.rdynamic = true;

    // The module becomes a component.
    const componentize = b.addSystemCommand(&.{ program, "componentize" });
    componentize.addFileArg(core.getEmittedBin());
    componentize.addArg("-o");
    const component = componentize.addOutputFileArg("{{name}}.wasm");
    const install = b.addInstallFile(component, "{{name}}.wasm");
    b.getInstallStep().dependOn(&install.step);

    const native = b.createModule(.{
        .root_source_file = source,
        .target = b.graph.host,
        .optimize = .Debug,
        .imports = imports,
    });
    const cases = b.addSystemCommand(&.{ program, "cases" });
    cases.addFileArg(component);
    cases.addFileArg(b.path("function.cases"));
    const step = b.step("test", "Runs the tests, natively and as the host would run it");
    step.dependOn(&b.addRunArtifact(b.addTest(.{ .root_module = native })).step);
    step.dependOn(&cases.step);
}
