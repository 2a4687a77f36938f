//! Rhai under limits: one engine for the modules that scripts USE, and for whatever else runs Rhai later.
//!
//! Invariants: a call ends at its first limit, and that end cannot be caught inside Rhai; nothing of the machine is
//! reachable but what the owner registers (no files, processes, network, `import`, `eval`); whatever goes wrong has its
//! place in the Rhai file. Knows neither the language nor an engine.

mod caught;
mod leash;
mod limits;
mod module;
mod place;
mod size;
mod text;
mod wrong;

pub use leash::{Leash, Owner};
pub use limits::{BadLimit, Limit, Limits};
pub use module::{Exported, Module};
pub use wrong::{Kind, Unfit, Wrong};

use rhai::{CallFnOptions, Dynamic, Engine, EvalAltResult, Scope};
use std::cell::Cell;
use std::rc::Rc;

/// A Rhai engine with its limits.
pub struct Host {
    engine: Engine,
    leash: Rc<Leash>,
    limits: Limits,
    /// A call panicked: nobody knows what state the engine is in.
    broken: Cell<bool>,
}

impl Host {
    /// An engine that ends what it runs when its owner says so, asked every few steps. `register` adds the functions
    /// that its scripts may call; those that take time look at the leash.
    pub fn new(
        limits: Limits,
        owner: impl Owner + 'static,
        register: impl FnOnce(&mut Engine, &Rc<Leash>),
    ) -> Host {
        let leash = Rc::new(Leash::new(&limits, Box::new(owner)));
        let mut engine = Engine::new();
        limits.apply(&mut engine);
        // A module is one file, and its text is all that it runs. What `curry` binds, no limit counts.
        for symbol in ["import", "export", "eval", "curry"] {
            engine.disable_symbol(symbol);
        }
        engine.set_strict_variables(true);
        place::follow(&mut engine, &leash);
        text::register(&mut engine);
        leash::register(&mut engine, &leash);
        register(&mut engine, &leash);
        Host { engine, leash, limits, broken: Cell::new(false) }
    }

    /// Makes a module of a text. Nothing of it is run.
    pub fn compile(&self, name: &str, text: &str) -> Result<Module, Box<Wrong>> {
        Module::compile(&self.engine, name, text)
    }

    /// Calls a function of a module. The limits hold for this call alone. `take` makes of its value what the caller
    /// wants.
    pub fn call<T>(
        &self,
        module: &Module,
        function: &str,
        arguments: Vec<Dynamic>,
        take: impl FnOnce(Dynamic) -> Result<T, Unfit>,
    ) -> Result<T, Box<Wrong>> {
        self.leash.begin();
        let done = caught::caught(|| self.run(module, function, arguments).map(take));
        self.leash.end();
        let wrong = match done {
            Ok(Ok(Ok(value))) => return Ok(value),
            Ok(Ok(Err(unfit))) => Wrong::of_value(unfit, module, &self.leash),
            Ok(Err(error)) => Wrong::of_run(*error, module, &self.leash, &self.limits),
            Err(message) => {
                self.broken.set(true);
                Wrong::of_panic(&message, module, &self.leash)
            }
        };
        Err(Box::new(wrong))
    }

    fn run(
        &self,
        module: &Module,
        function: &str,
        arguments: Vec<Dynamic>,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        let options = CallFnOptions::new().eval_ast(module.has_constants());
        let mut scope = Scope::new();
        let value: Dynamic =
            self.engine.call_fn_with_options(options, &mut scope, module.ast(), function, arguments)?;
        let value = value.flatten();
        size::check(&self.engine, &value)?;
        Ok(value)
    }

    /// True once a call panicked. Another engine is to take its place; the modules can be kept.
    pub fn is_broken(&self) -> bool {
        self.broken.get()
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

#[cfg(test)]
mod tests;
