#!/usr/bin/env python3
"""Measures what Sternway promises of itself, as whole processes, and prints a table.

    cargo build --release --locked
    STERNWAY_KAGENT_REPO=~/src/kagent python3 bench/figures.py [RUNS]

Time is from fork to exit; the peak is the process's own high-water mark as the kernel accounts it.
The file system's cache is warm; "cold" is without Sternway's own cache.
"""

import os
import shutil
import statistics
import sys
import tempfile
import time

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
target = os.environ.get("CARGO_TARGET_DIR", os.path.join(root, "target"))
sternway = os.path.join(target, "release", "sternway")
runs = int(sys.argv[1]) if len(sys.argv) > 1 else 11
scratch = tempfile.mkdtemp()
cache = os.path.join(scratch, "cache")
clean = {
    "PATH": os.environ["PATH"],
    "HOME": os.environ["HOME"],
    "XDG_CACHE_HOME": cache,
}
kagent = {
    **clean,
    "STERNWAY_PROFILE": "kagent",
    "STERNWAY_SOURCE": os.environ["STERNWAY_KAGENT_REPO"],
}


def once(command, environment):
    """Runs a command; returns its seconds and its peak memory in MiB."""
    start = time.perf_counter()
    pid = os.posix_spawn(
        command[0],
        command,
        environment,
        file_actions=[(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)],
    )
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - start
    if status != 0:
        sys.exit(f"{command} ended with {os.waitstatus_to_exitcode(status)}")
    return seconds, usage.ru_maxrss / 1024


def measure(name, promised, command, environment, before=lambda: None):
    """Prints the median and the range of RUNS runs."""
    seconds, peaks = [], []
    for _ in range(runs):
        before()
        took, peak = once(command, environment)
        seconds.append(took * 1000)
        peaks.append(peak)
    spread = f"{min(seconds):.1f} to {max(seconds):.1f}"
    print(f"| {name} | {promised} | {statistics.median(seconds):.1f} ms | {spread} | {max(peaks):.1f} MiB |")


journey = ["plan", "--from", "0.9.9", "--to", "0.9.3"]
print("| what | promised | median | range in ms | peak memory |")
print("|---|---|---|---|---|")
measure("`releases`, all of kagent's tags, cold", "300 ms", [sternway, "releases"], kagent,
        lambda: shutil.rmtree(cache, ignore_errors=True))
measure("`releases`, warm", "30 ms", [sternway, "releases"], kagent)
measure("`plan --from 0.9.9 --to 0.9.3`, offline", "50 ms, 40 MB", [sternway, *journey], kagent)
measure("`demo`, embedded server and all", "5000 ms", [sternway, "demo"], {**clean, "XDG_CACHE_HOME": os.path.join(scratch, "demo")})
shutil.rmtree(scratch)
