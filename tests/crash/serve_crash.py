"""scripts/crash --serve: `moonloop serve` is killed with -9 at random moments and at fault points around the accept, started again on the
same file, and asked all the while by clients that try again with the same Idempotency-Key until they are answered. With --temporal its runs
are on a development server, and a `moonloop worker` that nobody kills serves them beside it."""
import collections, contextlib, http.client, json, os, random, signal, sqlite3, subprocess, sys, threading, time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from served import Failure, Serve, eventually

CLIENTS, COST, CREDITS, POOR = 6, 3, 1000000, 60  # POOR: credits of the token that runs out
# Where a kill comes right at the boundary, beside those at random moments. The numbers of hits are small: a server lives a moment.
API_POINTS = [line[len("POINT("):line.index(")")] for line in open(os.path.join(ROOT, "src", "base", "fault_points.def")) if line.startswith("POINT(api.")]
OUTBOX_POINTS = ["api.boxed", "api.dispatch", "api.sent"]  # reached when the runs are a server's
FILE_POINTS = ["api.started"]                              # reached when they are in the file
STORE_POINTS = ["store.begin", "store.append", "store.commit.before", "store.commit.after", "store.answer"]
ENGINE_POINTS = ["engine.open", "engine.submit", "engine.durable", "engine.answer", "engine.dispatch", "worker.report"]


class Clients:
    """Threads that ask, and what each key was told."""

    def __init__(self, serve, tokens, seed, pause_s):
        self.pause_s = pause_s
        self.serve, self.tokens, self.over, self.lock = serve, tokens, threading.Event(), threading.Lock()
        self.told = collections.defaultdict(list)  # key -> [(status, body)], all of them
        self.n_of, self.asked, self.number, self.failure = {}, set(), 0, None
        self.cut, self.tries, self.untold, self.unaccepted = 0, 0, set(), set()
        self.threads = [threading.Thread(target=self.run, args=(random.Random(seed + i),)) for i in range(CLIENTS)]

    def start(self):
        for t in self.threads:
            t.start()
        return self

    def post(self, key):
        """One try; None when no whole answer came."""
        token = self.tokens[self.n_of[key] % 10 == 7]
        with self.lock:
            self.tries += 1
        try:
            return self.serve.ask("/jobs", "POST", {"n": self.n_of[key]}, token=token, key=key, timeout=20)
        except TimeoutError:
            raise Failure(f"{key}: no answer for 20 s")
        except (OSError, http.client.HTTPException):
            return None

    def until_answered(self, key, rng):
        while True:
            with self.lock:
                self.asked.add(key)
            a = self.post(key)
            if a is not None and a.status != 503:  # 503: it is stopping, or starting
                with self.lock:
                    self.told[key].append((a.status, a.body))
                return a
            with self.lock:
                self.cut += 1
            time.sleep(0.001 + rng.random() * 0.02)

    def run(self, rng):
        try:
            while not self.over.is_set():
                with self.lock:
                    self.number += 1
                    key = f"key-{self.number}"
                    self.n_of[key] = self.number
                self.until_answered(key, rng)
                self.over.wait(rng.random() * self.pause_s)
                if rng.random() < 0.2:
                    self.until_answered(key, rng)  # again, though it was answered
                if rng.random() < 0.1:
                    self.until_answered(f"key-{rng.randrange(1, self.number + 1)}", rng)  # one of before, also of another thread
        except Exception as e:  # noqa: a thread's failure is the test's
            self.failure = e

    def stop(self):
        self.over.set()
        for t in self.threads:
            t.join()
        self.check()

    def check(self):
        if self.failure:
            raise self.failure


def rows(db, sql):
    """Reads beside the owner, or what a killed one left."""
    con = sqlite3.connect(f"file:{db}?mode=ro", uri=True, timeout=10)
    try:
        return con.execute(sql).fetchall()
    finally:
        con.close()


