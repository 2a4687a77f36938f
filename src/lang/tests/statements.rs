//! What fits the language, rule by rule (language.md 2).

use super::{ok, one};

#[test]
fn statements_end_at_lines_and_semicolons() {
    assert_eq!(ok("write a;write b\r\nwrite c;;\n\n  write d"), ["write a", "write b", "write c", "write d"]);
}

#[test]
fn a_blank_and_a_backslash_continue_a_line() {
    assert_eq!(one("write a \\\n b \\  \r\n c"), "write a b c");
    assert_eq!(ok("write e:\\data\\\nwrite b"), ["write e:\\data\\", "write b"]);
    assert_eq!(one("IF $a > 1 \\\n AND ($b = \\\n 2) \\\n THEN"), "IF $a 1 > and? $b 2 = !");
}

#[test]
fn comments_begin_at_a_word() {
    assert_eq!(
        ok("#!/usr/bin/env -S DTCL -f\n// x\n  // y\nwrite a # b; c \\\nwrite d"),
        ["write a", "write d"]
    );
    assert_eq!(one("write a#b //server/x /*"), "write a#b //server/x /*");
    assert_eq!(one("set x =#foo"), "set x =");
    assert_eq!(ok("$a = 5 # five"), ["$a = 5"]);
}

#[test]
fn words_are_runs_of_anything_but_delimiters() {
    let words =
        r"repset rule add /srv/data/*.db e:\data 192.0.2.7:1500 [2001:db8::7]:1500 5/30/2027 /srv/c$ \\a\b";
    assert_eq!(one(words), words);
    assert_eq!(one("set a=5"), "set a = 5");
    assert_eq!(one("set a = 5,6 , 7"), "set a = 5 , 6 , 7");
}

