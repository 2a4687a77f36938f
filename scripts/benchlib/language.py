"""The language and its tools beside tclsh and lua5.4. Rows: loop, calls, lines, footprint, start, key, lsp, format."""

import json
import os
import pty
import re
import select
import shutil
import signal
import statistics
import struct
import subprocess
import termios
import time
from fcntl import ioctl

from .base import MIB, Bench, Failed

LUA = "lua5.4"


class Language(Bench):
    needs = {"tclsh": "tcl", LUA: "lua5.4", "rsync": "rsync"}

    def __init__(self, options):
        super().__init__(options)
        quick = options.quick
        self.turns = 1_000_000 if quick else 10_000_000
        self.depth = 20 if quick else 25
        self.lines = 100_000 if quick else 1_000_000
        self.starts = 50 if quick else 200
        self.sets = 1_000
        self.script_lines = 10_000

    def parts(self):
        return self.loop, self.calls, self.long_script, self.starts_up, self.key, self.server

    def file(self, name, text):
        with open(self.path(name), "w", encoding="ascii") as file:
            file.write(text)
        return self.path(name)

    def tool(self, label, argv, expect=""):
        return label, lambda: None, lambda: self.run(argv, expect), None

    def loop(self):
        """The same program, word for word. tclsh also in a procedure, where it compiles variables to slots, lua with locals."""
        turns = self.turns
        dtcl = self.file("loop.dtcl", f"$i = 0\nWHILE $i < {turns} DO\n  $i = $i + 1\nEND\nwrite $i\n")
        body = f"set i 0\nwhile {{$i < {turns}}} {{\n  set i [expr {{$i + 1}}]\n}}\nputs $i\n"
        tcl = self.file("loop.tcl", body)
        procedure = self.file("procedure.tcl", "proc loop {} {\n" + body + "}\nloop\n")
        lua = self.file("loop.lua", f"i = 0\nwhile i < {turns} do\n  i = i + 1\nend\nprint(i)\n")
        self.row("loop", f"{turns:,}-turn WHILE loop", {"text": "tclsh", "ratio": 1.0, "to": "tclsh"}, "tclsh proc", [
            self.tool("DTCL", [self.dtcl, "-f", dtcl], str(turns)),
            self.tool("tclsh", ["tclsh", tcl], str(turns)),
            self.tool("tclsh proc", ["tclsh", procedure], str(turns)),
            self.tool("lua", [LUA, lua], str(turns)),
        ])

    def calls(self):
        """Recursive functions: those of a script are written in Rhai (USE)."""
        n = self.depth
        answer = [0, 1]
        while len(answer) <= n:
            answer.append(answer[-1] + answer[-2])
        self.file("fib.rhai", "fn fib(n) { if n < 2 { n } else { fib(n - 1) + fib(n - 2) } }\n")
        dtcl = self.file("fib.dtcl", f'USE "fib.rhai"\nwrite (fib({n}))\n')
        tcl = self.file("fib.tcl", "proc fib n {\n  if {$n < 2} { return $n }\n"
                        "  expr {[fib [expr {$n - 1}]] + [fib [expr {$n - 2}]]}\n}\n" f"puts [fib {n}]\n")
        lua = self.file("fib.lua", "function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end\n"
                        f"print(fib({n}))\n")
        limits = ["--limit", "operations=1000000000", "--limit", "time=300"]
        self.row("calls", f"fib({n}), recursive", {"text": "tclsh", "ratio": 1.0, "to": "tclsh"}, "-", [
            self.tool("DTCL", [self.dtcl, *limits, "-f", dtcl], str(answer[n])),
            self.tool("tclsh", ["tclsh", tcl], str(answer[n])),
            self.tool("lua", [LUA, lua], str(answer[n])),
        ])

    def long_script(self):
        n = self.lines
        dtcl = self.file("lines.dtcl", "$x = 0\n" + "$x = $x + 1\n" * (n - 2) + "write $x\n")
        tcl = self.file("lines.tcl", "set x 0\n" + "set x [expr {$x + 1}]\n" * (n - 2) + "puts $x\n")
        # Globals: lua has room for 200 locals, and a chunk of any length.
        lua = self.file("lines.lua", "x = 0\n" + "x = x + 1\n" * (n - 2) + "print(x)\n")
        seconds = 0.6 * n / 1_000_000
        self.row("lines", f"{n:,}-line script", {"text": f"{seconds:.2g} s", "at_most": seconds}, "tclsh", [
            self.tool("DTCL", [self.dtcl, "-f", dtcl], str(n - 2)),
            self.tool("tclsh", ["tclsh", tcl], str(n - 2)),
            self.tool("lua", [LUA, lua], str(n - 2)),
        ])
        memory = lambda argv: lambda: self.peak(argv)
        self.row("footprint", f"{n:,}-line script, most memory", {"text": "150 MB", "at_most": 150}, "-", [
            ("DTCL", lambda: None, memory([self.dtcl, "-f", dtcl]), None),
            ("tclsh", lambda: None, memory(["tclsh", tcl]), None),
            ("lua", lambda: None, memory([LUA, lua]), None),
        ], unit="MB")

    def peak(self, argv):
        """Most resident memory of a process, in MB."""
        env = dict(os.environ, DTCL_HOME=self.home)
        child = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise Failed(f"{argv[0]} ended with {child.returncode}")
        return usage.ru_maxrss * 1024 / MIB

    def starts_up(self):
        def spawn(argv):
            env = dict(os.environ, DTCL_HOME=self.home)
            devnull = os.open(os.devnull, os.O_WRONLY)
            path, runs = shutil.which(argv[0]) or argv[0], []
            for _ in range(self.starts):
                begin = time.perf_counter()
                pid = os.posix_spawn(path, argv, env, file_actions=[(os.POSIX_SPAWN_DUP2, devnull, 1)])
                status = os.waitpid(pid, 0)[1]
                runs.append(time.perf_counter() - begin)
                if status != 0:
                    raise Failed(f"{argv[0]} ended with {os.waitstatus_to_exitcode(status)}")
            os.close(devnull)
            return statistics.median(runs)

        tcl, lua = self.file("one.tcl", "puts 1\n"), self.file("one.lua", "print(1)\n")
        self.row("start", 'DTCL -c "write 1", whole process', {"text": "5 ms", "at_most": 0.005}, "2 ms", [
            ("DTCL", lambda: None, lambda: spawn([self.dtcl, "-c", "write 1"]), None),
            ("tclsh", lambda: None, lambda: spawn(["tclsh", tcl]), None),
            ("lua", lambda: None, lambda: spawn([LUA, lua]), None),
            ("true", lambda: None, lambda: spawn(["true"]), None),
        ])

    # --- the shell ------------------------------------------------------------------------------------------------

    def key(self):
        """From the key to the list of what could follow, in the shell of a home with many sets."""
        if not self.wants("key"):
            return
        names = [f"set-{n:04}" for n in range(self.sets)]
        self.script("".join(f"repset create {name}\n" for name in names) + "repset save")
        pid, terminal = pty.fork()
        if pid == 0:
            env = dict(os.environ, DTCL_HOME=self.home, TERM="xterm")
            os.execve(self.dtcl, [self.dtcl, "-i"], env)
        ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        try:
            read_until(terminal, b"Command:")
            # The engine is open, and answers.
            os.write(terminal, b"repset display set-0001\r")
            read_until(terminal, b"Generation")
            read_quiet(terminal)

            def press():
                os.write(terminal, b"repset display set-042")
                read_quiet(terminal)
                begin = time.perf_counter()
                # The first shows that there are several, the second lists them.
                os.write(terminal, b"\t\t")
                read_until(terminal, b"set-0429")
                seconds = time.perf_counter() - begin
                read_quiet(terminal)
                os.write(terminal, b"\x03")
                read_quiet(terminal)
                return seconds

            self.row("key", f"key to list, {self.sets:,} sets", {"text": "20 ms", "at_most": 0.020}, "-",
                     [("DTCL", lambda: None, press, None)])
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(terminal)

    # --- the language server --------------------------------------------------------------------------------------

    def server(self):
        if not self.wants("lsp", "format"):
            return
        block = ["$set = \"payroll\"", "IF $argc > 1 THEN", "  repset list", "  write $set \" \" $argc", "END",
                 "FOR $i = 1 TO 10 DO", "  write ($i * 2)", "END", "# a comment", "$r = status"]
        text = "\n".join(block * (self.script_lines // len(block))) + "\nrepset di\n"
        last = text.count("\n") - 1
        client = Client(self.dtcl, self.home)
        try:
            client.ask("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
            client.tell("initialized", {})
            uri = "file:///bench.dtcl"
            document = {"uri": uri, "languageId": "dtcl", "version": 1, "text": text}
            client.tell("textDocument/didOpen", {"textDocument": document})
            client.until("textDocument/publishDiagnostics")
            at = lambda line, character: {"textDocument": {"uri": uri}, "position": {"line": line, "character": character}}
            version = [1]

            def typed():
                """A key, and the completion that follows it."""
                version[0] += 1
                here = {"line": last, "character": 9}
                client.tell("textDocument/didChange", {
                    "textDocument": {"uri": uri, "version": version[0]},
                    "contentChanges": [{"range": {"start": here, "end": here}, "text": "s" if version[0] % 2 == 0 else ""}]})
                return client.ask("textDocument/completion", at(last, 9))

            def answers():
                asked = [lambda: client.ask("textDocument/hover", at(2, 4)),
                         lambda: client.ask("textDocument/definition", at(5003, 9)), typed]
                return max(timed(one) for one in asked)

            options = {"tabSize": 2, "insertSpaces": True}
            whole = lambda: timed(lambda: client.ask("textDocument/formatting",
                                                     {"textDocument": {"uri": uri}, "options": options}))
            bar = {"text": "20 ms", "at_most": 0.020}
            self.row("lsp", f"slowest answer, {self.script_lines:,}-line script", bar, "-",
                     [("DTCL", lambda: None, answers, None)])
            self.row("format", f"formatting, {self.script_lines:,}-line script", bar, "-",
                     [("DTCL", lambda: None, whole, None)])
        finally:
            client.end()


def timed(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def read_until(terminal, wanted, seconds=20):
    """Reads until this has come; escape sequences do not count."""
    text, end = b"", time.monotonic() + seconds
    while wanted not in re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", text):
        if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
            raise Failed(f"{wanted!r} did not come: {text[-300:]!r}")
        text += os.read(terminal, 65536)


def read_quiet(terminal):
    while select.select([terminal], [], [], 0.1)[0]:
        os.read(terminal, 65536)


class Client:
    """A language client that waits for each answer."""

    def __init__(self, program, home):
        env = dict(os.environ, DTCL_HOME=home)
        self.process = subprocess.Popen([program, "lsp"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.last = 0

    def send(self, message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def receive(self):
        length = 0
        while line := self.process.stdout.readline().strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        if length == 0:
            raise Failed("the language server has ended")
        return json.loads(self.process.stdout.read(length))

    def tell(self, method, params):
        self.send({"method": method, "params": params})

    def ask(self, method, params):
        self.last += 1
        self.send({"id": self.last, "method": method, "params": params})
        while True:
            message = self.receive()
            if message.get("id") == self.last and "method" not in message:
                if "error" in message:
                    raise Failed(f"{method}: {message['error']}")
                return message.get("result")

    def until(self, method):
        while self.receive().get("method") != method:
            pass

    def end(self):
        self.process.kill()
        self.process.wait()
