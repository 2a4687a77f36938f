//! `replace`, and `pad` of a list, with the result's size known before it is made: Rhai's own `replace` looks at the limit
//! when the memory is taken, its `pad` at a size that may have overflowed.

use super::size::{self, Size};
use rhai::{Array, Dynamic, Engine, EvalAltResult, INT, ImmutableString, NativeCallContext, Position};

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

fn pad(context: &NativeCallContext<'_>, list: &mut Array, length: INT, item: &Dynamic) -> Done {
    let length = usize::try_from(length).unwrap_or(0);
    let Some(more) = length.checked_sub(list.len()).filter(|more| *more > 0) else { return Ok(()) };
    let one = Size { items: 1, ..Size::default() }.plus(size::of(item)?, 1);
    size::of_list(list)?.plus(one, more).check(context.engine())?;
    list.resize(length, item.clone());
    Ok(())
}

pub(super) fn register(engine: &mut Engine) {
    type Text = ImmutableString;
    type Context<'a> = NativeCallContext<'a>;
    engine
        .register_fn("pad", |context: Context<'_>, list: &mut Array, length: INT, item: Dynamic| {
            pad(&context, list, length, &item)
        })
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
