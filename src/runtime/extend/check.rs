//! `--check` of modules: each file that USE names is compiled, and calls are held against what it has.

use super::modules::{ModuleCall, Modules};
use super::{beside, module_name, read};
use crate::lang::{Call, Diagnostic, Used};
use crate::rhai_host::{Host, Limits};
use crate::runtime::verbs;
use std::rc::Rc;

/// What is wrong with the modules of a script and the calls into them. `open`: functions may come from elsewhere, too.
pub fn check(script: &str, used: &[Used], calls: Vec<Call>, open: bool) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    let mut modules = Modules::default();
    let mut open = open;
    if !used.is_empty() {
        // Nothing is run, so there is nothing to end and nothing to call.
        let host = Host::new(Limits::default(), || false, |_, _| {});
        for one in used {
            match load(script, one, &host, &mut modules) {
                Ok(()) => {}
                Err(finding) => {
                    findings.extend(finding);
                    open = true;
                }
            }
        }
    }
    for call in calls {
        let wanted = ModuleCall::new(&call.name, call.arguments);
        match modules.find(&wanted) {
            Ok(_) => {}
            // Of several, a run may load one alone.
            Err(_) if modules.fits(&wanted) => {}
            Err(_) if open && !modules.knows(&wanted) => {}
            Err(_) if modules.is_empty() => findings.push(call.unknown),
            Err(fault) => {
                let mut finding = Diagnostic::error(102, fault.message, call.unknown.span);
                finding.help = match (fault.help, call.unknown.help) {
                    // The nearest of all names, whoever has it.
                    (Some(help), Some(own))
                        if !help.contains("did you mean") && own.contains("did you mean") =>
                    {
                        Some(own)
                    }
                    (help, _) => help,
                };
                findings.push(finding);
            }
        }
    }
    findings
}

/// Loads a module; what kept it from that, if it is known.
fn load(script: &str, used: &Used, host: &Host, modules: &mut Modules) -> Result<(), Option<Diagnostic>> {
    let Some(file) = &used.file else { return Err(None) };
    let path = verbs::beside(script, file);
    let shown = path.to_string_lossy().into_owned();
    let refused = |message: String, help: Option<String>| {
        let mut finding = Diagnostic::error(101, message, used.span);
        finding.help = help;
        Some(finding)
    };
    let text = read(&path, &shown).map_err(|error| {
        // A file may be there when the script is run; a wrong name stays wrong.
        let gone = path.extension().is_some_and(|extension| extension == "rhai") && !path.exists();
        let mut finding = refused(error.message, error.help);
        if let (true, Some(finding)) = (gone, &mut finding) {
            *finding =
                Diagnostic { help: finding.help.take(), ..Diagnostic::warning(&*finding.message, used.span) };
        }
        finding
    })?;
    let name = module_name(used.name.clone(), &path).map_err(|error| refused(error.message, error.help))?;
    let module = host.compile(&shown, &text).map_err(|wrong| {
        let message = format!("{shown} is no Rhai module: {}", wrong.message);
        let finding = Diagnostic::error(102, message, used.span);
        Some(Diagnostic { help: wrong.help.clone(), beside: beside(&wrong, "here"), ..finding })
    })?;
    modules.load(name, Rc::new(module)).map_err(|fault| refused(fault.message, fault.help))
}
