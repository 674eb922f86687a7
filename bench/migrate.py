"""Measures `sternway migrate` beside its peers; `bench/migrate` starts the server and calls this.

Every program runs as a whole process, in turn, each time on a new database. The bodies are the
same: 1,000 migrations, each of which makes a table. psql sends every statement by itself between
BEGIN and COMMIT over one connection and keeps no versions: it is the floor. Once through a Unix
socket on a server that syncs; once on one that does not, where the server's own work on a table is
most of the time; there again with bodies that only add a row, where it is not; and once through a
proxy that delays each direction by 5 ms.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from urllib.parse import quote, urlsplit

COUNT = 1000
DELAY = 0.005
root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
target = os.environ.get("CARGO_TARGET_DIR", os.path.join(root, "target"))
sternway = os.path.join(target, "release", "sternway")
migrate = os.environ["STERNWAY_TEST_MIGRATE"]
dbmate = os.environ["STERNWAY_BENCH_DBMATE"]
url = urlsplit(os.environ["STERNWAY_BENCH_URL"])
socket = os.environ["STERNWAY_BENCH_SOCKET"]
runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
user, password, port = url.username, url.password, url.port
admin = ["psql", "-qX", "-v", "ON_ERROR_STOP=1", "-h", socket, "-p", str(port), "-U", user]
environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PGPASSWORD": password, "PGOPTIONS": "-c client_min_messages=warning"}


def sql(text, database="postgres"):
    subprocess.run([*admin, "-d", database, "-c", text], check=True, env=environment)


def table(n):
    """A migration that makes a table."""
    return f"CREATE TABLE ledger_{n} (id bigint, note text);\n", f"DROP TABLE ledger_{n};\n"


def row(n):
    """A migration that adds a row; the first one makes the table for it."""
    if n == 1:
        return "CREATE TABLE ledger (id bigint);\n", "DROP TABLE ledger;\n"
    return f"INSERT INTO ledger (id) VALUES ({n});\n", f"DELETE FROM ledger WHERE id = {n};\n"


def write_files(folder, count, bodies):
    """The same bodies in each program's form."""
    for kind in ("pairs", "dbmate", "psql"):
        os.makedirs(os.path.join(folder, kind))

    def write(kind, name, text):
        with open(os.path.join(folder, kind, name), "w", encoding="utf-8") as file:
            file.write(text)

    ups, downs = [], []
    for n in range(1, count + 1):
        up, down = bodies(n)
        write("pairs", f"{n:06}_ledger.up.sql", up)
        write("pairs", f"{n:06}_ledger.down.sql", down)
        write("dbmate", f"{n:06}_ledger.sql", f"-- migrate:up\n{up}\n-- migrate:down\n{down}")
        ups.append(f"BEGIN;\n{up}COMMIT;\n")
        downs.insert(0, f"BEGIN;\n{down}COMMIT;\n")
    write("psql", "up.sql", "".join(ups))
    write("psql", "down.sql", "".join(downs))


def peak_of(pid, seen):
    """Reads the process's own high-water mark until it ends: what wait4 tells has this one's in it."""
    try:
        while True:
            with open(f"/proc/{pid}/status", encoding="utf-8") as status:
                mark = [line for line in status if line.startswith("VmHWM")]
            if not mark:
                return
            seen.append(int(mark[0].split()[1]) / 1024)
            time.sleep(0.005)
    except OSError:
        return


def once(command):
    """Runs a command; returns its seconds and its peak memory in MiB."""
    with tempfile.TemporaryFile() as output:
        seen = [0]
        start = time.perf_counter()
        pid = os.posix_spawnp(command[0], command, environment, file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, output.fileno(), 2),
        ])
        watch = threading.Thread(target=peak_of, args=(pid, seen))
        watch.start()
        _, status = os.waitpid(pid, 0)
        seconds = time.perf_counter() - start
        watch.join()
        if status:
            output.seek(0)
            sys.exit(f"{command[0]} failed: {output.read()[-2000:]!r}")
    # The first look may be before the exec.
    return seconds, max(seen[2:] or seen)


