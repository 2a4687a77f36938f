//! Which END closes what: the open blocks of a script on an explicit stack, so that depth costs no stack.

use super::parse::too_deep;
use super::tree::End;
use super::{Diagnostic, NESTING_LIMIT, Span};

/// Kinds of block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    If,
    /// IF after its ELSE.
    Else,
    While,
    For,
    OnError,
    /// A head with an error in it: anything closes it.
    Broken,
}

impl Block {
    fn word(self) -> &'static str {
        match self {
            Block::If => "IF",
            Block::Else => "ELSE",
            Block::While => "WHILE",
            Block::For => "FOR",
            Block::OnError => "ON ERROR DO",
            Block::Broken => "block",
        }
    }
}

/// The blocks that are open, innermost last, each with what its owner wants to remember.
#[derive(Debug)]
pub struct Blocks<T> {
    open: Vec<(Block, Span, T)>,
    /// Blocks past the limit: counted only.
    beyond: usize,
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self { open: Vec::new(), beyond: 0 }
    }
}

impl<T> Blocks<T> {
    /// Opens a block. Past the limit it is counted only, and the first one too many is an error.
    pub fn open(&mut self, block: Block, span: Span, note: T) -> Result<(), Option<Diagnostic>> {
        if self.open.len() < NESTING_LIMIT {
            self.open.push((block, span, note));
            return Ok(());
        }
        self.beyond += 1;
        Err((self.beyond == 1).then(|| too_deep(span)))
    }

    /// Closes the innermost block with END or one of its kin.
    pub fn close(&mut self, end: End, span: Span) -> Result<Option<(Block, T)>, Diagnostic> {
        if self.beyond > 0 {
            self.beyond -= 1;
            return Ok(None);
        }
        let Some((block, opened, note)) = self.open.pop() else {
            return Err(Diagnostic::error(102, "this END closes nothing", span)
                .help("END closes IF, WHILE, FOR and ON ERROR DO; as a value it is quoted: \"end\""));
        };
        let fits = match end {
            End::Any => true,
            _ if block == Block::Broken => true,
            End::If => matches!(block, Block::If | Block::Else),
            End::While => block == Block::While,
            End::For => block == Block::For,
        };
        if fits {
            return Ok(Some((block, note)));
        }
        // Taken as the end of that block all the same, so that one wrong word gives one error.
        let word = match end {
            End::If => "ENDIF",
            End::While => "ENDWHILE",
            End::For | End::Any => "ENDFOR",
        };
        self.open.push((block, opened, note));
        let problem = Diagnostic::error(102, format!("{word} cannot close {}", block.word()), span)
            .help("END closes any block");
        self.open.pop();
        Err(problem)
    }

    /// The innermost block and its note.
    pub fn innermost(&mut self) -> Option<(&mut Block, &mut T)> {
        if self.beyond > 0 {
            return None;
        }
        self.open.last_mut().map(|(block, _, note)| (block, note))
    }

    /// True while blocks past the limit are open.
    pub fn too_deep(&self) -> bool {
        self.beyond > 0
    }

    /// The open blocks, innermost first.
    pub fn iter(&self) -> impl Iterator<Item = (Block, &T)> {
        self.open.iter().rev().map(|(block, _, note)| (*block, note))
    }

    /// As [`Blocks::iter`], to change the notes.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Block, &mut T)> {
        self.open.iter_mut().rev().map(|(block, _, note)| (*block, note))
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// How many are open.
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// The blocks that are still open at the end of the text.
    pub fn unclosed(&self) -> Vec<Diagnostic> {
        self.open
            .iter()
            .filter(|(block, _, _)| *block != Block::Broken)
            .map(|(block, span, _)| {
                let word = if *block == Block::Else { "IF" } else { block.word() };
                Diagnostic::error(102, format!("this {word} is not closed"), *span)
                    .help("a block ends with END")
            })
            .collect()
    }
}

/// ELSE or ELSEIF where no IF is open.
pub fn stray_else(word: &str, span: Span) -> Diagnostic {
    Diagnostic::error(102, format!("{word} without IF"), span)
        .help("ELSE and ELSEIF stand in a block that IF began, before its END; as values they are quoted")
}
