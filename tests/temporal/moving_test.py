#!/usr/bin/env python3
"""Values and histories that move over: every payload encoding of the official Python SDK both ways, and histories of both engines and of
Temporal's own tools under `moonloop replay`.

  moving_test.py MOONLOOP [-v] [MovingTest.test_values ...]
"""
import asyncio, glob, json, os, re, subprocess, sys, tempfile, unittest, uuid

from temporalio.api.common.v1 import Payload, WorkflowType
from temporalio.api.history.v1 import History
from temporalio.client import Client, WorkflowHistory
from temporalio.converter import BinaryProtoPayloadConverter, DataConverter, DefaultPayloadConverter

import harness

MOONLOOP = os.path.abspath(sys.argv.pop(1))
HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPT = os.path.join(HERE, "scripts", "codec.lua")
TOOLS = os.environ["MOONLOOP_TEST_TOOLS"]
ENV = {k: v for k, v in os.environ.items() if not k.startswith(("TEMPORAL_", "MOONLOOP_CODEC"))}
LIMIT = 60


class MovingTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.client = await Client.connect(harness.address)
        self.queue = f"q-{uuid.uuid4().hex[:8]}"
        self.worker = await harness.Process(MOONLOOP, "worker", SCRIPT, "--temporal", harness.address, "--task-queue", self.queue, env=ENV).start()

    async def asyncTearDown(self):
        self.assertEqual(await self.worker.stop(), 0, "\n".join(self.worker.log))
        self.folder.cleanup()

    async def command(self, *args):
        p = await asyncio.create_subprocess_exec(*args, cwd=self.folder.name, env=ENV, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = await asyncio.wait_for(p.communicate(), LIMIT)
        return p.returncode, out.decode(), err.decode()

    async def good(self, *args):
        code, out, err = await self.command(*args)
        self.assertEqual(code, 0, f"{args}: {out}{err}")
        return out

    def file(self, name, text):
        path = os.path.join(self.folder.name, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    async def replays(self, name, text, events):
        """The whole history replays clean; the same with another outcome in it does not."""
        self.assertEqual(await self.good(MOONLOOP, "replay", self.file(name, text), SCRIPT), f"replays clean: {events} events\n")
        other = self.file("other.json", text.replace('"waits"', '"through"'))
        code, _, err = await self.command(MOONLOOP, "replay", other, SCRIPT)
        self.assertNotEqual(code, 0, "a history of another workflow is told")
        self.assertRegex(err, r"event \d+")

    # -- values
    async def answer(self, name, args, client=None):
        """The result's payload as the server holds it, and as the SDK reads it."""
        handle = await (client or self.client).start_workflow(name, args=args, id=f"v-{uuid.uuid4().hex[:8]}", task_queue=self.queue)
        value = await asyncio.wait_for(handle.result(), LIMIT)
        events = list((await handle.fetch_history()).events)
        start = events[0].workflow_execution_started_event_attributes.input.payloads[0]
        return start, events[-1].workflow_execution_completed_event_attributes.result.payloads[0], value

    async def test_values(self):
        for name in ("same", "through"):  # as a workflow's, and as an activity's
            for value, encoding in ((None, b"binary/null"), (b"\x00\xff bytes", b"binary/plain"), ("text \u00e9", b"json/plain"),
                                    ({"a": [1, 2.5, None, True], "big": 9007199254740993, "empty": [], "none": {}}, b"json/plain")):
                sent, got, back = await self.answer(name, [value])
                self.assertEqual((sent.metadata["encoding"], got.metadata["encoding"], back), (encoding, encoding, value))
                self.assertEqual(got.data == b"", value is None)

    async def test_protobuf(self):
        """json/protobuf is read as the JSON that it is, binary/protobuf as its bytes."""
        sent, got, back = await self.answer("same", [WorkflowType(name="n")])
        self.assertEqual(sent.metadata["encoding"], b"json/protobuf")
        self.assertEqual((got.metadata["encoding"], back), (b"json/plain", {"name": "n"}))

        class Binary(DefaultPayloadConverter):
            def to_payloads(self, values):
                return [BinaryProtoPayloadConverter().to_payload(v) for v in values]

        client = await Client.connect(harness.address, data_converter=DataConverter(payload_converter_class=Binary))
        sent, got, back = await self.answer("same", [WorkflowType(name="n")], client=client)
        self.assertEqual(sent.metadata["encoding"], b"binary/protobuf")
        self.assertEqual((got.metadata["encoding"], WorkflowType.FromString(back)), (b"binary/plain", WorkflowType(name="n")))

    # -- histories
    async def test_history_of_a_server(self):
        handle = await self.client.start_workflow("waits", args=["here"], id=f"h-{uuid.uuid4().hex[:8]}", task_queue=self.queue)
        await handle.signal("go", "there")
        self.assertEqual(await asyncio.wait_for(handle.result(), LIMIT), "here+there")
        history = await handle.fetch_history()
        shown = await self.good(MOONLOOP, "show", handle.id, "--json", "--temporal", harness.address)
        theirs = await self.good(os.path.join(TOOLS, "venv", "bin", "temporal"), "workflow", "show", "--workflow-id", handle.id, "--output", "json",
                                 "--address", harness.address)
        for name, text in (("ours.json", shown), ("sdk.json", history.to_json()), ("cli.json", theirs)):
            await self.replays(name, text, len(history.events))
        # and the other way: the SDK reads ours as the same events
        read = WorkflowHistory.from_json(handle.id, shown)
        self.assertEqual([e.event_type for e in read.events], [e.event_type for e in history.events])
        self.assertEqual(read.events[0].workflow_execution_started_event_attributes.input, history.events[0].workflow_execution_started_event_attributes.input)

    async def test_history_of_a_file(self):
        db = os.path.join(self.folder.name, "runs.db")
        await self.good(MOONLOOP, "run", SCRIPT, "--workflow", "through", "--id", "f1", "--input", '{"a":1}', "--db", db)
        shown = await self.good(MOONLOOP, "show", "f1", "--json", "--db", db)
        n = len(json.loads(shown)["events"])
        self.assertEqual(await self.good(MOONLOOP, "replay", self.file("file.json", shown), SCRIPT), f"replays clean: {n} events\n")
        read = WorkflowHistory.from_json("f1", shown)
        self.assertEqual(len(read.events), n)
        done = read.events[-1].workflow_execution_completed_event_attributes.result.payloads[0]
        self.assertEqual(done, Payload(metadata={"encoding": b"json/plain"}, data=b'{"a":1}'))

    async def test_histories_of_others(self):
        """What the core of the official SDKs recorded is decoded and split into batches; its workflows are not ours to run."""
        files = sorted(glob.glob(os.path.join(TOOLS, "histories", "*.bin")))
        if not files:
            self.skipTest("scripts/test-tools fetched no histories (it needs npm)")
        for path in files:
            with open(path, "rb") as f:
                history = History.FromString(f.read())
            text = WorkflowHistory("w", list(history.events)).to_json()
            code, out, err = await self.command(MOONLOOP, "replay", self.file("foreign.json", text), SCRIPT, "--json")
            self.assertNotEqual(code, 0, path)
            report = json.loads(out)
            self.assertEqual((report["ok"], report["events"]), (False, len(history.events)), f"{path}: {err}")
            self.assertGreaterEqual(report["batches"], 1, path)
            self.assertRegex(report["error"], re.escape(history.events[0].workflow_execution_started_event_attributes.workflow_type.name), path)


harness.main()
