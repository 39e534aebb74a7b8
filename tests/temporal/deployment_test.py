#!/usr/bin/env python3
"""One worker deployment, one task queue, two builds: a Lua worker and one of the official Python SDK with the same workflows.

  deployment_test.py MOONLOOP [-v] [DeploymentTest.test_pinned ...]
"""
import asyncio, os, sys, unittest, uuid
from datetime import timedelta

import temporalio.api.workflowservice.v1 as service
from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig

import harness

MOONLOOP = os.path.abspath(sys.argv.pop(1))
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scripts", "shared.lua")
LIMIT = 60
LUA, PYTHON = "lua-1", "python-1"


@activity.defn(name="who")
async def who(v: str) -> str:
    return "python " + v


class Body:
    def __init__(self) -> None:
        self.word = None

    async def body(self, input: str) -> list:
        begun = await workflow.execute_activity("who", input, start_to_close_timeout=timedelta(seconds=20))
        await workflow.wait_condition(lambda: self.word is not None)
        return [begun, await workflow.execute_activity("who", self.word, start_to_close_timeout=timedelta(seconds=20))]


@workflow.defn(name="stays", versioning_behavior=VersioningBehavior.PINNED)
class Stays(Body):
    @workflow.run
    async def run(self, input: str) -> list:
        return await self.body(input)

    @workflow.signal
    def go(self, v: str) -> None:
        self.word = v


@workflow.defn(name="moves", versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class Moves(Body):
    @workflow.run
    async def run(self, input: str) -> list:
        return await self.body(input)

    @workflow.signal
    def go(self, v: str) -> None:
        self.word = v


class DeploymentTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.client = await Client.connect(harness.address)
        tag = uuid.uuid4().hex[:8]
        self.queue, self.name = f"q-{tag}", f"d-{tag}"
        self.lua = await harness.Process(MOONLOOP, "worker", SCRIPT, "--temporal", harness.address, "--task-queue", self.queue, "--deployment", self.name,
                                         "--build-id", LUA, "--bundles", "").start()
        version = WorkerDeploymentVersion(deployment_name=self.name, build_id=PYTHON)
        self.python = Worker(self.client, task_queue=self.queue, workflows=[Stays, Moves], activities=[who], workflow_runner=UnsandboxedWorkflowRunner(),
                             deployment_config=WorkerDeploymentConfig(version=version, use_worker_versioning=True))
        self.running = asyncio.create_task(self.python.run())

    async def asyncTearDown(self):
        await self.python.shutdown()
        await self.running
        self.assertEqual(await self.lua.stop(), 0, "\n".join(self.lua.log))

    async def asked(self, call, request):
        """A request that the server refuses until it has seen the build's polls."""
        for left in range(150, -1, -1):
            try:
                return await call(request)
            except RPCError:
                if not left:
                    raise
                await asyncio.sleep(0.2)

    async def current(self, build):
        await self.asked(self.client.workflow_service.set_worker_deployment_current_version, service.SetWorkerDeploymentCurrentVersionRequest(
            namespace="default", deployment_name=self.name, build_id=build))
        await self.arrives(build)

    async def ramp(self, build, percent):
        await self.asked(self.client.workflow_service.set_worker_deployment_ramping_version, service.SetWorkerDeploymentRampingVersionRequest(
            namespace="default", deployment_name=self.name, build_id=build, percentage=percent))

    async def begin(self, name, input):
        return await self.client.start_workflow(name, input, id=f"{self._testMethodName}-{uuid.uuid4().hex[:8]}", task_queue=self.queue)

    async def builds(self, handle):
        return [e.workflow_task_completed_event_attributes.deployment_version.build_id for e in (await handle.fetch_history()).events
                if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]

    async def waits(self, handle):
        """Until its first activity has ended and the run waits for the signal: the builds of its tasks."""
        for _ in range(300):
            builds = await self.builds(handle)
            if len(builds) >= 2:
                return builds
            await asyncio.sleep(0.1)
        self.fail(f"the run does not begin: {builds}\n" + "\n".join(self.lua.log))

    async def arrives(self, build):
        """What is set reaches the task queue a little later: until a new run is of this build."""
        for _ in range(150):
            handle = await self.begin("stays", "probe")
            builds = await self.waits(handle)
            await handle.terminate()
            if set(builds) == {build}:
                return
            await asyncio.sleep(0.2)
        self.fail(f"new runs do not go to {build}: {builds}")

    async def end(self, handle, word):
        await handle.signal("go", word)
        try:
            got = await asyncio.wait_for(handle.result(), LIMIT)
        except asyncio.TimeoutError:
            events = [EventType.Name(e.event_type)[11:] for e in (await handle.fetch_history()).events]
            self.fail(f"the run does not end: {events}\n" + "\n".join(self.lua.log))
        bad = [e for e in (await handle.fetch_history()).events
               if e.event_type in (EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED, EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT)]
        self.assertEqual(bad, [], "\n".join(self.lua.log))
        return got

    async def there_and_back(self, first, second, names):
        """Begun on one build, signalled when the other is current."""
        await self.current(first)
        stays, moves = await self.begin("stays", "a"), await self.begin("moves", "a")
        self.assertEqual((set(await self.waits(stays)), set(await self.waits(moves))), ({first}, {first}))
        await self.current(second)
        self.assertEqual(await self.end(stays, "b"), [names[0] + " a", names[0] + " b"], "pinned: it stays")
        self.assertEqual(set(await self.builds(stays)), {first})
        self.assertEqual(await self.end(moves, "b"), [names[0] + " a", names[1] + " b"], "it may upgrade: the other replays what was there")
        self.assertEqual(await self.builds(moves), [first, first, second, second])

    async def test_lua_to_python(self):
        await self.there_and_back(LUA, PYTHON, ("lua", "python"))

    async def test_python_to_lua(self):
        await self.there_and_back(PYTHON, LUA, ("python", "lua"))

    async def test_ramp(self):
        """A ramping build has its share of new runs, at 100 % all, at 0 none; what began stays."""
        await self.current(LUA)
        old = await self.begin("stays", "a")
        await self.waits(old)
        await self.ramp(PYTHON, 100)
        await self.arrives(PYTHON)
        new = await self.begin("stays", "a")
        self.assertEqual(set(await self.waits(new)), {PYTHON})
        await self.ramp(PYTHON, 50)
        handles = [await self.begin("stays", str(i)) for i in range(40)]
        ran = [set(await self.waits(h)) for h in handles]
        self.assertIn({LUA}, ran, "half of them, by their ids")
        self.assertIn({PYTHON}, ran)
        self.assertEqual([r for r in ran if len(r) > 1], [], "a pinned run changes no build")
        await asyncio.gather(*(h.terminate() for h in handles))
        await self.ramp(PYTHON, 0)
        await self.arrives(LUA)
        self.assertEqual(await self.end(old, "b"), ["lua a", "lua b"])
        self.assertEqual(await self.end(new, "b"), ["python a", "python b"])


harness.main()
