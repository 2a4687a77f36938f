//! A script's text to its parts.
//!
//! The grammar takes in many lines at once; where it stops, the rest of that line is looked at by itself
//! ([`super::recover`]) and the grammar goes on behind it. So one bad line costs one finding and hides no other. Large texts are cut at line
//! ends and parsed on several threads. Limits (line length, nesting) are checked before the grammar sees a line.

use super::build::Builder;
use super::grammar::{Dtcl, Rule};
use super::{Diagnostic, Part, Span, recover, scan};
use super::{LINE_LIMIT, NESTING_LIMIT};
use pest::Parser;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// How much text one part is made of, about. Large enough that starting the grammar costs nothing, small enough
/// that its tokens stay in the cache.
const PART_BYTES: usize = 32 * 1024;

/// From here on threads pay.
const THREADS_FROM: usize = 128 * 1024;

/// Parses a text and hands its parts, in their order, to `take`.
pub fn parse(text: &str, take: impl FnMut(Part)) {
    parse_as(text, false, take);
}

/// As [`parse`], for the formatter: parts have their pieces too.
pub(super) fn parse_pieces(text: &str, take: impl FnMut(Part)) {
    parse_as(text, true, take);
}

fn parse_as(text: &str, pieces: bool, mut take: impl FnMut(Part)) {
    if u32::try_from(text.len()).is_err() {
        let mut builder = Builder::new(text);
        builder.problem(
            Diagnostic::error(101, "the script is too large", Span::new(0, 0))
                .help("a script has at most 4 GiB"),
        );
        take(builder.finish());
        return;
    }
    let ranges = cut(text);
    // Asking for the number of cores takes a tenth of a millisecond: a small text does not.
    let cores = || std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let workers = if text.len() < THREADS_FROM { 1 } else { cores() };
    if workers < 2 {
        for range in ranges {
            take(part(text, range, pieces));
        }
        return;
    }
    // The taker works too fast to be worth a core of its own, so there are as many parsers as cores.
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (sender, parts) = mpsc::sync_channel::<(usize, Part)>(workers * 4);
        for _ in 0..workers {
            let (sender, next, ranges) = (sender.clone(), &next, &ranges);
            scope.spawn(move || {
                while let Some((number, range)) = take_next(next, ranges) {
                    if sender.send((number, part(text, range, pieces))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting = std::collections::BTreeMap::new();
        let mut wanted = 0;
        for (number, part) in parts {
            waiting.insert(number, part);
            while let Some(part) = waiting.remove(&wanted) {
                take(part);
                wanted += 1;
            }
        }
    });
}

fn take_next(next: &AtomicUsize, ranges: &[Range<usize>]) -> Option<(usize, Range<usize>)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    ranges.get(number).map(|range| (number, range.clone()))
}

/// Cuts a text into ranges that end where a logical line surely ends.
fn cut(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut ranges = Vec::with_capacity(text.len() / PART_BYTES + 1);
    let mut start = 0;
    while start < bytes.len() {
        let mut end = (start + PART_BYTES).min(bytes.len());
        while end < bytes.len() {
            let (before, next) = scan::end_of_line(bytes, end);
            end = next;
            let last = bytes[start..before].iter().rev().find(|b| !scan::is_blank(**b));
            if last != Some(&b'\\') {
                break;
            }
        }
        ranges.push(start..end);
        start = end;
    }
    ranges
}

/// Parses the lines of a range.
fn part(text: &str, range: Range<usize>, pieces: bool) -> Part {
    let mut builder = Builder::new(text);
    if pieces {
        builder.keep_pieces();
    }
    let (base, end) = (range.start, range.end);
    let refused = refused(text, range.clone());
    let joined = join(&text[range]);
    let mut at = base;
    for refused in refused {
        if refused.lines.start >= at {
            statements(&joined, base, at..refused.lines.start, &mut builder);
            builder.problem(refused.problem);
            at = refused.lines.end;
        }
    }
    statements(&joined, base, at..end, &mut builder);
    builder.finish()
}

/// Continued lines joined: what continues them becomes blanks, so that every place stays where it is.
fn join(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let may_continue = |at: usize| {
        at > 0
            && bytes[at] == b'\\'
            && scan::is_blank(bytes[at - 1])
            && scan::continuation(bytes, at).is_some()
    };
    if !text.contains('\\') || !(0..bytes.len()).any(may_continue) {
        return Cow::Borrowed(text);
    }
    let mut joined = text.to_owned();
    let mut at = 0;
    while at < text.len() {
        let scan = scan::line(text, at);
        for joint in scan.joints {
            joined.replace_range(joint.clone(), &" ".repeat(joint.len()));
        }
        at = scan.next.max(at + 1);
    }
    Cow::Owned(joined)
}

/// Parses statements that the limits let pass. `chunk` begins at `base` in the whole text; `range` counts there.
fn statements(chunk: &str, base: usize, range: Range<usize>, builder: &mut Builder<'_>) {
    let chunk = &chunk[..range.end - base];
    let mut at = range.start - base;
    while at < chunk.len() {
        // Rows always fit, if only none of them.
        if let Ok(pairs) = Dtcl::parse(Rule::rows, &chunk[at..]) {
            at = builder.add(pairs.tokens(), base + at) - base;
        }
        if at < chunk.len() {
            at = recover::line(chunk, at, base, builder).max(at + 1);
        }
    }
}

struct Refused {
    lines: Range<usize>,
    problem: Diagnostic,
}

/// The lines past a limit.
fn refused(text: &str, range: Range<usize>) -> Vec<Refused> {
    let bytes = text.as_bytes();
    let brackets =
        |range: Range<usize>| bytes[range].iter().filter(|b| matches!(b, b'(' | b'[' | b'{')).count();
    let long = range.len() > LINE_LIMIT;
    if !long && brackets(range.clone()) <= NESTING_LIMIT {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut start = range.start;
    while start < range.end {
        let (end, next) = scan::end_of_line(bytes, start);
        let continued = text[start..end].trim_end().ends_with('\\');
        // Where the logical line ends is for the scan to say alone: brackets of a continued line nest too.
        let mut lines = start..next;
        if continued || (end - start <= LINE_LIMIT && brackets(start..end) > NESTING_LIMIT) {
            let scan = scan::line(text, start);
            lines.end = scan.next;
            if let Some(place) = scan.too_deep {
                found.push(Refused { lines: lines.clone(), problem: too_deep(Span::new(place, place + 1)) });
            }
        }
        if let Some(long) = long_line(bytes, lines.clone()) {
            let mut limit = long + LINE_LIMIT;
            while !text.is_char_boundary(limit) {
                limit -= 1;
            }
            found.push(Refused {
                lines: lines.clone(),
                problem: Diagnostic::error(102, "the line is too long", Span::new(limit, limit + 1))
                    .help("a line has at most 1 MiB: continue it on the next with a blank and \\"),
            });
        }
        start = lines.end;
    }
    found
}

/// Where the first of these physical lines begins that is longer than one may be.
fn long_line(bytes: &[u8], lines: Range<usize>) -> Option<usize> {
    let mut start = lines.start;
    while start < lines.end {
        let (end, next) = scan::end_of_line(bytes, start);
        if end - start > LINE_LIMIT {
            return Some(start);
        }
        start = next;
    }
    None
}

/// Past the limit of nesting (language.md 2, Limits).
pub(super) fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error(102, format!("nesting is deeper than {NESTING_LIMIT}"), span)
        .help("put a part into a script of its own and call it with RUN or INCLUDE")
}
