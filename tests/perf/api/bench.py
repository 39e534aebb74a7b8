"""scripts/bench --api: `moonloop serve` beside the same routes in FastAPI (one process each, on one database file each), asked by the same
clients in turns, round after round. One JSON line a figure: {"figure", "value", "unit", "fastapi", ...}.

A1_accept_p50         ms of a call that accepts durably (ml.accept: key, audit row and the start of a run in one transaction, synchronous=FULL),
                      alone; FastAPI inserts one row in SQLite (WAL, synchronous=FULL). Beside it p99, and both at 64 connections
A2_accept_throughput  such calls/s from 64 connections; cpu_us: CPU time of the server a call, of moonloop with the run that it starts
A3_live_throughput    requests/s of a live route with a path parameter that answers JSON, from 64 connections
A4_token_added        us by which a token that a model server streams comes later through a handler's stream than directly, median at 500
                      tokens/s; cpu_us: CPU time of the server a token
A5_sse_memory         KB resident by which a process grows for each of 10,000 listeners of server-sent events, each with a handler that waits
Needs wrk (apt-get install wrk); FastAPI, uvicorn and httpx go into the test tools' Python when they are missing.
"""
import argparse, http.client, importlib.util, json, os, re, selectors, shutil, signal, socket, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
PROGRAM = os.path.join(ROOT, "build", "moonloop")
BODY = json.dumps({"caption": "hello", "at": "2030-01-01T09:00:00Z"})


def need():
    if not shutil.which("wrk"):
        sys.exit("wrk is missing: apt-get install wrk")
    if not os.path.exists(PROGRAM):
        sys.exit(f"{PROGRAM} is missing: run scripts/build")
    if any(importlib.util.find_spec(name) is None for name in ("fastapi", "uvicorn", "uvloop", "httpx")):
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "fastapi", "uvicorn[standard]", "httpx"],
                       check=True, stdout=sys.stderr)


class Server:
    def __init__(self, name, command, folder, env=None, out=subprocess.PIPE):
        self.name, self.error = name, open(os.path.join(folder, name + ".err"), "wb")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=self.error, text=True, cwd=folder,
                                        env=dict(os.environ, **(env or {})))
        self.token = None

    def at(self, port):
        self.port, self.url = int(port), f"http://127.0.0.1:{int(port)}"
        return self

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_kb(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.error.close()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(port):
    for _ in range(300):
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"nothing answers on port {port}")


def model(folder):
    server = Server("model", [sys.executable, os.path.join(HERE, "model.py")], folder)
    return server.at(server.process.stdout.readline())


def moonloop(folder, model_url):
    db = os.path.join(folder, "m.db")
    made = subprocess.run([PROGRAM, "token", "create", "--name", "bench", "--scope", "posts:write", "--db", db, "--json"], check=True,
                          capture_output=True, text=True)
    server = Server("moonloop", [PROGRAM, "serve", os.path.join(HERE, "serve.lua"), "--port", "0", "--db", db, "--json"], folder,
                    {"MODEL_URL": model_url, "MODEL_KEY": "none"})
    line = server.process.stdout.readline()
    if not line:
        sys.exit("moonloop serve: " + open(os.path.join(folder, "moonloop.err")).read())
    server.at(re.search(r":(\d+)\"", line).group(1))
    server.token = json.loads(made.stdout)["token"]
    return server


def fastapi(folder, model_url):
    port = free_port()
    server = Server("fastapi", [sys.executable, "-m", "uvicorn", "--app-dir", HERE, "app:app", "--port", str(port), "--log-level", "warning",
                                "--no-access-log"], folder, {"MODEL_URL": model_url, "DB": os.path.join(folder, "f.db")}, subprocess.DEVNULL)
    answers(port)
    return server.at(port)


# ---- A1 to A3 ----

def wrk(server, path, connections, seconds, body=None):
    env = dict(os.environ, TOKEN=server.token or "")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", os.path.join(HERE, "load.lua"), server.url + path]
    if body:
        command += ["--", body, os.urandom(6).hex()]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    try:
        got = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        sys.exit(f"wrk at {server.name}: {done.stdout}{done.stderr}")
    if got["failed"] or not got["requests"]:
        sys.exit(f"{server.name} {path}: {got['failed']} of {got['requests']} requests failed")
    return got


def middle(rounds, key):
    return statistics.median(r[key] for r in rounds)


def rounds_of(servers, n, *run):
    out = {s.name: [] for s in servers}
    for _ in range(n):
        for s in servers:
            before = s.cpu()
            got = wrk(s, *run)
            out[s.name].append(got | {"cpu_us": (s.cpu() - before) / got["requests"] * 1e6, "rate": got["requests"] / got["seconds"]})
    return out


# ---- A4 ----

