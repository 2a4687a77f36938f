//! What `--check` finds wrong with options: neither a machine is asked nor anything opened.

use super::Session;
use crate::commands::{Binding, Item, bind};
use crate::lang::{Diagnostic, Word, WordKind};

impl Session {
    /// For `--check`: an option that does not exist, or a value that it cannot take, written out in a command. No machine
    /// is asked.
    pub fn vet_options(&self, binding: &Binding, words: &[Word]) -> Option<Diagnostic> {
        let written = |wanted: &str| {
            binding.items.iter().find_map(|item| match item {
                Item::Value { slot, word } if *slot == wanted => match &words.get(*word)?.kind {
                    WordKind::Bare(text) | WordKind::Quoted(text) => Some((&**text, words[*word].span)),
                    _ => None,
                },
                _ => None,
            })
        };
        let (name, place) = written("option")?;
        let value = written("value");
        let refused = match self.connector.vet_option(name, None) {
            Err(error) => (error, place),
            Ok(()) => {
                let (value, place) = value?;
                (self.connector.vet_option(name, Some(value)).err()?, place)
            }
        };
        Some(bind::refused(refused.0, refused.1))
    }
}
