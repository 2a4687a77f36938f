//! Settings of a machine: one table (`settings.tsv`), `DT.conf`, and typed views for the engine.
//!
//! `DT.conf` holds what differs from the defaults because someone said so. A value is stored at once; those that the
//! table marks for a restart come into force when the settings are loaded the next time. A value in the file that
//! cannot be taken is reported, its default used, and its line left alone.

mod check;
mod conf;
pub mod table;
mod views;

pub use check::BadValue;
pub use views::{
    AutoRemirror, LogSettings, MirrorSettings, OrphanSettings, Overwrite, QueueSettings, RemirrorKind,
    StatisticsSettings, VerifyLogSettings,
};

use super::home::{Home, make_private};
use super::repset::matches_wildcard;
use crate::api::{ApiError, Code, SettingRow, SettingValue};
use crate::nearest::nearest;
use conf::Conf;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use table::{Definition, Effect, Restart};

/// All settings of one engine. Shared; every call locks for a moment only.
#[derive(Debug)]
pub struct Settings {
    home: Home,
    values: RwLock<Values>,
}

/// Values that were set, by the table's name; the others have their default.
#[derive(Clone, Debug, Default)]
struct Values {
    stored: BTreeMap<&'static str, String>,
    /// What was stored when the engine started.
    at_start: BTreeMap<&'static str, String>,
}

/// Settings, and what of `DT.conf` could not be understood, for the log.
pub type Loaded = (Settings, Vec<Problem>);

/// A line of `DT.conf` that is not taken as it stands: one sentence with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub text: String,
    /// It is a port out of its range (event 4045).
    pub is_port: bool,
}

impl Settings {
    /// Reads the home's `DT.conf`; one that does not exist is blank.
    pub fn load(home: &Home) -> Result<Loaded, ApiError> {
        let (stored, problems) = Self::parse(home)?;
        let values = Values { at_start: stored.clone(), stored };
        Ok((Self { home: home.clone(), values: RwLock::new(values) }, problems))
    }

    /// Reads the file once more. What takes effect after a restart only keeps the value that it had at the start.
    pub fn reread(&self) -> Result<Vec<Problem>, ApiError> {
        // Nobody writes the file meanwhile.
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        let (stored, problems) = Self::parse(&self.home)?;
        values.stored = stored;
        Ok(problems)
    }

    fn parse(home: &Home) -> Result<(BTreeMap<&'static str, String>, Vec<Problem>), ApiError> {
        let path = home.settings_file();
        let (conf, problems) = Conf::read(path).map_err(|error| file_error(home, "read", &error))?;
        let mut problems: Vec<(usize, String, bool)> =
            problems.into_iter().map(|p| (p.line, p.text, false)).collect();
        let mut stored = BTreeMap::new();
        for (name, value, line) in conf.entries() {
            let Some(definition) = table::find(name) else {
                let hint = suggestion(name).map(|name| format!("; did you mean {name}?")).unwrap_or_default();
                problems.push((line, format!("there is no option \"{}\"{hint}", name.escape_debug()), false));
                continue;
            };
            match definition.check(value) {
                Ok(value) => {
                    if stored.insert(definition.name, value).is_some() {
                        problems.push((
                            line,
                            format!("{} stands twice; this line counts", definition.name),
                            false,
                        ));
                    }
                }
                Err(bad) => {
                    // An earlier good line would otherwise win over a later bad one.
                    stored.remove(definition.name);
                    let is_port = definition.unit == "port";
                    problems.push((
                        line,
                        format!("{} ({}); its default is used", bad.problem, bad.allowed),
                        is_port,
                    ));
                }
            }
        }
        problems.sort();
        let problems = problems
            .into_iter()
            .map(|(line, text, is_port)| Problem {
                text: format!("{}, line {line}: {text}", path.display()),
                is_port,
            })
            .collect();
        Ok((stored, problems))
    }

    /// The stored value of an option, by any spelling of its name. -116 for one that does not exist.
    pub fn get(&self, name: &str) -> Result<SettingValue, ApiError> {
        let definition = known(name)?;
        Ok(self.answer(definition, self.stored(definition)))
    }

    /// The default of an option.
    pub fn default(&self, name: &str) -> Result<SettingValue, ApiError> {
        let definition = known(name)?;
        Ok(self.answer(definition, self.default_value(definition)))
    }

    /// Checks and stores a value (-101 with the allowed values if it cannot be), in `DT.conf` first. Lines that a
    /// person wrote into the file meanwhile are kept.
    pub fn set(&self, name: &str, value: &str) -> Result<SettingValue, ApiError> {
        let definition = known(name)?;
        self.store(definition, Some(checked(definition, value)?))
    }

    /// Gives an option its default back.
    pub fn set_default(&self, name: &str) -> Result<SettingValue, ApiError> {
        self.store(known(name)?, None)
    }

    /// The options whose names match a pattern with `*` and `?`, without regard to case; all without one.
    pub fn list(&self, pattern: Option<&str>) -> Result<Vec<SettingRow>, ApiError> {
        let wanted = |definition: &&Definition| match pattern {
            None => true,
            Some(pattern) => {
                matches_wildcard(&pattern.to_lowercase(), &definition.name.to_lowercase())
                    || table::find(pattern) == Some(*definition)
            }
        };
        let rows: Vec<SettingRow> =
            table::all().filter(wanted).map(|definition| self.row(definition)).collect();
        match pattern {
            Some(pattern) if rows.is_empty() => Err(unknown(pattern)),
            _ => Ok(rows),
        }
    }

