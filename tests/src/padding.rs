//! Components that are larger, or others, than the samples: the same code with a section that nobody reads. Not a way to make components.

use std::path::Path;

/// Id of a section that nobody reads.
const CUSTOM: u8 = 0;

/// Writes the component `from` to `to` with so many bytes besides, which no compression makes less of; `seed` says which.
///
/// # Errors
/// Those of the files.
pub fn pad(from: &Path, to: &Path, bytes: usize, seed: u64) -> std::io::Result<()> {
    let mut component = std::fs::read(from)?;
    let name = b"padding";
    component.push(CUSTOM);
    leb(&mut component, 1 + name.len() + bytes);
    leb(&mut component, name.len());
    component.extend_from_slice(name);
    let mut state = seed;
    let noise = (0..bytes.div_ceil(8)).flat_map(|_| {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    });
    component.extend(noise.take(bytes));
    std::fs::write(to, component)
}

/// A length as WebAssembly writes it.
fn leb(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let (low, rest) = ((value & 0x7f) as u8, value >> 7);
        if rest == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
        value = rest;
    }
}
