"""Measures snapshots beside pg_dump and pg_restore; `bench/snapshot` starts the server and calls this.

Everything runs as a whole process, in turn, round after round; the ratio is that of the medians. What Sternway does
beyond the programs is in its time: it counts every row and adds up a checksum of it, hashes the files, and a restore
compares all of it, counts what was written since, and swaps.
"""

import os
import shutil
import statistics
import subprocess
import sys
import time
from urllib.parse import urlsplit

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
target = os.environ.get("CARGO_TARGET_DIR", os.path.join(root, "target"))
sternway = os.environ.get("STERNWAY_BENCH_PROGRAM", os.path.join(target, "release", "sternway"))
url = urlsplit(os.environ["STERNWAY_BENCH_URL"])
socket, tools, store = (os.environ[f"STERNWAY_BENCH_{it}"] for it in ("SOCKET", "BIN", "STORE"))
runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
megabytes = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
server = ["-h", socket, "-p", str(url.port), "-U", url.username]
environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PGPASSWORD": url.password}


def timed(*command):
    start = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{command} failed:\n{done.stdout}\n{done.stderr}")
    return time.monotonic() - start


def sql(text, database="postgres"):
    return timed("psql", "-qAtX", "-v", "ON_ERROR_STOP=1", *server, "-d", database, "-c", text)


def ours(*words):
    database = f"postgres://{url.username}@localhost:{url.port}/bench?host={socket}&sslmode=disable"
    common = ["--app", "bench", "--track", "name=core,path=m", "--database", database, "--offline"]
    return timed(sternway, "snapshot", *words, "--snapshot-store", store, "--snapshot-tools", tools, *common)


sql("CREATE DATABASE bench")
# Half of it text that compresses, half of it numbers and hashes: about 200 bytes a row.
sql(
    "CREATE TABLE t AS SELECT n AS id, n % 1000 AS kind, repeat('harbour ', 8) AS a, md5(n::text) AS b, now() AS at,"
    f" random() AS x FROM generate_series(1, {megabytes * 5000}) n",
    "bench",
)
for statement in ("ALTER TABLE t ADD PRIMARY KEY (id)", "CREATE INDEX ON t (kind)", "VACUUM ANALYZE t"):
    sql(statement, "bench")
dump = os.path.join(os.path.dirname(store), "plain.dump")
compared = (
    ("pg_dump", None),
    ("create", "pg_dump"),
    ("create --prove", "pg_dump"),
    ("create --on-server", "pg_dump"),
    ("pg_restore", None),
    ("restore", "pg_restore"),
    ("restore of --on-server", "pg_restore"),
)
times = {it: [] for it, _ in compared}
for _ in range(runs):
    shutil.rmtree(store, ignore_errors=True)
    if os.path.exists(dump):
        os.remove(dump)
    times["pg_dump"].append(timed(os.path.join(tools, "pg_dump"), *server, "-Fc", "-f", dump, "bench"))
    times["create"].append(ours("create"))
    times["create --prove"].append(ours("create", "--prove"))
    sql("DROP DATABASE IF EXISTS plain")
    sql("CREATE DATABASE plain")
    times["pg_restore"].append(timed(os.path.join(tools, "pg_restore"), *server, "-d", "plain", dump))
    times["restore"].append(ours("restore", "latest", "--yes"))
    ours("prune", "--databases", "--yes")
    times["create --on-server"].append(ours("create", "--on-server"))
    times["restore of --on-server"].append(ours("restore", "latest", "--yes"))
    ours("prune", "--databases", "--keep", "0", "--yes")
median = {name: statistics.median(all) for name, all in times.items()}
print(f"{megabytes} MB of rows, {runs} runs:\n\n| what | median | range | beside | ratio |\n|---|---|---|---|---|")
for name, beside in compared:
    ratio = f"{median[name] / median[beside]:.2f}" if beside else ""
    low, high = min(times[name]), max(times[name])
    print(f"| {name} | {median[name]:.1f} s | {low:.1f} to {high:.1f} s | {beside or ''} | {ratio} |")
