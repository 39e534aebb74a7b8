#!/usr/bin/env python3
"""The verbs with --temporal against a real server, a worker of the official Python SDK on the other side.

  cli_test.py MOONLOOP [-v] [CliTest.test_start ...]
"""
import asyncio, json, os, signal, subprocess, sys, tempfile, time, unittest, uuid

from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import harness
from peer import Chain, Counter, Fails, Sleeper

MOONLOOP = os.path.abspath(sys.argv.pop(1))
LIMIT = 60
ENV = {k: v for k, v in os.environ.items() if not k.startswith(("TEMPORAL_", "MOONLOOP_"))}


class CliTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.client = await Client.connect(harness.address)
        self.queue = f"q-{uuid.uuid4().hex[:8]}"
        self.worker = Worker(self.client, task_queue=self.queue, workflows=[Counter, Chain, Fails, Sleeper],
                             workflow_runner=UnsandboxedWorkflowRunner())
        self.running = asyncio.create_task(self.worker.run())
        self.folder = tempfile.TemporaryDirectory()

    async def asyncTearDown(self):
        await self.worker.shutdown()
        await self.running
        self.assertEqual([f for f in os.listdir(self.folder.name) if ".db" in f], [], "no file is made")
        self.folder.cleanup()

    async def run_cli(self, *args, env=None):
        p = await asyncio.create_subprocess_exec(MOONLOOP, *args, cwd=self.folder.name, env={**ENV, **(env or {})},
                                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.pid = p.pid
        out, err = await asyncio.wait_for(p.communicate(), LIMIT)
        return p.returncode, out.decode(), err.decode()

    async def cli(self, *args, code=0, env=None):
        got, out, err = await self.run_cli(*args, "--temporal", harness.address, env=env)
        self.assertEqual(got, code, f"{args}: {out}{err}")
        return out.strip() if code == 0 else err

    def new_id(self):
        return f"{self._testMethodName}-{uuid.uuid4().hex[:8]}"

    async def counter(self):
        id = self.new_id()
        self.assertEqual(await self.cli("start", "--workflow", "counter", "--task-queue", self.queue, "--input", "10", "--id", id), id)
        return id

    async def test_messages(self):
        id = await self.counter()
        self.assertEqual(await self.cli("query", id, "value", "5"), "15")
        await self.cli("signal", id, "add", "7")
        self.assertEqual(await self.cli("update", id, "bump", "3"), "20")
        self.assertEqual(await self.cli("update", id, "bump", "3", "--update-id", "once"), "23")
        self.assertEqual(await self.cli("update", id, "bump", "3", "--update-id", "once"), "23")
        self.assertEqual(await self.cli("update", id, "--update-id", "once"), "23", "its result")
        self.assertIn("not found", (await self.cli("update", id, "--update-id", "never", code=2)).lower())
        self.assertIn("NAME is missing", await self.cli("update", id, code=2))
        self.assertIn("no negative bumps", await self.cli("update", id, "bump", "-1", code=1))
        self.assertIn("this query is broken", await self.cli("query", id, "broken", code=1))
        begun = time.monotonic()
        self.assertIn("still open", await self.cli("result", id, code=3))
        self.assertLess(time.monotonic() - begun, 10, "it does not wait: the server would, for twenty seconds")
        await self.cli("signal", id, "finish")
        self.assertEqual(json.loads(await self.cli("result", id, "--wait")), {"n": 23, "log": []})
        self.assertEqual((await self.client.get_workflow_handle(id).describe()).status, WorkflowExecutionStatus.COMPLETED)

    async def test_profile(self):
        """A profile that Temporal's own command wrote: its address, namespace and metadata are used; a wrong one says where."""
        path = os.path.join(self.folder.name, "t.toml")
        temporal = os.path.join(os.environ.get("MOONLOOP_TEST_TOOLS") or os.path.join(harness.ROOT, "build", "tools"), "venv", "bin", "temporal")
        for name, value in (("address", harness.address), ("namespace", "no such namespace"), ("grpc_meta.x-a", "one \\ \"two\"")):
            done = await asyncio.create_subprocess_exec(temporal, "config", "set", "--profile", "mine", "--prop", name, "--value", value, "--config-file", path, env=ENV,
                                                        stdout=subprocess.DEVNULL)
            self.assertEqual(await done.wait(), 0)
        env = {"TEMPORAL_CONFIG_FILE": path, "TEMPORAL_PROFILE": "mine"}
        code, out, err = await self.run_cli("list", "--temporal", "", env=env)
        self.assertNotEqual(code, 0, out)
        self.assertIn("no such namespace", err)
        code, out, err = await self.run_cli("list", "--temporal", "", "--namespace", "default", "--json", env=env)
        self.assertEqual(code, 0, err)
        with open(path, "a") as f:
            f.write("[profile.mine.tls]\ncert = 1\n")
        code, out, err = await self.run_cli("list", "--temporal", "", env=env)
        self.assertNotEqual(code, 0, out)
        self.assertRegex(err, f"{path}: line [0-9]+: tls has no setting 'cert'")
        code, out, err = await self.run_cli("list", "--temporal", "", env={**env, "TEMPORAL_PROFILE": "yours"})
        self.assertIn('are: "mine"', err)

    async def test_start(self):
        script = os.path.join(self.folder.name, "mine.lua")
        with open(script, "w") as f:
            f.write(f'local ml = require "moonloop"\nml.workflow("counter", {{ task_queue = "{self.queue}" }}, function() end)\n')
        id = self.new_id()
        options = {"memo": {"a": 1}, "runTimeout": "90s", "taskTimeout": "7s", "summary": "by hand", "priority": {"key": 4},
                   "retry": {"maxAttempts": 2}, "idReusePolicy": "reject"}
        out = json.loads(await self.cli("start", "mine.lua", "--id", id, "--input", "1", "--options", json.dumps(options), "--json"))
        d = await self.client.get_workflow_handle(id).describe()
        self.assertEqual((out["workflowId"], out["runId"], out["existing"]), (id, d.run_id, False))
        self.assertEqual((await d.memo(), await d.static_summary(), d.task_queue), ({"a": 1}, "by hand", self.queue))
        config = d.raw_description.execution_config
        self.assertEqual((config.workflow_run_timeout.seconds, config.default_workflow_task_timeout.seconds), (90, 7))
        self.assertEqual(d.raw_description.workflow_execution_info.priority.priority_key, 4)
        self.assertIn("already", await self.cli("start", "mine.lua", "--id", id, code=2))
        await self.cli("signal", id, "finish")
        await self.cli("result", id, "--wait")
        self.assertIn("already", await self.cli("start", "mine.lua", "--id", id, "--options", '{"idReusePolicy":"reject"}', code=2))
        self.assertIn("defines no workflow", await self.cli("start", "mine.lua", "--workflow", "other", code=2))
        made = await self.cli("start", "--workflow", "counter", "--task-queue", self.queue)
        self.assertTrue(made.startswith("counter-"))
        await self.cli("terminate", made)

    async def test_show_list_count(self):
        id = await self.counter()
        await self.cli("signal", id, "add", "1")
        await self.cli("query", id, "value")
        text = await self.cli("show", id)
        self.assertIn("counter  Running", text)
        self.assertIn("add", text)
        history = json.loads(await self.cli("show", id, "--json"))
        official = (await self.client.get_workflow_handle(id).fetch_history()).to_json_dict()
        self.assertEqual([e["eventId"] for e in history["events"]], [e["eventId"] for e in official["events"]])
        self.assertEqual([e["eventTime"] for e in history["events"]], [e["eventTime"] for e in official["events"]])
        for _ in range(LIMIT * 5):
            rows = json.loads(await self.cli("list", "--id-prefix", id, "--json"))
            if rows:
                break
            await asyncio.sleep(0.2)
        self.assertEqual([(r["workflowId"], r["type"], r["status"]) for r in rows], [(id, "counter", "Running")])
        self.assertIn(id, await self.cli("list", "--query", f"WorkflowId = '{id}'"))
        self.assertEqual(json.loads(await self.cli("count", "--id-prefix", id, "--json")),
                         {"byStatus": {"Running": 1}, "blocked": 0, "count": 1})
        await self.cli("cancel", id)
        self.assertIn("is Canceled", await self.cli("result", id, "--wait", code=4))
        await self.cli("delete", id)

    async def test_ends(self):
        ids = {}
        for verb in ("cancel", "terminate"):
            ids[verb] = await self.cli("start", "--workflow", "sleeper", "--task-queue", self.queue)
            await self.cli(verb, ids[verb], "--reason", "enough")
            self.assertIn("Canceled" if verb == "cancel" else "Terminated", await self.cli("result", ids[verb], "--wait", code=4))
        failed = await self.cli("start", "--workflow", "fails", "--task-queue", self.queue, "--input", '"as it should"')
        self.assertIn("Wanted: as it should", await self.cli("result", failed, "--wait", code=1))
        chain = await self.cli("start", "--workflow", "chain", "--task-queue", self.queue, "--input", "2")
        self.assertEqual(await self.cli("result", chain, "--wait"), '"end of the chain"')
        id = await self.counter()
        await self.cli("update", id, "bump", "1")
        history = json.loads(await self.cli("show", id, "--json"))
        done = [e["eventId"] for e in history["events"] if e["eventType"] == "EVENT_TYPE_WORKFLOW_TASK_COMPLETED"][0]
        run = await self.cli("reset", id, "--event", done)
        self.assertEqual((await self.client.get_workflow_handle(id).describe()).run_id, run)
        await self.cli("terminate", id)

    async def test_bad_input(self):
        self.assertIn("not-here", await self.cli("show", "not-here", code=2))
        self.assertIn("namespace create nowhere", await self.cli("list", "--namespace", "nowhere", code=2))
        self.assertIn("invalid query", (await self.cli("list", "--query", "no query =", code=2)).lower())
        for args, words in [(["list", "--namespace", "x"], "need --temporal"), (["list", "--query", "x"], "needs a Temporal server"),
                            (["doctor", "--temporal", "x"], "not for it"), (["list", "--temporal", "x", "--db", "y"], "choose one"),
                            (["start", "--temporal", "x"], "--workflow NAME"), (["list", "--temporal", "x", "--tls", "--no-tls"], "exclude"),
                            (["list", "--temporal", "x", "--grpc-meta", "odd"], "NAME=VALUE"),
                            (["list", "--temporal", "x", "--tls-ca", "/no/such/file"], "/no/such/file")]:
            code, out, err = await self.run_cli(*args)
            self.assertIn(words, err, args)
            self.assertNotEqual(code, 0)
        code, out, err = await self.run_cli("list", "--temporal", "127.0.0.1:1")
        self.assertEqual(code, 6)
        self.assertIn("127.0.0.1:1", err)

    def lua(self, body, text=None):
        path = os.path.join(self.folder.name, "flow.lua")
        with open(path, "w") as f:
            f.write(text or f"""local ml = require "moonloop"
local step = ml.activity("step", {{ timeout = "20s" }}, function(n) return n + 1 end)
ml.workflow("flow", {{ task_queue = "lua-{self.queue}" }}, function(n)
  local x = step(n or 0)
  {body}
  return step(x)
end)
""")
        return path

    async def test_run(self):
        """A workflow script: a worker of this process works on it, and the exit codes are those of a file."""
        self.lua('if n == 7 then ml.fail("unlucky", { type = "Seven" }) end')
        id = self.new_id()
        code, out, err = await self.run_cli("run", "flow.lua", "--temporal", harness.address, "--input", "1", "--id", id)
        self.assertEqual((code, out), (0, "3\n"), err)
        worker = self.pid
        polls = await self.client.workflow_service.describe_task_queue(DescribeTaskQueueRequest(
            namespace="default", task_queue=TaskQueue(name="default"), task_queue_type=1))
        self.assertEqual([p.identity for p in polls.pollers if p.identity.startswith(f"{worker}@")], [], "others may have the default queue")
        for word in ("started flow", "do step", "done step"):
            self.assertIn(word, err)
        self.assertIn(id, err)
        self.assertEqual(await self.cli("run", "flow.lua", "--input", "1", "--id", id), "3", "a closed run's result stands")
        self.assertEqual((await self.client.get_workflow_handle(id).describe()).task_queue, "lua-" + self.queue)
        self.assertIn("another input", await self.cli("run", "flow.lua", "--input", "2", "--id", id, code=2))
        self.assertEqual(await self.cli("run", "flow.lua", "--workflow", "flow"), "2")
        self.assertIn("Seven: unlucky", await self.cli("run", "flow.lua", "--input", "7", code=1))
        for option in (["--clock", "virtual"], ["--wait-all"], ["--durability", "fast"]):
            self.assertIn(option[0], await self.cli("run", "flow.lua", *option, code=2))
        code, out, err = await self.run_cli("run", "flow.lua", "--temporal", "127.0.0.1:1")
        self.assertEqual(code, 6)
        self.assertIn("is the server running", err)

    async def test_run_blocked(self):
        """A plain error ends the command, not the run, which goes on with the mended script."""
        self.lua("local t = nil; x = t.y")
        id = self.new_id()
        err = await self.cli("run", "flow.lua", "--id", id, code=3)
        for word in ("is blocked; nothing is lost", "flow.lua:5", f"--id {id}", "moonloop terminate"):
            self.assertIn(word, err)
        self.assertEqual((await self.client.get_workflow_handle(id).describe()).status, WorkflowExecutionStatus.RUNNING)
        self.lua("")
        self.assertEqual(await self.cli("run", "flow.lua", "--id", id), "2")
        id = self.new_id()
        text = open(self.lua("")).read()
        self.lua("", text.replace("local x =", "local t = nil; n = t.y; local x ="))
        await self.cli("run", "flow.lua", "--id", id, code=3)
        self.assertIn("(attempt 2)", await self.cli("show", id), "the server tells of it as blocked")
        self.lua("", text)
        self.assertEqual(await self.cli("run", "flow.lua", "--id", id), "2")

    async def test_run_stopped(self):
        """An interrupt leaves the run on the server, and gives its worker's tasks to the next one at once."""
        self.lua('local gone = false ml.on_signal("go", function() gone = true end) ml.await(function() return gone end)')
        id = self.new_id()
        p = await asyncio.create_subprocess_exec(MOONLOOP, "run", "flow.lua", "--id", id, "--temporal", harness.address, cwd=self.folder.name, env=ENV,
                                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        log = []
        while line := await asyncio.wait_for(p.stderr.readline(), LIMIT):
            log.append(line.decode())
            if "done step" in log[-1]:
                break
        p.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(p.communicate(), LIMIT)
        self.assertEqual(p.returncode, 130, "".join(log) + err.decode())
        self.assertIn(f"Go on with: moonloop run flow.lua --id {id} --temporal", err.decode())
        await self.client.get_workflow_handle(id).signal("go")
        self.assertEqual(await self.cli("run", "flow.lua", "--id", id), "2")
        events = (await self.client.get_workflow_handle(id).fetch_history()).events
        self.assertNotIn(8, [e.event_type for e in events], "no task waited for a worker that was gone")

    async def test_environment(self):
        id = await self.counter()
        code, out, err = await self.run_cli("query", id, "value", "--temporal", "",
                                            env={"TEMPORAL_ADDRESS": harness.address, "TEMPORAL_NAMESPACE": "default"})
        self.assertEqual((code, out), (0, "10\n"), err)
        self.assertIn("namespace create nowhere", await self.cli("show", id, code=2, env={"TEMPORAL_NAMESPACE": "nowhere"}))
        await self.cli("terminate", id)


if __name__ == "__main__":
    harness.main()
