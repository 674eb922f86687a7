"""Measures what keeping data costs; `bench/lossless` starts the server and calls this.

Sternway runs as a whole process. Its downtime is that of the whole command, from fork to exit, with
the plan, the rehearsal and the proof in it; the time of the step alone is what it says itself.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from urllib.parse import urlsplit

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
target = os.environ.get("CARGO_TARGET_DIR", os.path.join(root, "target"))
sternway = os.path.join(target, "release", "sternway")
url = urlsplit(os.environ["STERNWAY_BENCH_URL"])
socket = os.environ["STERNWAY_BENCH_SOCKET"]
tools = os.environ["STERNWAY_BENCH_BIN"]
runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
user, password, port = url.username, url.password, url.port
server = ["-h", socket, "-p", str(port), "-U", user]
environment = {
    "PATH": os.environ["PATH"],
    "HOME": os.environ["HOME"],
    "PGPASSWORD": password,
    "PGOPTIONS": "-c client_min_messages=warning",
}


def sql(text, database="bench"):
    """Runs statements, and tells how long that took."""
    start = time.monotonic()
    command = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", *server, "-d", database, "-c", text]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{text} failed: {done.stderr}")
    return time.monotonic() - start, done.stdout.strip()


def timed(*command):
    start = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{command} failed:\n{done.stdout}\n{done.stderr}")
    return time.monotonic() - start, done.stdout


def release(folder, version, migrations):
    """A release: a folder with all migrations up to it."""
    path = os.path.join(folder, version, "migrations")
    os.makedirs(path)
    for number, (up, down) in enumerate(migrations, 1):
        for direction, body in (("up", up), ("down", down)):
            name = os.path.join(path, f"{number:06d}_step.{direction}.sql")
            with open(name, "w", encoding="utf-8") as file:
                file.write(body)


def journey(folder, course, version):
    """Goes to a release: seconds of the whole command, and milliseconds of its steps."""
    database = f"postgres://{user}@localhost:{port}/bench?host={socket}&sslmode=disable"
    took, told = timed(
        sternway, course, "--to", version, "--yes", "--app", "bench", "--source", f"dir:{folder}",
        "--track", "name=core,path=migrations,table=schema_migrations", "--database", database,
    )
    steps = sum(float(it) for it in re.findall(r"\(([\d.]+) ms\)", told))
    return took, steps


def fresh():
    sql("DROP DATABASE IF EXISTS bench WITH (FORCE)", "postgres")
    sql("CREATE DATABASE bench", "postgres")


def settle():
    """The last round's writes are not this one's affair."""
    sql("VACUUM ANALYZE")
    sql("CHECKPOINT")


def both(name, makes, drops, fill):
    """Releases 1.0.0 and 1.1.0, installed and filled."""
    folder = tempfile.mkdtemp(prefix=name)
    base = ("CREATE TABLE base (id int PRIMARY KEY);\n", "DROP TABLE base;\n")
    release(folder, "1.0.0", [base])
    release(folder, "1.1.0", [base, (makes, drops)])
    fresh()
    journey(folder, "upgrade", "1.1.0")
    sql(fill)
    settle()
    return folder


LEDGER = "CREATE TABLE ledger (id bigint PRIMARY KEY, note text, at timestamptz, amount numeric);\n"
ROWS = "INSERT INTO ledger SELECT n, repeat(md5(n::text), 4), now(), n FROM generate_series(1, {}) n"


def sizes():
    print("\n| table | whole command | the step | size |\n|---|---|---|---|")
    steps = {}
    for label, rows in (("1 kB", 5), ("100 MB", 520_000), ("2 GB", 10_500_000)):
        times = []
        for _ in range(runs):
            folder = both("size", LEDGER, "DROP TABLE ledger;\n", ROWS.format(rows))
            size = sql("SELECT pg_size_pretty(pg_total_relation_size('ledger'))")[1]
            times.append(journey(folder, "rollback", "1.0.0"))
            if label == "2 GB":
                break
        whole, step = (statistics.median(it) for it in zip(*times))
        steps[label] = (whole, step)
        print(f"| {label} | {whole * 1000:.0f} ms | {step:.1f} ms | {size} |", flush=True)
    return steps


def dump():
    """The same 2 GB database by dump and restore: the downtime is that of the restore."""
    both("dump", LEDGER, "DROP TABLE ledger;\n", ROWS.format(10_500_000))
    file = tempfile.mktemp(suffix=".dump")
    dumped, _ = timed(os.path.join(tools, "pg_dump"), *server, "-Fc", "-Z0", "-f", file, "bench")
    settle()
    restored, _ = timed(os.path.join(tools, "pg_restore"), *server, "--clean", "--if-exists", "-d", "bench", file)
    os.remove(file)
    return dumped, restored


MILLIONS = 5_000_000


def columns():
    made = "ALTER TABLE ledger ADD COLUMN extra text DEFAULT 'none';\n"
    folder = tempfile.mkdtemp(prefix="column")
    base = (LEDGER, "DROP TABLE ledger;\n")
    release(folder, "1.0.0", [base])
    release(folder, "1.1.0", [base, (made, "ALTER TABLE ledger DROP COLUMN extra;\n")])
    fresh()
    journey(folder, "upgrade", "1.1.0")
    sql(f"INSERT INTO ledger SELECT n, 'note', now(), n, md5(n::text) FROM generate_series(1, {MILLIONS}) n")
    settle()
    plain = min(sql("CREATE TABLE plain AS SELECT id, extra FROM ledger")[0] for _ in range(runs) if sql("DROP TABLE IF EXISTS plain"))
    sql("CREATE TABLE beside AS SELECT * FROM ledger LIMIT 0; ALTER TABLE beside ADD PRIMARY KEY (id)")
    insert, _ = sql("INSERT INTO beside SELECT l.id, l.note, l.at, l.amount, p.extra FROM ledger l JOIN plain p USING (id)")
    settle()
    update, _ = sql("UPDATE beside b SET extra = p.extra FROM plain p WHERE p.id = b.id")
    sql("DROP TABLE beside, plain")
    settle()
    _, kept = journey(folder, "rollback", "1.0.0")
    settle()
    _, back = journey(folder, "upgrade", "1.1.0")
    print(f"\n| {MILLIONS:,} rows, one column | Sternway's step | plain statement | speed, plain = 1 |\n|---|---|---|---|")
    print(f"| kept | {kept / 1000:.2f} s | CREATE TABLE AS {plain:.2f} s | {plain * 1000 / kept:.2f} |")
    print(f"| put back | {back / 1000:.2f} s | INSERT … SELECT {insert:.2f} s | {insert * 1000 / back:.2f} |")
    print(f"| put back | {back / 1000:.2f} s | UPDATE … FROM {update:.2f} s | {update * 1000 / back:.2f} |", flush=True)


def tables():
    folder = both("table", LEDGER, "DROP TABLE ledger;\n", ROWS.format(MILLIONS))
    sql("CREATE TABLE beside (LIKE ledger INCLUDING ALL)")
    insert, _ = sql("INSERT INTO beside SELECT * FROM ledger")
    sql("DROP TABLE beside")
    journey(folder, "rollback", "1.0.0")
    settle()
    _, back = journey(folder, "upgrade", "1.1.0")
    print(f"| put back, {MILLIONS:,} whole rows | {back / 1000:.2f} s | INSERT … SELECT {insert:.2f} s | {insert * 1000 / back:.2f} |", flush=True)


def effects():
    """Twenty migrations that destroy nothing, as a plan runs them and as the drop-in does."""
    count = 20
    bodies = [(f"CREATE TABLE t{n} (id int PRIMARY KEY, a text);\n", f"DROP TABLE t{n};\n") for n in range(count)]
    folder = tempfile.mkdtemp(prefix="effects")
    release(folder, "1.0.0", bodies)
    careful, plain = [], []
    for _ in range(max(runs, 5)):
        fresh()
        careful.append(journey(folder, "upgrade", "1.0.0")[1] / count)
        fresh()
        database = f"postgres://{user}@localhost:{port}/bench?host={socket}&sslmode=disable"
        path = os.path.join(folder, "1.0.0", "migrations")
        took, _ = timed(sternway, "migrate", "-path", path, "-database", database, "up")
        plain.append(took * 1000 / count)
    with_care, without = statistics.median(careful), statistics.median(plain)
    print(f"\nOne migration with care: {with_care:.2f} ms; as `migrate up` runs it: {without:.2f} ms; the look at its effects: {with_care - without:.2f} ms", flush=True)


def whole():
    """Tables of three sizes, and the largest by dump and restore as well."""
    found = sizes()
    dumped, restored = dump()
    took = found["2 GB"][0]
    print(f"\n2 GB: pg_restore --clean {restored:.1f} s (pg_dump before it {dumped:.1f} s); Sternway's whole rollback {took:.2f} s: {restored / took:.0f} × shorter")
    print(f"steps: 2 GB is {found['2 GB'][1] / found['1 kB'][1]:.2f} × 1 kB, commands: {took / found['1 kB'][0]:.2f} ×")


if __name__ == "__main__":
    parts = {"effects": effects, "columns": columns, "tables": tables, "whole": whole}
    for part in sys.argv[2:] or parts:
        parts[part]()
