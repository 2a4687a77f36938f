//! PAM (pam(3)), loaded when it is first asked, so that a host without it needs no package and building needs no header.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr;

const SUCCESS: c_int = 0;
const CONV_ERR: c_int = 19;
const BUF_ERR: c_int = 5;
const REMOTE_HOST: c_int = 4;
const FAIL_DELAY: c_int = 10;
const PROMPT_ECHO_OFF: c_int = 1;
const PROMPT_ECHO_ON: c_int = 2;
/// Nothing is shown to anybody; an empty password is none.
const FLAGS: c_int = 0x8000 | 0x1;
/// More messages than any module sends at once (`PAM_MAX_NUM_MSG`).
const MESSAGES: c_int = 32;

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    code: c_int,
}

type Conversation = extern "C" fn(c_int, *mut *const Message, *mut *mut Response, *mut c_void) -> c_int;

#[repr(C)]
struct Conv {
    talk: Conversation,
    data: *mut c_void,
}

type Start = unsafe extern "C" fn(*const c_char, *const c_char, *const Conv, *mut *mut c_void) -> c_int;
type StartIn =
    unsafe extern "C" fn(*const c_char, *const c_char, *const Conv, *const c_char, *mut *mut c_void) -> c_int;
type SetItem = unsafe extern "C" fn(*mut c_void, c_int, *const c_void) -> c_int;
type Step = unsafe extern "C" fn(*mut c_void, c_int) -> c_int;

/// The host's PAM.
#[derive(Clone, Copy, Debug)]
pub struct Pam {
    start: Start,
    start_in: Option<StartIn>,
    set_item: SetItem,
    authenticate: Step,
    account: Step,
    end: Step,
}

/// What the modules are answered: the name and the password.
struct Answers<'a> {
    user: &'a CStr,
    password: &'a CStr,
}

impl Pam {
    /// None: the host has none.
    pub fn load() -> Option<Pam> {
        // SAFETY: dlopen runs the library's initialisers, which PAM's are made for; the handle is never closed. The symbols have
        // the types that pam_start(3), pam_authenticate(3), pam_acct_mgmt(3) and pam_end(3) give.
        unsafe {
            let library = libc::dlopen(c"libpam.so.0".as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL);
            if library.is_null() {
                return None;
            }
            let symbol = |name: &CStr| {
                let found = libc::dlsym(library, name.as_ptr());
                (!found.is_null()).then_some(found)
            };
            Some(Pam {
                start: std::mem::transmute::<*mut c_void, Start>(symbol(c"pam_start")?),
                start_in: symbol(c"pam_start_confdir")
                    .map(|found| std::mem::transmute::<*mut c_void, StartIn>(found)),
                set_item: std::mem::transmute::<*mut c_void, SetItem>(symbol(c"pam_set_item")?),
                authenticate: std::mem::transmute::<*mut c_void, Step>(symbol(c"pam_authenticate")?),
                account: std::mem::transmute::<*mut c_void, Step>(symbol(c"pam_acct_mgmt")?),
                end: std::mem::transmute::<*mut c_void, Step>(symbol(c"pam_end")?),
            })
        }
    }

    /// Is this the user's password, and may he log in? `service`: the name of the rules in `/etc/pam.d`. May take seconds.
    /// `from`: the address of the caller's machine, for rules that ask where he is; None: he is here.
    pub fn accepts(&self, service: &CStr, user: &str, password: &str, from: Option<&str>) -> bool {
        self.ask(service, (user, password, from), None)
    }

