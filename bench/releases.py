"""Many releases: reads a repository of RELEASES tags with MIGRATIONS migrations each, and plans on it.

    cargo build --release --locked && python3 bench/releases.py [RELEASES MIGRATIONS]

The repository is made anew each time: a hundred of its releases have other migrations than the one before, the rest
have the same. "Cold" is without Sternway's own cache; the file system's is warm.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

SETTINGS = """[app]
name = "many"
source = "git+file:many.git"

[[track]]
name = "core"
path = "db/migrations"
"""


def make(folder, releases, migrations):
    """A bare repository, written by git's own importer."""
    repository = os.path.join(folder, "many.git")
    subprocess.run(["git", "init", "--quiet", "--bare", repository], check=True)
    git = subprocess.Popen(["git", "-C", repository, "fast-import", "--quiet"], stdin=subprocess.PIPE)
    out = git.stdin.write

    def file(number, half):
        name = f"db/migrations/{number:06}_step.{half}.sql"
        body = f"-- {half} {number}\n"
        out(f"M 100644 inline {name}\ndata {len(body)}\n{body}\n".encode())

    every = max(1, releases // 100)
    for release in range(releases):
        out(f"commit refs/heads/main\ncommitter x <x@x> {release} +0000\ndata 0\n".encode())
        if release == 0:
            for number in range(1, migrations + 1 - releases // every):
                file(number, "up")
                file(number, "down")
        if release % every == 0:
            number = migrations - releases // every + release // every + 1
            file(number, "up")
            file(number, "down")
        out(f"\nreset refs/tags/v1.{release // 100}.{release % 100}\nfrom refs/heads/main\n\n".encode())
    git.stdin.close()
    assert git.wait() == 0
    subprocess.run(["git", "-C", repository, "pack-refs", "--all"], check=True)


def run(program, folder, arguments, cold):
    """Seconds and peak memory in MiB."""
    cache = os.path.join(folder, "cache")
    if cold:
        subprocess.run(["rm", "-rf", cache], check=True)
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.execve(program, [program, *arguments], {**os.environ, "XDG_CACHE_HOME": cache})
    _, status, usage = os.wait4(child, 0)
    assert status == 0, f"{arguments} ended with {status}"
    return time.monotonic() - begun, usage.ru_maxrss / 1024


def main():
    releases, migrations = (int(it) for it in (sys.argv[1:3] or (10_000, 1_000)))
    program = os.path.abspath(os.environ.get("STERNWAY", "target/release/sternway"))
    newest = f"1.{(releases - 1) // 100}.{(releases - 1) % 100}"
    middle = f"1.{releases // 200}.0"
    print(f"{releases} releases of up to {migrations} migrations, median of 5:\n")
    print("| what | median | range | peak memory |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        make(folder, releases, migrations)
        with open(os.path.join(folder, "sternway.toml"), "w") as file:
            file.write(SETTINGS)
        for what, arguments, cold in [
            ("`releases`, cold", ["releases"], True),
            ("`releases`, warm", ["releases"], False),
            ("`plan`, warm", ["plan", "--from", newest, "--to", middle], False),
        ]:
            runs = [run(program, folder, arguments, cold) for _ in range(5)]
            times = sorted(it[0] for it in runs)
            peak = max(it[1] for it in runs)
            print(f"| {what} | {statistics.median(times):.2f} s | {times[0]:.2f} to {times[-1]:.2f} | {peak:.0f} MiB |")


if __name__ == "__main__":
    main()
