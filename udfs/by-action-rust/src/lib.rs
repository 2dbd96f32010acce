//! Sends access-log lines to outputs by their action: logins to the first, logouts to the second. What is neither has no
//! output; a manifest may send it on with `otherwise`.

use millstream_sdk::{Output, Record};

/// The line, to the output of its action.
pub fn by_action(record: &Record, out: &mut Output) {
    let value = record.value_or_empty();
    let has = |action: &[u8]| value.windows(action.len()).any(|part| part == action);
    for (port, action) in [&b"Action: Login"[..], b"Action: Logout"].into_iter().enumerate() {
        if has(action) {
            out.port(port as u32);
            return out.emit_same();
        }
    }
}

millstream_sdk::mapper!(by_action);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_goes_to_the_first_output_that_fits() {
        let lines = ["Action: Logout", "Action: View", "Action: Login, then Action: Logout", "Action: Logout"];
        let records = lines.map(|line| Record::of(line.as_bytes())).into_iter().collect();
        let output = millstream_sdk::apply(&by_action, &records);
        assert_eq!((output.sources, output.ports), (Some(vec![0, 2, 3]), Some(vec![1, 0, 1])));
        assert_eq!((output.keys, output.values), (None, None));
    }
}
