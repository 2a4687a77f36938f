//! What the formatter does to each kind of line, and what holds of any script.

use super::made::made;
use super::{Read, format};
use crate::lang::tests::parsed;
use crate::lang::{LINE_LIMIT, Source};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

fn formatted(text: &str) -> String {
    format(&Source::new("x", text)).unwrap_or_else(|problems| panic!("{text}: {problems:#?}"))
}

/// Formatted so, and the formatted text stays.
#[track_caller]
fn becomes(text: &str, wanted: &str) {
    assert_eq!(formatted(text), wanted, "{text}");
    assert_eq!(formatted(wanted), wanted);
}

#[track_caller]
fn stays(text: &str) {
    becomes(text, text);
}

#[test]
fn blanks_stand_between_words_and_behind_commas() {
    becomes("repset   create\tpayroll", "repset create payroll\n");
    becomes("LIMIT BANDWIDTH 1000,10 TO beta", "LIMIT BANDWIDTH 1000, 10 TO beta\n");
    becomes("waitonmirror 1 timeout=5 , 6", "waitonmirror 1 timeout = 5, 6\n");
    becomes("log include 1 ,2,  3", "log include 1, 2, 3\n");
    becomes("write  \"a  b\"   'c'  $\"{ $x }  y\"", "write \"a  b\" 'c' $\"{ $x }  y\"\n");
    becomes("write ( 7/2 ),( 1 ) $x[ 0 ].y", "write (7 / 2), (1) $x[0].y\n");
    becomes("Repset CREATE PayRoll", "Repset CREATE PayRoll\n");
}

#[test]
fn operators_have_blanks_brackets_and_signs_none() {
    becomes("$a=1+2*-3", "$a = 1 + 2 * -3\n");
    becomes("$a = - - $b - - 3", "$a = --$b - -3\n");
    becomes("$a=NOT(TRUE)AND $b<>5 or not $c", "$a = NOT (TRUE) AND $b <> 5 or not $c\n");
    becomes("$a = f( 1 ,$b[ 1 ].x,[ ] )", "$a = f(1, $b[1].x, [])\n");
    becomes("$a=[1,\"two\" ,[ 3 ]]", "$a = [1, \"two\", [3]]\n");
    becomes("$a=1/2/27+100/2/27", "$a = 1/2/27 + 100 / 2 / 27\n");
    becomes("$a==$b".replace("==", "=$c==").as_str(), "$a = $c == $b\n");
    becomes("m::f( $x )", "m::f($x)\n");
    becomes("$r=mirror   start 1", "$r = mirror start 1\n");
}

#[test]
fn blocks_are_indented() {
    becomes(
        "IF $a THEN\nwrite 1\n\tELSEIF($b)THEN\n      write 2\nELSE\nWHILE TRUE DO\nBREAK\nEND\nENDIF\nwrite 3",
        "IF $a THEN\n  write 1\nELSEIF ($b) THEN\n  write 2\nELSE\n  WHILE TRUE DO\n    BREAK\n  END\nENDIF\nwrite 3\n",
    );
    becomes(
        "ON  ERROR  DO\nwrite $error\nEND\nFOR $i=1 TO 5 STEP 2 DO\nwrite $i\nEND\nfor each $x in [1]do\nend",
        "ON ERROR DO\n  write $error\nEND\nFOR $i = 1 TO 5 STEP 2 DO\n  write $i\nEND\nfor each $x in [1] do\nend\n",
    );
    becomes("on  error   continue", "on error continue\n");
}

#[test]
fn a_block_in_one_line_stays_there() {
    stays("IF $r < 0 THEN EXIT 1 END\n");
    stays("IF $r < 0 THEN EXIT 1 ELSE write 2 END  # so\nwrite 3\n");
    stays("WHILE TRUE DO IF $a THEN BREAK END END\n");
    becomes("IF $a THEN ; write 1;END;write 2", "IF $a THEN write 1; END; write 2\n");
}

#[test]
fn a_block_of_several_lines_has_its_words_on_lines_of_their_own() {
    becomes("IF $a THEN write 1\nwrite 2 END", "IF $a THEN\n  write 1\n  write 2\nEND\n");
    becomes(
        "IF $a THEN write 1 # one\nELSE write 2\nEND; write 3",
        "IF $a THEN\n  write 1  # one\nELSE\n  write 2\nEND\nwrite 3\n",
    );
    becomes(
        "WHILE TRUE DO IF $a THEN BREAK END\nEND END".trim_end_matches(" END"),
        "WHILE TRUE DO\n  IF $a THEN BREAK END\nEND\n",
    );
}

