#!/usr/bin/env python3
"""`moonloop serve --temporal`: the routes are here, the runs on a real server.

  serve_test.py MOONLOOP [-v] [ServeTest.test_runs ...]
"""
import json, os, re, signal, subprocess, sys, tempfile, time, unittest, urllib.error, urllib.request, uuid

from temporalio.client import Client, WorkflowExecutionStatus

import harness

MOONLOOP = os.path.abspath(sys.argv.pop(1))
ENV = {k: v for k, v in os.environ.items() if not k.startswith(("TEMPORAL_", "MOONLOOP_"))}
ENV["MOONLOOP_RESUME_KEY"] = "k" * 32  # there is no file to keep one in
SCRIPT = """
local ml = require "moonloop"
local double = ml.activity("double", { timeout = "10s" }, function(n)
  for i = 1, n do ml.progress(i) end
  return n * 2
end)
ml.workflow("served", function(n)
  local ok, more = ml.channel("more"):receive { timeout = "60s" }
  return { sum = double(n) + (ok and more or 0) }
end)
ml.workflow("promised", function()
  local p = ml.promise {}
  ml.query("url", function() return p.url end)
  return { value = p:await() }
end)
ml.api():post("/start", function(req)
  local run = ml.client.start("served", { input = req:json().n, id = req:json().id })
  return ml.response { status = 202, json = { id = run.id } }
end)
"""


class ServeTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.client = await Client.connect(harness.address)
        self.queue = f"q-{uuid.uuid4().hex[:8]}"
        self.folder = tempfile.TemporaryDirectory()
        with open(os.path.join(self.folder.name, "s.lua"), "w") as f:
            f.write(SCRIPT)
        self.process = self.serve(harness.address)
        self.url = json.loads(self.process.stdout.readline())["url"]

    def serve(self, address):
        return subprocess.Popen([MOONLOOP, "serve", "s.lua", "--port", "0", "--json", "--temporal", address, "--task-queue", self.queue],
                                cwd=self.folder.name, env=ENV, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    async def asyncTearDown(self):
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=60)
        self.assertEqual(self.process.returncode, 0, err)
        self.assertEqual([f for f in os.listdir(self.folder.name) if ".db" in f], [], "no file is made")
        self.folder.cleanup()

    def ask(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data=data, method=method, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as r:
                return r.status, json.loads(r.read() or b"null")
        except urllib.error.HTTPError as e:
            return e.code, json.loads(e.read())

    async def test_runs(self):
        """A handler starts a run, the operating routes work on it, another client of the server sees the same."""
        id = f"served-{uuid.uuid4().hex[:8]}"
        self.assertEqual(self.ask("POST", "/start", {"n": 4, "id": id}), (202, {"id": id}))
        self.assertEqual(self.ask("GET", f"/v1/workflows/{id}/result")[0], 202)
        self.assertEqual(self.ask("POST", f"/v1/workflows/{id}/signal/more", 100)[0], 202)
        status, result = self.ask("GET", f"/v1/workflows/{id}/result?wait=30")
        self.assertEqual((status, result["result"]), (200, {"sum": 108}))
        self.assertEqual(await self.client.get_workflow_handle(id).result(), {"sum": 108})
        history = self.ask("GET", f"/v1/workflows/{id}/history")[1]["events"]
        self.assertIn("EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED", [e["eventType"] for e in history])
        other = f"served-{uuid.uuid4().hex[:8]}"
        status, started = self.ask("POST", "/v1/workflows", {"workflow": "served", "id": other, "input": 1})
        self.assertEqual((status, started["workflowId"]), (201, other))
        self.assertEqual(self.ask("POST", f"/v1/workflows/{other}/cancel", {"reason": "enough"})[0], 202)
        self.assertEqual(self.ask("GET", f"/v1/workflows/{other}/result?wait=30")[1]["status"], "Canceled")
        self.assertEqual((await self.client.get_workflow_handle(other).describe()).status, WorkflowExecutionStatus.CANCELED)
        self.assertEqual(self.ask("GET", "/v1/workflows/no-such-run")[0], 404)

    async def test_promise(self):
        """What is posted to a promise's URL is an update of the run on the server, taken once."""
        id = f"served-{uuid.uuid4().hex[:8]}"
        self.assertEqual(self.ask("POST", "/v1/workflows", {"workflow": "promised", "id": id})[0], 201)
        until, url = time.time() + 30, None
        while not url and time.time() < until:
            url = self.ask("POST", f"/v1/workflows/{id}/query/url", [])[1].get("result")
            time.sleep(0.1)
        self.assertTrue(url.startswith(self.url + "/v1/resume/"), url)
        path = url[len(self.url):]
        self.assertEqual(self.ask("POST", path[:-1] + ("1" if path[-1] == "0" else "0"), 1)[0], 403)
        self.assertEqual(self.ask("POST", path, {"paid": 7}), (200, {"status": "resumed"}))
        self.assertEqual(await self.client.get_workflow_handle(id).result(), {"value": {"paid": 7}})
        self.assertEqual(self.ask("POST", path, {"paid": 7}), (200, {"status": "resumed"}))
        self.assertEqual(self.ask("POST", path, {"paid": 8})[0], 410)
        self.assertNotIn("k" * 32, json.dumps(self.ask("GET", f"/v1/workflows/{id}/history")[1]))

    async def test_stream(self):
        """A listener gets history and what the activity says; one that comes back goes on where it stood."""
        id = f"served-{uuid.uuid4().hex[:8]}"
        self.assertEqual(self.ask("POST", "/start", {"n": 3, "id": id})[0], 202)
        with urllib.request.urlopen(f"{self.url}/v1/workflows/{id}/stream", timeout=60) as r:
            self.assertIn("WorkflowExecutionStarted", (r.readline() + r.readline() + r.readline()).decode())
            self.assertEqual(self.ask("POST", f"/v1/workflows/{id}/signal/more", 1)[0], 202)
            text = r.read().decode()
        events = re.findall(r"id: (.+)\nevent: (.+)\ndata: (.+)\n\n", text)
        self.assertEqual([json.loads(d)["data"] for _, e, d in events if e == "progress"], [1, 2, 3])
        self.assertEqual((events[-1][1], json.loads(events[-1][2])), ("end", {"status": "Completed", "result": {"sum": 7}}))
        again = urllib.request.Request(f"{self.url}/v1/workflows/{id}/stream", headers={"Last-Event-ID": events[-2][0]})
        with urllib.request.urlopen(again, timeout=60) as r:
            self.assertEqual(re.findall("event: (.+)", r.read().decode()), ["end"])

    async def test_no_server(self):
        """A server that is not there: the routes answer what they can, the rest is 503 after the retries."""
        lost = self.serve("127.0.0.1:1")
        try:
            url, self.url = self.url, json.loads(lost.stdout.readline())["url"]
            self.assertEqual(self.ask("GET", "/healthz"), (200, {"status": "ok"}))
            status, problem = self.ask("GET", "/v1/workflows")
            self.assertEqual((status, problem["type"]), (503, "urn:moonloop:problem:unavailable"))
            self.assertTrue(re.search("not to be reached", problem["detail"]), problem)
            self.url = url
        finally:
            begun = time.time()
            lost.send_signal(signal.SIGTERM)
            lost.communicate(timeout=60)
            self.assertEqual(lost.returncode, 0)
            self.assertLess(time.time() - begun, 30)


if __name__ == "__main__":
    harness.main()
