//! Rhai under limits: one engine for the modules that scripts USE, and for whatever else runs Rhai later.
//!
//! Invariants: a call ends at its first limit, and that end cannot be caught inside Rhai; nothing of the machine is
//! reachable but what the owner registers (no files, processes, network, `import`, `eval`); whatever goes wrong has its
//! place in the Rhai file. Knows neither the language nor an engine.

mod leash;
mod limits;
mod module;
mod place;
mod text;
mod wrong;

pub use leash::{Leash, Owner};
pub use limits::{BadLimit, Limit, Limits};
pub use module::{Exported, Module};
pub use wrong::{Kind, Wrong};

use rhai::{CallFnOptions, Dynamic, Engine, Scope};
use std::rc::Rc;

/// A Rhai engine with its limits.
pub struct Host {
    engine: Engine,
    leash: Rc<Leash>,
    limits: Limits,
}

impl Host {
    /// An engine that ends what it runs when its owner says so, asked every few steps. `register` adds the functions
    /// that its scripts may call; those that take time look at the leash.
    pub fn new(
        limits: Limits,
        owner: impl Owner + 'static,
        register: impl FnOnce(&mut Engine, &Rc<Leash>),
    ) -> Host {
        let leash = Rc::new(Leash::new(limits.time, Box::new(owner)));
        let mut engine = Engine::new();
        limits.apply(&mut engine);
        // A module is one file, and its text is all that it runs.
        for symbol in ["import", "export", "eval"] {
            engine.disable_symbol(symbol);
        }
        engine.set_strict_variables(true);
        place::follow(&mut engine, &leash);
        text::register(&mut engine);
        leash::register(&mut engine, &leash);
        register(&mut engine, &leash);
        Host { engine, leash, limits }
    }

    /// Makes a module of a text. Nothing of it is run.
    pub fn compile(&self, name: &str, text: &str) -> Result<Module, Box<Wrong>> {
        Module::compile(&self.engine, name, text)
    }

    /// Calls a function of a module. The limits hold for this call alone.
    pub fn call(
        &self,
        module: &Module,
        function: &str,
        arguments: Vec<Dynamic>,
    ) -> Result<Dynamic, Box<Wrong>> {
        self.leash.begin();
        let options = CallFnOptions::new().eval_ast(module.has_constants());
        let mut scope = Scope::new();
        let called = self.engine.call_fn_with_options::<Dynamic>(
            options,
            &mut scope,
            module.ast(),
            function,
            arguments,
        );
        let called = called.map(Dynamic::flatten);
        let fits = |value: Dynamic| self.engine.ensure_data_size_within_limits(&value).map(|()| value);
        let called = called.and_then(fits);
        self.leash.end();
        called.map_err(|error| Box::new(Wrong::of_run(*error, module, &self.leash, &self.limits)))
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

#[cfg(test)]
mod tests;