#[test]
fn semicolons_part_statements_of_one_line() {
    becomes("write 1;write 2 ; ;write 3;", "write 1; write 2; write 3\n");
    becomes(";;\nwrite 1", "write 1\n");
    // Without it END would be a word of SCHEDULE.
    stays("IF $a THEN schedule beta; END\n");
    stays("schedule beta END duration = 5\n");
}

#[test]
fn a_continued_line_stays_continued() {
    becomes("write a \\\nb \\ \n\n\nwrite c", "write a \\\n  b\n\n\nwrite c\n");
    becomes(
        "IF $a AND \\\n$b THEN\nwrite ( 1+ \\\n2 )\nEND",
        "IF $a AND \\\n    $b THEN\n  write (1 + \\\n    2)\nEND\n",
    );
    becomes("write a; \\\nwrite b", "write a\nwrite b\n");
    becomes("write a \\", "write a\n");
}

#[test]
fn a_backslash_that_is_a_word_continues_nothing() {
    becomes("dir \\;\nwrite 1", "dir \\;\nwrite 1\n");
    becomes("IF $a THEN\ndir \\ # root\n\\;\nEND", "IF $a THEN\n  dir \\  # root\n  \\;\nEND\n");
    becomes("  \\ x;\n", "\\ x\n");
}

#[test]
fn comments_stay_and_are_indented() {
    becomes(
        "#!/usr/bin/env -S DTCL -f\n  # a  \nIF $a THEN\n#b\n//c\nwrite 1#d\n# e\nEND # f\t",
        "#!/usr/bin/env -S DTCL -f\n# a\nIF $a THEN\n  #b\n  //c\n  write 1#d\n  # e\nEND  # f\n",
    );
    becomes("write a \\\n # b", "write a\n# b\n");
    becomes("write $\"x\"#c \\\n # d", "write $\"x\"  #c \\\n# d\n");
    assert!(format(&Source::new("x", "write $x#c \\\n # d")).is_err());
    becomes("write 1; # a", "write 1  # a\n");
    becomes("  \\\n// a \\\nwrite 1", "// a \\\nwrite 1\n");
}

#[test]
fn comments_below_each_other_stay_so() {
    becomes(
        "$a = 1        # one\n$bcd = 2      # two\n$ef=3         # three\n",
        "$a = 1    # one\n$bcd = 2  # two\n$ef = 3   # three\n",
    );
    becomes("$a=1 # one\n$bcd = 2 # two\n", "$a = 1  # one\n$bcd = 2  # two\n");
    becomes(
        "write \"日本\"  # a\nwrite 1234  # b\n\nwrite 1       # c\n",
        "write \"日本\"  # a\nwrite 1234  # b\n\nwrite 1  # c\n",
    );
}

#[test]
fn of_blank_lines_two_stay() {
    becomes("\n\n\nwrite 1\n\n\n\n\nwrite 2\n \t\nwrite 3\n\n\n", "write 1\n\n\nwrite 2\n\nwrite 3\n");
    becomes("", "");
    becomes("\n \n", "");
}

#[test]
fn line_ends_are_those_of_the_first_line() {
    becomes("write 1\r\nwrite 2 \\\n 3\r\n", "write 1\r\nwrite 2 \\\r\n  3\r\n");
    becomes("write 1 # a\nwrite 2 # b\r\n", "write 1  # a\nwrite 2  # b\n");
}

#[test]
fn a_script_with_errors_is_refused_with_all_of_them() {
    let messages = |text: &str| -> Vec<String> {
        format(&Source::new("x", text)).unwrap_err().into_iter().map(|problem| problem.message).collect()
    };
    assert_eq!(
        messages("write \"a\nIF $a THEN\nELSE\nELSE\n"),
        ["this quote is not closed", "this IF is not closed", "ELSE without IF"]
    );
    assert_eq!(messages("END"), ["this END closes nothing"]);
    assert_eq!(messages("WHILE TRUE DO\nENDIF"), ["ENDIF cannot close WHILE"]);
    // What a command says is not looked at.
    assert_eq!(formatted("frobnicate   $x"), "frobnicate $x\n");
}