    /// `rules`: the directory of the rules, where it is not the system's.
    fn ask(
        &self,
        service: &CStr,
        (user, password, from): (&str, &str, Option<&str>),
        rules: Option<&CStr>,
    ) -> bool {
        let (Ok(user), Ok(password)) = (CString::new(user), CString::new(password)) else { return false };
        let Ok(from) = CString::new(from.unwrap_or("localhost")) else { return false };
        let answers = Answers { user: &user, password: &password };
        let conv = Conv { talk, data: ptr::from_ref(&answers).cast_mut().cast() };
        let mut handle = ptr::null_mut();
        // SAFETY: all strings, `conv` and `answers` live until pam_end; `handle` is used only after a start that succeeded, by
        // this thread alone.
        unsafe {
            let started = match (rules, self.start_in) {
                (None, _) => (self.start)(service.as_ptr(), user.as_ptr(), &raw const conv, &raw mut handle),
                (Some(rules), Some(start_in)) => start_in(
                    service.as_ptr(),
                    user.as_ptr(),
                    &raw const conv,
                    rules.as_ptr(),
                    &raw mut handle,
                ),
                (Some(_), None) => return false,
            };
            if started != SUCCESS || handle.is_null() {
                return false;
            }
            // Where he calls from, and no delay of its own: failures are told late by whoever asks.
            let delay = no_delay as extern "C" fn(c_int, c_uint, *mut c_void);
            let mut result = (self.set_item)(handle, REMOTE_HOST, from.as_ptr().cast());
            if result == SUCCESS {
                (self.set_item)(handle, FAIL_DELAY, delay as *const c_void);
                result = (self.authenticate)(handle, FLAGS);
            }
            if result == SUCCESS {
                // Expired, locked, not at this time of day.
                result = (self.account)(handle, FLAGS);
            }
            (self.end)(handle, result);
            result == SUCCESS
        }
    }
}

/// See `PAM_FAIL_DELAY` in pam_fail_delay(3).
extern "C" fn no_delay(_: c_int, _: c_uint, _: *mut c_void) {}

/// Answers what modules ask: what is typed without echo is the password, with echo the name.
extern "C" fn talk(
    count: c_int,
    messages: *mut *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int {
    if count <= 0 || count > MESSAGES || messages.is_null() || responses.is_null() || data.is_null() {
        return CONV_ERR;
    }
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: PAM gives `count` pointers to messages (pam_conv(3)), and `data` is the `Answers` of `ask`, which is alive. The
    // responses are of calloc and strdup, as PAM frees them.
    unsafe {
        let answers = &*data.cast::<Answers<'_>>();
        let made = libc::calloc(count, size_of::<Response>()).cast::<Response>();
        if made.is_null() {
            return BUF_ERR;
        }
        for at in 0..count {
            let message = *messages.add(at);
            let text = match (!message.is_null()).then(|| (*message).style) {
                Some(PROMPT_ECHO_OFF) => answers.password,
                Some(PROMPT_ECHO_ON) => answers.user,
                _ => continue,
            };
            (*made.add(at)).text = libc::strdup(text.as_ptr());
        }
        *responses = made;
    }
    SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_permit_let_in_and_rules_that_deny_do_not() {
        let Some(pam) = Pam::load() else { return };
        if pam.start_in.is_none() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let rules = CString::new(dir.path().to_str().unwrap()).unwrap();
        let rule = |module: &str| {
            let text = format!("auth required {module}\naccount required {module}\n");
            std::fs::write(dir.path().join("dtcl-test"), text).unwrap();
            pam.ask(c"dtcl-test", ("anybody", "secret", Some("192.0.2.7")), Some(&rules))
        };
        // A host may have the library and none of the modules.
        if rule("pam_permit.so") {
            assert!(!rule("pam_deny.so"));
        }
        assert!(!pam.ask(c"dtcl-test", ("any\0body", "secret", None), Some(&rules)));
    }

    #[test]
    fn modules_are_answered_what_they_ask() {
        let answers = Answers { user: c"anna", password: c"secret" };
        let ask = |style| Message { style, text: c"?".as_ptr() };
        let asked = [ask(PROMPT_ECHO_ON), ask(PROMPT_ECHO_OFF), ask(4)];
        let mut pointers: Vec<*const Message> = asked.iter().map(ptr::from_ref).collect();
        let mut made = ptr::null_mut();
        let data = ptr::from_ref(&answers).cast_mut().cast();
        assert_eq!(talk(3, pointers.as_mut_ptr(), &raw mut made, data), SUCCESS);
        // SAFETY: `talk` has made three responses; each text is null or a string of its own.
        unsafe {
            let text = |at: usize| (*made.add(at)).text;
            assert_eq!((CStr::from_ptr(text(0)), CStr::from_ptr(text(1))), (c"anna", c"secret"));
            assert!(text(2).is_null());
            libc::free(text(0).cast());
            libc::free(text(1).cast());
            libc::free(made.cast());
        }
        assert_eq!(talk(0, pointers.as_mut_ptr(), &raw mut made, data), CONV_ERR);
        assert_eq!(talk(1000, pointers.as_mut_ptr(), &raw mut made, data), CONV_ERR);
    }
}
