"""A running engine, driven as a person would: a process `DTCL -i` whose pipes are its terminal."""

import os
import re
import select
import subprocess
import time

from .base import Failed


class Engine:
    """Commands go in as lines; a line of our own behind each one says when it has ended."""

    def __init__(self, dtcl, home, env=None):
        os.makedirs(home, exist_ok=True)
        self.errors = os.path.join(home, "stderr")
        with open(self.errors, "ab") as errors:
            self.process = subprocess.Popen([dtcl, "-i"], env=dict(os.environ, DTCL_HOME=home, **(env or {})),
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, bufsize=0)
        self.pid, self.turn, self.text = self.process.pid, 0, b""

    def say(self, line, timeout=120.0):
        """What the command printed, without the echo of prompt and line."""
        self.turn += 1
        mark = f"end-of-turn-{self.turn}"
        try:
            self.process.stdin.write(f'{line}\nwrite "{mark}"\n'.encode())
        except BrokenPipeError:
            raise Failed(self.report(f"it ended before {line}")) from None
        text = self.read_until(f"\n  {mark}\n".encode(), timeout, line).decode(errors="replace")
        return "\n".join(each for each in text.split("\n") if not each.startswith("Command:  "))

    def read_until(self, mark, timeout, what):
        end = time.monotonic() + timeout
        out = self.process.stdout.fileno()
        while mark not in self.text:
            ready = select.select([out], [], [], max(0, end - time.monotonic()))[0]
            chunk = os.read(out, 1 << 16) if ready else None
            if not chunk:
                reason = "ended" if ready else f"gave no answer in {timeout:.0f} s"
                raise Failed(self.report(f"the engine {reason} at: {what}"))
            self.text += chunk
        text, self.text = self.text.split(mark, 1)
        return text

    def value(self, expression, timeout=120.0):
        """An expression of the language, as text. A command's value: `say("$x = ...")`, then `value("$x")`."""
        return self.say(f"write {expression}", timeout).strip()

    def code(self, command, timeout=120.0):
        """The number that a command returns; negative ones raise."""
        self.say(f"$code = {command}", timeout)
        text = self.value("$code")
        if not re.fullmatch(r"-?\d+", text) or int(text) < 0:
            raise Failed(self.report(f"{command}: {text}"))
        return int(text)

    def report(self, what):
        with open(self.errors, "rb") as errors:
            said = errors.read()[-1500:].decode(errors="replace").strip()
        return f"{what}\n{said}" if said else what

    def memory(self, mark="VmHWM"):
        """MB: the peak, or with `VmRSS` what it holds now."""
        with open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as status:
            return next(int(line.split()[1]) for line in status if line.startswith(mark)) / 1000

    def end(self, timeout=90.0):
        """To its end, as a terminal that is closed; killed when it does not come."""
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        # communicate would flush it.
        self.process.stdin = None
        try:
            self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failed(self.report(f"the engine did not end in {timeout:.0f} s")) from None

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in self.process.stdin, self.process.stdout:
            if pipe:
                pipe.close()
