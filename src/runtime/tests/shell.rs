//! Lines fed one after the other.

use super::interpreter;
use crate::runtime::Feed;

#[test]
fn variables_stay_and_failures_stop_nothing() {
    let (mut shell, ui) = interpreter();
    assert_eq!(shell.feed("$a = 1\n"), Feed::Done);
    assert_eq!(shell.feed("mirror stop 3\n"), Feed::Done);
    assert_eq!(shell.feed("write ("), Feed::Done);
    assert_eq!(shell.feed("frobnicate"), Feed::Done);
    assert_eq!(shell.feed("$a = $a + 1; write $A"), Feed::Done);
    assert_eq!(ui.output(), "2\n");
    assert_eq!(ui.messages().matches("input:1:").count(), 3, "{}", ui.messages());
    assert!(shell.variables().contains(&"a".to_owned()));
}

#[test]
fn open_blocks_want_their_rest() {
    let (mut shell, ui) = interpreter();
    assert_eq!(shell.feed("FOR $i = 1 TO 2 DO\n"), Feed::Incomplete);
    assert_eq!(shell.feed("FOR $i = 1 TO 2 DO\nwrite $i\n"), Feed::Incomplete);
    assert_eq!(shell.feed("FOR $i = 1 TO 2 DO\nwrite $i\nEND\n"), Feed::Done);
    assert_eq!(shell.feed("write a \\\n"), Feed::Incomplete);
    assert_eq!(shell.feed("write a \\\nb\n"), Feed::Done);
    assert_eq!(shell.feed("write e:\\\n"), Feed::Done);
    assert_eq!(shell.feed("# note \\\n"), Feed::Done);
    assert_eq!(ui.output(), "1\n2\nab\ne:\\\n");
    // Nothing that follows can mend it.
    assert_eq!(shell.feed("IF TRUE THEN write (\n"), Feed::Done);
    assert_eq!(shell.feed("END\n"), Feed::Done);
}

#[test]
fn exit_ends_it() {
    let (mut shell, _) = interpreter();
    assert_eq!(shell.feed("exit"), Feed::Exit(0));
    assert_eq!(shell.feed("quit"), Feed::Exit(0));
    assert_eq!(shell.feed("exit 5; write no"), Feed::Exit(5));
    assert_eq!(shell.feed("IF TRUE THEN EXIT 3 END"), Feed::Exit(3));
}

#[test]
fn on_error_stays() {
    let (mut shell, ui) = interpreter();
    shell.feed("mirror stop 3; write a");
    shell.feed("ON ERROR CONTINUE");
    shell.feed("mirror stop 3; write b");
    shell.feed("ON ERROR STOP");
    shell.feed("mirror stop 3; write c");
    assert_eq!(ui.output(), "b\n");
}
