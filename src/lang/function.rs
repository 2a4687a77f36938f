//! The functions of the language (language.md 3): names and how many arguments they take. What they do stands in
//! the runtime.

use super::{Diagnostic, Span, nearest};

macro_rules! functions {
    ($($variant:ident $name:literal $min:literal $max:literal $form:literal,)*) => {
        /// A function of the language.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Function {
            $(#[doc = $form] $variant,)*
        }

        impl Function {
            /// All of them.
            pub const ALL: &'static [Function] = &[$(Function::$variant,)*];

            /// As it is called.
            pub fn name(self) -> &'static str {
                match self { $(Function::$variant => $name,)* }
            }

            /// A call as a manual prints it.
            pub fn form(self) -> &'static str {
                match self { $(Function::$variant => $form,)* }
            }

            fn arity(self) -> std::ops::RangeInclusive<u32> {
                match self { $(Function::$variant => $min..=$max,)* }
            }
        }
    };
}

functions! {
    Len "len" 1 1 "len(text or list or map)",
    Upper "upper" 1 1 "upper(text)",
    Lower "lower" 1 1 "lower(text)",
    Trim "trim" 1 1 "trim(text)",
    Contains "contains" 2 2 "contains(text or list or map, part)",
    StartsWith "starts_with" 2 2 "starts_with(text, start)",
    Split "split" 2 2 "split(text, separator)",
    Join "join" 2 2 "join(list, separator)",
    Replace "replace" 3 3 "replace(text, old, new)",
    Match "match" 2 2 "match(text, pattern)",
    Int "int" 1 1 "int(text)",
    String "string" 1 1 "string(value)",
    Date "date" 1 3 "date(\"mm/dd/yyyy\") or date(year, month, day)",
    Time "time" 1 3 "time(\"hh:mm:ss\") or time(hours, minutes, seconds)",
    Now "now" 0 0 "now()",
    Env "env" 1 2 "env(name) or env(name, default)",
    Exists "exists" 1 1 "exists(path)",
    Option "option" 1 1 "option(name)",
    Status "status" 1 1 "status(connection)",
    Connections "connections" 0 0 "connections()",
    Repsets "repsets" 0 0 "repsets()",
    FormatBytes "format_bytes" 1 1 "format_bytes(number)",
}

impl Function {
    /// The function of this name, without case.
    pub fn named(name: &str) -> Option<Function> {
        Function::ALL.iter().copied().find(|function| function.name().eq_ignore_ascii_case(name))
    }

    /// The function of this name, called with so many arguments at `span`.
    pub fn resolve(name: &str, arguments: u32, span: Span) -> Result<Function, Diagnostic> {
        let Some(function) = Function::named(name) else {
            let problem = Diagnostic::error(102, format!("there is no function {name}"), span);
            return Err(match nearest(name, Function::ALL.iter().map(|function| function.name())) {
                Some(near) => problem.help(format!("did you mean {near}?")),
                None => problem.help(format!(
                    "a command needs a blank before its first value: {name} (...); functions: {}",
                    Function::ALL.iter().map(|function| function.name()).collect::<Vec<_>>().join(" ")
                )),
            });
        };
        // A date is one text or three numbers.
        let fits = function.arity().contains(&arguments) && !(function == Function::Date && arguments == 2);
        if fits {
            return Ok(function);
        }
        let (min, max) = (function.arity().start().to_owned(), function.arity().end().to_owned());
        let wanted = match (min, max) {
            _ if function == Function::Date => "1 or 3".to_owned(),
            (min, max) if min == max => min.to_string(),
            (min, max) => format!("{min} to {max}"),
        };
        let s = if wanted == "1" { "" } else { "s" };
        let message = format!("{} takes {wanted} argument{s}, not {arguments}", function.name());
        Err(Diagnostic::error(102, message, span).help(function.form()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_and_wrong_counts_are_errors() {
        let at = Span::default();
        assert_eq!(Function::resolve("LEN", 1, at), Ok(Function::Len));
        let unknown = Function::resolve("lenn", 1, at).unwrap_err();
        assert_eq!(unknown.help.as_deref(), Some("did you mean len?"));
        let wrong = Function::resolve("split", 1, at).unwrap_err();
        assert_eq!(wrong.message, "split takes 2 arguments, not 1");
    }
}
