"""Many callers at once, over HTTP: nobody overspends, a rate holds over a kill, a key has one answer.

  MOONLOOP=build/test/moonloop python3 tests/boundary/load_test.py [-v] [LoadTest.NAME]"""
import collections, os, shutil, sys, tempfile, threading, unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from served import ROOT, Serve, eventually

PROGRAM = os.environ.get("MOONLOOP") or os.path.join(ROOT, "build", "test", "moonloop")
SCRIPT = """
local ml = require "moonloop"
ml.workflow("job", function(job)
  if job.hold then ml.channel("go"):receive() end
  return job.n
end)
local accept = ml.tool { name = "accept", mode = "durable", scope = "jobs", cost = 5, input = ml.schema { n = "integer", hold = "boolean?" },
  run = function(args, call)
    ml.log.info("handled")
    ml.sleep(0.1)                                                     -- all the others come meanwhile
    local job = call.db:insert("jobs", args)
    return ml.accept { workflow = "job", id = "job:" .. job.id, entity = job.id, input = job }
  end }
local api = ml.api { auth = "bearer" }
api:post("/jobs", accept)
api:get("/limited", { rate = "20/h" }, function() return "in" end)
"""


class LoadTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="moonloop-load-")
        self.addCleanup(shutil.rmtree, self.folder)
        script = os.path.join(self.folder, "s.lua")
        with open(script, "w") as f:
            f.write(SCRIPT)
        self.s = Serve(PROGRAM, script, self.folder)
        self.addCleanup(self.s.kill)
        self.s.up()

    def together(self, n, fn):
        """fn(i) from n threads that begin in one moment; what each gave."""
        out, ready = [None] * n, threading.Barrier(n)

        def one(i):
            ready.wait()
            out[i] = fn(i)

        threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return out

    def handled(self):
        with open(self.s.log) as f:
            return f.read().count("handled")

    def test_one_key(self):
        """200 equal requests with one key: the handler runs once, one start, 200 equal answers. And two of another body are refused."""
        token = self.s.token("--scope", "jobs", "--credits", "1000")["token"]
        said = self.together(202, lambda i: self.s.ask("/jobs", "POST", {"n": 1 if i < 200 else 2}, token=token, key="k"))
        first = collections.Counter((a.status, a.body) for a in said)
        good = [x for x in first if x[0] == 202]
        self.assertEqual(1, len(good), first)
        self.assertIn(first[good[0]], (200, 2))  # whichever body was first
        self.assertEqual(202 - first[good[0]], sum(n for (status, _), n in first.items() if status == 409), first)
        self.assertEqual(1, self.handled())
        self.assertEqual(1, self.s.verb("count")["count"])

    def test_never_overspent(self):
        """A token for 7 calls asked 60 times at once: 7 are accepted, the ledger holds exactly their credits; what is given back may be spent."""
        token = self.s.token("--scope", "jobs", "--credits", "39")
        said = self.together(60, lambda i: self.s.ask("/jobs", "POST", {"n": i, "hold": True}, token=token["token"], key=f"k{i}"))
        self.assertEqual({202: 7, 402: 53}, dict(collections.Counter(a.status for a in said)))
        k = self.s.verb("token", "list")[0]
        self.assertEqual((4, 35), (k["credits"], k["held"]))
        ids = [a.value["workflowId"] for a in said if a.status == 202]
        self.s.kill()
        self.s.up()
        self.s.verb("terminate", ids[0])  # gives its credits back
        for i in ids[1:]:
            self.s.verb("signal", i, "go")
        eventually("all is settled", lambda: self.s.verb("token", "list")[0]["held"] == 0)
        self.assertEqual(9, self.s.verb("token", "list")[0]["credits"])
        again = self.together(10, lambda i: self.s.ask("/jobs", "POST", {"n": i}, token=token["token"], key=f"again{i}"))
        self.assertEqual({202: 1, 402: 9}, dict(collections.Counter(a.status for a in again)))
        self.assertTrue(self.s.verb("audit", "verify")["ok"])

    def test_rate_over_a_kill(self):
        """20 an hour, with kills between: what was let in before counts after."""
        token = self.s.token()["token"]
        inside = 0
        for _ in range(4):
            said = self.together(4, lambda i: self.s.ask("/limited", token=token))
            inside += sum(a.status == 200 for a in said)
            self.s.kill()
            self.s.up()
        self.assertEqual(16, inside)
        said = self.together(24, lambda i: self.s.ask("/limited", token=token))
        inside += sum(a.status == 200 for a in said)
        refused = [a for a in said if a.status == 429]
        self.assertIn(inside, (20, 21))  # within one; an hour / 20 is 180 s, so no new one has become free
        self.assertEqual(40, inside + len(refused))
        for a in refused:
            self.assertTrue(1 <= int(a.headers["retry-after"]) <= 180, a.headers)


if __name__ == "__main__":
    unittest.main()
