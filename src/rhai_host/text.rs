//! `replace` with its result's size known before it is made: Rhai's own looks at the limit when the memory is taken.

use rhai::{Engine, EvalAltResult, ImmutableString, NativeCallContext, Position};

type Done = Result<(), Box<EvalAltResult>>;

fn replace(context: &NativeCallContext<'_>, text: &mut ImmutableString, old: &str, new: &str) -> Done {
    if text.is_empty() {
        return Ok(());
    }
    if new.len() > old.len() {
        let found = text.matches(old).count();
        let size = text.len().saturating_add(found.saturating_mul(new.len() - old.len()));
        if size > context.engine().max_string_size() {
            let what = "Length of string".to_owned();
            return Err(Box::new(EvalAltResult::ErrorDataTooLarge(what, Position::NONE)));
        }
    }
    *text = text.replace(old, new).into();
    Ok(())
}

pub(super) fn register(engine: &mut Engine) {
    type Text = ImmutableString;
    type Context<'a> = NativeCallContext<'a>;
    engine
        .register_fn("replace", |context: Context<'_>, text: &mut Text, old: &str, new: &str| {
            replace(&context, text, old, new)
        })
        .register_fn("replace", |context: Context<'_>, text: &mut Text, old: &str, new: char| {
            replace(&context, text, old, &new.to_string())
        })
        .register_fn("replace", |context: Context<'_>, text: &mut Text, old: char, new: &str| {
            replace(&context, text, &old.to_string(), new)
        })
        .register_fn("replace", |context: Context<'_>, text: &mut Text, old: char, new: char| {
            replace(&context, text, &old.to_string(), &new.to_string())
        });
}
