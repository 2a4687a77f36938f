//! How large a value is, by the limits' measures. Unlike Rhai's own count it has the keys of maps, and it does not
//! panic where values are shared.

use rhai::{Array, Blob, Dynamic, Engine, EvalAltResult, ImmutableString, Map, Position};

/// Deeper than this nothing lies in something: walking it costs stack.
const DEEPEST: usize = 10_000;

#[derive(Clone, Copy, Default)]
pub(super) struct Size {
    pub items: usize,
    pub entries: usize,
    pub bytes: usize,
}

pub(super) enum Over {
    Bytes,
    Items,
    Entries,
}

impl Over {
    pub(super) fn error(self) -> Box<EvalAltResult> {
        let what = match self {
            Over::Bytes => "Length of string",
            Over::Items => "Size of array/BLOB",
            Over::Entries => "Size of object map",
        };
        Box::new(EvalAltResult::ErrorDataTooLarge(what.to_owned(), Position::NONE))
    }
}

/// The size of a value with all that lies in it.
pub(super) fn of(value: &Dynamic) -> Result<Size, Box<EvalAltResult>> {
    let mut size = Size::default();
    add(value, &mut size, 0)?;
    Ok(size)
}

/// The size of a list's items, and their number.
pub(super) fn of_list(list: &Array) -> Result<Size, Box<EvalAltResult>> {
    let mut size = Size { items: list.len(), ..Size::default() };
    list.iter().try_for_each(|item| add(item, &mut size, 1))?;
    Ok(size)
}

/// An error if the value is larger than the engine allows.
pub(super) fn check(engine: &Engine, value: &Dynamic) -> Result<(), Box<EvalAltResult>> {
    of(value)?.check(engine)
}

fn add(value: &Dynamic, size: &mut Size, depth: usize) -> Result<(), Box<EvalAltResult>> {
    if depth > DEEPEST {
        return Err(Over::Items.error());
    }
    if let Some(text) = value.read_lock::<ImmutableString>() {
        size.bytes = size.bytes.saturating_add(text.len());
    } else if let Some(list) = value.read_lock::<Array>() {
        size.items = size.items.saturating_add(list.len());
        list.iter().try_for_each(|item| add(item, size, depth + 1))?;
    } else if let Some(map) = value.read_lock::<Map>() {
        size.entries = size.entries.saturating_add(map.len());
        for (key, value) in map.iter() {
            size.bytes = size.bytes.saturating_add(key.len());
            add(value, size, depth + 1)?;
        }
    } else if let Some(blob) = value.read_lock::<Blob>() {
        size.items = size.items.saturating_add(blob.len());
    }
    Ok(())
}

impl Size {
    /// This much and `times` as much of another.
    pub(super) fn plus(self, other: Size, times: usize) -> Size {
        let sum = |a: usize, b: usize| a.saturating_add(b.saturating_mul(times));
        Size {
            items: sum(self.items, other.items),
            entries: sum(self.entries, other.entries),
            bytes: sum(self.bytes, other.bytes),
        }
    }

    pub(super) fn check(self, engine: &Engine) -> Result<(), Box<EvalAltResult>> {
        if self.bytes > engine.max_string_size() {
            return Err(Over::Bytes.error());
        }
        if self.items > engine.max_array_size() {
            return Err(Over::Items.error());
        }
        if self.entries > engine.max_map_size() {
            return Err(Over::Entries.error());
        }
        Ok(())
    }
}
