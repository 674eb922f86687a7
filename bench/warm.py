"""Measures commands whose shadow databases have answered before; `bench/warm` starts the server and
calls this.

Every program runs as a whole process, from fork to exit, in turn and in the same run: what counts is
how many times as long as psql a command takes. The peak is the process's own high-water mark as the
kernel accounts it.
"""

import glob
import os
import shutil
import statistics
import sys
import tempfile
import time
from urllib.parse import urlsplit

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
target = os.environ.get("CARGO_TARGET_DIR", os.path.join(root, "target"))
sternway = os.environ.get("STERNWAY_BENCH_PROGRAM", os.path.join(target, "release", "sternway"))
url = urlsplit(os.environ["STERNWAY_BENCH_URL"])
socket = os.environ["STERNWAY_BENCH_SOCKET"]
tools = os.environ["STERNWAY_BENCH_BIN"]
runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
scratch = tempfile.mkdtemp()
cache = os.path.join(scratch, "cache")
environment = {
    "PATH": os.environ["PATH"],
    "HOME": scratch,
    "XDG_CACHE_HOME": cache,
    "PGPASSWORD": url.password,
    "PGOPTIONS": "-c client_min_messages=warning",
}


def once(command):
    """Runs a command; returns its milliseconds and its peak memory in MiB."""
    start = time.perf_counter()
    pid = os.posix_spawnp(
        command[0],
        command,
        environment,
        file_actions=[(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)],
    )
    _, status, usage = os.wait4(pid, 0)
    took = (time.perf_counter() - start) * 1000
    if status != 0:
        sys.exit(f"{command} ended with {os.waitstatus_to_exitcode(status)}")
    return took, usage.ru_maxrss / 1024


def psql(program, database, text):
    server = ["-h", socket, "-p", str(url.port), "-U", url.username, "-d", database]
    return [program, "-qAtX", "-v", "ON_ERROR_STOP=1", *server, "-c", text]


def releases():
    """The demo's books, a release for each of their migrations: `1.N.0` has the first N."""
    folder = os.path.join(scratch, "releases")
    bodies = glob.glob(os.path.join(root, "crates/sternway-cli/demo/migrations/core/*.sql"))
    newest = max(int(os.path.basename(body)[:6]) for body in bodies)
    for release in range(1, newest + 1):
        to = os.path.join(folder, f"1.{release}.0", "migrations")
        os.makedirs(to)
        for body in bodies:
            if int(os.path.basename(body)[:6]) <= release:
                shutil.copy(body, to)
    return folder, newest


folder, newest = releases()
database = f"postgres://{url.username}@localhost:{url.port}/bench?host={socket}"
shared = [
    "--app", "bench", "--source", f"dir:{folder}", "--database", database,
    "--track", "name=core,path=migrations,table=schema_migrations",
]
new, old = f"1.{newest}.0", f"1.{newest - 1}.0"
status = [sternway, "status", *shared]
plan = [sternway, "plan", "--to", old, *shared]
rollback = [sternway, "rollback", "--to", old, "--yes", *shared]
upgrade = [sternway, "upgrade", "--to", new, "--yes", *shared]
demo = [sternway, "demo"]
binary = os.path.join(tools, "psql")

once(psql(binary, "postgres", "CREATE DATABASE bench"))
# What the embedded server unpacks once is not measured.
for command in (upgrade, rollback, upgrade, demo):
    once(command)

warm, cold = {}, {}
# Debian's `psql` is a script that looks for the newest one.
wrapped, plain = "`psql`", "its binary"


def measure(times, name, command):
    times.setdefault(name, []).append(once(command))


for _ in range(runs):
    measure(warm, wrapped, psql("psql", "bench", "SELECT 1"))
    measure(warm, plain, psql(binary, "bench", "SELECT 1"))
    measure(warm, "`status`", status)
    measure(warm, "`plan` of one step back", plan)
    measure(warm, "`rollback` of one step, proved", rollback)
    measure(warm, "`upgrade` of one step, proved", upgrade)
for _ in range(max(1, runs // 3)):
    for name, command in (
        ("`status`", status),
        ("`plan` of one step back", plan),
        ("`rollback` of one step, proved", rollback),
        ("`upgrade` of one step, proved", upgrade),
        ("`demo`", demo),
    ):
        shutil.rmtree(os.path.join(cache, "sternway", "shadow"), ignore_errors=True)
        measure(cold, name, command)
    measure(warm, "`demo`", demo)

floor = {name: statistics.median(it for it, _ in warm[name]) for name in (wrapped, plain)}
for title, times in (("answered before", warm), ("never answered", cold)):
    print(f"\n| {title} | median | range in ms | {wrapped} = 1 | {plain} = 1 | peak memory |")
    print("|---|---|---|---|---|---|")
    for name, measured in times.items():
        took = [it for it, _ in measured]
        median = statistics.median(took)
        ratios = " | ".join(f"{median / floor[it]:.2f}" for it in (wrapped, plain))
        spread = f"{min(took):.1f} to {max(took):.1f}"
        peak = max(it for _, it in measured)
        print(f"| {name} | {median:.1f} ms | {spread} | {ratios} | {peak:.1f} MiB |")
shutil.rmtree(scratch)
