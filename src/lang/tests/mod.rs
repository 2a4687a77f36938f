//! Tests of the parser and the checker as a whole.

mod checking;
mod errors;
mod limits;
pub(in crate::lang) use limits::pieces;
mod statements;

use super::*;

/// All parts of a text as one list of clauses shown in a short form, or the findings.
pub(in crate::lang) fn parsed(text: &str) -> Result<Vec<String>, Vec<Diagnostic>> {
    let (mut shown, mut problems) = (Vec::new(), Vec::new());
    parse(text, |mut part| {
        problems.append(&mut part.problems);
        shown.extend(part.clauses.iter().map(|clause| show(text, &part, clause)));
    });
    if problems.is_empty() { Ok(shown) } else { Err(problems) }
}

fn show(text: &str, part: &Part, clause: &Clause) -> String {
    let e = |expr: &Expr| expression(text, part, *expr);
    match &clause.kind {
        ClauseKind::If(condition) => format!("IF {}", e(condition)),
        ClauseKind::ElseIf(condition) => format!("ELSEIF {}", e(condition)),
        ClauseKind::Else => "ELSE".into(),
        ClauseKind::While(condition) => format!("WHILE {}", e(condition)),
        ClauseKind::For(head) => format!(
            "FOR {} {} {} {}",
            head.variable.of(text),
            e(&head.from),
            e(&head.to),
            head.step.as_ref().map(e).unwrap_or_default()
        ),
        ClauseKind::ForEach { variable, list } => format!("EACH {} {}", variable.of(text), e(list)),
        ClauseKind::End(end) => format!("END {end:?}"),
        ClauseKind::Assign { variable, value } => format!("{} = {}", variable.of(text), e(value)),
        ClauseKind::AssignCommand { variable, command } => {
            format!("{} <- {}", variable.of(text), words(text, part, command))
        }
        ClauseKind::Call(expr) => format!("call {}", e(expr)),
        ClauseKind::Command(command) => words(text, part, command),
        other => format!("{other:?}"),
    }
}

fn words(text: &str, part: &Part, command: &CommandWords) -> String {
    let mut values = part.values(command).iter();
    let shown: Vec<String> = part
        .words(command)
        .iter()
        .map(|word| match &word.kind {
            WordKind::Bare(text) => text.to_string(),
            WordKind::Quoted(text) => format!("<{text}>"),
            WordKind::Value => format!("({})", expression(text, part, *values.next().unwrap())),
            WordKind::Equals => "=".into(),
            WordKind::Comma => ",".into(),
        })
        .collect();
    shown.join(" ")
}

/// In the order in which it is worked out.
fn expression(text: &str, part: &Part, expr: Expr) -> String {
    let shown: Vec<String> = part
        .expr(expr)
        .map(|(_, node, span)| match node {
            Node::Integer(n) => n.to_string(),
            Node::Text(text) => format!("<{text}>"),
            Node::Date(date) => date.to_string(),
            Node::Time(time) => time.to_string(),
            Node::Boolean(b) => b.to_string(),
            Node::Variable | Node::Field => span.of(text).to_string(),
            Node::Negate => "neg".into(),
            Node::Not => "not".into(),
            Node::Binary(binary) => binary.symbol().into(),
            Node::AndElse(_) => "and?".into(),
            Node::OrElse(_) => "or?".into(),
            Node::EndLogic => "!".into(),
            Node::Index => "[]".into(),
            Node::Call(n) => format!("{}/{n}", span.of(text)),
            Node::List(n) => format!("list/{n}"),
            Node::Join(n) => format!("join/{n}"),
        })
        .collect();
    shown.join(" ")
}

fn ok(text: &str) -> Vec<String> {
    parsed(text).unwrap_or_else(|problems| panic!("{text}: {problems:#?}"))
}

fn one(text: &str) -> String {
    let mut clauses = ok(text);
    assert_eq!(clauses.len(), 1, "{text}: {clauses:?}");
    clauses.remove(0)
}

fn problems(text: &str) -> Vec<Diagnostic> {
    parsed(text).expect_err(text)
}

/// Message, help and the underlined text of the only finding.
fn problem(text: &str) -> (String, String, String) {
    let mut found = problems(text);
    assert_eq!(found.len(), 1, "{text}: {found:#?}");
    let found = found.remove(0);
    (found.message, found.help.unwrap_or_default(), found.span.of(text).to_owned())
}
