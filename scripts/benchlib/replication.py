"""Real-time replication beside lsyncd: what stands in the table of docs/design for it, measured from outside.

Each figure is of a program that was started on a fresh pair of trees, mirrored, and follows; the programs take turns, one
runs at a time. Where the bench polls a target it opens each file anew, as any reader would.
"""

import os
import statistics
import struct
import subprocess
import time

from .base import MIB, Bench, Failed
from .compare import differences
from .followers import Dtcl, Lsyncd
from .silent import Holder, Libaio, Loop, Mapping, Plain, holds, idle


def at_most(text, value):
    return {"text": text, "at_most": value}


class Replication(Bench):
    needs = {"rsync": "rsync", "lsyncd": "lsyncd"}

    def __init__(self, options):
        quick = options.quick
        options.rounds = options.rounds or (1 if quick else 5)
        self.warm_size = 1024 if quick else 6 * 1024
        self.samples = 60
        self.many = 1_000 if quick else 10_000
        self.big = (32 if quick else 1024) * MIB
        self.appends = 200 if quick else 1_000
        self.operations = 30_000 if quick else 1_000_000
        self.directories = 4_000 if quick else 1_000_000
        self.silent_limit = 8 if quick else 15
        self.idle_rest, self.idle_seconds = (3, 7) if quick else (40, 15)
        self.barriers = 45 if quick else 300
        super().__init__(options)
        self.load = self.build("--example", "load")

    def parts(self):
        if os.geteuid() != 0:
            self.note("not root: DTCL follows by inotify, and loop devices are left out; these are not the figures that count")
        return (self.latency, self.created, self.moved, self.append, self.blocks, self.random_load, self.many_directories,
                self.silent, self.at_rest, self.barrier_under_load)

    # --- running ---------------------------------------------------------------------------------------------

    def follow(self, fill, measure, kinds=(Dtcl, Lsyncd), rounds=None, check=True):
        """Runs the programs in turn, each round on new trees. `measure` gives a dictionary of values; the same names in
        the result, each with label -> values, and what went wrong."""
        values, problems = {}, {}
        for turn in range(rounds or self.rounds):
            for kind in kinds:
                if kind.label in problems:
                    continue
                self.empty("source", "target", "follow-home")
                source, target = self.path("source"), self.path("target")
                os.mkdir(source)
                follower, closing = kind(self, source, target), None
                try:
                    closing = fill(source)
                    follower.start()
                    for name, value in measure(follower).items():
                        values.setdefault(name, {}).setdefault(kind.label, []).append(value)
                    if turn == 0 and check:
                        self.same(follower)
                except (Failed, OSError, subprocess.CalledProcessError) as problem:
                    problems[kind.label] = str(problem)
                finally:
                    follower.stop()
                    if closing:
                        closing()
        self.empty("source", "target", "follow-home")
        return values, problems

    def same(self, follower):
        follower.settle(60)
        self.compare(follower.source, follower.target)

    def loading(self, *arguments):
        return subprocess.Popen([self.load, *map(str, arguments)], stdout=subprocess.PIPE)

    def loaded(self, *arguments):
        process = self.loading(*arguments)
        process.communicate()
        if process.returncode != 0:
            raise Failed(f"load {arguments[0]} ended with {process.returncode}")

    # --- rows ------------------------------------------------------------------------------------------------

    def latency(self):
        if not self.wants("latency"):
            return
        gaps = []

        def measure(follower):
            taken = []
            for turn in range(self.samples):
                time.sleep(0.02)
                name = f"files/f{turn * 7 % 1000:06}"
                data = struct.pack("<QQ", turn + 1, time.monotonic_ns())
                taken.append(self.one_change(follower, name, data, gaps))
            return {"taken": taken}

        # At least 300 changes in all: the 99th percentile of fewer is a single one's.
        rounds = 1 if self.options.quick else max(self.rounds, -(-300 // self.samples))
        values, problems = self.follow(lambda source: self.loaded("files", source + "/files", 1000, 4096), measure,
                                       rounds=rounds)
        taken = {label: sorted(sum(runs, [])) for label, runs in values.get("taken", {}).items()}
        count = self.samples * rounds
        title = f"16 bytes written to a file of 4 KiB, {count} times, 20 ms rest between"
        for name, share, limit, aim in ("p50", 0.5, 0.002, "1 ms"), ("p99", 0.99, 0.010, "5 ms"):
            at = {label: [runs[min(len(runs) - 1, int(len(runs) * share))]] for label, runs in taken.items()}
            self.judge(f"latency-{name}", f"{name}: {title}", at_most(f"{limit * 1000:.0f} ms", limit), aim, at, problems)
        if gaps:
            self.note(f"from the write's return to the same bytes in a file opened anew; polled without rest, a look each "
                      f"{statistics.mean(gaps) * 1e6:.1f} us")

    @staticmethod
    def one_change(follower, name, data, gaps):
        fd = os.open(os.path.join(follower.source, name), os.O_WRONLY)
        os.pwrite(fd, data, 0)
        begin = time.perf_counter()
        os.close(fd)
        there, looks = os.path.join(follower.target, name), 0
        while True:
            looks += 1
            seen = holds(there, 0, data)
            now = time.perf_counter()
            if seen:
                gaps.append((now - begin) / looks)
                return now - begin
            if now - begin > 10:
                raise Failed(f"a change of {name} had not come in 10 s")

    def created(self):
        if not self.wants("created"):
            return

        def measure(follower):
            begin = time.perf_counter()
            writer = self.loading("files", follower.source + "/burst", self.many, 1024)
            for n in range(self.many):
                there = f"{follower.target}/burst/f{n:06}"
                while not holds(there, 0, struct.pack("<Q", n)) or os.stat(there).st_size != 1024:
                    if time.perf_counter() - begin > 120:
                        raise Failed(f"only {n} of {self.many} files had come in 120 s")
                    time.sleep(0.0005)
            took = time.perf_counter() - begin
            writer.communicate()
            return {"took": took}

        values, problems = self.follow(lambda source: os.mkdir(source + "/burst"), measure)
        self.judge("created", f"{self.many:,} files of 1 KiB created at full speed, all on the target",
                   at_most("0.6 s", 0.6), "0.4 s", values.get("took", {}), problems)

    def moved(self):
        if not self.wants("moved"):
            return

        def fill(source):
            self.loaded("files", source + "/moving", self.many, 1024)
            # More than as many stay: the guard against mass deletion (50 %) has nothing to say.
            self.loaded("files", source + "/kept", self.many * 3 // 2, 100)

        def measure(follower):
            old, new = follower.target + "/moving", follower.target + "/moved"
            os.rename(follower.source + "/moving", follower.source + "/moved")
            begin = time.perf_counter()
            follower.wait(lambda: os.path.exists(new) and not os.path.exists(old), 120, "the directory was not renamed",
                          0.0002)
            follower.wait(lambda: len(os.listdir(new)) == self.many, 120, "not all files were in it", 0.0002)
            renamed = time.perf_counter() - begin
            follower.settle(60)
            begin = time.perf_counter()
            removal = self.loading("remove", follower.source + "/moved")
            follower.wait(lambda: not os.path.exists(new), 120, "the directory was not removed", 0.0002)
            removed = time.perf_counter() - begin
            removal.communicate()
            return {"renamed": renamed, "removed": removed}

        values, problems = self.follow(fill, measure)
        beside = f"beside {self.many * 3 // 2:,} files that stay (the guard of 50 % does not act)"
        self.judge("renamed", f"directory of {self.many:,} files renamed, {beside}", at_most("50 ms", 0.05), "20 ms",
                   values.get("renamed", {}), problems)
        self.judge("removed", f"directory of {self.many:,} files removed, from the first, {beside}", at_most("0.5 s", 0.5),
                   "0.3 s", values.get("removed", {}), problems)

    def append(self):
        if not self.wants("append"):
            return

        def measure(follower):
            name, there = follower.source + "/big.dat", follower.target + "/big.dat"
            before = follower.sent() if follower.label == "DTCL" else 0
            written, lags = [], []
            fd = os.open(name, os.O_WRONLY | os.O_APPEND)
            begin = time.perf_counter()
            try:
                while len(lags) < self.appends:
                    now = time.perf_counter()
                    if len(written) < self.appends and now >= begin + 0.01 * len(written):
                        os.write(fd, bytes([len(written) % 251]) * 1016 + struct.pack("<Q", len(written) + 1))
                        written.append(time.perf_counter())
                    at = len(lags)
                    end = self.big + (at + 1) * 1024
                    if at < len(written) and holds(there, end - 8, struct.pack("<Q", at + 1)):
                        lags.append(time.perf_counter() - written[at])
                    elif now > begin + 0.01 * self.appends + 20:
                        raise Failed(f"only {at} of {self.appends} appended pieces had come 20 s after the last")
                    else:
                        time.sleep(0.0002)
            finally:
                os.close(fd)
            result = {"lag": max(lags)}
            if follower.label == "DTCL":
                follower.barrier()
                result["sent"] = (follower.sent() - before) / 1000
            return result

        values, problems = self.follow(lambda source: self.make_big(source + "/big.dat", self.big), measure,
                                       rounds=min(self.rounds, 3))
        title = f"1 KiB appended {self.appends:,} times, 10 ms apart, to {self.big // MIB:,} MiB"
        limit = 2 * self.appends * 1024 / 1000
        self.judge("append-lag", f"longest lag: {title}", at_most("50 ms", 0.05), "50 ms", values.get("lag", {}), problems)
        self.judge("append-sent", f"sent: {title}", at_most("2 x what was appended", limit), "1 x", values.get("sent", {}),
                   {k: v for k, v in problems.items() if k == "DTCL"}, unit="kB")

    def blocks(self):
        if not self.wants("blocks"):
            return

        def measure(follower):
            name, there = follower.source + "/big.dat", follower.target + "/big.dat"
            before = follower.sent() if follower.label == "DTCL" else 0
            changes = {}
            for n in range(200):
                offset = (n * 2_654_435_761 * 4099) % (self.big - 4096)
                # No two overlap: each is looked for on the target.
                if all(abs(offset - other) >= 4096 for other in changes):
                    changes[offset] = os.urandom(4096)
            with open(name, "r+b", buffering=0) as file:
                for offset, data in changes.items():
                    file.seek(offset)
                    file.write(data)
            begin = time.perf_counter()
            for offset, data in changes.items():
                follower.wait(lambda: holds(there, offset, data), 120, "not all blocks were on the target")
            result = {"took": time.perf_counter() - begin}
            if follower.label == "DTCL":
                follower.barrier()
                result["sent"] = (follower.sent() - before) / 1e6
            return result

        values, problems = self.follow(lambda source: self.make_big(source + "/big.dat", self.big), measure,
                                       rounds=min(self.rounds, 3))
        title = f"4 KiB at 200 random places of {self.big // MIB:,} MiB"
        self.judge("blocks-took", f"{title}, on the target", at_most("1 s", 1.0), "1 s", values.get("took", {}), problems)
        self.judge("blocks-sent", f"sent: {title}", at_most("4 MB", 4.0), "4 MB", values.get("sent", {}),
                   {k: v for k, v in problems.items() if k == "DTCL"}, unit="MB")

    def random_load(self):
        if not self.wants("load"):
            return

        def fill(source):
            # What nobody touches: random removals stay below the guard.
            self.loaded("files", source + "/kept", 20_000, 20)
            os.mkdir(source + "/load")

        def measure(follower):
            each = self.operations // 8
            begin = time.perf_counter()
            writers = [self.loading("random", follower.source + "/load", seed, each) for seed in range(1, 9)]
            for writer in writers:
                writer.communicate()
                if writer.returncode != 0:
                    raise Failed("a writer failed")
            wrote = time.perf_counter() - begin
            if follower.label == "DTCL":
                result = {"wrote": wrote, "barrier": follower.barrier(600), "peak": follower.engine.memory()}
            else:
                begin = time.perf_counter()
                try:
                    follower.settle(15 if self.options.quick else 180)
                except Failed as problem:
                    self.note(f"{problem}; what differs then is counted")
                result = {"wrote": wrote, "barrier": time.perf_counter() - begin}
            found = differences(follower.source, follower.target)
            if found and follower.label == "DTCL":
                print("    " + "\n    ".join(found[:10]), flush=True)
            return {**result, "lost": len(found)}

        values, problems = self.follow(fill, measure, rounds=1, check=False)
        title = f"{self.operations:,} random operations by 8 writers, seeds 1 to 8"
        self.judge("load-lost", f"differences after {title}", at_most("0", 0), "0", values.get("lost", {}), problems,
                   unit="entries")
        self.judge("load-peak", f"peak memory of the engine: {title}", at_most("250 MB", 250), "250 MB",
                   values.get("peak", {}), {k: v for k, v in problems.items() if k == "DTCL"}, unit="MB")
        self.judge("load-barrier", "the barrier behind it (lsyncd: until nothing differed, or given up)", None, "-",
                   values.get("barrier", {}), {})
        for label, wrote in values.get("wrote", {}).items():
            self.note(f"the writers took {wrote[0]:.1f} s beside {label}")

    def many_directories(self):
        if not self.wants("dirs"):
            return
        count = self.directories
        with open("/proc/sys/fs/inotify/max_user_watches", encoding="ascii") as file:
            watches = int(file.read())
        kinds = (Dtcl, Lsyncd) if watches > count + 1000 else (Dtcl,)

        def measure(follower):
            ready = {"ready": follower.ready_after} if follower.label == "DTCL" else {}
            return {"start": follower.start_took, **ready}

        values, problems = self.follow(lambda source: self.loaded("dirs", source, count), measure, kinds, rounds=1)
        if Lsyncd not in kinds:
            problems["lsyncd"] = f"needs {count:,} watches, fs.inotify.max_user_watches is {watches:,}"
        self.judge("dirs-ready", f"a tree of {count:,} directories: Ready after the mirror's end", at_most("1 s", 1.0), "1 s",
                   values.get("ready", {}), {k: v for k, v in problems.items() if k == "DTCL"})
        self.judge("dirs-start", f"the same tree: from the start, first copy included", None, "-", values.get("start", {}),
                   problems)

    def silent(self):
        if not self.wants("silent"):
            return
        for name, kind in ("mapping", Mapping), ("libaio", Libaio), ("loop", Loop):
            writer = []

            def fill(source, kind=kind, writer=writer):
                writer[:] = [kind(source + "/image.dat")]
                return writer[0].close

            def measure(follower, writer=writer):
                there, result = follower.target + "/image.dat", {}
                writer[0].write(70_000, b"seen without a barrier")
                # What never comes is no worse for being waited for long.
                limit = self.silent_limit if follower.label == "DTCL" else min(self.silent_limit, 10)
                result["alone"] = follower.wait(lambda: holds(there, 70_000, b"seen without a barrier"), limit,
                                                "not on the target before the file was closed", 0.002)
                if follower.label == "DTCL":
                    writer[0].write(5_000_000, b"seen at a barrier")
                    result["barrier"] = follower.barrier()
                    if not holds(there, 5_000_000, b"seen at a barrier"):
                        raise Failed("not on the target when the barrier had returned")
                return result

            values, problems = self.follow(fill, measure, rounds=min(self.rounds, 3))
            what = f"{name} write to a file of 8 MiB that was open before the start"
            self.judge(f"silent-{name}", f"{what}, on the target", at_most("6 s", 6.0), "1 s", values.get("alone", {}), problems)
            self.judge(f"silent-{name}-barrier", f"{what}: a barrier, and it is there", at_most("always; 6 s", 6.0), "-",
                       values.get("barrier", {}), {k: v for k, v in problems.items() if k == "DTCL"})

    def at_rest(self):
        if not self.wants("idle"):
            return
        holder = []

        def fill(source):
            self.loaded("files", source + "/held", self.many, 1024)
            holder[:] = [Holder(source + "/held", self.many)]
            return holder[0].close

        def measure(follower):
            time.sleep(self.idle_rest)
            switches, percent = idle(follower.pid, self.idle_seconds)
            with open(f"/proc/{follower.pid}/status", encoding="ascii", errors="replace") as status:
                held = next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1000
            return {"switches": switches, "percent": percent, "memory": held}

        values, problems = self.follow(fill, measure, rounds=1)
        state = f"idle for {self.idle_seconds} s, {self.many:,} files held open for writing by another process"
        ticks = self.idle_seconds // 5 + 1
        self.judge("idle-switches", f"context switches of all threads, {state}",
                   at_most(f"{ticks} ticks, 3 each", ticks * 3), f"{ticks}", values.get("switches", {}), problems,
                   unit="switches")
        self.judge("idle-cpu", f"CPU of one core, {state}", at_most("1 %", 1.0), "-", values.get("percent", {}), problems,
                   unit="%")
        self.judge("idle-memory", f"resident memory, {state}", at_most("25 MB", 25), "-", values.get("memory", {}), problems,
                   unit="MB")

    def barrier_under_load(self):
        if not self.wants("barrier"):
            return
        proofs = []

        def fill(source):
            self.loaded("files", source + "/kept", 5_000, 20)
            os.mkdir(source + "/load")
            # Open before the engine starts.
            proofs[:] = [Plain(source + "/proof/plain"), Mapping(source + "/proof/mapping"), Libaio(source + "/proof/libaio")]
            return lambda: [proof.close() for proof in proofs]

        def measure(follower):
            writers = [self.loading("random", follower.source + "/load", seed, 0) for seed in range(1, 5)]
            took, broken = [], 0
            try:
                for n in range(self.barriers):
                    proof, offset = proofs[n % 3], 8 * (n // 3 * 37 % 100_000)
                    data = struct.pack("<Q", n + 1)
                    proof.write(offset, data)
                    took.append(follower.barrier())
                    there = proof.path.replace(follower.source, follower.target, 1)
                    broken += not holds(there, offset, data)
            finally:
                for writer in writers:
                    writer.kill()
                    writer.communicate()
            return {"longest": max(took), "median": statistics.median(took), "broken": broken}

        # The load's own end is no moment to compare at: the last barrier is behind it, in `same`.
        values, problems = self.follow(fill, measure, (Dtcl,), rounds=1)
        title = f"{self.barriers} barriers while 4 writers go on for ever"
        self.judge("barrier-broken", f"promises not kept (write, mapping, libaio in turn): {title}", at_most("0", 0), "0",
                   values.get("broken", {}), problems, unit="promises")
        self.judge("barrier-longest", f"longest: {title}", at_most("10 s", 10.0), "1 s", values.get("longest", {}), problems)
        self.judge("barrier-median", f"median: {title}", None, "-", values.get("median", {}), problems)