def one_round(serve, rng, clients, counts, fault):
    """Starts the server, lets it work for a moment, kills it."""
    serve.start({"ML_FAULTS": fault} if fault else None)
    if fault:
        until = time.time() + 5.0
        while serve.process.poll() is None and time.time() < until and clients.failure is None:
            time.sleep(0.002)
        died = serve.process.poll() is not None
    else:
        if rng.random() < 0.8:  # else also while it starts
            serve.ready()
        time.sleep(rng.random() * 0.15)
        died = False
    code = serve.kill()
    if died and code != -signal.SIGKILL:
        raise Failure(f"serve ended with {code} under {fault}: {open(serve.log).read()[-2000:]}")
    if code not in (-signal.SIGKILL, None):
        raise Failure(f"serve ended by itself with {code}: {open(serve.log).read()[-2000:]}")
    counts["at a fault point" if died else "at a random moment"] += 1
    if died:
        counts[fault.split(":")[0]] += 1
    clients.check()


def unanswered(serve, clients):
    """What was asked and not answered when the server was killed: was it accepted?"""
    with clients.lock:
        waiting = {key for key in clients.asked if not clients.told.get(key)}
    if not waiting:
        return
    known = {r[0] for r in rows(serve.db, "SELECT key FROM api_idempotency")}
    clients.untold |= waiting & known
    clients.unaccepted |= waiting - known


class InFile:
    """Where the runs are: in the database of serve."""

    script, options, receipts, pause_s = "serve.lua", (), True, 0
    api_points = [p for p in API_POINTS if p not in OUTBOX_POINTS]
    points = api_points + STORE_POINTS + ENGINE_POINTS

    def runs(self, serve):
        """[(workflow id, ended well)] of all that ended."""
        if rows(serve.db, "SELECT 1 FROM runs WHERE status = 1 LIMIT 1"):
            return None
        return [(w, status == 2) for w, status in rows(serve.db, "SELECT workflow_id, status FROM runs WHERE type = 'job'")]


class OnServer:
    """Or on a server, which the official command is asked about; a worker that lives on serves them too."""

    script, receipts = "serve_temporal.lua", False
    pause_s = 0.3  # between two calls of a client, at most: a development server runs some 50 such workflows a second
    api_points = [p for p in API_POINTS if p not in FILE_POINTS]
    points = api_points + STORE_POINTS

    def __init__(self, program, folder, address, env):
        self.address, self.queue = address, f"crash-{os.getpid()}"
        self.options = ("--temporal", address, "--task-queue", self.queue)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("TEMPORAL_")}
        self.log = open(os.path.join(folder, "worker.log"), "wb")
        self.worker = subprocess.Popen([program, "worker", os.path.join(ROOT, "tests", "crash", self.script), *self.options], cwd=folder,
                                       stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env={**self.env, **env})

    def runs(self, serve):
        if rows(serve.db, "SELECT 1 FROM api_outbox WHERE state <> 'sent' LIMIT 1"):
            return None
        asked = subprocess.run([os.path.join(os.environ["MOONLOOP_TEST_TOOLS"], "venv", "bin", "temporal"), "workflow", "list", "--address", self.address,
                                "--query", f"TaskQueue = '{self.queue}'", "--limit", "1000000", "-o", "json"], env=self.env, capture_output=True, text=True, timeout=60)
        if asked.returncode:
            raise Failure(f"the server's list: {asked.stderr}")
        runs = [(r["execution"]["workflowId"], r["status"].rsplit("_", 1)[1]) for r in json.loads(asked.stdout)]
        if any(status == "RUNNING" for _, status in runs) or len(runs) < rows(serve.db, "SELECT count(*) FROM api_outbox")[0][0]:
            return None  # also what its list does not show yet
        return [(w, status == "COMPLETED") for w, status in runs]

    def close(self):
        if self.worker.poll() is not None:
            raise Failure(f"the worker ended with {self.worker.returncode}")
        self.worker.kill()
        self.worker.wait()
        self.log.close()