#[test]
fn what_is_no_blank_between_statements_is_not_lost_with_a_comment() {
    for odd in ["\x0c", "\x0b", "\r"] {
        for text in [
            format!("write 1\n{odd} # important\nwrite 2\n"),
            format!("write 1\n{odd}# important"),
            format!("write 1\n \\\n{odd} \nwrite   2"),
            format!("{odd}// important\n"),
        ] {
            let problems = format(&Source::new("x", text.as_str())).unwrap_err();
            assert_eq!((problems.len(), problems[0].code), (1, 102), "{text:?}: {problems:?}");
            let place = text.find(odd).unwrap();
            assert_eq!(problems[0].span.start as usize, place, "{text:?}");
        }
    }
    becomes("write 1 # a \r \r\n \\\r\n;write 2", "write 1  # a\n\nwrite 2\n".replace('\n', "\r\n").as_str());
}

#[test]
fn a_line_that_becomes_too_long_is_refused() {
    let line = "$a=1;".repeat(LINE_LIMIT / 5);
    let problems = format(&Source::new("x", format!("write 1\n{line}"))).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("too long"), "{problems:?}");
    assert_eq!(problems[0].span.start, 8);
}

#[test]
fn a_large_script_is_formatted_across_its_parts() {
    let text = "IF $a THEN\nwrite $a , 1 \\\n  2 # c\nEND\n".repeat(20_000);
    let wanted = "IF $a THEN\n  write $a, 1 \\\n    2  # c\nEND\n".repeat(20_000);
    assert!(formatted(&text) == wanted);
}

/// What holds of every text.
fn holds(text: &str) {
    let source = Source::new("x", text);
    let out = match format(&source) {
        Ok(out) => out,
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|problem| problem.code != 0), "{text:?}: {problems:?}");
            return;
        }
    };
    assert_eq!(formatted(&out), out, "{text:?}");
    assert_eq!(parsed(text), parsed(&out), "{text:?} became {out:?}");
    assert_eq!(comments(text), comments(&out), "{text:?} became {out:?}");
    assert!(!out.contains("\n\n\n\n") && !out.starts_with('\n') && !out.ends_with("\n\n"), "{out:?}");
    assert!(out.is_empty() || out.ends_with('\n'), "{out:?}");
}

fn comments(text: &str) -> Vec<&str> {
    super::pieces::comments(text, &Read::of(text).pieces).collect()
}

/// The scripts of the project.
fn scripts() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for directory in ["examples", "tests/golden/scripts"] {
        for entry in std::fs::read_dir(root.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "dtcl") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 20, "{found:?}");
    found
}

#[test]
fn the_projects_scripts_are_formatted_and_mean_the_same() {
    for (path, text) in scripts() {
        holds(&text);
        if path.parent().is_some_and(|parent| parent.ends_with("examples")) {
            assert!(formatted(&text) == text, "DTCL fmt {} changes it", path.display());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 400 } else { 20_000 }))]

    #[test]
    fn any_script_means_the_same_and_stays(choices in prop::collection::vec(any::<u8>(), 0..200)) {
        holds(&made(&choices));
    }

    /// Scripts of the project with pieces taken out, put in and doubled.
    #[test]
    fn mangled_scripts_are_refused_or_mean_the_same(
        number in any::<prop::sample::Index>(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..30usize, 0..8usize), 1..6),
    ) {
        let scripts = scripts();
        let mut text: Vec<char> = scripts[number.index(scripts.len())].1.chars().collect();
        for (place, length, put) in cuts {
            let at = place.index(text.len().max(1)).min(text.len());
            let end = (at + length).min(text.len());
            let new = ["", ";", "\n", " \\\n", " # ", " END ", "\"", " = "][put];
            text.splice(at..end, new.chars());
        }
        holds(&text.into_iter().collect::<String>());
    }

    #[test]
    fn no_text_makes_the_formatter_panic(text in crate::lang::tests::pieces()) {
        holds(&text);
    }
}

/// How often a made script is one, so that the property says something.
#[test]
fn most_made_scripts_are_scripts() {
    let mut good = 0;
    for seed in 0..200u32 {
        let choices: Vec<u8> =
            (0..120u32).map(|n| (seed.wrapping_mul(7919).wrapping_add(n * n * 31 + n) >> 3) as u8).collect();
        good += usize::from(Read::of(&made(&choices)).problems.is_empty());
    }
    assert!(good > 60, "{good} of 200");
}
