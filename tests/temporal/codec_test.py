#!/usr/bin/env python3
"""Encrypted payloads on a real server: `moonloop worker` and the verbs on one side, the official Python SDK with a codec of the same form
(AES-256-GCM by PyPI cryptography) on the other.

  codec_test.py MOONLOOP [-v] [CodecTest.test_everything ...]
"""
import asyncio, base64, json, os, sys, tempfile, unittest, uuid
from datetime import timedelta

import temporalio.api.workflowservice.v1 as service
from temporalio import activity, workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError, WorkflowQueryFailedError, WorkflowUpdateFailedError
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import harness
from aes_codec import KEYS, converter, key_file, key_lines

MOONLOOP = os.path.abspath(sys.argv.pop(1))
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scripts", "codec.lua")
ENV = {k: v for k, v in os.environ.items() if not k.startswith(("TEMPORAL_", "MOONLOOP_CODEC"))}
LIMIT = 30

@activity.defn(name="py_upper")
async def py_upper(v: str) -> str:
    if v == "fail":
        raise ApplicationError("SECRET python", "SECRET-PY-DETAIL", type="Py", non_retryable=True)
    return v.upper()


@workflow.defn(name="py_calls")
class PyCalls:
    """Asks the Lua worker for activities."""

    @workflow.run
    async def run(self, queue: str) -> dict:
        options = {"task_queue": queue, "start_to_close_timeout": timedelta(seconds=20)}
        one = await workflow.execute_activity("echo", {"word": "SECRET-FROM-PY"}, **options)
        try:
            await workflow.execute_activity("breaks", "SECRET-PY-ARG", heartbeat_timeout=timedelta(seconds=10),
                                            retry_policy=workflow_retry(), **options)
        except ActivityError as e:
            return {"one": one, "type": e.cause.type, "message": e.cause.message, "details": list(e.cause.details)}
        return {}


def workflow_retry():
    from temporalio.common import RetryPolicy
    return RetryPolicy(initial_interval=timedelta(milliseconds=100), maximum_attempts=2)


class CodecTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.raw = await Client.connect(harness.address)
        self.client = await Client.connect(harness.address, data_converter=converter("spring"))
        self.queue = f"q-{uuid.uuid4().hex[:8]}"
        self.workers = []

    async def asyncTearDown(self):
        for p in list(self.workers):
            await self.stop(p)
        self.folder.cleanup()

    def keys(self, *names):
        return key_file(self.folder.name, *names)

    async def worker(self, *names):
        """A worker that knows these keys; its log must show none of them, nor a secret."""
        more = ("--codec-keys", self.keys(*names)) if names else ()
        p = harness.Process(MOONLOOP, "worker", SCRIPT, "--temporal", harness.address, "--task-queue", self.queue, *more, env=ENV)
        self.workers.append(p)
        return await p.start()

    async def stop(self, p):
        self.workers.remove(p)
        self.assertEqual(await p.stop(), 0, "\n".join(p.log))
        for key in KEYS.values():
            self.assertNotIn(base64.b64encode(key).decode(), "\n".join(p.log))

    async def cli(self, *args, keys=("spring",), code=0, env=None):
        more = ("--codec-keys", self.keys(*keys)) if keys else ()
        p = await asyncio.create_subprocess_exec(MOONLOOP, *args, "--temporal", harness.address, *more, cwd=self.folder.name, env={**ENV, **(env or {})},
                                                 stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        out, err = await asyncio.wait_for(p.communicate(), LIMIT)
        self.assertEqual(p.returncode, code, f"{args}: {out.decode()}{err.decode()}")
        return out.decode().strip() if code == 0 else err.decode()

    async def begin(self, name, *args, client=None, **more):
        return await (client or self.client).start_workflow(name, args=args, id=f"{self._testMethodName}-{uuid.uuid4().hex[:8]}",
                                                            task_queue=self.queue, **more)

    async def end(self, handle):
        try:
            return await asyncio.wait_for(handle.result(), LIMIT)
        except asyncio.TimeoutError:
            shown = await self.cli("show", handle.id, keys=("spring", "summer", "autumn"))
            self.fail(f"the run has not ended:\n{shown}\n" + "\n".join(line for p in self.workers for line in p.log))

    async def sealed(self, id):
        """The history and the description as the server holds them: nothing secret in either. Returns the events."""
        history = await self.raw.get_workflow_handle(id).fetch_history()
        for e in history.events:
            self.assertNotIn(b"SECRET-", e.SerializeToString(), f"event {e.event_id}: {e}")
            self.assertNotIn(b"SECRET ", e.SerializeToString(), f"event {e.event_id}: {e}")
        about = await self.raw.workflow_service.describe_workflow_execution(service.DescribeWorkflowExecutionRequest(
            namespace="default", execution=WorkflowExecution(workflow_id=id)))
        self.assertNotIn(b"SECRET-", about.SerializeToString())
        return list(history.events)

    # -- both ways
    async def test_everything(self):
        await self.worker("spring")
        other = f"py-{self.queue}"
        async with Worker(self.client, task_queue=other, activities=[py_upper], workflows=[PyCalls], workflow_runner=UnsandboxedWorkflowRunner()):
            handle = await self.begin("everything", {"word": "SECRET-WORD"}, other, memo={"who": "SECRET-WHO"}, static_summary="SECRET-SUMMARY")
            await handle.signal("note", "SECRET-NOTE")
            self.assertEqual(await handle.execute_update("add", "SECRET-U"), "SECRET-UPDATE-SECRET-U")
            with self.assertRaises(WorkflowUpdateFailedError) as refused:
                await handle.execute_update("add", "no")
            self.assertEqual(refused.exception.cause.message, "SECRET refused")
            with self.assertRaises(WorkflowQueryFailedError) as bad:
                await handle.query("bad")
            self.assertNotIn("SECRET", str(bad.exception))
            await handle.execute_update("finish")
            got = await self.end(handle)
            want = {"SECRET-NOTE", "SECRET-U", "SECRET-WORD", "SECRET-QUICK-local", "SECRET-SIDE", "patched", "SECRET-KID-grown",
                    "false Known SECRET again: SECRET-BEAT SECRET-ARGUMENT", "SECRET-PY", "false SECRET python SECRET-PY-DETAIL"}
            self.assertEqual(set(got["log"]), want)
            self.assertEqual(await handle.query("log", "SECRET:"), "SECRET:" + ",".join(got["log"]))
            about = await handle.describe()
            self.assertEqual((await about.memo(), await about.static_summary()), ({"who": "SECRET-WHO", "progress": "SECRET-MEMO"}, "SECRET-SUMMARY"))
            events = await self.sealed(handle.id)
            self.assertEqual([e for e in events if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED], [])
            kid = next(e for e in events if e.event_type == EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED)
            await self.sealed(kid.child_workflow_execution_started_event_attributes.workflow_execution.workflow_id)
            calls = await self.client.execute_workflow("py_calls", self.queue, id=f"calls-{self.queue}", task_queue=other)
            self.assertEqual(calls, {"one": {"word": "SECRET-FROM-PY"}, "type": "Known", "message": "SECRET again: SECRET-BEAT",
                                     "details": [["SECRET-PY-ARG", "SECRET-BEAT"]]})
            await self.sealed(f"calls-{self.queue}")

    async def test_failure(self):
        await self.worker("spring")
        handle = await self.begin("fails", "SECRET-V")
        with self.assertRaises(WorkflowFailureError) as failed:
            await self.end(handle)
        cause = failed.exception.cause
        self.assertEqual((cause.type, cause.message, list(cause.details)), ("Ended", "SECRET-END SECRET-V", [["SECRET-V"]]))
        events = await self.sealed(handle.id)
        failure = events[-1].workflow_execution_failed_event_attributes.failure
        self.assertEqual((failure.message, failure.stack_trace), ("Encoded failure", ""))
        self.assertIn("SECRET-END SECRET-V", await self.cli("result", handle.id, code=1))

    async def test_blocked(self):
        """The text of a failed workflow task is encoded too, and `describe` and `show` read it."""
        await self.worker("spring")
        handle = await self.begin("crashes")
        for _ in range(100):
            events = await self.sealed(handle.id)
            bad = [e for e in events if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED]
            if bad:
                break
            await asyncio.sleep(0.1)
        self.assertEqual(bad[0].workflow_task_failed_event_attributes.failure.message, "Encoded failure")
        self.assertIn("SECRET-FIELD", await self.cli("show", handle.id, "--json"))
        await handle.terminate()

    async def test_chain(self):
        await self.worker("spring")
        handle = await self.begin("chain", {"text": "SECRET-", "left": 2})
        self.assertEqual(await self.end(handle), "SECRET-21")
        await self.sealed(handle.id)

    # -- the verbs
    async def listed(self, id, *keys):
        for _ in range(100):
            runs = json.loads(await self.cli("list", "--query", f"WorkflowId = '{id}'", "--json", keys=keys))
            if runs:
                return runs[0]
            await asyncio.sleep(0.1)
        self.fail("the run is not listed")

    async def test_verbs(self):
        await self.worker("spring")
        id = f"verbs-{self.queue}"
        options = json.dumps({"memo": {"a": "SECRET-MEMO"}, "summary": "SECRET-SUMMARY"})
        self.assertEqual(await self.cli("start", "--workflow", "waits", "--task-queue", self.queue, "--input", '"SECRET-IN"', "--id", id,
                                        "--options", options), id)
        self.assertEqual(json.loads(await self.cli("query", id, "has")), "SECRET-IN")
        self.assertEqual((await self.listed(id, "spring"))["memo"], {"a": "SECRET-MEMO"})
        for keys in ((), ("autumn",)):
            memo = (await self.listed(id, *keys))["memo"]["a"]
            self.assertEqual(memo["encoding"], "binary/encrypted")
            await self.cli("show", id, keys=keys, code=0 if not keys else 2)
        await self.cli("signal", id, "go", '"SECRET-GO"')
        self.assertEqual(json.loads(await self.cli("result", id, "--wait")), "SECRET-IN+SECRET-GO")
        env = {"MOONLOOP_CODEC_KEYS": key_lines("spring")}
        self.assertEqual(json.loads(await self.cli("result", id, keys=(), env=env)), "SECRET-IN+SECRET-GO")
        shown = json.loads(await self.cli("show", id, "--json"))["events"]
        data = [base64.b64decode(p["data"]).decode() for e in shown for a in e.values() if isinstance(a, dict)
                for p in (a.get("input") or a.get("result") or {}).get("payloads", [])]
        self.assertEqual(data, ['"SECRET-IN"', '"SECRET-GO"', '"SECRET-GO"', '"SECRET-GO"', '"SECRET-IN+SECRET-GO"'])
        unknown = await self.cli("result", id, keys=("autumn",), code=2)
        self.assertIn('"spring"', unknown)
        await self.sealed(id)

    async def test_replay(self):
        """A history as the server holds it, encrypted failures in it: replayed with the keys, which are named when they are missing."""
        await self.worker("spring")
        handle = await self.begin("everything", {"word": "SECRET-WORD"})
        await handle.execute_update("add", "SECRET-U")
        await handle.execute_update("finish")
        await self.end(handle)
        path = os.path.join(self.folder.name, "sealed.json")
        with open(path, "w") as f:
            f.write((await self.raw.get_workflow_handle(handle.id).fetch_history()).to_json())

        async def replay(*more, env=None):
            p = await asyncio.create_subprocess_exec(MOONLOOP, "replay", path, SCRIPT, *more, env={**ENV, **(env or {})}, stdout=asyncio.subprocess.PIPE,
                                                     stderr=asyncio.subprocess.PIPE)
            out, err = await asyncio.wait_for(p.communicate(), LIMIT)
            return p.returncode, out.decode(), err.decode()

        for got in (await replay("--codec-keys", self.keys("spring")), await replay(env={"MOONLOOP_CODEC_KEYS": key_lines("spring")})):
            self.assertEqual((got[0], got[2]), (0, ""))
            self.assertIn("replays clean", got[1])
            self.assertNotIn("drift", got[1])
        for got, says in ((await replay(), "no codec keys here"), (await replay("--codec-keys", self.keys("autumn")), "not among the codec keys")):
            self.assertEqual(got[0], 2, got)
            self.assertRegex(got[2], f'event 1: .*"spring".*{says}|event 1: .*{says}.*"spring"')
        code, _, err = await replay("--codec-keys", "/none")
        self.assertNotEqual(code, 0)
        self.assertIn("/none", err)

    async def test_key_files(self):
        path = self.keys("spring")
        os.chmod(path, 0o644)
        p = await asyncio.create_subprocess_exec(MOONLOOP, "list", "--temporal", harness.address, "--codec-keys", path, env=ENV,
                                                 stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        out, err = await asyncio.wait_for(p.communicate(), LIMIT)
        self.assertNotEqual(p.returncode, 0)
        self.assertIn("chmod 600", err.decode())

    # -- rotation
    async def test_rotation(self):
        w = await self.worker("spring")
        handle = await self.begin("waits", "SECRET-OLD")
        self.assertEqual(await handle.query("has"), "SECRET-OLD")
        await self.stop(w)
        await self.worker("summer", "spring")
        both = await Client.connect(harness.address, data_converter=converter("summer", "spring"))
        mine = both.get_workflow_handle(handle.id)
        await mine.signal("go", "SECRET-NEW")
        self.assertEqual(await self.end(mine), "SECRET-OLD+SECRET-NEW")
        events = await self.sealed(handle.id)
        start = events[0].workflow_execution_started_event_attributes.input.payloads[0]
        last = events[-1].workflow_execution_completed_event_attributes.result.payloads[0]
        self.assertEqual((start.metadata["encryption-key-id"], last.metadata["encryption-key-id"]), (b"spring", b"summer"))

    async def refused_until(self, keys, says):
        """A run whose payloads the worker cannot open: its task fails, naming the key; it goes on when the key is there."""
        w = await self.worker(*keys)
        autumn = await Client.connect(harness.address, data_converter=converter("autumn"))
        handle = await self.begin("waits", "SECRET-LEAF", client=autumn, task_timeout=timedelta(seconds=2))
        for _ in range(200):
            events = await self.sealed(handle.id)
            bad = [e for e in events if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED]
            if bad:
                break
            await asyncio.sleep(0.1)
        message = bad[0].workflow_task_failed_event_attributes.failure.message
        self.assertIn('"autumn"', message)
        self.assertIn(says, message)
        self.assertEqual((await handle.describe()).status.name, "RUNNING")
        self.assertTrue([line for line in w.log if '"autumn"' in line], w.log)
        await self.stop(w)
        await self.worker("spring", "autumn")
        await handle.signal("go", "SECRET-FALL")
        client = await Client.connect(harness.address, data_converter=converter("autumn", "spring"))
        self.assertEqual(await self.end(client.get_workflow_handle(handle.id)), "SECRET-LEAF+SECRET-FALL")

    async def test_unknown_key(self):
        await self.refused_until(("spring",), "not among the codec keys")

    async def test_no_keys(self):
        await self.refused_until((), "no codec keys here")

    async def test_unknown_key_of_an_activity(self):
        """An attempt fails and is tried again; a worker that has the key takes the next one."""
        w = await self.worker("spring")
        autumn = await Client.connect(harness.address, data_converter=converter("autumn"))
        other = f"py-{self.queue}"
        async with Worker(autumn, task_queue=other, workflows=[PyCalls], workflow_runner=UnsandboxedWorkflowRunner()):
            handle = await autumn.start_workflow("py_calls", self.queue, id=f"calls-{self.queue}", task_queue=other)
            for _ in range(200):
                if [line for line in w.log if '"autumn"' in line]:
                    break
                await asyncio.sleep(0.1)
            self.assertTrue([line for line in w.log if '"autumn"' in line], w.log)
            await self.stop(w)
            await self.worker("autumn", "spring")
            self.assertEqual((await self.end(handle))["one"], {"word": "SECRET-FROM-PY"})

    async def test_rollout(self):
        """Payloads of before the codec are read as they are."""
        w = await self.worker()
        handle = await self.begin("waits", "plain", client=self.raw)
        self.assertEqual(await handle.query("has"), "plain")
        await self.stop(w)
        await self.worker("spring")
        await self.client.get_workflow_handle(handle.id).signal("go", "SECRET-LATER")
        self.assertEqual(await self.end(self.client.get_workflow_handle(handle.id)), "plain+SECRET-LATER")
        await self.sealed(handle.id)


harness.main()
