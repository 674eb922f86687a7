"""Releases on another host: a plan of kagent from an empty folder, with latency on the way.

    cargo build --release --locked && STERNWAY_KAGENT_REPO=~/src/kagent python3 bench/elsewhere.py [RUNS [MILLISECONDS]]

The host is git's own `http-backend` behind a server that waits so long before each answer; what git takes itself is in
the figures. "Cold" is without Sternway's own cache, "warm" asks for the tags alone. Beside them the same plan of the
clone itself, warm: what is left of the time is the way to the host.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PLAN = ["--profile", "kagent", "plan", "--from", "0.9.9", "--to", "0.9.3", "--no-deploy"]
PROMISED = 0.5


class Host(BaseHTTPRequestHandler):
    """git's own server program, some time away."""

    root, latency = "", 0.0
    asked, answered = 0, 0

    def answer(self):
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": Host.root,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "uploadpack.allowFilter",
            "GIT_CONFIG_VALUE_0": "true",
            "GIT_CONFIG_KEY_1": "safe.directory",
            "GIT_CONFIG_VALUE_1": "*",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        time.sleep(Host.latency)
        said = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True).stdout
        head, _, content = said.partition(b"\r\n\r\n")
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n" % len(content))
        self.wfile.write(head + b"\r\n\r\n" + content)
        self.close_connection = True
        Host.asked += 1
        Host.answered += len(content)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


def timed(program, folder, variables, arguments):
    environment = {"PATH": os.environ["PATH"], "HOME": folder, "XDG_CACHE_HOME": f"{folder}/cache", **variables}
    begun = time.monotonic()
    done = subprocess.run([program, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    took = time.monotonic() - begun
    if done.returncode != 0:
        sys.exit(f"{arguments} failed:\n{done.stdout}\n{done.stderr}")
    return took


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    milliseconds = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    program = os.path.abspath(os.environ.get("STERNWAY_BENCH_PROGRAM", "target/release/sternway"))
    clone = os.path.abspath(os.environ["STERNWAY_KAGENT_REPO"])
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(f"{folder}/host/kagent-dev")
        os.symlink(clone, f"{folder}/host/kagent-dev/kagent.git")
        Host.root, Host.latency = f"{folder}/host", milliseconds / 1000
        server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        at = {"STERNWAY_GITHUB_URL": f"http://127.0.0.1:{server.server_port}"}
        near = [*PLAN, "--source", f"git+file:{clone}"]
        figures = {"cold": [], "warm": [], "the clone itself, warm": []}
        asked = {}
        for _ in range(runs):
            shutil.rmtree(f"{folder}/cache", ignore_errors=True)
            for what in ("cold", "warm"):
                Host.asked = Host.answered = 0
                figures[what].append(timed(program, folder, at, PLAN))
                asked[what] = (Host.asked, Host.answered)
            timed(program, folder, {}, near)
            figures["the clone itself, warm"].append(timed(program, folder, {}, near))
        server.shutdown()
    print(f"{milliseconds} ms before each answer, median of {runs}; promised is {PROMISED} s:\n")
    print("| `plan --from 0.9.9 --to 0.9.3` | median | range | requests | received | of the promise |\n|---|---|---|---|---|---|")
    for what, times in figures.items():
        number, received = asked.get(what, (0, 0))
        median = statistics.median(times)
        row = [what, f"{median * 1000:.0f} ms", f"{min(times) * 1000:.0f} to {max(times) * 1000:.0f} ms", str(number)]
        print(f"| {' | '.join(row)} | {received / 1024:.1f} kB | {median / PROMISED:.2f} |")


if __name__ == "__main__":
    main()
