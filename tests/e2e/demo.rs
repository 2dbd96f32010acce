//! The demo, as a newcomer types it.

use millstream_tests::host::run;

#[test]
fn the_script_plays_the_whole_story_and_ends() {
    let output = run(&["demo", "--script", "--rate", "4000"]);
    let (said, erred) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{erred}");
    for part in ["192.168.0.1 ", "192.168.0.0/24 ", "millstream rollback", "none lost, none doubled"] {
        assert!(said.contains(part), "`{part}` is missing in:\n{said}");
    }
}
