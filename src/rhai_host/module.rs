//! A Rhai file, compiled once: its functions and constants.

use super::Wrong;
use rhai::{AST, ASTFlags, Engine, FnAccess, Position, Stmt};

/// A function that callers see: not `private`, and no method of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    pub name: String,
    pub parameters: Vec<String>,
}

impl Exported {
    /// A call as a manual prints it.
    pub fn form(&self) -> String {
        format!("{}({})", self.name, self.parameters.join(", "))
    }
}

/// A compiled file.
pub struct Module {
    name: String,
    text: String,
    ast: AST,
    constants: bool,
    exported: Vec<Exported>,
}

impl Module {
    pub(super) fn compile(engine: &Engine, name: &str, text: &str) -> Result<Module, Box<Wrong>> {
        let mut ast = engine.compile(text).map_err(|error| Box::new(Wrong::of_parse(&error, name, text)))?;
        ast.set_source(name);
        for statement in ast.statements() {
            let constant = matches!(statement, Stmt::Var(_, flags, _) if flags.contains(ASTFlags::CONSTANT));
            if !constant && !matches!(statement, Stmt::Noop(_)) {
                return Err(Box::new(Wrong::outside(name, text, statement.position())));
            }
        }
        let mut exported: Vec<Exported> = ast
            .iter_functions()
            .filter(|function| function.access == FnAccess::Public && function.this_type.is_none())
            .map(|function| Exported {
                name: function.name.to_owned(),
                parameters: function.params.iter().map(|name| (*name).to_owned()).collect(),
            })
            .collect();
        exported.sort_by(|a, b| (&a.name, a.parameters.len()).cmp(&(&b.name, b.parameters.len())));
        let constants = !ast.statements().is_empty();
        Ok(Module { name: name.to_owned(), text: text.to_owned(), ast, constants, exported })
    }

    /// The file's name as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its functions by name; those of one name by the number of their parameters.
    pub fn exported(&self) -> &[Exported] {
        &self.exported
    }

    pub(super) fn ast(&self) -> &AST {
        &self.ast
    }

    /// Constants are worked out at the begin of each call.
    pub(super) fn has_constants(&self) -> bool {
        self.constants
    }
}

/// Line and column from 1, if the place is known.
pub(super) fn line_and_column(place: Position) -> Option<(usize, usize)> {
    Some((place.line()?, place.position().unwrap_or(1).max(1)))
}
