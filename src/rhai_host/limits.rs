//! How much a call into Rhai may do.

use rhai::Engine;
use std::time::Duration;

/// How deep expressions and blocks of a function may lie in each other.
pub const EXPRESSIONS: usize = 32;

/// The limits of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps: about one for each statement, operator and call.
    pub operations: u64,
    /// Functions that are under way at once.
    pub depth: usize,
    /// Bytes of a string, and of all strings inside one list or map together.
    pub string: usize,
    /// Items of a list, those of lists inside it included.
    pub list: usize,
    /// Entries of a map, those of maps inside it included.
    pub map: usize,
    /// MiB by which the process may grow from a call's first milliseconds on: the net under all that the others do not
    /// count.
    pub memory: u64,
    /// From the call's begin to its end, with all that it waits for.
    pub time: Duration,
}

/// Which limit was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Operations,
    Depth,
    String,
    List,
    Map,
    Memory,
    Time,
}

/// A limit that cannot be set so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadLimit {
    /// It is not `name=number`.
    Form,
    Unknown(String),
    /// The number is not between these.
    Range(Limit),
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            operations: 10_000_000,
            depth: 64,
            string: 1 << 20,
            list: 10_000,
            map: 10_000,
            memory: 512,
            time: Duration::from_secs(30),
        }
    }
}

impl Limit {
    pub const ALL: [Limit; 7] =
        [Limit::Operations, Limit::Depth, Limit::String, Limit::List, Limit::Map, Limit::Memory, Limit::Time];

    /// As it is set.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Operations => "operations",
            Limit::Depth => "depth",
            Limit::String => "string",
            Limit::List => "list",
            Limit::Map => "map",
            Limit::Memory => "memory",
            Limit::Time => "time",
        }
    }

    /// What its number counts.
    pub fn unit(self) -> &'static str {
        match self {
            Limit::Operations => "steps",
            Limit::Depth => "calls inside each other",
            Limit::String => "bytes",
            Limit::List => "items",
            Limit::Map => "entries",
            Limit::Memory => "MiB",
            Limit::Time => "seconds",
        }
    }

    /// The largest number it can be set to; the smallest is 1. Depth costs stack: 4 KiB for each part of an expression
    /// that is under way, of which a function may have [`EXPRESSIONS`] (see [`crate::sys::stack`]).
    pub fn most(self) -> u64 {
        match self {
            Limit::Operations => 1_000_000_000_000,
            Limit::Depth => 200,
            Limit::String => 1 << 30,
            // Each may be a list in a list, which costs stack when it is let go.
            Limit::List | Limit::Map => 100_000,
            Limit::Memory => 1 << 20,
            Limit::Time => 31_536_000,
        }
    }
}

impl Limits {
    /// Sets one of them from `name=number`.
    pub fn set(&mut self, text: &str) -> Result<(), BadLimit> {
        let (name, number) = text.split_once('=').ok_or(BadLimit::Form)?;
        let name = name.trim();
        let limit = Limit::ALL
            .into_iter()
            .find(|limit| limit.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| BadLimit::Unknown(name.to_owned()))?;
        let number = number.trim().parse().ok().filter(|number| (1..=limit.most()).contains(number));
        let number: u64 = number.ok_or(BadLimit::Range(limit))?;
        let count = usize::try_from(number).map_err(|_| BadLimit::Range(limit))?;
        match limit {
            Limit::Operations => self.operations = number,
            Limit::Depth => self.depth = count,
            Limit::String => self.string = count,
            Limit::List => self.list = count,
            Limit::Map => self.map = count,
            Limit::Memory => self.memory = number,
            Limit::Time => self.time = Duration::from_secs(number),
        }
        Ok(())
    }

    /// Lowers the depth to what `stack` bytes have room for, if the greatest depth needs `full`.
    pub fn fit(&mut self, stack: u64, full: u64) {
        let room = Limit::Depth.most() * stack.min(full) / full.max(1);
        self.depth = self.depth.min(usize::try_from(room.max(1)).unwrap_or(1));
    }

    /// The number of one of them, in its unit.
    pub fn number(&self, limit: Limit) -> u64 {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        match limit {
            Limit::Operations => self.operations,
            Limit::Depth => count(self.depth),
            Limit::String => count(self.string),
            Limit::List => count(self.list),
            Limit::Map => count(self.map),
            Limit::Memory => self.memory,
            Limit::Time => self.time.as_secs(),
        }
    }

    pub(super) fn apply(&self, engine: &mut Engine) {
        engine
            .set_max_operations(self.operations)
            .set_max_call_levels(self.depth)
            .set_max_string_size(self.string)
            .set_max_array_size(self.list)
            .set_max_map_size(self.map)
            .set_max_variables(1000)
            .set_max_functions(10_000)
            .set_max_modules(0)
            .set_max_expr_depths(EXPRESSIONS, EXPRESSIONS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_stack_has_room_for_fewer_calls() {
        let depth = |stack| {
            let mut limits = Limits { depth: 200, ..Limits::default() };
            limits.fit(stack, 64);
            limits.depth
        };
        assert_eq!([depth(u64::MAX), depth(64), depth(8), depth(0)], [200, 200, 25, 1]);
    }

    #[test]
    fn limits_are_set_by_name() {
        let mut limits = Limits::default();
        limits.set("operations=5").unwrap();
        limits.set("TIME = 90").unwrap();
        assert_eq!((limits.operations, limits.time), (5, Duration::from_secs(90)));
        assert_eq!(limits.set("time"), Err(BadLimit::Form));
        assert_eq!(limits.set("tme=5"), Err(BadLimit::Unknown("tme".into())));
        assert_eq!(limits.set("depth=0"), Err(BadLimit::Range(Limit::Depth)));
        assert_eq!(limits.set("depth=201"), Err(BadLimit::Range(Limit::Depth)));
        assert_eq!(limits.set("list=many"), Err(BadLimit::Range(Limit::List)));
        for limit in Limit::ALL {
            limits.set(&format!("{}={}", limit.name(), limit.most())).unwrap();
            assert_eq!(limits.number(limit), limit.most());
        }
    }
}
