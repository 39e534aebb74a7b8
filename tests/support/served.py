"""`moonloop serve` and what it talks to, for the tests that kill it and ask it from many threads. Standard library only.

Serve starts, kills and asks a server; Publisher is tests/support/publisher.py; Model is aimock, a model server that others wrote."""
import http.client, json, os, signal, socket, subprocess, time, urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SUPPORT = os.path.join(ROOT, "tests", "support")
EXAMPLES = os.path.join(ROOT, "examples")


class Failure(Exception):
    pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def eventually(what, fn, seconds=30):
    """Waits until fn() is true and gives its value."""
    until = time.time() + seconds
    while True:
        value = fn()
        if value:
            return value
        if time.time() > until:
            raise Failure(f"did not happen within {seconds} s: {what}")
        time.sleep(0.02)


def soon(seconds):
    """ISO text of a time so many seconds from now."""
    t = time.time() + seconds
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) + f".{int(t % 1 * 1000):03d}Z"


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def value(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:600]!r}"


def ask(url, method="GET", value=None, headers=None, timeout=60, body=None):
    """One request on a connection of its own. Raises OSError or HTTPException when there was no whole answer."""
    u = urllib.parse.urlsplit(url)
    con = http.client.HTTPConnection(u.hostname, u.port, timeout=timeout)
    try:
        head = dict(headers or {})
        if value is not None:
            body = json.dumps(value)
            head.setdefault("Content-Type", "application/json")
        con.request(method, u.path + ("?" + u.query if u.query else ""), body=body, headers=head)
        r = con.getresponse()
        return Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
    finally:
        con.close()


def listen(url, value, headers=None, timeout=60):
    """Posts and gives the server-sent events of the answer as they come: (seconds since the request, data)."""
    u, began = urllib.parse.urlsplit(url), time.time()
    con = http.client.HTTPConnection(u.hostname, u.port, timeout=timeout)
    try:
        con.request("POST", u.path, body=json.dumps(value), headers={"Content-Type": "application/json", **(headers or {})})
        r = con.getresponse()
        kind = r.getheader("Content-Type", "")
        if r.status != 200 or not kind.startswith("text/event-stream"):
            raise Failure(f"no events: {r.status} {kind} {r.read()[:600]!r}")
        data = []
        for line in r:
            line = line.decode().rstrip("\r\n")
            if line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
            elif not line and data:
                yield time.time() - began, json.loads("\n".join(data))
                data = []
    finally:
        con.close()


class Publisher:
    """tests/support/publisher.py; its record is a file of its own."""

    def __init__(self, folder, *args, port=0):
        self.record_file = os.path.join(folder, "published")
        self.process = subprocess.Popen(["python3", os.path.join(SUPPORT, "publisher.py"), "--record", self.record_file, "--port", str(port), *args],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def env(self, secret="client-secret", refresh="refresh-secret"):
        return {"PUBLISHER_URL": self.url, "PUBLISHER_TOKEN_URL": self.url + "/oauth/token", "PUBLISHER_SECRET": secret, "PUBLISHER_REFRESH": refresh}

    def record(self):
        """What it says, which is what its file says."""
        said = ask(self.url + "/record").value
        written = []
        if os.path.exists(self.record_file):
            with open(self.record_file) as f:
                written = [json.loads(line) for line in f]
        if said["posts"] != written:
            raise Failure("the publisher and its file differ")
        return said

    def stop(self):
        if self.process is None:
            return
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()
        self.process = None


class Model:
    """aimock with fixtures (a list, in its form)."""

    def __init__(self, folder, fixtures):
        tools = os.environ.get("MOONLOOP_TEST_TOOLS")
        if not tools:
            raise Failure("MOONLOOP_TEST_TOOLS is not set: run scripts/test, or export MOONLOOP_TEST_TOOLS=$(scripts/test-tools)")
        path, port = os.path.join(folder, "fixtures.json"), free_port()
        with open(path, "w") as f:
            json.dump({"fixtures": fixtures}, f)
        cli = os.path.join(tools, "node/node_modules/@copilotkit/aimock/dist/cli.js")
        self.process = subprocess.Popen([os.path.join(tools, "node/run"), cli, "-p", str(port), "--log-level", "silent", "-f", path],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{port}"
        eventually("the model server answers", self.up)

    def up(self):
        try:
            return ask(self.url + "/__aimock/journal", timeout=5).status == 200
        except OSError:
            return False

    def journal(self):
        return ask(self.url + "/__aimock/journal").body.decode()

    def env(self, key="sk-model"):
        return {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": self.url + "/v1"}

    def stop(self):
        self.process.kill()
        self.process.wait()


class Serve:
    """`moonloop serve SCRIPT` with a database; it may be killed and started again, on the same port."""

    def __init__(self, program, script, folder, env=None, name="serve", log=True, options=()):
        self.options = list(options)
        self.program, self.script, self.folder, self.env, self.name = program, script, folder, env or {}, name
        self.db, self.log = os.path.join(folder, name + ".db"), os.path.join(folder, name + ".log")
        self.port, self.process = free_port(), None
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self, env=None):
        out = open(self.log, "ab")
        self.process = subprocess.Popen([self.program, "serve", self.script, "--port", str(self.port), "--db", self.db, "--json", *self.options], cwd=self.folder,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=out, env={**os.environ, **self.env, **(env or {})})
        out.close()
        return self

    def ready(self):
        """Waits until it listens; False when it ended before."""
        line = self.process.stdout.readline()
        return bool(line)

    def up(self, env=None):
        self.start(env)
        if not self.ready():
            raise Failure(f"serve did not start: {open(self.log).read()[-2000:]}")
        return self

    def end(self, how):
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failure(f"serve did not end on signal {how}")
        self.process.stdout.close()
        self.process = None
        return code

    def kill(self):
        return self.end(signal.SIGKILL)

    def stop(self):
        code = self.end(signal.SIGTERM)
        if code not in (0, None):
            raise Failure(f"serve ended with {code}: {open(self.log).read()[-2000:]}")

    def verb(self, *args, code=0):
        """Another command on the same database. Its output, read as JSON when it is."""
        done = subprocess.run([self.program, *args, "--db", self.db, "--json"], capture_output=True, text=True, timeout=60, cwd=self.folder)
        if done.returncode != code:
            raise Failure(f"{' '.join(args)}: exit code {done.returncode}: {done.stdout[-500:]}{done.stderr[-2000:]}")
        try:
            return json.loads(done.stdout)
        except ValueError:
            return done.stdout

    def token(self, *args):
        return self.verb("token", "create", *args)

    def ask(self, path, method="GET", value=None, token=None, key=None, **more):
        headers = dict(more.pop("headers", {}))
        if token:
            headers["Authorization"] = "Bearer " + token
        if key:
            headers["Idempotency-Key"] = key
        return ask(self.url + path, method, value, headers, **more)