    fn row(&self, definition: &Definition) -> SettingRow {
        SettingRow {
            name: definition.name.to_owned(),
            value: self.stored(definition),
            default: self.default_value(definition),
            unit: definition.unit.to_owned(),
            range: definition.allowed_values(),
            restart: definition.restart_text().to_owned(),
            meaning: definition.meaning.to_owned(),
        }
    }

    fn answer(&self, definition: &Definition, value: String) -> SettingValue {
        SettingValue {
            name: definition.name.to_owned(),
            value,
            restart: definition.restart == Restart::Yes,
            inert: inert(definition),
        }
    }

    fn store(
        &self,
        definition: &'static Definition,
        value: Option<String>,
    ) -> Result<SettingValue, ApiError> {
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        let path = self.home.settings_file();
        let write = || {
            let (mut conf, _) = Conf::read(path)?;
            match &value {
                Some(value) => conf.set(definition.name, value),
                None => conf.remove(definition.name),
            }
            conf.write(path)
        };
        if let Some(directory) = path.parent() {
            make_private(directory)?;
        }
        write().map_err(|error| file_error(&self.home, "written", &error))?;
        match value {
            Some(value) => values.stored.insert(definition.name, value),
            None => values.stored.remove(definition.name),
        };
        drop(values);
        Ok(self.answer(definition, self.stored(definition)))
    }

    fn read(&self) -> RwLockReadGuard<'_, Values> {
        self.values.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn stored(&self, definition: &Definition) -> String {
        let set = self.read().stored.get(definition.name).cloned();
        set.unwrap_or_else(|| self.default_value(definition))
    }

    /// The default as a value: places and words of the table resolved.
    fn default_value(&self, definition: &Definition) -> String {
        if let Some(place) = self.default_place(definition.name) {
            return place.to_string_lossy().into_owned();
        }
        match definition.default {
            "-" | "N/A" => String::new(),
            text if definition.name == "TGWriteCache" && text.starts_with("0 (full server") => "1".to_owned(),
            text => text.to_owned(),
        }
    }

    /// Where the home puts what the table calls the installation directory.
    fn default_place(&self, name: &str) -> Option<PathBuf> {
        Some(match name {
            "DataPath" => self.home.state_dir().to_owned(),
            "LogDir" => self.home.log_dir().to_owned(),
            "QJournalDir" => self.home.queue_dir().to_owned(),
            "MoveOrphansDir" => self.home.state_dir().join("orphans"),
            "BackupDir" => self.home.data_root().to_owned(),
            _ => return None,
        })
    }

    // --- values in force; names are checked by `every_view_reads_options_that_exist` ------------------------

    fn set_in_force(&self, name: &'static str) -> Option<String> {
        debug_assert!(
            table::find(name).is_some_and(|d| d.name == name && d.effect == Effect::Acts),
            "{name}"
        );
        let restart = table::find(name).is_some_and(|d| d.restart == Restart::Yes);
        let values = self.read();
        if restart { &values.at_start } else { &values.stored }.get(name).cloned()
    }

    pub(super) fn text(&self, name: &'static str) -> String {
        let default = || table::find(name).map(|d| self.default_value(d)).unwrap_or_default();
        self.set_in_force(name).unwrap_or_else(default)
    }

    pub(super) fn number(&self, name: &'static str) -> u64 {
        // Stored numbers were checked; a number of the table is one.
        self.text(name).parse().unwrap_or_default()
    }

    pub(super) fn on(&self, name: &'static str) -> bool {
        self.number(name) != 0
    }

    pub(super) fn path(&self, name: &'static str) -> PathBuf {
        // The home's own path may hold bytes that are no text.
        let default = || self.default_place(name).unwrap_or_default();
        self.set_in_force(name).map_or_else(default, PathBuf::from)
    }
}

/// Why this version does not act on a setting, if so.
pub fn inert(definition: &Definition) -> Option<String> {
    match definition.effect {
        Effect::Acts => None,
        Effect::Later(part) => Some(format!("it is kept, but this version has no part for it yet: {part}")),
        Effect::None(reason) => Some(format!("it is kept, but has no effect: {reason}")),
    }
}

/// Is this an option, and could it take the value? As GET and SET would say, without any settings at hand.
pub fn vet(name: &str, value: Option<&str>) -> Result<(), ApiError> {
    let definition = known(name)?;
    value.map_or(Ok(()), |value| checked(definition, value).map(drop))
}

/// The names of all options.
pub fn names() -> Vec<&'static str> {
    table::all().map(|definition| definition.name).collect()
}

fn checked(definition: &Definition, value: &str) -> Result<String, ApiError> {
    definition.check(value).map_err(|bad| {
        ApiError::new(Code::InvalidParameterWasSupplied, bad.problem)
            .help(format!("allowed: {}", bad.allowed))
    })
}

fn known(name: &str) -> Result<&'static Definition, ApiError> {
    table::find(name).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> ApiError {
    let error =
        ApiError::new(Code::InvalidOptionSupplied, format!("there is no option \"{}\"", name.escape_debug()));
    match suggestion(name) {
        Some(name) => error.help(format!("did you mean {name}? OPTIONS lists all")),
        None => error.help("OPTIONS lists all"),
    }
}

fn suggestion(name: &str) -> Option<&'static str> {
    nearest(name, table::all().map(|definition| definition.name))
}

fn file_error(home: &Home, what: &str, error: &io::Error) -> ApiError {
    let path = home.settings_file();
    ApiError::new(
        Code::UnknownError,
        format!("the settings file {} cannot be {what}: {error}", path.display()),
    )
    .help("check its permissions and the space on its disk; nothing was changed")
}

#[cfg(test)]
mod tests;
