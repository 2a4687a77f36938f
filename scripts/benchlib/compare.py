"""The oracle: what differs between two trees, content and all metadata included."""

import os
import subprocess

from .base import Failed


def differences(source, target):
    """One line each. rsync compares nanoseconds of regular files only, so times of all the others are compared here."""
    ran = subprocess.run(["rsync", "-aHAXn", "--delete", "--itemize-changes", "--checksum", "--numeric-ids",
                          source + "/", target + "/"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if ran.returncode != 0:
        raise Failed(f"rsync cannot compare {source} with {target}: {ran.stderr.decode(errors='replace')}")
    found = [line for line in ran.stdout.decode(errors="replace").splitlines() if line.strip()]
    return found + list(times(os.fsencode(source), os.fsencode(target)))


def times(source, target, inside=b"."):
    """Entries that are no regular files, on both sides, with other modification times."""
    here = os.path.join(source, inside)
    try:
        stats = os.lstat(here), os.lstat(os.path.join(target, inside))
    except OSError:
        return
    if stats[0].st_mtime_ns != stats[1].st_mtime_ns:
        yield f"time of {inside!r}: {stats[0].st_mtime_ns} on the source, {stats[1].st_mtime_ns} on the target"
    with os.scandir(here) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) or not entry.is_file(follow_symlinks=False):
                name = os.path.join(inside, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    yield from times(source, target, name)
                else:
                    yield from one(source, target, name)


def one(source, target, name):
    try:
        stats = [os.lstat(os.path.join(root, name)).st_mtime_ns for root in (source, target)]
    except OSError:
        return
    if stats[0] != stats[1]:
        yield f"time of {name!r}: {stats[0]} on the source, {stats[1]} on the target"
