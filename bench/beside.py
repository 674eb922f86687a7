"""Measures the same commands of two builds in turn; `bench/beside` starts the server and calls this.

Every command runs as a whole process, from fork to exit. Each build has a cache of its own, which has
answered before.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

programs = [os.path.abspath(program) for program in sys.argv[1:3]]
runs = int(sys.argv[3]) if len(sys.argv) > 3 else 5
scratch = tempfile.mkdtemp()
server = os.environ["STERNWAY_BENCH_URL"]
new, old = "0.9.9", "0.9.3"


def environment(build):
    name = f"beside{build}"
    head, _, options = server.partition("?")
    database = f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{options}" if options else "")
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.path.join(scratch, name),
        "XDG_CACHE_HOME": os.path.join(scratch, name, "cache"),
        "STERNWAY_PROFILE": "kagent",
        "STERNWAY_SOURCE": os.environ["STERNWAY_KAGENT_REPO"],
        "STERNWAY_DATABASE": database,
    }


def once(build, command):
    """Runs a command of a build; returns its milliseconds."""
    start = time.perf_counter()
    ended = subprocess.run(
        [programs[build], *command], env=environment(build), capture_output=True, text=True
    )
    took = (time.perf_counter() - start) * 1000
    if ended.returncode != 0:
        sys.exit(f"{programs[build]} {' '.join(command)}: {ended.stdout}{ended.stderr}")
    return took


commands = {
    f"`plan`, kagent {new} to {old}": ["plan", "--to", old],
    f"`rollback`, kagent {new} to {old}": ["rollback", "--to", old, "--yes"],
    f"`upgrade`, kagent {old} to {new}": ["upgrade", "--to", new, "--yes"],
    "`demo`": ["demo"],
}
for build in (0, 1):
    os.makedirs(environment(build)["XDG_CACHE_HOME"])
    subprocess.run(["psql", "-qX", "-c", f"CREATE DATABASE beside{build}", server], check=True)
    once(build, ["upgrade", "--to", new, "--yes"])

times = {}
# The first time round, the shadow databases answer for the first time.
for run in range(runs + 1):
    for name, command in commands.items():
        for build in (0, 1):
            took = once(build, command)
            if run > 0:
                times.setdefault((name, build), []).append(took)

print(f"\n| medians of {runs} | before | after | after, before = 1 |\n|---|---|---|---|")
for name in commands:
    before, after = (statistics.median(times[name, build]) for build in (0, 1))
    print(f"| {name} | {before:.0f} ms | {after:.0f} ms | {after / before:.2f} |")