@contextlib.contextmanager
def place(temporal, program, folder, env):
    """Where the runs are for as long as the block lasts: on the server of ctest (MOONLOOP_TEMPORAL), or on one of its own."""
    if not temporal:
        yield InFile()
        return
    if "MOONLOOP_TEST_TOOLS" not in os.environ:
        raise Failure("MOONLOOP_TEST_TOOLS is not set: export MOONLOOP_TEST_TOOLS=$(scripts/test-tools)")
    shared, server = os.environ.get("MOONLOOP_TEMPORAL"), None
    if shared:
        address = open(shared).read().strip()
    else:
        server = subprocess.Popen([os.path.join(ROOT, "tests", "support", "temporal_server"), "run"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        address = server.stdout.readline().strip()
    where = None
    try:
        if not address:
            raise Failure("the development server does not start")
        where = OnServer(program, folder, address, env)
        yield where
    finally:
        try:
            if where:
                where.close()
        finally:
            if server:
                server.communicate()


def check(serve, clients, tokens, where):
    """Everything has ended: each key was told one thing, and file, server and ledger say the same."""
    accepted, refused = {}, 0
    for key, answers in clients.told.items():
        if len(set(answers)) != 1 and not all(status == 402 for status, _ in answers):
            # without credit nothing was accepted, so the same key may be accepted later
            good = {a for a in answers if a[0] == 202}
            if len(good) != 1 or any(status not in (202, 402) for status, _ in answers):
                raise Failure(f"{key} was told different things: {answers}")
        good = [a for a in answers if a[0] == 202]
        if good:
            accepted[key] = good[0][1]
        elif answers[0][0] == 402:
            refused += 1
        else:
            raise Failure(f"{key} was told {answers[0]}")
    runs = [json.loads(body)["workflowId"] for body in accepted.values()]
    if len(set(runs)) != len(runs):
        raise Failure("two keys were told of one run")
    there = where.runs(serve)
    well = dict(there)
    if sorted(w for w, _ in there) != sorted(runs):
        raise Failure(f"{len(runs)} were accepted, {len(there)} runs are there: {sorted(set(well) ^ set(runs))[:5]}")
    reservations = rows(serve.db, "SELECT workflow_id, state, amount FROM api_reservations")
    if sorted(r[0] for r in reservations) != sorted(runs):
        raise Failure(f"{len(runs)} were accepted, {len(reservations)} reservations are there")
    for workflow_id, state, amount in reservations:
        want = "settled" if well[workflow_id] else "released"
        if state != want or amount != COST:
            raise Failure(f"{workflow_id} ended well: {well[workflow_id]}, and its reservation of {amount} is {state}")
    audit = rows(serve.db, "SELECT subject, detail FROM api_audit WHERE action = 'accept'")
    by_key = {json.loads(detail)["key"]: subject for subject, detail in audit}
    if len(by_key) != len(audit) or by_key != {key: json.loads(body)["workflowId"] for key, body in accepted.items()}:
        raise Failure("the audit and what the clients were told differ")
    row = {r[0]: json.loads(r[1]) for r in rows(serve.db, "SELECT id, row FROM api_rows WHERE tab = 'jobs'")}
    receipts, jobs = {r[0] for r in rows(serve.db, "SELECT id FROM api_rows WHERE tab = 'receipts'")}, list(row)
    for job in jobs:
        good = well["job:" + job]
        wrote = good and where.receipts
        if good != (row[job]["n"] % 5 != 0) or (row[job].get("done"), job in receipts) != (wrote or None, wrote):
            raise Failure(f"job:{job} ended well: {good}, its row is {row[job]}, its receipt {job in receipts}")
    if rows(serve.db, "PRAGMA integrity_check") != [("ok",)]:
        raise Failure("the file is damaged")
    if sorted(jobs) != sorted(w.removeprefix("job:") for w in runs):
        raise Failure(f"{len(jobs)} rows for {len(runs)} accepted jobs")
    proof = serve.verb("audit", "verify")
    if not proof["ok"]:
        raise Failure(f"audit verify: {proof}")
    keys, completed = {k["id"]: k for k in serve.verb("token", "list")}, collections.Counter()
    owner = dict(rows(serve.db, "SELECT workflow_id, principal FROM api_reservations"))
    for w in runs:
        completed[owner[w]] += well[w]
    for token, credits in zip(tokens, (CREDITS, POOR)):
        k = keys[token["id"]]
        if (k["credits"], k["held"]) != (credits - COST * completed["key:" + token["id"]], 0):
            raise Failure(f"the ledger: {k}, {completed['key:' + token['id']]} jobs were done")
    effects = collections.defaultdict(set)
    lines = 0
    for line in open(serve.env["LEDGER"]):
        job, key = line.split()
        effects[job].add(key)
        lines += 1
    if set(effects) != set(jobs) or any(len(k) != 1 for k in effects.values()):
        raise Failure("an effect without a job, a job without its effect, or two keys for one effect")
    return len(accepted), refused, sum(len(a) for a in clients.told.values()), lines - len(effects)


def run(program, folder, rounds, rng, temporal=False):
    """The whole; its report is printed."""
    env = {"LEDGER": os.path.join(folder, "ledger")}
    open(env["LEDGER"], "w").close()
    with place(temporal, program, folder, env) as where:
        kills(Serve(program, os.path.join(ROOT, "tests", "crash", where.script), folder, env, options=where.options), folder, rounds, rng, where)


def kills(serve, folder, rounds, rng, where):
    counts, began = collections.Counter(), time.time()
    tokens = [serve.token("--scope", "jobs", "--credits", str(n)) for n in (CREDITS, POOR)]
    clients = Clients(serve, [t["token"] for t in tokens], rng.randrange(1 << 30), where.pause_s).start()
    try:
        boundary = [f"{p}:{k}" for p in where.api_points for k in (1, 2, 7, 30)]  # each of them first, in some order
        rng.shuffle(boundary)
        for n in range(rounds):
            fault = None
            if rng.random() < 0.4:
                fault = boundary.pop() if boundary else f"{rng.choice(where.points)}:{rng.choice([1, 1, 2, 3, 5, 8, 13, 21])}"
            one_round(serve, rng, clients, counts, fault)
            unanswered(serve, clients)
            if (n + 1) % 100 == 0:
                print(f"{n + 1} kills, {clients.number} keys", flush=True)
        serve.up()
        clients.stop()
        eventually("every run has ended", lambda: where.runs(serve) is not None, 120)
        eventually("every reservation is closed", lambda: not rows(serve.db, "SELECT 1 FROM api_reservations WHERE state = 'open' LIMIT 1"))
        rng2 = random.Random(rng.random())
        for key in list(clients.told)[:: max(1, len(clients.told) // 300)]:
            clients.until_answered(key, rng2)  # the same answer still, long after
        eventually("every run has ended", lambda: where.runs(serve) is not None, 120)
        eventually("every reservation is closed", lambda: not rows(serve.db, "SELECT 1 FROM api_reservations WHERE state = 'open' LIMIT 1"))
        accepted, refused, answers, repeats = check(serve, clients, tokens, where)
        serve.stop()
    finally:
        clients.over.set()
        serve.kill()
    print(f"{rounds} kills of serve{' before a server with a worker elsewhere' if where.options else ''} in {time.time() - began:.0f} s: {counts['at a random moment']} at random moments, {counts['at a fault point']} at fault points; "
          f"{accepted} keys accepted, each with one run, one reservation, one row, one audit row and one answer in {answers} tellings; "
          f"{'what a run wrote is there when it ended well; ' if where.receipts else ''}{refused} refused for want of credit; {clients.cut} tries without an answer, {len(clients.untold)} keys accepted and not told when a kill came, "
          f"{len(clients.unaccepted)} asked and not accepted; {repeats} effects repeated under their key; the ledger balances, the audit chain holds")
    print("kills at: " + ", ".join(f"{p} {counts[p]}" for p in where.points if counts[p]))
    missed = [p for p in where.api_points if not counts[p]]
    if rounds >= 200 and (missed or not clients.untold or not clients.unaccepted):
        raise Failure(f"the kills missed what they are for: none came between the commit and the answer, or none before, or none at {missed}")
