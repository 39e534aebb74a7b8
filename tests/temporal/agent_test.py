#!/usr/bin/env python3
"""ml.agent and approvals on a real Temporal server: the same script as on a file, the model played by aimock.

  agent_test.py MOONLOOP [-v]
"""
import asyncio, json, os, socket, subprocess, sys, tempfile, unittest, urllib.request, uuid

from temporalio.client import Client

import harness

MOONLOOP = os.path.abspath(sys.argv.pop(1))
TOOLS = os.environ["MOONLOOP_TEST_TOOLS"]
FIXTURES = {"fixtures": [
    {"match": {"systemMessage": "You help"}, "response": {"content": "Oslo is in Norway."}},
    {"match": {"userMessage": "plan", "hasToolResult": False}, "response": {"toolCalls": [
        {"id": "c1", "name": "read_numbers", "arguments": {"day": 3}}, {"id": "c2", "name": "helper", "arguments": {"input": "where is Oslo?"}}]}},
    {"match": {"userMessage": "plan"}, "response": {"content": "Post about Oslo.", "usage": {"prompt_tokens": 50, "completion_tokens": 5}}},
]}
SCRIPT = """
local ml = require "moonloop"
local M = ml.model("openai:gpt-4.1-mini", { base_url = ml.env "URL" })
local read_numbers = ml.tool { name = "read_numbers", input = ml.schema { day = "integer" }, run = function(args) return { day = args.day, likes = 7 } end }
local publish = ml.tool { name = "publish", approval = true, run = function(args) return "published " .. args.text end }
local helper = ml.agent { name = "helper", model = M, instructions = "You help." }
local planner = ml.agent { name = "planner", model = M, tools = { read_numbers, helper }, limits = { turns = 1 } }
ml.workflow("w", { task_queue = "%s" }, function()
  local text, took = planner:run("plan")
  return { text = text, turns = took.turns, helped = took.messages[4].content, published = publish { text = text } }
end)
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class AgentTest(unittest.IsolatedAsyncioTestCase):
    maxDiff = None

    async def moonloop(self, *args):
        p = await asyncio.create_subprocess_exec(MOONLOOP, *args, "--temporal", harness.address, cwd=self.folder.name, env=self.env, stdin=subprocess.DEVNULL,
                                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = await asyncio.wait_for(p.communicate(), harness.LIMIT)
        return p.returncode, out.decode(), err.decode()

    async def pending(self):
        for _ in range(300):
            code, out, err = await self.moonloop("approvals", "--json")
            self.assertEqual(code, 0, err)
            mine = [i for i in json.loads(out) if i["workflowId"] == self.id]
            if mine:
                return mine
            if self.run_task.done():
                self.fail(self.run_task.result())
            await asyncio.sleep(0.1)
        self.fail("nothing waits for a decision")

    async def test_agent(self):
        self.folder = tempfile.TemporaryDirectory()
        self.id, queue, port = f"agent-{uuid.uuid4().hex[:8]}", f"q-{uuid.uuid4().hex[:8]}", free_port()
        self.env = dict(os.environ, URL=f"http://127.0.0.1:{port}/v1", USER="ada")
        with open(os.path.join(self.folder.name, "f.json"), "w") as f:
            json.dump(FIXTURES, f)
        with open(os.path.join(self.folder.name, "s.lua"), "w") as f:
            f.write(SCRIPT % queue)
        cli = os.path.join(TOOLS, "node/node_modules/@copilotkit/aimock/dist/cli.js")
        model = subprocess.Popen([os.path.join(TOOLS, "node/run"), cli, "-p", str(port), "--log-level", "silent", "-f", "f.json"], cwd=self.folder.name)
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/__aimock/journal").read()
                    break
                except OSError:
                    await asyncio.sleep(0.1)
            self.run_task = asyncio.create_task(self.moonloop("run", "s.lua", "--workflow", "w", "--id", self.id))
            items = await self.pending()  # the limit of one turn is reached
            self.assertEqual((items[0]["kind"], items[0]["args"]), ("limit", {"limit": "turns", "max": 1, "used": 1}))
            code, _, err = await self.moonloop("approvals", "edit", items[0]["id"], '{"max":5}')
            self.assertEqual(code, 0, err)
            for _ in range(300):
                items = await self.pending()
                if items[0]["kind"] == "tool":
                    break
                await asyncio.sleep(0.1)
            self.assertEqual(items[0]["args"], {"text": "Post about Oslo."})
            code, _, err = await self.moonloop("approvals", "approve", items[0]["id"], "--digest", items[0]["digest"])
            self.assertEqual(code, 0, err)
            code, out, err = await self.run_task
        finally:
            model.kill()
            model.wait()
        self.assertEqual(code, 0, err)
        self.assertEqual(json.loads(out), {"text": "Post about Oslo.", "turns": 2, "helped": "Oslo is in Norway.", "published": "published Post about Oslo."})
        client = await Client.connect(harness.address)
        history = await client.get_workflow_handle(self.id).fetch_history()
        types = [e.activity_task_scheduled_event_attributes.activity_type.name for e in history.events if e.HasField("activity_task_scheduled_event_attributes")]
        self.assertEqual(types, ["moonloop.model", "read_numbers", "moonloop.model", "publish"])
        children = [e.start_child_workflow_execution_initiated_event_attributes.workflow_type.name for e in history.events
                    if e.HasField("start_child_workflow_execution_initiated_event_attributes")]
        self.assertEqual(children, ["moonloop.agent.helper"])
        path = os.path.join(self.folder.name, "h.json")
        with open(path, "w") as f:
            f.write(history.to_json())
        p = subprocess.run([MOONLOOP, "replay", path, "s.lua"], cwd=self.folder.name, capture_output=True, text=True)
        self.assertEqual(p.returncode, 0, p.stdout + p.stderr)
        self.folder.cleanup()


if __name__ == "__main__":
    harness.main()
