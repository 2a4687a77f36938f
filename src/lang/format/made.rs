//! Scripts for tests of properties: every statement and operator, with any blanks, comments and line ends that the language allows.

/// Makes a script from a row of choices: every statement and operator, with any blanks the language allows.
struct Choices<'a> {
    left: std::slice::Iter<'a, u8>,
    out: String,
    depth: u32,
}

const BLANKS: &[&str] = &[" ", "  ", "\t", " \\\n", " \\ \r\n\t ", " \\\n \\\n"];
const NAMES: &[&str] = &["a", "count", "_x1", "ü", "T"];

impl Choices<'_> {
    fn pick(&mut self, of: usize) -> usize {
        usize::from(self.left.next().copied().unwrap_or(0)) % of
    }

    fn one(&mut self, of: &[&str]) {
        let number = self.pick(of.len());
        self.out.push_str(of[number]);
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// A blank that has to be.
    fn sp(&mut self) {
        self.one(BLANKS);
    }

    /// One that may be.
    fn maybe(&mut self) {
        if self.pick(2) == 1 {
            self.sp();
        }
    }

    fn name(&mut self) {
        self.one(NAMES);
    }

    fn variable(&mut self) {
        self.put("$");
        self.name();
        match self.pick(4) {
            0 => {
                self.put("[");
                self.maybe();
                self.expr();
                self.maybe();
                self.put("]");
            }
            1 => {
                self.put(".");
                self.name();
            }
            _ => {}
        }
    }

    fn quoted(&mut self) {
        self.one(&["\"\"", "\"a  b\"", "'it''s'", "\"d:\\\"", "\"# no ; comment\"", "'日本'", "\"\t\""]);
    }

    fn list(&mut self) {
        for number in 0..self.pick(3) {
            if number > 0 {
                self.put(",");
                self.maybe();
            }
            self.expr();
            self.maybe();
        }
    }

    fn operand(&mut self) {
        self.depth += 1;
        match if self.depth > 4 { self.pick(4) } else { self.pick(10) } {
            0 => self.one(&["0", "7", "9223372036854775807", "1/2/27", "12/31/2029", "22:30", "1:02:03"]),
            1 => self.quoted(),
            2 => self.one(&["TRUE", "false"]),
            3 => self.variable(),
            4 => {
                self.put("-");
                self.maybe();
                self.operand();
            }
            5 => {
                self.put("(");
                self.maybe();
                self.expr();
                self.maybe();
                self.put(")");
            }
            6 => {
                self.put("[");
                self.maybe();
                self.list();
                self.put("]");
            }
            7 => {
                self.one(&["len", "m::f", "NOT_so"]);
                self.put("(");
                self.maybe();
                self.list();
                self.put(")");
            }
            8 => {
                self.put("$\"a {{ ");
                if self.pick(2) == 1 {
                    self.put("{");
                    self.maybe();
                    self.expr();
                    self.maybe();
                    self.put("}");
                }
                self.put("  # \"");
            }
            _ => {
                self.put("(not");
                self.sp();
                self.expr();
                self.put(")");
            }
        }
        self.depth -= 1;
    }

    fn expr(&mut self) {
        self.operand();
        for _ in 0..self.pick(3) {
            if self.pick(2) == 1 {
                self.maybe();
                self.one(&["+", "-", "*", "/", "%"]);
                self.maybe();
            } else {
                self.sp();
                self.one(&["AND", "or", "="]);
                self.sp();
            }
            self.operand();
        }
    }

    fn command(&mut self) {
        self.one(&["write", "Repset", "frob", "\\", "e:\\data\\", "schedule", "//srv", "ends"]);
        for _ in 0..self.pick(5) {
            match self.pick(4) {
                0 => {
                    self.maybe();
                    self.one(&["=", ","]);
                    self.maybe();
                    continue;
                }
                _ => self.sp(),
            }
            match self.pick(7) {
                0 => self.quoted(),
                1 => self.variable(),
                2 => {
                    self.put("(");
                    self.expr();
                    self.put(")");
                }
                3 => self.one(&["\\", "a\\", "/srv/c$", "*", "-5", "5/30/2027"]),
                _ => self.one(&["to", "Beta", "x#y", "1000", "ENDING"]),
            }
        }
    }

    fn between(&mut self) {
        self.maybe();
        self.one(&["\n", "\r\n", ";", " # c \n", "\n\n\n\n\n", "\n//x ; y\n", "\n \t# ü\r\n", " ;; ", ";\n"]);
        self.maybe();
    }

    fn block(&mut self) {
        for _ in 0..self.pick(4) {
            self.statement();
            self.between();
        }
    }

    fn end(&mut self, own: &str) {
        let own = [own, "END", "end"];
        self.one(&own);
    }

    fn statement(&mut self) {
        self.depth += 1;
        match if self.depth > 4 { self.pick(4) } else { self.pick(9) } {
            0 | 1 => self.command(),
            2 => {
                self.put("$");
                self.name();
                self.maybe();
                self.put("=");
                self.maybe();
                if self.pick(2) == 1 { self.expr() } else { self.command() }
            }
            3 => self.one(&["break", "CONTINUE", "Return", "ON  ERROR\tCONTINUE", "on error stop", "f( 1 )"]),
            4 => {
                self.put("IF");
                self.sp();
                self.expr();
                self.sp();
                self.put("then");
                self.sp();
                self.block();
                if self.pick(3) == 0 {
                    self.put("ELSEIF");
                    self.sp();
                    self.expr();
                    self.sp();
                    self.put("THEN");
                    self.between();
                    self.block();
                }
                if self.pick(3) == 0 {
                    self.put("else");
                    self.sp();
                    self.block();
                }
                self.end("EndIf");
            }
            5 => {
                self.put("WHILE");
                self.sp();
                self.expr();
                self.sp();
                self.put("DO");
                self.between();
                self.block();
                self.end("endwhile");
            }
            6 => {
                self.put("FOR");
                self.sp();
                self.put("$i");
                self.maybe();
                self.put("=");
                self.maybe();
                self.expr();
                self.sp();
                self.put("TO");
                self.sp();
                self.expr();
                self.sp();
                if self.pick(2) == 1 {
                    self.put("STEP");
                    self.sp();
                    self.expr();
                    self.sp();
                }
                self.put("DO");
                self.sp();
                self.block();
                self.end("endfor");
            }
            7 => {
                self.put("for");
                self.sp();
                self.put("EACH");
                self.sp();
                self.put("$x");
                self.sp();
                self.put("IN");
                self.sp();
                self.expr();
                self.sp();
                self.put("do");
                self.between();
                self.block();
                self.end("END");
            }
            _ => {
                self.put("ON");
                self.sp();
                self.put("ERROR");
                self.sp();
                self.put("DO");
                self.sp();
                self.block();
                self.end("END");
            }
        }
        self.depth -= 1;
    }
}

/// The script that these choices make; most are scripts.
pub fn made(choices: &[u8]) -> String {
    let mut made = Choices { left: choices.iter(), out: String::new(), depth: 0 };
    while !made.left.as_slice().is_empty() {
        made.statement();
        made.between();
    }
    made.out
}
