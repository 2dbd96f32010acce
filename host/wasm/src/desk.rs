//! The stores and timers of a processor while it is called, lent by the core for the length of one call, and the handles that a
//! guest holds of stores. What may be asked of them, and how much, is the core's matter.

use std::ptr::NonNull;

use millstream_core::function::Hosted;
use wasmtime::Store;

use crate::store::Data;

/// Handles of stores that one instance may hold at once.
pub const STORE_HANDLES_MAX: u32 = 1_024;
/// Names of stores that one instance may have opened in its life.
pub const STORE_NAMES_MAX: usize = 256;
/// Bytes of a store's name.
pub const STORE_NAME_BYTES_MAX: usize = 255;

/// See the module.
#[derive(Default)]
pub(crate) struct Desk {
    lent: Option<NonNull<dyn Hosted>>,
    /// Names of stores, by the numbers that handles have.
    names: Vec<String>,
    handles: u32,
}

// SAFETY: `lent` is set by `lend` alone, which takes it away before it returns; so a store that goes to another thread has none.
unsafe impl Send for Desk {}

impl Desk {
    /// What is lent; none outside of a processor's calls.
    pub(crate) fn host(&mut self) -> wasmtime::Result<&mut dyn Hosted> {
        let Some(lent) = &mut self.lent else {
            let why = "stores and timers are there while `process` or `fire` runs, and at no other time";
            return Err(wasmtime::Error::msg(why));
        };
        // SAFETY: `lend` holds the only reference for as long as it stands here, and gives it to nobody else; the one made here
        // ends with the borrow of the store's data, before another can be made.
        Ok(unsafe { lent.as_mut() })
    }

    /// Opens a store by name, for a handle with the number that it gives; the inner error is the guest's to handle.
    pub(crate) fn open(&mut self, name: &str) -> wasmtime::Result<Result<u32, String>> {
        let cut = |name: &str| name.chars().take(STORE_NAME_BYTES_MAX / 4).collect::<String>();
        // Before the first call nobody knows for which step it will be.
        if name.len() > STORE_NAME_BYTES_MAX || self.host().is_ok_and(|host| host.store(name).is_none()) {
            return Ok(Err(format!("the step has no store `{}`", cut(name))));
        }
        if self.handles == STORE_HANDLES_MAX {
            let why = format!("it holds {STORE_HANDLES_MAX} stores open; open each once and keep it");
            return Err(wasmtime::Error::msg(why));
        }
        let known = self.names.iter().position(|known| known == name);
        if known.is_none() && self.names.len() == STORE_NAMES_MAX {
            return Err(wasmtime::Error::msg(format!("it has opened stores of {STORE_NAMES_MAX} names")));
        }
        self.handles += 1;
        Ok(Ok(known.unwrap_or_else(|| {
            self.names.push(name.to_string());
            self.names.len() - 1
        }) as u32))
    }

    /// A handle is dropped.
    pub(crate) fn close(&mut self) {
        self.handles = self.handles.saturating_sub(1);
    }

    /// What is lent, and the number that it has for the store of a handle.
    pub(crate) fn store(&mut self, handle: u32) -> wasmtime::Result<(u32, &mut dyn Hosted)> {
        let name = self.names.get(handle as usize).cloned().unwrap_or_default();
        let host = self.host()?;
        match host.store(&name) {
            Some(number) => Ok((number, host)),
            None => Err(wasmtime::Error::msg(format!("the step has no store `{name}`"))),
        }
    }
}

/// Lends `host` to an instance while `call` runs.
pub(crate) fn lend<T>(store: &mut Store<Data>, host: &mut dyn Hosted, call: impl FnOnce(&mut Store<Data>) -> T) -> T {
    /// Takes it away again, also when `call` panics.
    struct Back<'s>(&'s mut Store<Data>);
    impl Drop for Back<'_> {
        fn drop(&mut self) {
            self.0.data_mut().desk.lent = None;
        }
    }
    let lent: NonNull<dyn Hosted + '_> = NonNull::from(host);
    // SAFETY: only the lifetime is left out, as a store cannot hold what it does not own; `Back` takes it away before `host` ends.
    let lent: NonNull<dyn Hosted + 'static> = unsafe { std::mem::transmute(lent) };
    let back = Back(store);
    back.0.data_mut().desk.lent = Some(lent);
    call(&mut *back.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_opened_within_limits_and_handles_that_are_dropped_make_room() {
        let mut desk = Desk::default();
        for i in 0..STORE_NAMES_MAX {
            assert_eq!(desk.open(&format!("s{i}")).unwrap(), Ok(i as u32));
        }
        let more = desk.open("one more").unwrap_err().to_string();
        assert_eq!(more, "it has opened stores of 256 names");
        for _ in STORE_NAMES_MAX as u32..STORE_HANDLES_MAX {
            assert_eq!(desk.open("s7").unwrap(), Ok(7), "the same store again");
        }
        assert!(desk.open("s7").unwrap_err().to_string().contains("it holds 1024 stores open"));
        desk.close();
        assert_eq!(desk.open("s7").unwrap(), Ok(7));
    }

    #[test]
    fn a_name_is_bounded_and_a_handle_is_of_no_use_outside_of_a_call() {
        let mut desk = Desk::default();
        assert_eq!(desk.open(&"n".repeat(STORE_NAME_BYTES_MAX)).unwrap(), Ok(0));
        let long = desk.open(&"n".repeat(STORE_NAME_BYTES_MAX + 1)).unwrap().unwrap_err();
        assert_eq!(long, format!("the step has no store `{}`", "n".repeat(STORE_NAME_BYTES_MAX / 4)));
        let outside = desk.store(0).map(|_| ()).unwrap_err().to_string();
        assert_eq!(outside, "stores and timers are there while `process` or `fire` runs, and at no other time");
    }
}