#[test]
fn quotes_keep_backslashes_and_fold_doubled_quotes() {
    assert_eq!(
        one(r#"write "d:\" 'a"b' "say ""x""" '' "$no {x}""#),
        r#"write <d:\> <a"b> <say "x"> <> <$no {x}>"#
    );
}

#[test]
fn expanding_quotes_hold_any_expression() {
    assert_eq!(one(r#"write $"{$dir}/new""#), "write ($dir </new> join/2)");
    assert_eq!(one(r#"write $"{{a}} ""{$m}}}""#), r#"write (<{a} "> $m <}> join/3)"#);
    assert_eq!(one(r#"write $"{len("a""b}")}{ $"{1}" }""#), r#"write (<a"b}> len/1 1 join/1 join/2)"#);
    assert_eq!(one(r#"write $"""#), "write (join/0)");
}

#[test]
fn values_in_commands() {
    assert_eq!(one("mirror start $con"), "mirror start ($con)");
    assert_eq!(one("write $a.b[$i].c,$1=(1 + 2)"), "write ($a .b $i [] .c) , ($1) = (1 2 +)");
    assert_eq!(one("sleep ($n * 2)"), "sleep ($n 2 *)");
    assert_eq!(one("write 7/2 -5"), "write 7/2 -5");
}

#[test]
fn a_bare_right_side_is_a_command() {
    assert_eq!(one("$d = date"), "$d <- date");
    assert_eq!(one("$d = date(\"1/2/27\")"), "$d = <1/2/27> date/1");
    assert_eq!(one("$d = connect a to b map exact"), "$d <- connect a to b map exact");
    assert_eq!(one("$x=NOT TRUE"), "$x = true not");
    assert_eq!(one("$x = true"), "$x = true");
    assert_eq!(one("$x = truely"), "$x <- truely");
    assert_eq!(one("$x = a::f(1)"), "$x = 1 a::f/1");
    assert_eq!(one("$x = /srv"), "$x <- /srv");
    assert_eq!(one("notify($con, 1)"), "call $con 1 notify/2");
    assert_eq!(one("write (\"x\")"), "write (<x>)");
    assert_eq!(one("$l = [1, [2], []]"), "$l = 1 2 list/1 list/0 list/3");
    // A bracket is a character of words elsewhere.
    assert_eq!(one("$l = [1, TRUE]"), "$l = 1 true list/2");
    assert_eq!(one("$l = truely]"), "$l <- truely]");
}

#[test]
fn operators_bind_as_the_table_says() {
    assert_eq!(one("$x = 1 + 2 * 3 - 4"), "$x = 1 2 3 * + 4 -");
    assert_eq!(one("$x = -$a * - 2"), "$x = $a neg -2 *");
    assert_eq!(one("$x = NOT $a = 1 AND $b OR $c"), "$x = $a 1 = not and? $b ! or? $c !");
    assert_eq!(one("$x = $a or $b and not not $c"), "$x = $a or? $b and? $c not not ! !");
    assert_eq!(one("$x = ($a = 1) <> (2 >= 3)"), "$x = $a 1 = 2 3 >= <>");
    assert_eq!(one("$x = status($con).target_state[1]"), "$x = $con status/1 .target_state 1 []");
    assert_eq!(one("$x = $a<-5"), "$x = $a -5 <");
    assert_eq!(one("$x = -9223372036854775808"), "$x = -9223372036854775808");
}

#[test]
fn dates_and_times_stand_in_expressions() {
    assert_eq!(one("$d = 11/30/2005"), "$d = 2005-11-30");
    assert_eq!(one("$d = 1/2/05 + 1"), "$d = 2005-01-02 1 +");
    assert_eq!(one("$d = 22:30"), "$d = 22:30:00");
    assert_eq!(one("$d = 22:30:15"), "$d = 22:30:15");
    assert_eq!(one("$d = 100/10/5"), "$d = 100 10 / 5 /");
    assert_eq!(one("$d = 10/2/5"), "$d = 10 2 / 5 /");
    assert_eq!(one("$d = 10 /2/05"), "$d = 10 2 / 5 /");
}

#[test]
fn blocks_on_one_line_and_on_many() {
    assert_eq!(one_line("IF $r < 0 THEN EXIT 1 END"), "IF $r 0 <|EXIT 1|END Any");
    assert_eq!(
        one_line("if $a = 1 then write x; write y elseif TRUE then write z else write w endif"),
        "IF $a 1 =|write x|write y|ELSEIF true|write z|ELSE|write w|END If"
    );
    assert_eq!(one_line("WHILE $i < 3 DO $i = $i + 1 END"), "WHILE $i 3 <|$i = $i 1 +|END Any");
    assert_eq!(
        one_line("FOR $i = 1 TO $n STEP -2 DO FOR EACH $x IN $l DO BREAK END ENDFOR; write z"),
        "FOR $i 1 $n -2|EACH $x $l|Break|END Any|END For|write z"
    );
    assert_eq!(
        one_line("ON ERROR DO write x END ; on error continue"),
        "OnErrorDo|write x|END Any|OnErrorContinue"
    );
    assert_eq!(one_line("IF(TRUE)THEN write 1 END"), "IF true|write 1|END Any");
}

fn one_line(text: &str) -> String {
    ok(text).join("|")
}

#[test]
fn end_belongs_to_schedule_directly_after_its_target() {
    assert_eq!(
        one_line("IF TRUE THEN SCHEDULE beta END BYTES=5 END"),
        "IF true|SCHEDULE beta END BYTES = 5|END Any"
    );
    assert_eq!(one_line("schedule $t end duration = 5"), "schedule ($t) end duration = 5");
    assert_eq!(one_line("WHILE TRUE DO SCHEDULE beta LIST END"), "WHILE true|SCHEDULE beta LIST|END Any");
    assert_eq!(one("write \"end\""), "write <end>");
}

#[test]
fn reserved_words_stand_anywhere_but_first() {
    assert_eq!(one("write if for while on"), "write if for while on");
    assert_eq!(one("limit bandwidth off to beta"), "limit bandwidth off to beta");
}

#[test]
fn truth_stands_in_lists_and_texts() {
    assert_eq!(one("$a = [TRUE, false]"), "$a = true false list/2");
    assert_eq!(one("$a = $\"{TRUE}\""), "$a = true join/1");
}
