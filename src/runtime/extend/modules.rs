//! The modules of a script: which function a name in an expression means.

use crate::lang::nearest;
use crate::rhai_host::Module;
use crate::runtime::fault::Fault;
use crate::runtime::scope::Fnv;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::rc::Rc;

/// A call of a function that is none of the language's own.
#[derive(Debug)]
pub struct ModuleCall {
    /// As it is written: `name::function` or `function`.
    pub shown: String,
    /// The same in lower case.
    pub key: Box<str>,
    pub arguments: u32,
}

impl ModuleCall {
    pub fn new(written: &str, arguments: u32) -> ModuleCall {
        ModuleCall { shown: written.to_owned(), key: written.to_lowercase().into(), arguments }
    }
}

/// One function of one module.
#[derive(Clone)]
struct Entry {
    module: Rc<Module>,
    function: String,
    arguments: u32,
}

/// The modules that a script has loaded, by the names of their functions. Names have no case, as everywhere in the
/// language.
#[derive(Default)]
pub struct Modules {
    loaded: Vec<(Option<String>, Rc<Module>)>,
    /// `function` and `name::function`, in lower case.
    entries: HashMap<Box<str>, Vec<Entry>, BuildHasherDefault<Fnv>>,
}

impl std::fmt::Debug for Modules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.loaded.iter().map(|(_, module)| module.name())).finish()
    }
}

impl Modules {
    pub fn is_empty(&self) -> bool {
        self.loaded.is_empty()
    }

    /// Takes a module in, in the place of one that was loaded under the same name or from the same file.
    pub fn load(&mut self, name: Option<String>, module: Rc<Module>) -> Result<(), Box<Fault>> {
        if let Some((one, other)) = differ_by_case(&module) {
            return Err(Fault::new(format!("{} has both {one} and {other}", module.name()))
                .help("names of functions have no case in DTCL: rename one, or make it private"));
        }
        let name = name.map(|name| name.to_lowercase());
        let same_name = |known: &Option<String>| known.is_some() && *known == name;
        self.loaded.retain(|(known, loaded)| !same_name(known) && loaded.name() != module.name());
        self.loaded.push((name, module));
        self.entries.clear();
        for (name, module) in &self.loaded {
            for exported in module.exported() {
                let entry = Entry {
                    module: Rc::clone(module),
                    function: exported.name.clone(),
                    arguments: u32::try_from(exported.parameters.len()).unwrap_or(u32::MAX),
                };
                let key = exported.name.to_lowercase();
                if let Some(name) = name {
                    self.entries.entry(format!("{name}::{key}").into()).or_default().push(entry.clone());
                }
                self.entries.entry(key.into()).or_default().push(entry);
            }
        }
        Ok(())
    }

    /// Whether some function has this name, whatever it takes.
    pub fn knows(&self, call: &ModuleCall) -> bool {
        self.entries.contains_key(&call.key)
    }

    /// Whether some function has this name and takes so many arguments.
    pub fn fits(&self, call: &ModuleCall) -> bool {
        let entries = self.entries.get(&call.key).map(Vec::as_slice).unwrap_or_default();
        entries.iter().any(|entry| entry.arguments == call.arguments)
    }

    /// The function that a call means, and its module.
    pub fn find(&self, call: &ModuleCall) -> Result<(Rc<Module>, String), Box<Fault>> {
        let entries = self.entries.get(&call.key).map(Vec::as_slice).unwrap_or_default();
        let mut fitting = entries.iter().filter(|entry| entry.arguments == call.arguments);
        match (fitting.next(), fitting.next()) {
            (Some(entry), None) => Ok((Rc::clone(&entry.module), entry.function.clone())),
            (Some(one), Some(other)) => Err(Fault::new(format!(
                "both {} and {} have a function {}",
                one.module.name(),
                other.module.name(),
                call.shown
            ))
            .help("say which: USE \"<file>\" AS <name>, then name::function(...)")),
            (None, _) => Err(self.missing(call, entries)),
        }
    }

    #[cold]
    fn missing(&self, call: &ModuleCall, entries: &[Entry]) -> Box<Fault> {
        if let Some(entry) = entries.first() {
            let forms: Vec<String> = entry
                .module
                .exported()
                .iter()
                .filter(|exported| exported.name == entry.function)
                .map(crate::rhai_host::Exported::form)
                .collect();
            return Fault::new(format!("{} does not take {} arguments", call.shown, call.arguments))
                .help(format!("{} has {}", entry.module.name(), forms.join(", ")));
        }
        let fault = Fault::new(format!("there is no function {}", call.shown));
        let names = self.entries.keys().map(|key| &**key);
        match nearest(&call.key, names) {
            Some(near) => fault.help(format!("did you mean {near}?")),
            None if self.is_empty() => fault.help("USE \"<file>.rhai\" loads a module of functions"),
            None => {
                let mut names: Vec<&str> = self.entries.keys().map(|key| &**key).collect();
                names.sort_unstable();
                fault.help(format!("functions of the modules: {}", names.join(" ")))
            }
        }
    }
}

/// Two functions that only their case tells apart.
pub(super) fn differ_by_case(module: &Module) -> Option<(&str, &str)> {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for exported in module.exported() {
        let before = seen.insert(exported.name.to_lowercase(), &exported.name);
        if let Some(before) = before.filter(|before| *before != exported.name) {
            return Some((before, &exported.name));
        }
    }
    None
}