class Proxy:
    """Passes bytes on, each direction 5 ms later; as many at a time as come."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        threading.Thread(target=self.run, args=(started,), daemon=True).start()
        started.wait()

    def run(self, started):
        asyncio.set_event_loop(self.loop)
        serving = self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0))
        self.port = serving.sockets[0].getsockname()[1]
        started.set()
        self.loop.run_forever()

    async def serve(self, reader, writer):
        path = os.path.join(socket, f".s.PGSQL.{port}")
        there, back = await asyncio.open_unix_connection(path)
        await asyncio.gather(self.pump(reader, back), self.pump(there, writer))

    async def pump(self, reader, writer):
        try:
            while data := await reader.read(65536):
                self.loop.call_later(DELAY, writer.write, data)
            self.loop.call_later(DELAY, writer.close)
        except ConnectionError:
            writer.close()


def commands(folder, host, at_port, database):
    """What each program is called with: up, down, and again when there is nothing to do."""
    if host.startswith("/"):
        address = f"postgres://{user}:{quote(password)}@/{database}?host={quote(host, safe='')}&port={at_port}&sslmode=disable"
        mate = f"postgres://{user}:{quote(password)}@:{at_port}/{database}?socket={host}&sslmode=disable"
    else:
        address = f"postgres://{user}:{quote(password)}@{host}:{at_port}/{database}?sslmode=disable"
        mate = address
    pairs = os.path.join(folder, "pairs")
    psql = ["psql", "-qX", "-h", host, "-p", str(at_port), "-U", user, "-d", database, "-f"]
    mated = [dbmate, "--no-dump-schema", "-d", os.path.join(folder, "dbmate"), "-u", mate]
    ours = [sternway, "migrate", "-path", pairs, "-database", address]
    theirs = [migrate, "-path", pairs, "-database", address]
    programs = {
        "psql": (psql + [os.path.join(folder, "psql", "up.sql")], psql + [os.path.join(folder, "psql", "down.sql")], None),
        "sternway": (ours + ["up"], ours + ["down", "-all"], ours + ["up"]),
        "golang-migrate": (theirs + ["up"], theirs + ["down", "-all"], theirs + ["up"]),
    }
    if os.path.exists(dbmate):
        # dbmate takes one migration back at a time: a process each would not be a fair measure.
        programs["dbmate"] = (mated + ["migrate"], None, mated + ["migrate"])
    return programs


def measure(title, folder, host, at_port, times):
    results = {}
    for turn in range(times):
        for name in commands(folder, host, at_port, "x"):
            database = f"bench_{turn}"
            sql(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
            sql(f"CREATE DATABASE {database} TEMPLATE template0")
            up, down, again = commands(folder, host, at_port, database)[name]
            row = results.setdefault(name, {"up": [], "down": [], "again": [], "peak": []})
            seconds, peak = once(up)
            row["up"].append(seconds)
            row["peak"].append(peak)
            if again:
                row["again"].append(once(again)[0])
            if down:
                row["down"].append(once(down)[0])
            sql(f"DROP DATABASE {database} WITH (FORCE)")
    print(f"\n{title}, median of {times}:\n")
    print("| program | up | down | nothing to do | peak memory | up, Sternway = 1 |")
    print("|---|---|---|---|---|---|")
    median = {name: {key: statistics.median(values) if values else None for key, values in row.items()} for name, row in results.items()}
    ours = median["sternway"]["up"]
    for name, row in median.items():
        shown = lambda seconds, unit=1, suffix=" s": "–" if seconds is None else f"{seconds * unit:.{1 if unit > 1 else 2}f}{suffix}"
        print(f"| {name} | {shown(row['up'])} | {shown(row['down'])} | {shown(row['again'], 1000, ' ms')} | {row['peak']:.1f} MiB | {row['up'] / ours:.2f} |")


with tempfile.TemporaryDirectory() as scratch:
    folders = {}
    for name, count, bodies in (("tables", COUNT, table), ("rows", COUNT, row), ("few", COUNT // 10, table)):
        folders[name] = os.path.join(scratch, name)
        write_files(folders[name], count, bodies)
    measure(f"{COUNT} migrations that make a table, Unix socket, the server syncs", folders["tables"], socket, port, runs)
    sql("ALTER SYSTEM SET fsync = off")
    sql("DO $$ BEGIN PERFORM pg_reload_conf(); END $$")
    measure(f"{COUNT} migrations that make a table, Unix socket, the server does not sync", folders["tables"], socket, port, runs)
    measure(f"{COUNT} migrations that add a row, Unix socket, the server does not sync", folders["rows"], socket, port, runs)
    measure(f"{COUNT // 10} migrations that make a table, each direction delayed by 5 ms", folders["few"], "127.0.0.1", Proxy().port, max(3, runs // 2))
