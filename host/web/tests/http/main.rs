//! The HTTP API over sockets, with a host that is made up (`fake`). Not what a real host answers: `tests/` drives that.

mod call;
mod description;
mod fake;
mod functions;
mod guards;
mod inside;
mod limits;
mod problems;
mod records;
mod stores;

/// The crate stands alone: what it tells, the host converts.
#[test]
fn it_knows_no_other_crate_of_ours() {
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap();
    assert!(dependencies.contains("axum"));
    assert!(!dependencies.contains("millstream"), "{dependencies}");
}
