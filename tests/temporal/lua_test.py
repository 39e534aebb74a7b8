#!/usr/bin/env python3
"""ml.client against a real server, a worker of the official Python SDK on the other side: client_script.lua run as a plain script.

  lua_test.py MOONLOOP [-v]
"""
import asyncio, json, os, subprocess, sys, tempfile, unittest, uuid

from temporalio.client import Client
from temporalio.common import WorkerDeploymentVersion
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig

import harness
from peer import Counter, Fails, Pinned, Sleeper, WaitsOutside, outside

MOONLOOP = os.path.abspath(sys.argv.pop(1))
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "client_script.lua")
WANTED = {
    "query": 6, "update": 7, "update_with_start": 8, "same_run": True, "refused": "Refused", "cause": "Negative", "query_refused": "Refused",
    "taken": "Exists", "described": ["Running", "counter", 2], "result": {"n": 8, "log": []}, "events": True, "rejected": "Exists",
    "failed": ["WorkflowFailed", "Wanted", "as told"], "canceled": "WorkflowCanceled", "counted": 1, "schedule_taken": "Exists",
    "interval": ["3600s", "300s", "SCHEDULE_OVERLAP_POLICY_ALLOW_ALL", "600s", "100"],
    "updated": ["two", "Europe/Vienna", "30s", True, "counter"], "paused": True, "scheduled": 7, "schedule_gone": "NotFound", "current": "one",
    "slow": ["opened", 5], "rejected_update": ["Refused", "Negative"], "later": ["opened", 5], "bad_update": ["Refused", "Bad"], "no_update": "NotFound",
    "pages": ["12345", True], "beat": "nil", "stop": "canceled", "outside": "done", "gone": "NotFound",
    "pinned": ["pinned", "one"], "namespace": "default", "attribute": "Int", "bad_type": True,
}


class LuaTest(unittest.IsolatedAsyncioTestCase):
    maxDiff = None

    async def test_script(self):
        client = await Client.connect(harness.address)
        queue, deployment = f"q-{uuid.uuid4().hex[:8]}", f"d-{uuid.uuid4().hex[:8]}"
        plain = UnsandboxedWorkflowRunner()
        config = WorkerDeploymentConfig(version=WorkerDeploymentVersion(deployment_name=deployment, build_id="one"), use_worker_versioning=True)
        workers = [Worker(client, task_queue=queue, workflows=[Counter, Fails, Sleeper, WaitsOutside], activities=[outside], workflow_runner=plain),
                   Worker(client, task_queue=queue + "-v", workflows=[Pinned], workflow_runner=plain, deployment_config=config)]
        running = [asyncio.create_task(w.run()) for w in workers]
        with tempfile.TemporaryDirectory() as folder:
            p = await asyncio.create_subprocess_exec(MOONLOOP, "run", SCRIPT, "--temporal", harness.address, "--", queue, deployment, cwd=folder,
                                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            output = asyncio.create_task(p.communicate())
            await asyncio.wait([output], timeout=120)
            if not output.done():  # where it stands is in what it has said so far
                p.kill()
                self.fail(f"the script does not end: {(await output)[1].decode()[-2000:]}")
            out, err = await output
        self.assertEqual(p.returncode, 0, err.decode())
        self.assertEqual(json.loads(out), WANTED)
        d = await client.get_workflow_handle("lua-" + queue).describe()
        self.assertEqual((await d.static_summary(), await d.memo(), dict(d.search_attributes)["MlKeyword"]), ("from Lua", {"a": [1, 2]}, ["lua"]))
        priority = d.raw_description.workflow_execution_info.priority
        self.assertEqual((priority.priority_key, priority.fairness_key, priority.fairness_weight), (2, "k", 1.5))
        for w, task in zip(workers, running):
            await w.shutdown()
            await task

    async def test_worker(self):
        """In an activity of a worker: a start of what it serves brings the first task with its answer."""
        client = await Client.connect(harness.address)
        queue = f"q-{uuid.uuid4().hex[:8]}"
        script = os.path.join(os.path.dirname(SCRIPT), "scripts", "starter.lua")
        with tempfile.TemporaryDirectory() as folder:
            p = await asyncio.create_subprocess_exec(MOONLOOP, "worker", script, "--temporal", harness.address, "--task-queue", queue, cwd=folder,
                                                     stderr=subprocess.DEVNULL)
            try:
                got = await asyncio.wait_for(client.execute_workflow("starter", args=[queue, "kept-" + queue], id="starter-" + queue, task_queue=queue), 120)
            finally:
                p.terminate()
                await asyncio.wait_for(p.wait(), 60)
        self.assertEqual(got, {"n": 42, "result": 42, "status": "Completed"})
        self.assertIn(p.returncode, (0, 143))
        started = (await client.get_workflow_handle("kept-" + queue).fetch_history()).events[0].workflow_execution_started_event_attributes
        self.assertTrue(started.eager_execution_accepted)


if __name__ == "__main__":
    harness.main()
