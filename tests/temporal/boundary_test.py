#!/usr/bin/env python3
"""`moonloop serve --temporal --db FILE`: what is accepted commits in the file and runs on a real server; kills between the two.

  boundary_test.py MOONLOOP [-v] [BoundaryTest.test_accepts ...]
"""
import json, os, signal, sqlite3, subprocess, sys, tempfile, time, unittest, urllib.error, urllib.request, uuid

from temporalio.client import Client

import harness

MOONLOOP = os.path.abspath(sys.argv.pop(1))
ENV = {k: v for k, v in os.environ.items() if not k.startswith(("TEMPORAL_", "MOONLOOP_"))}
SCRIPT = """
local ml = require "moonloop"
local who = ml.activity("who", { timeout = "10s" }, function(post)
  if post.n % 5 == 0 then ml.fail("refused", { retryable = false }) end
  return "published"
end)
ml.workflow("publish", function(post) return who(post) end)
local schedule = ml.tool { name = "schedule", mode = "durable", scope = "posts", cost = 3, input = ml.schema { n = "integer" },
  run = function(args, call)
    local post = call.db:insert("posts", args)
    return ml.accept { workflow = "publish", id = "publish:" .. post.id, entity = post.id, input = { n = args.n } }
  end }
ml.api { auth = "bearer" }:post("/posts", schedule)
"""


class BoundaryTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.client = await Client.connect(harness.address)
        self.queue = f"q-{uuid.uuid4().hex[:8]}"
        self.folder = tempfile.TemporaryDirectory()
        self.db = os.path.join(self.folder.name, "api.db")
        with open(os.path.join(self.folder.name, "s.lua"), "w") as f:
            f.write(SCRIPT)
        self.token = self.verb("token", "create", "--scope", "posts", "--credits", "1000")["token"]
        self.process = None

    async def asyncTearDown(self):
        if self.process:
            self.process.kill()
            self.process.communicate()
        self.folder.cleanup()

    def verb(self, *args):
        r = subprocess.run([MOONLOOP, *args, "--db", self.db, "--json"], cwd=self.folder.name, env=ENV, capture_output=True, text=True, timeout=60)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        return json.loads(r.stdout)

    def serve(self, fault=None, address=None):
        env = dict(ENV, ML_FAULTS=fault) if fault else ENV
        self.process = subprocess.Popen([MOONLOOP, "serve", "s.lua", "--port", "0", "--json", "--db", self.db, "--temporal", address or harness.address,
                                         "--task-queue", self.queue], cwd=self.folder.name, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.url = json.loads(self.process.stdout.readline())["url"]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=60)
        self.assertEqual(self.process.returncode, 0, err)
        self.process = None

    def post(self, key, n):
        """The answer, or None when the server died."""
        request = urllib.request.Request(self.url + "/posts", data=json.dumps({"n": n}).encode(), method="POST", headers={
            "Content-Type": "application/json", "Authorization": "Bearer " + self.token, "Idempotency-Key": key})
        try:
            with urllib.request.urlopen(request, timeout=60) as r:
                return r.status, r.read()
        except urllib.error.HTTPError as e:
            return e.code, e.read()
        except OSError:
            return None

    def rows(self, sql):
        db = sqlite3.connect(f"file:{self.db}?mode=ro", uri=True, timeout=10)
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()

    def closed(self):
        end = time.time() + 60
        while self.rows("SELECT 1 FROM api_reservations WHERE state = 'open'") or self.rows("SELECT 1 FROM api_outbox WHERE state <> 'sent'"):
            self.assertLess(time.time(), end, self.rows("SELECT * FROM api_reservations") + self.rows("SELECT workflow_id, state FROM api_outbox"))
            time.sleep(0.1)

    async def check(self, answers):
        """Each answer is one workflow on the server, one row, one reservation that its end closed."""
        self.closed()
        ids = {json.loads(body)["workflowId"]: n for n, (status, body) in answers.items()}
        self.assertEqual({status for status, _ in answers.values()}, {202})
        self.assertEqual(len(ids), len(answers))
        runs = [w async for w in self.client.list_workflows(f"TaskQueue = '{self.queue}'")]
        end = time.time() + 20
        while len(runs) < len(ids) and time.time() < end:  # the server's list lags
            time.sleep(0.2)
            runs = [w async for w in self.client.list_workflows(f"TaskQueue = '{self.queue}'")]
        self.assertEqual(sorted(w.id for w in runs), sorted(ids))
        states = dict(self.rows("SELECT workflow_id, state FROM api_reservations"))
        self.assertEqual(states, {i: "released" if n % 5 == 0 else "settled" for i, n in ids.items()})
        self.assertEqual(self.rows("SELECT count(*) FROM api_rows WHERE tab = 'posts'"), [(len(ids),)])
        self.assertEqual(self.rows("SELECT count(*) FROM api_reservations"), [(len(ids),)])
        self.assertTrue(self.verb("audit", "verify")["ok"])

    async def test_accepts(self):
        self.serve()
        answers = {n: self.post(f"k{n}", n) for n in range(1, 8)}
        self.assertEqual(self.post("k1", 1), answers[1])
        self.assertEqual(self.post("k1", 2)[0], 409)
        await self.check(answers)  # a 202 comes before the start at the server
        history = await self.client.get_workflow_handle(json.loads(answers[1][1])["workflowId"]).fetch_history()
        header = history.events[0].workflow_execution_started_event_attributes.header.fields["moonloop"].data
        self.assertTrue(json.loads(header)["principal"].startswith("key:"), header)
        self.stop()

    async def test_kills(self):
        """The process dies between the commit, the start and what is noted of it: asked again, each call is one workflow."""
        answers = {}
        n = 0
        for point in ("api.boxed", "api.dispatch", "api.sent", "api.answer", "api.settle"):
            n += 1
            self.serve(fault=f"{point}:1")
            first = self.post(f"k{n}", n)
            self.process.communicate(timeout=60)
            self.assertEqual(self.process.returncode, -signal.SIGKILL, point)
            self.serve()
            answers[n] = self.post(f"k{n}", n)
            if first:
                self.assertEqual(first, answers[n], point)
            n += 1
            answers[n] = self.post(f"k{n}", n)
            self.closed()  # nothing is left for the next process, which would reach its point with it before it listens
            self.stop()
        self.serve()
        await self.check(answers)
        self.stop()

    async def test_no_server(self):
        """The server is not there: what is accepted waits in the file, and starts when it is."""
        self.serve(address="127.0.0.1:1")
        answers = {n: self.post(f"k{n}", n) for n in (1, 2)}
        self.assertEqual([a[0] for a in answers.values()], [202, 202])
        self.assertEqual(len(self.rows("SELECT 1 FROM api_outbox WHERE state = 'waiting'")), 2)
        self.process.kill()
        self.process.communicate()
        self.serve()
        await self.check(answers)
        self.stop()


if __name__ == "__main__":
    harness.main()
