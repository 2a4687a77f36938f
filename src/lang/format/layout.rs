//! Pieces to lines: what the author parted stays parted, indentation and blanks are the formatter's.
//!
//! A block that stands in one line stays there; of any other, heads, middles and ends have lines of their own.

use super::lines::Line;
use super::pieces::{Piece, PieceKind, Role};

/// Blanks for each block around a line, and for a continued line.
const INDENT: usize = 2;
/// Blank lines in a row that stay.
const BLANK_LINES: usize = 2;

/// The lines of these pieces.
pub fn lay_out(text: &str, pieces: &[Piece], line_end: &'static str) -> Vec<Line> {
    let mut layout = Layout {
        text,
        line_end,
        lines: Vec::new(),
        last: None,
        blocks: Blocks::new(text, pieces),
        level: 0,
        head: false,
        over: true,
    };
    for piece in pieces {
        layout.piece(piece);
    }
    layout.lines
}

struct Layout<'t> {
    text: &'t str,
    line_end: &'static str,
    lines: Vec<Line>,
    last: Option<Piece>,
    blocks: Blocks,
    /// Blocks around the line's begin.
    level: usize,
    /// The statement being made has a block behind it.
    head: bool,
    /// Nothing else comes into this line.
    over: bool,
}

impl Layout<'_> {
    fn piece(&mut self, piece: &Piece) {
        let gap = self.last.map(|last| Gap::of(self.text, &last, piece)).unwrap_or_default();
        match piece.begins {
            Some(role) => self.statement(role, piece, &gap),
            None if piece.kind.is_comment() => self.comment(piece, &gap),
            None => self.word(piece, &gap),
        }
        self.last = Some(*piece);
    }

    /// The first piece of a statement.
    fn statement(&mut self, role: Role, piece: &Piece, gap: &Gap) {
        let whole = self.blocks.take(role);
        let apart = matches!(role, Role::Parts | Role::Ends) && !whole;
        if gap.lines > 0 || self.over || apart {
            let inside = usize::from(matches!(role, Role::Opens | Role::Parts));
            self.begin_line(self.blocks.depth() - inside, piece, gap);
        } else {
            // A head needs none.
            self.push(if gap.semicolon && !self.head { "; " } else { " " });
        }
        self.push(piece.span.of(self.text));
        self.head = matches!(role, Role::Opens | Role::Parts);
        self.over = role != Role::Plain && !whole;
    }

    /// One behind a statement stays there, any other has its line.
    fn comment(&mut self, piece: &Piece, gap: &Gap) {
        let behind = gap.lines == 0
            && piece.kind == PieceKind::Comment
            && self.last.is_some_and(|last| !last.kind.is_comment());
        if !behind {
            self.begin_line(self.blocks.depth(), piece, gap);
        }
        if let Some(line) = self.lines.last_mut() {
            line.comment = Some(piece.span);
        }
        self.over = true;
    }

    fn word(&mut self, piece: &Piece, gap: &Gap) {
        if gap.lines > 0 {
            let level = self.level + if self.head { 2 } else { 1 };
            self.push(" \\");
            self.push(self.line_end);
            self.push(&" ".repeat(level * INDENT));
        } else if self.last.is_some_and(|last| parted(last.kind, piece.kind)) {
            self.push(" ");
        }
        self.push(piece.span.of(self.text));
    }

    fn begin_line(&mut self, level: usize, piece: &Piece, gap: &Gap) {
        self.level = level;
        self.lines.push(Line {
            blank: if self.lines.is_empty() { 0 } else { gap.lines.saturating_sub(1).min(BLANK_LINES) },
            text: " ".repeat(level * INDENT),
            comment: None,
            place: piece.span,
        });
    }

    fn push(&mut self, text: &str) {
        if let Some(line) = self.lines.last_mut() {
            line.text.push_str(text);
        }
    }
}

/// Whether a blank stands between two pieces of a statement.
fn parted(before: PieceKind, behind: PieceKind) -> bool {
    use PieceKind::{Close, Comma, Glued, GluedOpen, Open, Prefix};
    !matches!(before, Open | GluedOpen | Prefix) && !matches!(behind, Close | Comma | Glued | GluedOpen)
}

/// What stands between two pieces.
#[derive(Default)]
struct Gap {
    /// Line ends, those of continued lines too.
    lines: usize,
    semicolon: bool,
}

impl Gap {
    fn of(text: &str, before: &Piece, behind: &Piece) -> Gap {
        let bytes = &text.as_bytes()[before.span.end as usize..behind.span.start as usize];
        match bytes {
            [] | [b' '] => Gap::default(),
            _ => Gap {
                lines: bytes.iter().filter(|byte| **byte == b'\n').count(),
                semicolon: bytes.contains(&b';'),
            },
        }
    }
}

/// The blocks of a script in the order in which they begin, and which are open.
struct Blocks {
    /// Those that stand in one line.
    whole: Vec<bool>,
    begun: usize,
    open: Vec<usize>,
}

impl Blocks {
    fn new(text: &str, pieces: &[Piece]) -> Blocks {
        let mut whole = Vec::new();
        let mut open: Vec<(usize, usize)> = Vec::new();
        let mut line = 0;
        let mut last: Option<&Piece> = None;
        for piece in pieces {
            // A comment ends its line, so nothing but a statement tells where the next one is.
            if let Some(role) = piece.begins {
                line += last.map_or(0, |last| Gap::of(text, last, piece).lines);
                match role {
                    Role::Opens => {
                        open.push((whole.len(), line));
                        whole.push(false);
                    }
                    Role::Ends => {
                        if let Some((number, head)) = open.pop() {
                            whole[number] = head == line;
                        }
                    }
                    Role::Plain | Role::Parts => {}
                }
            }
            last = Some(piece);
        }
        Blocks { whole, begun: 0, open: Vec::new() }
    }

    /// Takes in a statement; says whether its block stands in one line.
    fn take(&mut self, role: Role) -> bool {
        let number = match role {
            Role::Plain => None,
            Role::Opens => {
                self.open.push(self.begun);
                self.begun += 1;
                Some(self.begun - 1)
            }
            Role::Parts => self.open.last().copied(),
            Role::Ends => self.open.pop(),
        };
        number.is_some_and(|number| self.whole.get(number) == Some(&true))
    }

    fn depth(&self) -> usize {
        self.open.len()
    }
}
