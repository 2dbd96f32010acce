//! The crate's own copy of the contract is the repository's. Where there is no repository around it, it is the release.

use std::{fs, path::Path};

#[test]
fn the_copy_is_the_contract() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copy = fs::read_to_string(folder.join("wit/udf.wit")).unwrap();
    assert!(copy.contains("package millstream:udf@0.1.0;"));
    if let Ok(contract) = fs::read_to_string(folder.join("../wit/udf.wit")) {
        assert!(copy == contract, "guest-sdk/wit/udf.wit differs from wit/udf.wit");
    }
}
