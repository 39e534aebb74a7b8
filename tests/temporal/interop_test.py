#!/usr/bin/env python3
"""Lua, Python and TypeScript on one server: each side of the contract in interop/ calls the other, and what comes back is the same whoever
answers. Also the official client and the `temporal` command on a Lua run.

  interop_test.py MOONLOOP [-v] [InteropTest.test_calls ...]
"""
import asyncio, json, os, shutil, sys, tempfile, unittest, uuid

from temporalio.client import Client, WorkflowUpdateFailedError

import harness

MOONLOOP = os.path.abspath(sys.argv.pop(1))
HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "interop")
TOOLS = os.environ.get("MOONLOOP_TEST_TOOLS") or os.path.join(harness.ROOT, "build", "tools")
LIMIT = 120
VALUES = [None, True, 0, -7, 2**53 - 1, 1.5, 1e300, "", "ünï ✓ \U0001f600", "a\nb\t\"c\"", [], {}, [1, [2, [3]]], {"a": {"b": [None, False]}, "ü": 1}, {"1": "one"}]
BROKE = {"type": "Boom", "message": "it broke", "details": {"why": "asked"}, "inner": "Inner", "inside": "inside"}
FAILED = {"type": "Failed", "message": "it failed", "details": {"n": 1}, "inner": "Inner", "inside": "inside"}
PAIRS = [("lua", "python"), ("lua", "node"), ("python", "lua"), ("node", "lua")]


class InteropTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.client = await Client.connect(harness.address)
        tag = uuid.uuid4().hex[:8]
        self.queues = {side: f"{side}-{tag}" for side in ("lua", "python", "node")}
        self.node = tempfile.mkdtemp(prefix="moonloop-node-")
        for name in os.listdir(os.path.join(HERE, "node")):
            shutil.copy(os.path.join(HERE, "node", name), self.node)
        os.symlink(os.path.join(TOOLS, "node", "node_modules"), os.path.join(self.node, "node_modules"))
        self.sides = {
            "lua": harness.Process(MOONLOOP, "worker", os.path.join(HERE, "contract.lua"), "--temporal", harness.address, "--task-queue", self.queues["lua"]),
            "python": harness.Process(sys.executable, os.path.join(HERE, "peer.py"), harness.address, self.queues["python"], says="ready"),
            "node": harness.Process("node", "worker.js", harness.address, self.queues["node"], says="ready", cwd=self.node)}
        if self._testMethodName != "test_contract":
            self.sides = {"lua": self.sides["lua"]}
        await asyncio.gather(*(s.start() for s in self.sides.values()))

    async def asyncTearDown(self):
        codes = await asyncio.gather(*(s.stop() for s in self.sides.values()))
        shutil.rmtree(self.node)
        self.assertEqual(set(codes), {0}, {n: s.log[-20:] for n, s in self.sides.items()})

    async def run_on(self, side, name, *args):
        handle = await self.client.start_workflow(name, args=args, id=f"{name}-{uuid.uuid4().hex[:8]}", task_queue=self.queues[side])
        return await asyncio.wait_for(handle.result(), LIMIT)

    async def test_contract(self):
        """Values, failures with causes, and cancellation, in both directions."""
        async def values(caller, callee, v):
            got = await self.run_on(caller, "calls", self.queues[callee], v)
            self.assertEqual(json.dumps(got), json.dumps({"activity": v, "child": [v, v]}), f"{caller} -> {callee}: {v!r}")

        async def failures(caller, callee):
            self.assertEqual(await self.run_on(caller, "catches", self.queues[callee]), {"activity": BROKE, "child": FAILED}, f"{caller} -> {callee}")

        async def cancellation(caller, callee):
            self.assertEqual(await self.run_on(caller, "stops", self.queues[callee]), {"child": True, "activity": True}, f"{caller} -> {callee}")

        for pair in PAIRS:
            await asyncio.gather(*(values(*pair, v) for v in VALUES), failures(*pair), cancellation(*pair))

    async def cli(self, *args, fails=False):
        p = await asyncio.create_subprocess_exec(os.path.join(TOOLS, "venv", "bin", "temporal"), *args, "--address", harness.address,
                                                 stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        out = (await asyncio.wait_for(p.communicate(), LIMIT))[0].decode()
        self.assertEqual(p.returncode != 0, fails, out)
        return out

    async def test_command(self):
        """The `temporal` command starts, asks, changes, reads and stops a Lua run."""
        run = ["--workflow-id", f"cli-{uuid.uuid4().hex[:8]}"]
        await self.cli("workflow", "start", "--type", "messages", "--task-queue", self.queues["lua"], "--input", "5", *run)
        await self.cli("workflow", "signal", "--name", "add", "--input", "2", *run)
        self.assertIn("7", await self.cli("workflow", "query", "--name", "value", *run))
        self.assertIn("17", await self.cli("workflow", "update", "execute", "--name", "bump", "--input", "10", *run))
        self.assertIn("no negative bumps", await self.cli("workflow", "update", "execute", "--name", "bump", "--input", "-1", *run, fails=True))
        self.assertIn("contract.lua:", await self.cli("workflow", "stack", *run))
        shown = json.loads(await self.cli("workflow", "show", "--output", "json", *run))
        self.assertIn("EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED", [e["eventType"] for e in shown["events"]])
        self.assertIn("messages", await self.cli("workflow", "describe", *run))
        await self.cli("workflow", "signal", "--name", "finish", *run)
        self.assertEqual(json.loads(await self.cli("workflow", "result", "--output", "json", *run))["result"], 17)

    async def test_client(self):
        """The official client: signal-with-start, queries, updates with a validator."""
        handle = await self.client.start_workflow("messages", 1, id=f"client-{uuid.uuid4().hex[:8]}", task_queue=self.queues["lua"],
                                                  start_signal="add", start_signal_args=[4])
        self.assertEqual(await handle.query("value"), 5)
        self.assertEqual(await handle.execute_update("bump", 5), 10)
        with self.assertRaises(WorkflowUpdateFailedError) as failed:
            await handle.execute_update("bump", -5)
        self.assertIn("no negative bumps", str(failed.exception.cause))
        self.assertIn("contract.lua:", await handle.query("__stack_trace"))
        await handle.signal("finish")
        self.assertEqual(await asyncio.wait_for(handle.result(), LIMIT), 10)


if __name__ == "__main__":
    harness.main()
