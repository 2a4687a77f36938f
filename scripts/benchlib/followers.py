"""Programs that keep a target following a source: DTCL and lsyncd, steered alike."""

import os
import shutil
import subprocess
import time
from signal import SIGKILL, SIGTERM

from .base import Failed
from .compare import differences
from .engine import Engine


class Follower:
    """One source and one target. `start` returns when changes are followed; `stop` always leaves nothing running."""

    label = ""

    def __init__(self, bench, source, target):
        self.bench, self.source, self.target = bench, source, target

    def wait(self, true, limit, what, pause=0.0005):
        """Seconds until this is true."""
        begin = time.perf_counter()
        while not true():
            if time.perf_counter() - begin > limit:
                raise Failed(f"{what} in {limit:g} s")
            time.sleep(pause)
        return time.perf_counter() - begin


class Dtcl(Follower):
    label = "DTCL"

    def start(self):
        home = self.bench.path("follow-home")
        shutil.rmtree(home, ignore_errors=True)
        self.engine = Engine(self.bench.dtcl, home)
        for line in ("set RemapLink = 0", "repset create t",
                     f'repset rule add "{self.source}" include, recursive to t', "repset save t"):
            self.engine.say(line)
        begin = time.perf_counter()
        connect = f'connect t to localhost map "{self.source}" to "{self.target}" nocalculate'
        self.connection = self.engine.code(connect)
        self.engine.code(f"waitonmirror {self.connection}", 900)
        mirrored = time.perf_counter()
        self.wait(lambda: self.status("replication") in ("Ready", "Stopped"), 60, "replication was not Ready")
        if self.status("replication") == "Stopped":
            raise Failed("replication is Stopped")
        self.ready_after, self.start_took = time.perf_counter() - mirrored, time.perf_counter() - begin

    def status(self, key):
        return self.engine.value(f"(status({self.connection}).{key})")

    def sent(self):
        """Content bytes that replication has sent."""
        return int(self.status("replication_bytes_transmitted"))

    def barrier(self, timeout=60):
        """Seconds that it took."""
        begin = time.perf_counter()
        if self.engine.code(f"barrier {self.connection} timeout = {timeout}", timeout + 30) != 1:
            raise Failed(self.engine.report(f"the barrier did not return in {timeout} s"))
        return time.perf_counter() - begin

    def settle(self, limit):
        self.barrier(limit)

    @property
    def pid(self):
        return self.engine.pid

    def stop(self):
        if hasattr(self, "engine"):
            self.engine.kill()


class Lsyncd(Follower):
    """At its best: no delay, woken by each write (it waits for the close by default), times compared by nanoseconds (rsync
    compares seconds by default, and so takes a second change of the same second for none)."""

    label = "lsyncd"

    def start(self):
        os.makedirs(self.target, exist_ok=True)
        config = self.bench.path("lsyncd.conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"""
settings {{ nodaemon = true, inotifyMode = "CloseWrite or Modify" }}
sync {{
    default.rsync, source = "{self.source}", target = "{self.target}", delay = 0,
    rsync = {{ archive = true, hard_links = true, acls = true, xattrs = true, _extra = {{ "--modify-window=-1" }} }}
}}
""")
        self.output = open(self.bench.path("lsyncd.out"), "wb")
        begin = time.perf_counter()
        # A group of its own: when it is stopped, its rsync goes on copying.
        self.process = subprocess.Popen(["lsyncd", "-nodaemon", config], stdout=self.output, stderr=self.output,
                                        start_new_session=True)
        self.canary(600)
        self.start_took = time.perf_counter() - begin

    def canary(self, limit):
        """Waits until a change made now has come through, and so has its removal."""
        names = [os.path.join(root, "canary") for root in (self.source, self.target)]
        kept = os.stat(self.source)
        for here, there in (True, True), (False, False):
            if here:
                with open(names[0], "w", encoding="ascii") as file:
                    file.write("x")
            else:
                os.remove(names[0])
                # Its coming and going leaves the root as it was.
                os.utime(self.source, ns=(kept.st_atime_ns, kept.st_mtime_ns))
            self.wait(lambda: self.process.poll() is not None or os.path.exists(names[1]) == there, limit,
                      "lsyncd had not done what was waiting", 0.005)
            if self.process.poll() is not None:
                with open(self.bench.path("lsyncd.out"), "rb") as output:
                    raise Failed(f"lsyncd ended: {output.read()[-400:].decode(errors='replace')}")

    def settle(self, limit):
        """It has no barrier: equal trees say that it has ended."""
        end = time.monotonic() + limit
        self.canary(limit)
        while differences(self.source, self.target) and time.monotonic() < end:
            time.sleep(0.2)

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        if hasattr(self, "process"):
            for signal in SIGTERM, SIGKILL:
                try:
                    os.killpg(self.process.pid, signal)
                    self.process.wait(10)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    pass
            self.process.wait()
            self.output.close()
