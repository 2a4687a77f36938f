"""Writers that give no event before they close: shared mappings, libaio, loop devices. Each has its file open for long."""

import ctypes
import mmap
import os
import platform
import struct
import subprocess
import time

from .base import MIB, Failed

SIZE = 8 * MIB


class Mapping:
    """Stores to a shared mapping."""

    def __init__(self, path):
        make(path)
        self.fd = os.open(path, os.O_RDWR)
        self.map = mmap.mmap(self.fd, SIZE)
        self.path = path

    def write(self, offset, data):
        self.map[offset:offset + len(data)] = data

    def close(self):
        self.map.close()
        os.close(self.fd)


class Libaio:
    """io_submit, by its system calls: the library is not needed."""

    NUMBERS = {"x86_64": (206, 209, 208), "aarch64": (0, 2, 4)}

    def __init__(self, path):
        if platform.machine() not in self.NUMBERS:
            raise Failed(f"no numbers of the libaio calls for {platform.machine()}")
        self.setup, self.submit, self.getevents = self.NUMBERS[platform.machine()]
        make(path)
        self.path = path
        self.fd = os.open(path, os.O_RDWR)
        self.context = ctypes.c_ulong(0)
        self.call(self.setup, ctypes.c_long(8), ctypes.byref(self.context))

    @staticmethod
    def call(number, *arguments):
        result = ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result

    def write(self, offset, data):
        buffer = ctypes.create_string_buffer(data, len(data))
        # struct iocb: data, key and rw_flags, opcode 1 (write), priority, descriptor, buffer, length, offset, rest.
        block = ctypes.create_string_buffer(struct.pack("<QIiHhIQQqQII", 1, 0, 0, 1, 0, self.fd, ctypes.addressof(buffer),
                                                        len(data), offset, 0, 0, 0), 64)
        pointers = (ctypes.c_void_p * 1)(ctypes.addressof(block))
        self.call(self.submit, self.context, ctypes.c_long(1), ctypes.byref(pointers))
        event = ctypes.create_string_buffer(32)
        self.call(self.getevents, self.context, ctypes.c_long(1), ctypes.c_long(1), ctypes.byref(event), None)
        written = struct.unpack("<QQqq", event.raw)[2]
        if written != len(data):
            raise Failed(f"libaio wrote {written} bytes of {len(data)}")

    def close(self):
        os.close(self.fd)


class Loop:
    """Writes to a loop device over an image in the set, synced. Needs root."""

    def __init__(self, path):
        if os.geteuid() != 0:
            raise Failed("a loop device needs root")
        make(path)
        self.path = path
        ran = subprocess.run(["losetup", "--find", "--show", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if ran.returncode != 0:
            raise Failed(f"losetup: {ran.stderr.decode(errors='replace').strip()}")
        self.device = ran.stdout.decode().strip()
        self.fd = os.open(self.device, os.O_RDWR)

    def write(self, offset, data):
        os.pwrite(self.fd, data, offset)
        os.fsync(self.fd)

    def close(self):
        os.close(self.fd)
        subprocess.run(["losetup", "--detach", self.device], check=False)


class Plain:
    """write(2) to a file that stays open."""

    def __init__(self, path):
        make(path)
        self.path = path
        self.fd = os.open(path, os.O_RDWR)

    def write(self, offset, data):
        os.pwrite(self.fd, data, offset)

    def close(self):
        os.close(self.fd)


def make(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb", buffering=0) as file:
        file.write(bytes(SIZE))


def holds(path, offset, data):
    """Are these bytes there now? The file is opened anew each time, as any reader would."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.pread(fd, len(data), offset) == data
    finally:
        os.close(fd)


HOLDER = """
import os, resource, sys
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
names = [os.path.join(sys.argv[1], name) for name in os.listdir(sys.argv[1])]
held = [os.open(name, os.O_RDWR) for name in names[:int(sys.argv[2])]]
print(len(held), flush=True)
sys.stdin.read()
"""


class Holder:
    """Another process that holds files open for writing and does nothing."""

    def __init__(self, directory, count):
        import sys
        self.process = subprocess.Popen([sys.executable, "-c", HOLDER, directory, str(count)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        held = self.process.stdout.readline().strip()
        if held != str(count).encode():
            raise Failed(f"only {held.decode() or 'few'} of {count} files could be held open (ulimit -n)")

    def close(self):
        self.process.communicate(b"")


def idle(pid, seconds):
    """Context switches of all threads and CPU in percent of one core, over so many seconds."""
    before = usage(pid)
    begin = time.monotonic()
    time.sleep(seconds)
    after, took = usage(pid), time.monotonic() - begin
    return after[0] - before[0], (after[1] - before[1]) / took / 1e7


def usage(pid):
    """Context switches, nanoseconds on a CPU. Threads that have ended meanwhile are missing, so `idle` is a lower bound
    only for a program that keeps making threads."""
    switches = nanoseconds = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status", encoding="ascii", errors="replace") as status:
            switches += sum(int(line.split()[1]) for line in status if "ctxt_switches" in line)
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as stat:
            nanoseconds += int(stat.read().split()[0])
    return switches, nanoseconds
