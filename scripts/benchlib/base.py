"""What every part of the benchmark shares: running tools in turn, judging their medians, material, the table."""

import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MIB = 1 << 20


class Failed(Exception):
    """A tool ended with an error or copied wrongly."""


def remove(path):
    """Removes a tree however deep it is: Python's own way goes as deep as its stack."""
    subprocess.run(["rm", "-rf", "--", path], check=False)


def own_is_known(row):
    return "DTCL" in row["medians"]


class Bench:
    # Programs and the Debian packages that they come in.
    needs = {"rsync": "rsync"}
    # MiB of the file system that are touched before anything is measured.
    warm_size = 0

    def __init__(self, options):
        self.options = options
        quick = options.quick
        self.rounds = options.rounds or (3 if quick else 5)
        self.rows, self.notes = [], []
        self.work = tempfile.mkdtemp(prefix="dtcl-bench-", dir=options.dir)
        self.home = os.path.join(self.work, "home")
        self.dtcl = options.binary or self.build()

    def parts(self):
        """What to call, in turn."""
        raise NotImplementedError

    def everything(self):
        self.warm()
        for part in self.parts():
            try:
                part()
            except Failed as problem:  # in a preparation
                print(f"{part.__name__}: {problem}", flush=True)
        self.table()
        self.save()

    def build(self, *what):
        """The program, or what these words name for cargo."""
        print(f"building the release program {' '.join(what[1:])}...", flush=True)
        subprocess.run(["cargo", "build", "--release", "--quiet", *what], cwd=PROJECT, check=True)
        directory = os.environ.get("CARGO_TARGET_DIR", os.path.join(PROJECT, "target"))
        return os.path.join(directory, "release", *(["examples", what[1]] if what else ["DTCL"]))

    def note(self, text):
        """Said at once, and kept beside the rows."""
        self.notes.append(text)
        print(f"    {text}", flush=True)

    def wants(self, *names):
        """Is one of these rows to run?"""
        return not self.options.only or bool(set(names) & set(self.options.only.split(",")))

    def path(self, name):
        return os.path.join(self.work, name)

    # --- running ---------------------------------------------------------------------------------------------

    def run(self, argv, expect=""):
        """Seconds of one run. Output is shown only when it fails, or does not hold what is expected."""
        env = dict(os.environ, DTCL_HOME=self.home)
        begin = time.perf_counter()
        done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        seconds = time.perf_counter() - begin
        text = done.stdout.decode(errors="replace")
        if done.returncode != 0 or expect not in text:
            raise Failed(f"{argv[0]} ended with {done.returncode}\n{text[-2000:]}")
        return seconds

    def script(self, text):
        return self.run([self.dtcl, "-c", text])

    def repset(self, name, path):
        self.script(f'repset create {name}; repset rule add "{path}" include, recursive to {name}; repset save {name}')

    def mirror(self, name, source, target, kind):
        return self.script(f'$c = connect {name} to localhost map "{source}" to "{target}" mirror {kind} nocalculate\n'
                           'IF $c < 0 THEN write $error; EXIT 1 END\n'
                           'waitonmirror $c\ndisconnect $c')

    def verify(self, name, source, target):
        return self.script(f'$c = connect {name} to localhost map "{source}" to "{target}" nomirror nocalculate\n'
                           'IF $c < 0 THEN write $error; EXIT 1 END\n'
                           'verify $c checksum\nwaitonmirror $c\ndisconnect $c')

    def compare(self, source, target, flags="-aHAX"):
        """The oracle: nothing may differ, content included."""
        out = subprocess.run(["rsync", flags + "n", "--delete", "--itemize-changes", "--checksum", source + "/",
                              target + "/"], stdout=subprocess.PIPE, check=True).stdout.decode(errors="replace")
        # The root's own time moves when a tool makes the first entry after setting it; the others' do not.
        lines = [line for line in out.splitlines() if line.strip() and not line.endswith(" ./")]
        if lines:
            raise Failed("the copy differs from the source:\n" + "\n".join(lines[:5]))

    def row(self, name, title, bar, aim, tools, unit="s"):
        """Runs the tools in turn, `rounds` times. A tool: (label, prepare, measure, check)."""
        if not self.wants(name):
            return
        times = {label: [] for label, *_ in tools}
        problems = {}
        for turn in range(self.rounds):
            for label, prepare, measure, check in tools:
                if label in problems:
                    continue
                try:
                    prepare()
                    times[label].append(measure())
                    if turn == 0 and check:
                        check()
                except (Failed, subprocess.CalledProcessError) as problem:
                    problems[label] = str(problem)
        self.judge(name, title, bar, aim, times, problems, unit)

    def judge(self, name, title, bar, aim, times, problems, unit="s"):
        """A row of what was measured: label -> values. Without a bar (None) it is for information only."""
        medians = {label: statistics.median(values) for label, values in times.items()
                   if values and label not in problems}
        own = medians.get("DTCL")
        information, bar = bar is None, bar or {"text": "-"}
        limit = None
        if "ratio" in bar and bar["to"] in medians:
            limit = bar["ratio"] * medians[bar["to"]]
        elif "at_most" in bar:
            limit = bar["at_most"]
        self.rows.append({
            "name": name, "work": title, "bar": bar["text"], "aim": aim, "unit": unit,
            "medians": medians, "runs": times, "limit": limit, "problems": problems,
            "information": information, "met": None if own is None or limit is None else own <= limit,
        })
        self.show(self.rows[-1])

    @staticmethod
    def number(value, unit):
        if unit != "s":
            return f"{value:,.2f} {unit}" if unit == "%" else f"{value:,.0f} {unit}"
        return f"{value * 1000:.2f} ms" if value < 0.1 else f"{value:.3f} s"

    def show(self, row):
        number = lambda value: "-" if value is None else self.number(value, row["unit"])
        peers = ", ".join(f"{label} {number(value)}" for label, value in row["medians"].items() if label != "DTCL")
        verdict = {True: "met", False: "MISSED", None: "NOT MEASURED"}[row["met"]]
        if row["information"] and own_is_known(row):
            verdict = "-"
        print(f"{row['work'][:58]:<58} {number(row['medians'].get('DTCL')):>10}  at most {number(row['limit']):>10}  "
              f"{verdict:<8}  {peers}", flush=True)
        for label, problem in row["problems"].items():
            print(f"    {label}: {problem.strip()}", flush=True)

    # --- material --------------------------------------------------------------------------------------------

    def warm(self):
        """Touches the memory that the work will use."""
        size = self.warm_size * MIB
        free = shutil.disk_usage(self.work).free
        size = min(size, free // 2)
        print(f"touching {size // MIB} MiB of {self.options.dir} ...", flush=True)
        block = bytes(16 * MIB)
        with open(self.path("warm"), "wb", buffering=0) as file:
            for _ in range(size // len(block)):
                file.write(block)
        os.remove(self.path("warm"))

    def make_tree(self, root, files, dirs, size):
        content = os.urandom(size + files // 16 + 16)
        per_dir = files // dirs
        for d in range(dirs):
            directory = os.path.join(root, f"dir{d // 100:03}", f"sub{d:05}")
            os.makedirs(directory)
            for n in range(per_dir):
                start = (d * per_dir + n) // 16
                with open(os.path.join(directory, f"file-{n:06}.dat"), "wb", buffering=0) as file:
                    file.write(content[start:start + size])

    def make_big(self, path, size):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        block = os.urandom(16 * MIB)
        with open(path, "wb", buffering=0) as file:
            for n in range(size // len(block)):
                file.write(n.to_bytes(8, "little") + block[8:])

    def empty(self, *names):
        for name in names:
            remove(self.path(name))

    # --- the end ---------------------------------------------------------------------------------------------

    def table(self):
        number = lambda row, value: "-" if value is None else self.number(value, row["unit"])
        print("\n| work | bar | DTCL | at most | aim | met | peers |\n| --- | --- | --- | --- | --- | --- | --- |")
        for row in self.rows:
            peers = ", ".join(f"{k} {number(row, v)}" for k, v in row["medians"].items() if k != "DTCL")
            met = {True: "yes", False: "NO", None: "not measured"}[row["met"]]
            if row["information"] and own_is_known(row):
                met = "-"
            print(f"| {row['work']} | {row['bar']} | {number(row, row['medians'].get('DTCL'))} | "
                  f"{number(row, row['limit'])} | {row['aim']} | {met} | {peers} |")

    def save(self):
        model = ""
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "")
        version = lambda argv: subprocess.run(argv, stdout=subprocess.PIPE).stdout.decode().splitlines()[0]
        document = {
            "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "quick": self.options.quick,
            "rounds": self.rounds, "dir": self.options.dir, "cpu": model, "cpus": os.cpu_count(),
            "kernel": platform.release(), "rsync": version(["rsync", "--version"]), "notes": self.notes,
            "rows": self.rows,
        }
        os.makedirs(os.path.dirname(self.options.json) or ".", exist_ok=True)
        with open(self.options.json, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
        print(f"\nas JSON: {self.options.json}")
