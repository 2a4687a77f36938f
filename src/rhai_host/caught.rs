//! A panic inside Rhai is an error of the module, not the end of the program.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is caught.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// What the last caught panic said.
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Sets the flag of this thread back however the call ends.
struct Catching(bool);

impl Drop for Catching {
    fn drop(&mut self) {
        CATCHING.set(self.0);
    }
}

/// Runs it; what it said if it panicked. Nothing is printed then.
pub(super) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    // Once for the process: other threads' panics, and those that nobody catches, go to the hook that was there.
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let caught = CATCHING.try_with(Cell::get).unwrap_or(false);
            if !caught {
                return before(panic);
            }
            let payload = panic.payload();
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            let said = text.unwrap_or("no reason was given").to_owned();
            let _ = SAID.try_with(|place| place.try_borrow_mut().map(|mut place| *place = said));
        }));
    });
    let _flag = Catching(CATCHING.replace(true));
    // The caller drops what the panic may have left half done.
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| SAID.with(RefCell::take))
}
