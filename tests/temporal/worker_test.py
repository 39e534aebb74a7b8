#!/usr/bin/env python3
"""The worker half of the port: `moonloop worker` on a real server, asked by the official Python client, with a Python worker as the
other side.

  worker_test.py MOONLOOP [--goaway] [--evict] [--pages] [-v] [WorkerTest.test_steps ...]

--goaway: connections live three seconds. --evict: runs leave the cache after each task. --pages: the server takes completions in pages.
"""
import asyncio, ctypes, json, os, re, signal, socket, sys, tempfile, time, unittest, uuid
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError, WorkflowQueryFailedError, WorkflowUpdateFailedError, WorkflowUpdateStage
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import harness

MOONLOOP = os.path.abspath(sys.argv.pop(1))
GOAWAY = "--goaway" in sys.argv and not sys.argv.remove("--goaway")
PAGES = "--pages" in sys.argv and not sys.argv.remove("--pages")
if "--evict" in sys.argv:
    sys.argv.remove("--evict")
    os.environ["ML_EVICT_ALWAYS"] = "1"
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scripts", "worker.lua")
LIMIT = 90


@activity.defn(name="py_add")
async def py_add(a: int, b: int) -> int:
    return a + b


@workflow.defn(name="py_child")
class PyChild:
    @workflow.run
    async def run(self, a: int) -> dict:
        there = await workflow.execute_activity("echo", {"a": a}, start_to_close_timeout=timedelta(seconds=20), task_queue=workflow.info().task_queue[3:])
        return {"there": there}


def worker(queue, *more, script=SCRIPT):
    """A worker process that has begun to serve; `more`: its options instead of the server's address."""
    return harness.Process(MOONLOOP, "worker", script, *(more or ("--temporal", harness.address)), "--task-queue", queue).start()


class WorkerTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.client = await Client.connect(harness.address)
        self.queue = f"q-{uuid.uuid4().hex[:8]}"
        self.m = await worker(self.queue)

    async def asyncTearDown(self):
        code = await self.m.stop()
        self.assertEqual(code, 0, "\n".join(self.m.log))

    async def begin(self, name, *args, **more):
        return await self.client.start_workflow(name, args=args, id=f"{self._testMethodName}-{uuid.uuid4().hex[:8]}", task_queue=self.queue, **more)

    async def run_one(self, name, *args, **more):
        return await self.end(await self.begin(name, *args, **more))

    async def end(self, handle):
        return await asyncio.wait_for(handle.result(), LIMIT)

    async def events(self, handle):
        return list((await handle.fetch_history()).events)

    async def types(self, handle):
        return [e.event_type for e in await self.events(handle)]

    async def clean(self, handle):
        """No workflow task failed or timed out."""
        bad = (EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED, EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT)
        events = await self.events(handle)
        self.assertEqual([e for e in events if e.event_type in bad], [], "\n".join(self.m.log))
        return events

    # -- tasks
    async def test_steps(self):
        handle = await self.begin("steps", 10)
        self.assertEqual(await self.end(handle), 55)
        events = await self.clean(handle)
        done = [e.workflow_task_completed_event_attributes for e in events if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]
        self.assertEqual((done[0].sdk_metadata.sdk_name, len(done)), ("moonloop", 11))
        sticky = [e.workflow_task_scheduled_event_attributes.task_queue for e in events if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED]
        self.assertEqual([q.kind for q in sticky[1:]], [2] * 10, "all but the first are sticky")
        self.assertEqual({q.normal_name for q in sticky[1:]}, {self.queue})

    async def test_timers(self):
        handle = await self.begin("timers")
        await self.end(handle)
        await self.clean(handle)

    async def test_many_at_once(self):
        handles = await asyncio.gather(*(self.begin("steps", 5) for _ in range(60)))
        self.assertEqual(await asyncio.gather(*(self.end(h) for h in handles)), [15] * 60)
        for h in handles[:5]:
            await self.clean(h)

    async def test_failures_and_children(self):
        got = await self.run_one("family")
        self.assertEqual(got, {"one": 6, "ok": False, "type": "ChildWorkflowFailure", "cause": "Wanted"})
        with self.assertRaises(WorkflowFailureError) as failed:
            await self.run_one("failing")
        self.assertIsInstance(failed.exception.cause, ApplicationError)
        self.assertEqual((failed.exception.cause.type, failed.exception.cause.message), ("Wanted", "on purpose"))

    async def test_continue_as_new(self):
        self.assertEqual(await self.run_one("chained", 5), "end")

    async def test_namespace(self):
        """A run sees the namespace that it is in."""
        self.assertEqual(await self.run_one("where"), "default")
        name = f"ns-{uuid.uuid4().hex[:8]}"
        await self.cli("operator", "namespace", "create", "--namespace", name)
        m = await self.in_namespace(name)
        try:
            client = await Client.connect(harness.address, namespace=name)
            self.assertEqual(await asyncio.wait_for(client.execute_workflow("where", id="w", task_queue=self.queue), LIMIT), name)
        finally:
            self.assertEqual(await m.stop(), 0, "\n".join(m.log))

    async def in_namespace(self, name):
        """A worker there; a new namespace is known to all of the server a little later."""
        for left in range(100, -1, -1):
            try:
                return await worker(self.queue, "--temporal", harness.address, "--namespace", name)
            except RuntimeError as e:
                if not left or "has no namespace" not in str(e):
                    raise
                await asyncio.sleep(0.2)

    async def test_unknown_type(self):
        handle = await self.begin("nobody_has_this")
        for _ in range(100):
            events = await self.events(handle)
            failed = [e for e in events if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED]
            if failed:
                break
            await asyncio.sleep(0.1)
        message = failed[0].workflow_task_failed_event_attributes.failure.message
        self.assertIn("nobody_has_this", message)
        self.assertIn("steps", message)
        await handle.terminate()

    # -- signals, queries, updates
    async def test_messages(self):
        handle = await self.begin("messages", 10)
        await handle.signal("add", 5)
        self.assertEqual(await handle.query("value", 1), 16)
        self.assertEqual(await handle.execute_update("bump", 4), 19)
        with self.assertRaises(WorkflowUpdateFailedError):
            await handle.execute_update("bump", -1)
        self.assertEqual(await handle.query("value"), 19)
        self.assertEqual(await handle.execute_update("slow"), 119)
        with self.assertRaises(WorkflowQueryFailedError) as failed:
            await handle.query("nothing")
        self.assertIn("value", str(failed.exception))
        many = await asyncio.gather(*(handle.execute_update("bump", 1) for _ in range(9)))
        self.assertEqual(sorted(many), list(range(120, 129)))
        await handle.signal("note", "ü")
        self.assertEqual(await handle.execute_update("finish"), "finished")
        self.assertEqual(await self.end(handle), {"n": 128, "log": ["ü"]})
        await self.clean(handle)
        self.assertEqual(await handle.query("value"), 128, "a query of a closed run")

    async def test_update_handles(self):
        handle = await self.begin("messages")
        up = await handle.start_update("slow", wait_for_stage=WorkflowUpdateStage.ACCEPTED, id="u1")
        self.assertEqual(await up.result(), 100)
        again = await handle.execute_update("slow", id="u1")
        self.assertEqual(again, 100)
        # rejected ones leave no event, and the run goes on
        before = len(await self.events(handle))
        for _ in range(5):
            with self.assertRaises(WorkflowUpdateFailedError):
                await handle.execute_update("bump", -1)
        self.assertEqual(len(await self.events(handle)), before)
        self.assertEqual(await handle.execute_update("bump", 1), 101)
        await handle.execute_update("finish")
        await self.end(handle)
        await self.clean(handle)

    async def test_query_after_restart(self):
        handle = await self.begin("messages", 1)
        await handle.signal("add", 2)
        self.assertEqual(await handle.query("value"), 3)
        self.assertEqual(await self.m.stop(), 0)
        self.m = await worker(self.queue)
        self.assertEqual(await asyncio.wait_for(handle.query("value"), LIMIT), 3)
        await handle.execute_update("finish")
        await self.end(handle)
        await self.clean(handle)

    # -- history
    async def test_pages(self):
        """Hundreds of signals while nobody serves: the history comes in pages."""
        self.assertEqual(await self.m.stop(), 0)
        handle = await self.begin("long", 700)
        for _ in range(14):
            await asyncio.gather(*(handle.signal("tick") for _ in range(50)))
        self.m = await worker(self.queue)
        self.assertEqual(await self.end(handle), 700)
        self.assertEqual(await handle.query("got"), 700)

    async def test_unhandled_command(self):
        """A signal comes while the last task runs: the server refuses its completion and gives the task again."""
        handle = await self.begin("terminal")
        await self.until(handle, EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED)
        await asyncio.sleep(0.3)
        await handle.signal("late")
        self.assertEqual(await self.end(handle), 1)
        failed = [e.workflow_task_failed_event_attributes.cause for e in await self.events(handle) if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED]
        self.assertEqual(failed, [1], "one UnhandledCommand")
        self.assertEqual([l for l in self.m.log if "refused" in l or "could not" in l], [])

    async def test_task_heartbeat(self):
        """A local activity longer than the task's time-out: the task is completed and begun again meanwhile."""
        handle = await self.begin("slow_local", 13000)
        self.assertEqual(await self.end(handle), "slept")
        events = await self.clean(handle)
        self.assertGreaterEqual(len([e for e in events if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]), 2)

    # -- activities
    async def test_retries(self):
        got = await self.run_one("retries")
        self.assertEqual(got["attempt"], 3)
        self.assertEqual(len(got["key"]), 32)

    async def test_heartbeat_details(self):
        self.assertEqual(await self.run_one("beating"), {"before": {"n": 2}, "attempt": 2})

    async def test_cancel(self):
        handle = await self.begin("stuck")
        await self.until(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
        await asyncio.sleep(1)
        await handle.cancel()
        with self.assertRaises(WorkflowFailureError) as failed:
            await self.end(handle)
        self.assertIsInstance(failed.exception.cause, CancelledError)

    async def test_pause_and_reset(self):
        """What an operator does to an activity reaches it with its heartbeats."""
        for verb in ("pause", "reset"):
            handle = await self.begin("steered")
            await self.running_activity(handle)
            await asyncio.sleep(0.5)
            await self.cli("activity", verb, "--workflow-id", handle.id, "--activity-id", await self.activity_id(handle), *(["--identity", "test"] if verb == "pause" else []))
            if verb == "pause":
                for _ in range(100):
                    pending = (await handle.describe()).raw_description.pending_activities
                    if pending and pending[0].state == 4:  # PAUSED: the attempt has ended
                        break
                    await asyncio.sleep(0.1)
                self.assertEqual(pending[0].state, 4)
                await self.cli("activity", "unpause", "--workflow-id", handle.id, "--activity-id", await self.activity_id(handle))
            self.assertTrue((await self.end(handle))["ok"])

    async def cli(self, *args):
        tools = os.environ.get("MOONLOOP_TEST_TOOLS") or os.path.join(harness.ROOT, "build", "tools")
        p = await asyncio.create_subprocess_exec(os.path.join(tools, "venv", "bin", "temporal"), *args, "--address", harness.address,
                                                 stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        out, _ = await asyncio.wait_for(p.communicate(), LIMIT)
        self.assertEqual(p.returncode, 0, out.decode())
        return out.decode()

    async def activity_id(self, handle):
        return [e.activity_task_scheduled_event_attributes.activity_id for e in await self.events(handle) if e.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED][0]

    async def running_activity(self, handle):
        for _ in range(200):
            pending = (await handle.describe()).raw_description.pending_activities
            if pending and pending[0].state == 2:
                return
            await asyncio.sleep(0.1)
        self.fail("the activity does not start")

    async def until(self, handle, kind):
        for _ in range(200):
            if kind in await self.types(handle):
                return
            await asyncio.sleep(0.1)
        self.fail(f"no event {kind}")

    async def test_local_activities(self):
        handle = await self.begin("locals", 20)
        self.assertEqual(await self.end(handle), 420)
        events = await self.clean(handle)
        self.assertEqual(len([e for e in events if e.event_type == EventType.EVENT_TYPE_MARKER_RECORDED]), 20)

    async def test_complete_from_outside(self):
        handle = await self.begin("outside")
        await self.until(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
        outside = self.client.get_async_activity_handle(workflow_id=handle.id, run_id=None, activity_id=await self.activity_id(handle))
        await self.running_activity(handle)
        await asyncio.sleep(0.3)
        await outside.complete({"by": "somebody"})
        self.assertEqual(await self.end(handle), {"by": "somebody"})

    async def test_too_large(self):
        self.assertEqual(await self.run_one("too_large", 1000), {"ok": True})
        self.assertEqual(await self.run_one("too_large", 3 << 20), {"ok": False, "cause": "PayloadsTooLarge"})
        handle = await self.begin("too_large_input", 3 << 20)
        await self.until(handle, EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED)
        self.assertEqual((await handle.describe()).status.name, "RUNNING", "the run is not terminated")
        failed = [e for e in await self.events(handle) if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED][0].workflow_task_failed_event_attributes
        self.assertEqual(failed.cause, 37)
        self.assertIn("ScheduleActivityTask", failed.failure.message)
        await handle.terminate()

    async def test_large_completion(self):
        """More commands than a request takes: in pages where the server takes them, else the task fails and says so; the run stays."""
        handle = await self.begin("many_large", 12, 1 << 20)
        if PAGES:
            self.assertEqual(await self.end(handle), 12 << 20)
            events = await self.clean(handle)
            ids = [e.activity_task_scheduled_event_attributes.activity_id for e in events if e.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED]
            self.assertEqual(ids, [str(i) for i in range(1, 13)], "the commands kept their order")
            self.assertEqual(len({e.activity_task_scheduled_event_attributes.workflow_task_completed_event_id for e in events
                                  if e.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED}), 1, "of one task")
            handle = await self.begin("many_large", 45, 1 << 20)
        await self.until(handle, EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED)
        failed = [e for e in await self.events(handle) if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED][0].workflow_task_failed_event_attributes
        self.assertEqual((failed.cause, (await handle.describe()).status.name), (37, "RUNNING"))
        self.assertIn("keep large values in a store", failed.failure.message)
        await handle.terminate()

    async def test_evicted(self):
        """A run that made room for another goes on at once: its next task comes here, and its history is read from the server."""
        self.assertEqual(await self.m.stop(), 0)
        os.environ["ML_CACHE_RUNS"] = "1"
        try:
            self.m = await worker(self.queue)
        finally:
            del os.environ["ML_CACHE_RUNS"]
        one = await self.begin("messages", 1)
        self.assertEqual(await one.execute_update("bump", 1), 2)
        self.assertEqual(await self.run_one("steps", 3), 6)
        two = await self.begin("messages", 1)
        self.assertEqual(await two.execute_update("bump", 1), 2)
        await one.signal("add", 5)
        self.assertEqual(await one.execute_update("finish"), "finished")
        self.assertEqual((await self.end(one))["n"], 7)
        await self.clean(one)
        await two.terminate()

    # -- with others
    async def test_python(self):
        """A Lua workflow calls a Python activity and a Python child, which calls a Lua activity."""
        async with Worker(self.client, task_queue=self.queue + "-none", activities=[py_add]), \
                   Worker(self.client, task_queue="py-" + self.queue, workflows=[PyChild], activities=[py_add], workflow_runner=UnsandboxedWorkflowRunner()):
            got = await self.run_one("other_queue", 2, 3, "py-" + self.queue)
            self.assertEqual(got, {"activity": 5, "child": {"there": {"a": 2}}})

    # -- versions
    async def builds(self, handle):
        return [e.workflow_task_completed_event_attributes.deployment_version.build_id for e in await self.events(handle)
                if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]

    async def make_current(self, deployment, build):
        for left in range(100, -1, -1):
            try:
                return await self.cli("worker", "deployment", "set-current-version", "--deployment-name", deployment, "--build-id", build, "--yes")
            except AssertionError:  # the server has not seen the build's polls yet
                if not left:
                    raise
                await asyncio.sleep(0.2)

    async def test_versions(self):
        """Runs stay on the build they began on; new ones go to the current build."""
        self.assertEqual(await self.m.stop(), 0)
        name = f"d-{uuid.uuid4().hex[:8]}"
        self.m = await worker(self.queue, "--temporal", harness.address, "--deployment", name, "--build-id", "one", "--bundles", "")
        await self.make_current(name, "one")
        old = await self.begin("messages")
        self.assertEqual(await old.execute_update("bump", 1), 1)
        second = await worker(self.queue, "--temporal", harness.address, "--deployment", name, "--build-id", "two", "--bundles", "")
        await self.make_current(name, "two")
        for left in range(100, -1, -1):  # the new version reaches the task queue a little later
            new = await self.begin("steps", 1)
            await self.end(new)
            if set(await self.builds(new)) == {"two"} or not left:
                break
            await asyncio.sleep(0.2)
        self.assertEqual(set(await self.builds(new)), {"two"})
        self.assertEqual(await old.execute_update("bump", 1), 2)
        await old.execute_update("finish")
        await self.end(old)
        self.assertEqual(set(await self.builds(old)), {"one"})
        self.assertEqual(await second.stop(), 0)

    def script(self, folder, name, body):
        path = os.path.join(folder, name)
        with open(path, "w") as f:
            f.write('local ml = require "moonloop"\nlocal echo = ml.activity("echo", { timeout = "20s" }, function(v) return v end)\n'
                    'local function go() local gone = false ml.on_signal("go", function() gone = true end) ml.await(function() return gone end) end\n' + body)
        return path

    async def stamps(self, handle):
        return [e.workflow_task_completed_event_attributes.worker_version.build_id for e in await self.events(handle)
                if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]

    async def test_bundles(self):
        """A pinned run whose script was changed under the same build goes on with its own text, which was kept; without it the error
        says what to do; one that may upgrade has the new text. The digest is the build id."""
        self.assertEqual(await self.m.stop(), 0)
        name = f"d-{uuid.uuid4().hex[:8]}"
        text = """ml.workflow("pin", { versioning = "pinned" }, function() echo("%s") go() return echo("%s") end)
        ml.workflow("free", { versioning = "auto_upgrade" }, function() echo("same") go() return echo("%s") end)
        """
        with tempfile.TemporaryDirectory() as folder:
            kept = os.path.join(folder, "deep", "kept")
            one = self.script(folder, "app.lua", text % ("a", "old", "old"))
            args = ("--temporal", harness.address, "--deployment", name)
            self.m = await worker(self.queue, *args, "--build-id", "b", "--bundles", kept, script=one)
            await self.make_current(name, "b")
            pin, lost, free = [await self.begin(n) for n in ("pin", "pin", "free")]
            for h in (pin, lost, free):
                await self.until(h, EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
                await self.builds_are(h, {"b"})
            digest, = set(await self.stamps(pin))
            self.assertEqual(len(digest), 64)
            self.assertIn(digest + ".bundle", os.listdir(kept))
            self.assertEqual([f for f in os.listdir(kept) if f.startswith(".")], [], "nothing half written")
            self.assertEqual(await self.m.stop(), 0)
            self.script(folder, "app.lua", text % ("changed", "new", "new"))
            self.m = await worker(self.queue, *args, "--build-id", "b", "--bundles", kept, script=one)
            for h in (pin, free):
                await h.signal("go")
            self.assertEqual(await self.end(pin), "old", "\n".join(self.m.log))
            self.assertEqual(set(await self.stamps(pin)), {digest})
            self.assertEqual(await self.end(free), "new")
            self.assertEqual(len(set(await self.stamps(free))), 2)
            self.assertEqual(await self.m.stop(), 0)
            self.m = await worker(self.queue, *args, "--build-id", "b", "--bundles", "", script=one)
            await lost.signal("go")
            await self.until(lost, EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED)
            message = [e for e in await self.events(lost) if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED][0].workflow_task_failed_event_attributes.failure.message
            for word in (digest, "--bundles", "--build-id b", "auto_upgrade", lost.id):
                self.assertIn(word, message)
            await lost.terminate()
            # one that may upgrade, and whose text changed too much
            far = await self.begin("free")
            await self.until(far, EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
            self.assertEqual(await self.m.stop(), 0)
            self.script(folder, "app.lua", 'ml.workflow("free", { versioning = "auto_upgrade" }, function() ml.sleep(1) end)')
            self.m = await worker(self.queue, *args, "--build-id", "b", "--bundles", kept, script=one)
            await far.signal("go")
            await self.until(far, EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED)
            failed = [e for e in await self.events(far) if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED][0].workflow_task_failed_event_attributes
            self.assertEqual(failed.cause, 24, failed.failure.message)
            self.assertIn('versioning = "pinned"', failed.failure.message)
            await far.terminate()

    async def test_earlier_build(self):
        """The worker of a new build goes on with the pinned runs of the build before, whose own worker is gone: with its text, under its name."""
        self.assertEqual(await self.m.stop(), 0)
        name = f"d-{uuid.uuid4().hex[:8]}"
        text = 'ml.workflow("pin", function() echo("%s") go() return echo("%s") end)'
        with tempfile.TemporaryDirectory() as folder:
            args = ("--temporal", harness.address, "--deployment", name, "--bundles", os.path.join(folder, "kept"))
            script = self.script(folder, "app.lua", text % ("a", "old"))
            self.m = await worker(self.queue, *args, script=script)
            one = await self.only_build(name)
            await self.make_current(name, one)
            pin = await self.begin("pin")
            await self.until(pin, EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
            self.assertEqual(await self.m.stop(), 0)
            self.script(folder, "app.lua", text % ("changed", "new"))
            self.m = await worker(self.queue, *args, script=script)
            await pin.signal("go")
            self.assertEqual(await self.end(pin), "old", "\n".join(self.m.log))
            self.assertEqual((set(await self.builds(pin)), set(await self.stamps(pin))), ({one}, {one}))
            before = await self.begin("pin")  # `one` is the current build still
            await before.signal("go")
            self.assertEqual(await self.end(before), "old")
            self.assertEqual(set(await self.stamps(before)), {one})
            two, = {v for v in await self.all_builds(name)} - {one}
            await self.make_current(name, two)
            for left in range(100, -1, -1):  # the new version reaches the task queue a little later
                new = await self.begin("pin")
                await new.signal("go")
                if await self.end(new) == "new" or not left:
                    break
                await asyncio.sleep(0.2)
            self.assertEqual((set(await self.builds(new)), set(await self.stamps(new))), ({two}, {two}))

    async def all_builds(self, name):
        for left in range(100, -1, -1):
            out = json.loads(await self.cli("worker", "deployment", "describe", "--name", name, "--output", "json"))
            if len(out["versionSummaries"]) > 1 or not left:
                return [v["BuildID"] for v in out["versionSummaries"]]
            await asyncio.sleep(0.2)

    async def builds_are(self, handle, builds):
        self.assertEqual(set(await self.builds(handle)), builds)

    async def test_digest_is_the_build(self):
        """Without --build-id the build is the digest of the text, and behaviours are as the workflows and the command say."""
        self.assertEqual(await self.m.stop(), 0)
        name = f"d-{uuid.uuid4().hex[:8]}"
        with tempfile.TemporaryDirectory() as folder:
            script = self.script(folder, "app.lua", """ml.workflow("says", { versioning = "pinned" }, function() return echo(1) end)
            ml.workflow("silent", function() return echo(2) end)""")
            self.m = await worker(self.queue, "--temporal", harness.address, "--deployment", name, "--versioning", "auto_upgrade",
                                            "--bundles", "", script=script)
            handle = await self.begin("says")
            build = await self.only_build(name)
            self.assertEqual(len(build), 64)
            self.assertIn(f"build {build} of its deployment", "\n".join(self.m.log))
            await self.make_current(name, build)
            self.assertEqual(await self.end(handle), 1)
            self.assertEqual(await self.run_one("silent"), 2)
            events = await self.clean(handle)
            done = [e.workflow_task_completed_event_attributes for e in events if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]
            self.assertEqual({(d.versioning_behavior, d.deployment_version.build_id, d.worker_version.build_id) for d in done}, {(1, build, build)})

    async def only_build(self, name):
        for left in range(100, -1, -1):
            try:
                out = json.loads(await self.cli("worker", "deployment", "describe", "--name", name, "--output", "json"))
                return out["versionSummaries"][0]["BuildID"]
            except (AssertionError, KeyError, IndexError):
                if not left:
                    raise
                await asyncio.sleep(0.2)

    async def test_other_code(self):
        """Two workers with different code on one queue: the error names both texts and says what to do."""
        self.assertEqual(await self.m.stop(), 0)
        with tempfile.TemporaryDirectory() as folder:
            one = self.script(folder, "one.lua", 'ml.workflow("job", function() echo(1) go() end)')
            two = self.script(folder, "two.lua", 'ml.workflow("job", function() ml.sleep(1) go() end)')
            self.m = await worker(self.queue, script=one)
            handle = await self.begin("job")
            await self.until(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
            digest = (await self.stamps(handle))[0]
            self.assertEqual(await self.m.stop(), 0)
            self.m = await worker(self.queue, script=two)
            await handle.signal("go")
            await self.until(handle, EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED)
            failed = [e for e in await self.events(handle) if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED][0].workflow_task_failed_event_attributes
            self.assertEqual(failed.cause, 24, failed.failure.message)
            for word in (digest[:12], "ml.patched", "--deployment"):
                self.assertIn(word, failed.failure.message)
            await handle.terminate()
            told = [line for line in self.m.log if "workflow task failed" in line]
            self.assertTrue(told and handle.id in told[0], f"who runs the worker is told: {self.m.log}")

    # -- what it holds
    async def holdings(self):
        """The numbers of the line that SIGUSR1 brings: of what it names, in order."""
        n = len(self.m.log)
        self.m.p.send_signal(signal.SIGUSR1)
        while not [line for line in self.m.log[n:] if line.startswith("holds ")]:
            await asyncio.sleep(0.05)
        return [int(k) for k in re.findall(r"\d+", [line for line in self.m.log[n:] if line.startswith("holds ")][0])]

    async def holds(self, n, what, *numbers):
        """The n-th number and those after it are these, soon."""
        for _ in range(200):
            got = (await self.holdings())[n:n + len(numbers)]
            if got == list(numbers):
                return
            await asyncio.sleep(0.1)
        self.fail(f"{what}: {got} instead of {numbers}")

    async def test_holdings(self):
        await self.run_one("steps", 3)
        await self.holds(2, "tasks, activities, local activities, coroutines, slots after all has ended", 0, 0, 0, 0, 100, 1000)
        kept = (await self.holdings())[0]
        self.assertEqual(kept, 0, "a run that has ended is not kept")
        handle = await self.begin("stuck")
        await self.holds(2, "while an attempt runs", 0, 1, 0, 1, 100, 999)
        if "ML_EVICT_ALWAYS" not in os.environ:
            self.assertEqual((await self.holdings())[0], 1)
        slow = await self.begin("slow_local", 3000)
        await self.holds(2, "while a local activity runs", 1, 1, 1, 2, 99, 999)
        await handle.cancel()
        with self.assertRaises(WorkflowFailureError):
            await self.end(handle)
        await self.end(slow)
        await self.holds(2, "after all has ended again", 0, 0, 0, 0, 100, 1000)
        closed = await self.begin("long", 0)
        await self.end(closed)
        self.assertEqual(await closed.query("got"), 0)
        await self.holds(0, "after a query of a run that is closed", 0)
        polls, requests, streams, connections, tasks, attempts = (await self.holdings())[8:]
        self.assertEqual((requests, streams >= polls > 0, connections >= 1), (0, True, True))
        self.assertGreaterEqual((tasks, attempts), (4 + 2 + 1, 3 + 1 + 1))

    # -- ends
    async def test_stop_gives_back(self):
        """An attempt that runs when the worker stops goes to the next one at once, and so does the run."""
        handle = await self.begin("stuck")
        await self.until(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
        await asyncio.sleep(0.5)
        self.assertEqual(await self.m.stop(), 0)
        got = await self.end_with_new_worker(handle)
        self.assertEqual(got, {"ok": False, "type": "ActivityFailure"})

    async def end_with_new_worker(self, handle):
        self.m = await worker(self.queue)
        return await self.end(handle)

    async def test_kill(self):
        """Killed with -9 in the midst: the next worker goes on, and no result is lost."""
        handles = [await self.begin("steps", 30) for _ in range(10)]
        for _ in range(3):
            await asyncio.sleep(0.4)
            await self.m.stop(signal.SIGKILL)
            self.m = await worker(self.queue)
        self.assertEqual(await asyncio.gather(*(self.end(h) for h in handles)), [465] * 10)


class RestartTest(unittest.IsolatedAsyncioTestCase):
    """The server goes away and comes back with its data: the worker goes on by itself."""

    async def server(self, port, file):
        tools = os.environ.get("MOONLOOP_TEST_TOOLS") or os.path.join(harness.ROOT, "build", "tools")
        p = await asyncio.create_subprocess_exec(os.path.join(tools, "venv", "bin", "temporal"), "server", "start-dev", "--headless", "--ip", "127.0.0.1",
                                                 "--port", str(port), "--db-filename", file, "--log-level", "never", stdout=asyncio.subprocess.DEVNULL,
                                                 stderr=asyncio.subprocess.DEVNULL, preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGTERM))
        for _ in range(300):
            try:
                client = await Client.connect(f"127.0.0.1:{port}")
                await client.count_workflows()
                return p, client
            except Exception:
                self.assertIsNone(p.returncode, "the server does not start")
                await asyncio.sleep(0.2)
        self.fail("the server does not answer")

    async def test_restart(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "t.db")
            p, client = await self.server(port, file)
            m = await worker("q", "--temporal", f"127.0.0.1:{port}")
            handles = [await client.start_workflow("steps", 40, id=f"r{i}", task_queue="q") for i in range(10)]
            for how in (signal.SIGTERM, signal.SIGKILL):
                await asyncio.sleep(1)
                p.send_signal(how)
                await asyncio.wait_for(p.wait(), LIMIT)
                await asyncio.sleep(1)
                p, client = await self.server(port, file)
            got = await asyncio.wait_for(asyncio.gather(*(client.get_workflow_handle(h.id).result() for h in handles)), 2 * LIMIT)
            self.assertEqual(got, [820] * 10)
            self.assertEqual(await m.stop(), 0, "\n".join(m.log))
            p.terminate()
            await p.wait()


class BadTest(unittest.IsolatedAsyncioTestCase):
    async def said(self, *args):
        p = await asyncio.create_subprocess_exec(MOONLOOP, "worker", *args, stderr=asyncio.subprocess.PIPE)
        _, err = await asyncio.wait_for(p.communicate(), LIMIT)
        return p.returncode, err.decode()

    async def test_bad(self):
        code, err = await self.said(SCRIPT)
        self.assertEqual(code, 2)
        self.assertIn("--temporal ADDR", err)
        code, err = await self.said(SCRIPT, "--temporal", harness.address, "--namespace", "no-such")
        self.assertNotEqual(code, 0)
        self.assertIn("no-such", err)
        begun = time.monotonic()
        code, err = await self.said(SCRIPT, "--temporal", "127.0.0.1:1")
        self.assertLess(time.monotonic() - begun, 4, "a server that is not there is told soon")
        self.assertEqual(code, 6)
        self.assertIn("is the server running", err)
        code, err = await self.said(SCRIPT, "--temporal", harness.address, "--build-id", "b")
        self.assertNotEqual(code, 0)
        self.assertIn("--deployment", err)
        code, err = await self.said(SCRIPT, "--temporal", harness.address, "--deployment", "d", "--versioning", "odd")
        self.assertEqual(code, 2)
        code, err = await self.said(SCRIPT, "--temporal", harness.address, "--deployment", "d", "--bundles", SCRIPT)
        self.assertEqual(code, 6)
        self.assertIn("is not a folder", err)
        self.assertIn("--bundles FOLDER", err)
        code, err = await self.said("/no/such.lua", "--temporal", harness.address)
        self.assertEqual(code, 2)


if __name__ == "__main__":
    OPTIONS = ['frontend.keepAliveMaxConnectionAge="3s"'] * GOAWAY + ["history.enableWorkflowTaskCompletionPagination=true",
                                                                     "system.transactionSizeLimit=67108864"] * PAGES
    harness.main([word for o in OPTIONS for word in ("--dynamic-config-value", o)])