def tokens(port, path, body):
    """How long each token took from its sending to here, in ns."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer, left, out = connection.getresponse(), b"", []
    if answer.status != 200:
        sys.exit(f"{path} answered {answer.status}: {answer.read()}")
    while True:
        piece = answer.read1(65536)
        now = time.monotonic_ns()
        if not piece:
            break
        *lines, left = (left + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"data: ") and (m := re.search(rb"\d{9,}", line)):
                out.append(now - int(m.group(0)))
    connection.close()
    return out


def token_added(server, model_server, n, gap_ms):
    before, text = server.cpu(), f"{n} {gap_ms}"
    through = tokens(server.port, "/chat", {"text": text})
    cpu = server.cpu() - before
    direct = tokens(model_server.port, "/chat/completions", {"model": "fake", "stream": True, "messages": [{"role": "user", "content": text}]})
    if len(through) != n or len(direct) != n:
        sys.exit(f"{server.name}: {len(through)} tokens came through, {len(direct)} directly, of {n}")
    return {"added_us": (statistics.median(through) - statistics.median(direct)) / 1e3, "cpu_us": cpu / n * 1e6}


# ---- A5 ----

def listeners(server, n, every):
    """KB for each of n listeners, after each has had its first event, and again after each has had another one."""
    selector, heard, opened = selectors.DefaultSelector(), {}, []
    before = server.rss_kb()

    def read(until, seconds):
        end = time.monotonic() + seconds
        while sum(1 for h in heard.values() if until in h) < len(opened):
            if time.monotonic() > end:
                sys.exit(f"{server.name}: {sum(1 for h in heard.values() if until in h)} of {len(opened)} listeners heard {until}")
            for key, _ in selector.select(1):
                got = key.fileobj.recv(4096)
                if not got:
                    sys.exit(f"{server.name} closed a listener")
                heard[key.fileobj] = (heard[key.fileobj] + got)[-400:]

    for i in range(n):
        s = socket.create_connection(("127.0.0.1", server.port), 20)
        s.sendall(b"GET /events?every=%d HTTP/1.1\r\nHost: x\r\n\r\n" % every)
        s.setblocking(False)
        selector.register(s, selectors.EVENT_READ)
        opened.append(s)
        heard[s] = b""
        if i % 200 == 199:
            read(b"event: hello", 60)
    read(b"event: hello", 60)
    fresh = server.rss_kb()
    for s in heard:
        heard[s] = b""
    read(b"event: tick", 60 + 2 * every)
    after = server.rss_kb()
    for s in opened:
        s.close()
    return max(fresh, after) / n - before / n


def say(figure, value, unit, beside, **more):
    print(json.dumps({"figure": figure, "value": round(value, 3), "unit": unit, "fastapi": None if beside is None else round(beside, 3),
                      **{k: v if v is None else round(v, 3) for k, v in more.items()}}), flush=True)


def accepts(ours, theirs, rounds, seconds):
    one = rounds_of((ours, theirs), rounds, "/accept", 1, seconds, BODY)
    many = rounds_of((ours, theirs), rounds, "/accept", 64, seconds, BODY)
    a, b, x, y = one[ours.name], one[theirs.name], many[ours.name], many[theirs.name]
    say("A1_accept_p50", middle(a, "p50_ms"), "ms", middle(b, "p50_ms"), p99_ms=middle(a, "p99_ms"), fastapi_p99_ms=middle(b, "p99_ms"),
        p50_at_64_ms=middle(x, "p50_ms"), p99_at_64_ms=middle(x, "p99_ms"), fastapi_p50_at_64_ms=middle(y, "p50_ms"), fastapi_p99_at_64_ms=middle(y, "p99_ms"))
    say("A2_accept_throughput", middle(x, "rate"), "accepts/s from 64 connections", middle(y, "rate"), cpu_us=middle(x, "cpu_us"),
        fastapi_cpu_us=middle(y, "cpu_us"))


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench --api", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller runs, for a look")
    parser.add_argument("--only", default="A1 A2 A3 A4 A5", help="some of the figures, as in --only 'A3 A5' (A1 and A2 are one run)")
    args = parser.parse_args()
    need()
    rounds, seconds = (2, 2) if args.quick else (5, 4)
    folder, servers = tempfile.mkdtemp(prefix="moonloop-bench-", dir=os.environ.get("BENCH_FOLDER", ROOT + "/build")), []
    try:
        servers.append(model(folder))
        servers.append(moonloop(folder, servers[0].url))
        servers.append(fastapi(folder, servers[0].url))
        source, ours, theirs = servers
        if "A5" in args.only: # first: what others leave behind would hide what listeners take
            n = 2000 if args.quick else 10000
            kb = [listeners(s, n, 15) for s in (ours, theirs)]
        if "A1" in args.only or "A2" in args.only:
            accepts(ours, theirs, rounds, seconds)
        if "A3" in args.only:
            live = rounds_of((ours, theirs), rounds, "/hello/anna", 64, seconds)
            a, b = live[ours.name], live[theirs.name]
            say("A3_live_throughput", middle(a, "rate"), "requests/s from 64 connections", middle(b, "rate"), p50_ms=middle(a, "p50_ms"),
                p99_ms=middle(a, "p99_ms"), fastapi_p99_ms=middle(b, "p99_ms"), cpu_us=middle(a, "cpu_us"), fastapi_cpu_us=middle(b, "cpu_us"))
        if "A4" in args.only:
            added = {s.name: [token_added(s, source, 500 if args.quick else 2000, 2) for _ in range(2 if args.quick else 3)] for s in (ours, theirs)}
            say("A4_token_added", middle(added[ours.name], "added_us"), "us a token", middle(added[theirs.name], "added_us"),
                cpu_us=middle(added[ours.name], "cpu_us"), fastapi_cpu_us=middle(added[theirs.name], "cpu_us"))
        if "A5" in args.only:
            say("A5_sse_memory", kb[0], f"KB a listener, with {n}", kb[1])
    finally:
        for s in servers:
            s.end()
            note = open(os.path.join(folder, s.name + ".err")).read()
            if sys.exc_info()[0] and note:
                print(f"{s.name}: {note[-1500:]}", file=sys.stderr)
        shutil.rmtree(folder)


main()
