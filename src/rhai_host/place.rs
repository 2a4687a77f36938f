//! Where a script is. Rhai gives an error of its limits the place of the outermost call, which for a call from outside
//! is none; so each step is followed through its debugging interface (the one use of Rhai's internals, with
//! [`super::module`]'s look at what stands outside functions).

use super::{Leash, size};
use rhai::debugger::{DebuggerCommand, DebuggerEvent};
use rhai::{ASTNode, Dynamic, Engine, EvalAltResult, EvalContext, Expr, Stmt};
use std::cell::Cell;
use std::rc::Rc;

/// The leash is looked at once in so many steps: a power of two. The clock costs more than a step.
const STEPS: u64 = 16;

/// What is assigned to is measured once in so many assignments.
const ASSIGNMENTS: u32 = 8;

/// Notes each step's place, and looks at the leash now and then.
pub(super) fn follow(engine: &mut Engine, leash: &Rc<Leash>) {
    let noted = Rc::clone(leash);
    let assignments = Cell::new(0_u32);
    // Rhai calls this API volatile; a change would not compile.
    #[allow(deprecated)]
    engine.register_debugger(
        |_, debugger| debugger,
        move |context, event, node, _, place| {
            // On the way out of a function its end is told, which is not where anything happened.
            if matches!(event, DebuggerEvent::Start | DebuggerEvent::Step) {
                noted.note(place);
                measure(&context, node, &assignments)?;
            }
            Ok(DebuggerCommand::StepInto)
        },
    );
    let leash = Rc::clone(leash);
    // Not in the other one: a loop without a body has no step there.
    engine.on_progress(move |steps| {
        let pulled = steps.is_multiple_of(STEPS) && leash.check().is_err();
        pulled.then_some(Dynamic::UNIT)
    });
}

/// Rhai does not look at the size of what `x[i] = v` or `x.a = v` makes larger.
fn measure(
    context: &EvalContext<'_, '_, '_, '_, '_, '_>,
    node: ASTNode<'_>,
    assignments: &Cell<u32>,
) -> Result<(), Box<EvalAltResult>> {
    let ASTNode::Stmt(Stmt::Assignment(assignment)) = node else { return Ok(()) };
    let mut whole = &assignment.1.lhs;
    while let Expr::Index(part, ..) | Expr::Dot(part, ..) = whole {
        whole = &part.lhs;
    }
    if std::ptr::eq(whole, &assignment.1.lhs) {
        return Ok(());
    }
    assignments.set(assignments.get().wrapping_add(1));
    if !assignments.get().is_multiple_of(ASSIGNMENTS) {
        return Ok(());
    }
    match whole {
        Expr::Variable(variable, ..) => match context.scope().get(&variable.1) {
            Some(value) => size::check(context.engine(), value),
            None => Ok(()),
        },
        Expr::ThisPtr(..) => match context.this_ptr() {
            Some(value) => size::check(context.engine(), value),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}
