"""Mirror and verify beside rsync, cp and tar. Rows: many, same, big, byte, verify, memory."""

import os
import shutil
import statistics
import subprocess
import threading
import time

from .base import MIB, Bench, Failed


class Mirrors(Bench):
    needs = {"rsync": "rsync", "tar": "tar", "cp": "coreutils"}

    def __init__(self, options):
        quick = options.quick
        self.files, self.dirs = (5_000, 50) if quick else (100_000, 1_000)
        self.big = (256 if quick else 4096) * MIB
        self.million = 50_000 if quick else 1_000_000
        self.warm_size = 1024 if quick else 13 * 1024
        super().__init__(options)

    def parts(self):
        return self.trees, self.big_file, self.memory

    def change_byte(self, path, turn=[0]):
        turn[0] += 1
        with open(path, "r+b", buffering=0) as file:
            file.seek(self.big // 3 + turn[0] * 1_000_003 % (self.big // 3))
            old = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([old[0] ^ 0x5A]))

    def trees(self):
        if not self.wants("many", "same"):
            return
        source = self.path("many")
        self.make_tree(source, self.files, self.dirs, 4096)
        self.repset("many", source)
        target = lambda tool: self.path("to-" + tool)

        def tool(label, command):
            return (label, lambda: (self.empty("to-" + label), os.mkdir(target(label))), command,
                    lambda: self.compare(source, target(label)))

        count = f"{self.files:,} files of 4 KiB in {self.dirs:,} directories"
        self.row("many", f"{count}, empty target", {"text": "0.5 x rsync", "ratio": 0.5, "to": "rsync"}, "1.1 s", [
            tool("DTCL", lambda: self.mirror("many", source, target("DTCL"), "full")),
            tool("rsync", lambda: self.run(["rsync", "-aHAX", source + "/", target("rsync") + "/"])),
            tool("tar", lambda: self.run(["bash", "-c", 'set -o pipefail; tar -C "$0" -cf - . | tar -C "$1" -xpf -',
                                         source, target("tar")])),
            tool("cp", lambda: self.run(["cp", "-a", source + "/.", target("cp") + "/"])),
        ])
        if self.wants("same"):
            self.empty("to-tar", "to-cp", "to-DTCL", "to-rsync")
            for label in "DTCL", "rsync":
                os.mkdir(target(label))
                self.run(["rsync", "-aHAX", source + "/", target(label) + "/"])
            nothing = lambda: None
            self.row("same", f"{count}, nothing changed, difference mirror",
                     {"text": "0.5 x rsync", "ratio": 0.5, "to": "rsync"}, "0.25 s", [
                ("DTCL", nothing, lambda: self.mirror("many", source, target("DTCL"), "different"),
                 lambda: self.compare(source, target("DTCL"))),
                ("rsync", nothing, lambda: self.run(["rsync", "-aHAX", source + "/", target("rsync") + "/"]), None),
            ])
        self.empty("many", "to-DTCL", "to-rsync")

    def big_file(self):
        if not self.wants("big", "byte", "verify"):
            return
        source = self.path("big")
        self.make_big(os.path.join(source, "big.dat"), self.big)
        self.repset("big", source)
        dtcl, rsync, cp = self.path("big-DTCL"), self.path("big-rsync"), self.path("big-cp")
        size = f"{self.big / (1 << 30):.3g} GiB file"
        fresh = lambda: (self.empty("big-DTCL", "big-rsync", "big-cp"))
        self.row("big", f"one {size}, full mirror", {"text": "0.6 x rsync", "ratio": 0.6, "to": "rsync"}, "cp's time", [
            ("DTCL", fresh, lambda: self.mirror("big", source, dtcl, "full"), lambda: self.compare(source, dtcl)),
            ("rsync", fresh, lambda: self.run(["rsync", "-aHAX", source + "/", rsync + "/"]),
             lambda: self.compare(source, rsync)),
            ("cp", fresh, lambda: self.run(["cp", "-a", source, cp]), lambda: self.compare(source, cp)),
        ])
        fresh()
        for target in dtcl, rsync:
            self.run(["cp", "-a", source, target])
        change = lambda: self.change_byte(os.path.join(source, "big.dat"))
        self.row("byte", f"one byte changed in the {size}, DIFFERENT CHECKSUM",
                 {"text": "0.5 x rsync --inplace --no-whole-file", "ratio": 0.5, "to": "rsync"}, "0.5 s", [
            ("DTCL", change, lambda: self.mirror("big", source, dtcl, "different checksum"),
             lambda: self.compare(source, dtcl)),
            ("rsync", lambda: None, lambda: self.run(["rsync", "-aHAX", "--inplace", "--no-whole-file", source + "/",
                                                      rsync + "/"]), lambda: self.compare(source, rsync)),
        ])
        self.row("verify", f"verify {size}, both sides", {"text": "1.0 x rsync -c dry run", "ratio": 1.0, "to": "rsync"},
                 "SHA-1 bound", [
            ("DTCL", lambda: None, lambda: self.verify("big", source, dtcl), None),
            ("rsync", lambda: None, lambda: self.run(["rsync", "-aHAXnc", source + "/", rsync + "/"]), None),
        ])
        fresh()
        self.empty("big")

    def memory(self):
        if not self.wants("memory"):
            return
        source, dtcl, rsync = self.path("million"), self.path("million-DTCL"), self.path("million-rsync")
        self.make_tree(source, self.million, max(1, self.million // 1000), 64)
        self.repset("million", source)
        peak = lambda argv: self.peak(argv)
        text = (f'$c = connect million to localhost map "{source}" to "{dtcl}" mirror full\n'
                'IF $c < 0 THEN write $error; EXIT 1 END\nwaitonmirror $c\ndisconnect $c')
        rounds, self.rounds = self.rounds, 1
        self.row("memory", f"peak memory with {self.million:,} files, full mirror",
                 {"text": "150 MB", "at_most": 150}, "60 MB", [
            ("DTCL", lambda: self.empty("million-DTCL"), lambda: peak([self.dtcl, "-c", text]), None),
            ("rsync", lambda: self.empty("million-DTCL", "million-rsync"),
             lambda: peak(["rsync", "-aHAX", source + "/", rsync + "/"]), None),
        ], unit="MB")
        self.rounds = rounds
        self.empty("million", "million-DTCL", "million-rsync")

    def peak(self, argv):
        """Peak resident memory in MB of a command and the processes that it starts, added up.

        Read from the kernel's own high-water marks while it runs; they only grow, so little is missed at the end."""
        process = subprocess.Popen(argv, env=dict(os.environ, DTCL_HOME=self.home), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        marks, ended = {}, threading.Event()

        def family(pid):
            try:
                with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
                    for child in children.read().split():
                        yield from family(int(child))
            except OSError:
                pass
            yield pid

        def poll():
            while not ended.wait(0.01):
                for pid in list(family(process.pid)):
                    try:
                        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
                            for line in status:
                                if line.startswith("VmHWM:"):
                                    marks[pid] = max(marks.get(pid, 0), int(line.split()[1]))
                    except OSError:
                        pass

        watcher = threading.Thread(target=poll)
        watcher.start()
        error = process.communicate()[1].decode(errors="replace")
        ended.set()
        watcher.join()
        if process.returncode != 0:
            raise Failed(f"{argv[0]} ended with {process.returncode}\n{error[-2000:]}")
        return sum(marks.values()) / 1000
