//! `DTCL user`: the credential file of the home. A password is read from standard input, where no list of processes shows it.

use super::args::UserAct;
use super::output::Output;
use super::prompt;
use super::run::failed;
use crate::api::{ApiError, Code};
use crate::engine::home::Home;
use crate::engine::settings::Settings;
use crate::engine::users::Users;
use std::io::{BufRead, IsTerminal, Read};

/// More than any password has, in bytes.
const LONGEST: u64 = 1024;

/// Does it; gives the exit status.
pub(super) fn run(act: &UserAct, output: &Output) -> i32 {
    match act_on(act, output) {
        Ok(()) => 0,
        Err(error) => failed(&error),
    }
}

fn act_on(act: &UserAct, output: &Output) -> Result<(), ApiError> {
    let home = Home::find().map_err(ApiError::from)?;
    let (settings, _) = Settings::load(&home)?;
    let users = Users::of(settings.data_path());
    match act {
        UserAct::Add { name, group } => {
            home.create()?;
            users.add(name, group, &password(name)?)
        }
        UserAct::Password { name } => users.set_password(name, &password(name)?),
        UserAct::Remove { name } => users.remove(name),
        UserAct::List => {
            for user in users.list()? {
                output.write(&format!("{}\t{}\n", user.name, user.group));
            }
            Ok(())
        }
    }
}

/// The first line of standard input; at a terminal it is asked for, without echo.
fn password(user: &str) -> Result<String, ApiError> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let typed = prompt::password(&format!("Password of {user}: "));
        return typed.ok_or_else(|| ApiError::new(Code::UnknownError, "no password was typed"));
    }
    let mut line = String::new();
    let read = stdin.lock().take(LONGEST).read_line(&mut line);
    read.map_err(|error| ApiError::new(Code::UnknownError, format!("the password cannot be read: {error}")))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}
