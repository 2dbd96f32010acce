//! What a function may learn of the machine it runs on: nothing, unless its manifest grants it by name. How the guest asks is
//! `wasi`'s matter; not a limit, of which each has a number.

/// Environment variables that one function may be granted.
pub const ENV_NAMES_MAX: usize = 64;

/// Bytes of all names and values that one function may be granted of the environment.
pub const ENV_BYTES_MAX: usize = 64 << 10;

/// What is granted to a function. With a clock or chance, records that are handled again may give other results.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Grants {
    /// The machine's wall clock; without it WASI's stands still.
    pub wall_clock: bool,
    /// The machine's random numbers; without them WASI's are the same in each call.
    pub random: bool,
    /// Variables of the environment, by name; without them it is empty.
    pub env: Vec<(String, String)>,
}

impl Grants {
    /// What makes results differ between two runs over the same records, in words for people; empty where nothing does.
    pub fn undetermined(&self) -> Vec<&'static str> {
        let each = [(self.wall_clock, "the wall clock"), (self.random, "random numbers")];
        each.into_iter().filter(|(granted, _)| *granted).map(|(_, what)| what).collect()
    }

    /// What is wrong with them, in words for people.
    pub fn faults(&self) -> Vec<String> {
        let mut out = Vec::new();
        if self.env.len() > ENV_NAMES_MAX {
            out.push(format!("`env` grants {} variables; it can be {ENV_NAMES_MAX}", self.env.len()));
        }
        let bytes: usize = self.env.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > ENV_BYTES_MAX {
            out.push(format!("`env` grants {bytes} bytes of names and values; it can be {ENV_BYTES_MAX}"));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_bounded() {
        let one = |value: &str| ("NAME".to_string(), value.to_string());
        let with = |env| Grants { env, ..Grants::default() }.faults();
        assert_eq!(with(vec![one(""); ENV_NAMES_MAX]), Vec::<String>::new());
        assert_eq!(with(vec![one(""); ENV_NAMES_MAX + 1]), ["`env` grants 65 variables; it can be 64"]);
        assert_eq!(with(vec![one(&"x".repeat(ENV_BYTES_MAX - 4))]), Vec::<String>::new());
        let wrong = "`env` grants 65537 bytes of names and values; it can be 65536";
        assert_eq!(with(vec![one(&"x".repeat(ENV_BYTES_MAX - 3))]), [wrong]);
    }

    #[test]
    fn what_differs_between_runs_is_named() {
        let all = Grants { wall_clock: true, random: true, env: Vec::new() };
        assert_eq!(all.undetermined(), ["the wall clock", "random numbers"]);
        assert!(Grants { env: vec![("A".into(), "b".into())], ..Grants::default() }.undetermined().is_empty());
    }
}
