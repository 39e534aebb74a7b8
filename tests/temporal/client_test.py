#!/usr/bin/env python3
"""The client half of the port against a real server, with a worker of the official Python SDK on the other side.

  client_test.py DRIVER [-v] [ClientTest.test_update ...]

Each request of the driver (client_driver.c) is checked through the official client as well.
"""
import asyncio, base64, json, os, subprocess, sys, unittest, uuid
from datetime import timedelta

from temporalio.client import Client, ScheduleOverlapPolicy, WorkflowExecutionStatus
from temporalio.common import WorkerDeploymentVersion
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig

import harness
from peer import Chain, Counter, Fails, Pinned, Sleeper, WaitsOutside, outside, tokens

DRIVER = os.path.abspath(sys.argv.pop(1))
CONFIG = ['history.longPollExpirationInterval="2s"',  # waits are held for 20 s by default
          "history.transferProcessorEnsureCloseBeforeDelete=false",  # else a deletion takes half a minute
          "history.visibilityProcessorEnsureCloseBeforeDelete=false"]
OPTIONS = [x for c in CONFIG for x in ("--dynamic-config-value", c)]
LIMIT = 60  # seconds any one thing may take


# ---- the driver -------------------------------------------------------------------------------------------------------------
class Driver:
    async def start(self, address, namespace="default"):
        self.n, self.waiting = 0, {}
        self.p = await asyncio.create_subprocess_exec(DRIVER, address, namespace, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                                      limit=1 << 26)
        self.reader = asyncio.create_task(self.read())
        return self

    async def read(self):
        while line := await self.p.stdout.readline():
            answer = json.loads(line)
            self.waiting.pop(answer["n"]).set_result(answer)
        for f in self.waiting.values():
            if not f.done():
                f.set_exception(RuntimeError("the driver has ended"))

    def ask(self, op, **args):
        self.n += 1
        f = asyncio.get_running_loop().create_future()
        self.waiting[self.n] = f
        self.p.stdin.write((json.dumps({"n": self.n, "op": op, **args}) + "\n").encode())
        return asyncio.wait_for(f, LIMIT)

    async def good(self, op, **args):
        a = await self.ask(op, **args)
        if a["code"]:
            raise AssertionError(f"{op} {args}: {a['code']} {a['text']}")
        return a

    async def stop(self):
        self.p.stdin.close()
        await asyncio.wait_for(self.p.wait(), LIMIT)
        await self.reader
        return self.p.returncode


EXISTS, NOTFOUND, ARG, LIMIT_CODE, FAILED, CLOSED = -10, -9, -2, -3, -20, -11


class ClientTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.client = await Client.connect(harness.address)
        self.queue = f"q-{uuid.uuid4().hex[:8]}"
        self.worker = Worker(self.client, task_queue=self.queue, workflows=[Counter, Chain, Fails, Sleeper, WaitsOutside],
                             activities=[outside], workflow_runner=UnsandboxedWorkflowRunner())
        self.running = asyncio.create_task(self.worker.run())
        self.d = await Driver().start(harness.address)

    async def asyncTearDown(self):
        code = await self.d.stop()
        await self.worker.shutdown()
        await self.running
        self.assertEqual(code, 0, "the driver leaves nothing open")

    def new_id(self):
        return f"{self._testMethodName}-{uuid.uuid4().hex[:8]}"

    async def counter(self, **more):
        id = self.new_id()
        a = await self.d.good("start", id=id, type="counter", queue=self.queue, input=[10], **more)
        return id, a["runId"]

    # -- start
    async def test_start_and_result(self):
        id, run = await self.counter(memo={"who": "me"}, attributes={"MlKeyword": "red"}, priority={"priorityKey": 2},
                                     retry={"maximumAttempts": 3, "initialInterval": "2s"}, executionTimeoutMs=600000,
                                     userMetadata={"summary": {"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "Im15IHJ1biI="}})
        handle = self.client.get_workflow_handle(id)
        d = await handle.describe()
        self.assertEqual((d.run_id, d.workflow_type, d.task_queue), (run, "counter", self.queue))
        self.assertEqual(await d.memo(), {"who": "me"})
        self.assertEqual(dict(d.search_attributes)["MlKeyword"], ["red"])
        self.assertEqual(await d.static_summary(), "my run")
        self.assertEqual(d.raw_description.workflow_execution_info.priority.priority_key, 2)
        start = (await handle.fetch_history()).events[0].workflow_execution_started_event_attributes
        self.assertEqual((start.retry_policy.maximum_attempts, start.retry_policy.initial_interval.seconds), (3, 2))
        self.assertEqual(start.workflow_execution_timeout.seconds, 600)
        open_ = await self.d.good("result", id=id)
        self.assertEqual((open_["status"], open_["runId"]), ("Running", run))
        waiting = asyncio.ensure_future(self.d.good("result", id=id, wait=True))
        await handle.signal("finish")
        a = await waiting
        self.assertEqual((a["status"], a["result"], a["runId"]), ("Completed", [{"n": 10, "log": []}], run))

    async def test_id_policies(self):
        id, run = await self.counter()
        again = await self.d.ask("start", id=id, type="counter", queue=self.queue)
        self.assertEqual((again["code"], again["runId"]), (EXISTS, run))
        self.assertIn(run, again["text"])
        used = await self.d.good("start", id=id, type="counter", queue=self.queue, onOpen=1)
        self.assertEqual((used["runId"], used["existing"]), (run, True))
        new = await self.d.good("start", id=id, type="counter", queue=self.queue, onOpen=2)
        self.assertNotEqual(new["runId"], run)
        self.assertEqual((await self.client.get_workflow_handle(id, run_id=run).describe()).status, WorkflowExecutionStatus.TERMINATED)
        await self.d.good("signal", id=id, name="finish")
        await self.d.good("result", id=id, wait=True)
        refused = await self.d.ask("start", id=id, type="counter", queue=self.queue, onClosed=2)
        self.assertEqual(refused["code"], EXISTS)
        refused = await self.d.ask("start", id=id, type="counter", queue=self.queue, onClosed=1)
        self.assertEqual(refused["code"], EXISTS, "it has completed, not failed")
        rid = str(uuid.uuid4())
        one = await self.d.good("start", id=id, type="counter", queue=self.queue, requestId=rid)
        two = await self.d.good("start", id=id, type="counter", queue=self.queue, requestId=rid)
        self.assertEqual(one["runId"], two["runId"], "the same request is the same run")

    async def test_start_delay_and_cron(self):
        id = self.new_id()
        await self.d.good("start", id=id, type="counter", queue=self.queue, startDelayMs=3600000)
        h = self.client.get_workflow_handle(id)
        self.assertEqual(len((await h.fetch_history()).events), 1, "no workflow task before the delay is over")
        id2 = self.new_id()
        await self.d.good("start", id=id2, type="counter", queue=self.queue, cron="0 0 1 1 *")
        start = (await self.client.get_workflow_handle(id2).fetch_history()).events[0].workflow_execution_started_event_attributes
        self.assertEqual(start.cron_schedule, "0 0 1 1 *")
        for i in (id, id2):
            await self.d.good("terminate", id=i, reason="enough")

    async def test_signal_with_start(self):
        id = self.new_id()
        a = await self.d.good("start", id=id, type="counter", queue=self.queue, input=[1], signal="add", signalInput=[5, "first"])
        b = await self.d.good("start", id=id, type="counter", queue=self.queue, input=[1], signal="add", signalInput=[7, "second"])
        self.assertEqual((a["runId"], a["existing"], b["existing"]), (b["runId"], False, True))
        await self.d.good("signal", id=id, name="finish")
        r = await self.d.good("result", id=id, wait=True)
        self.assertEqual(r["result"], [{"n": 13, "log": ["first", "second"]}])

    # -- messages
    async def test_signal_dedup_and_query(self):
        id, run = await self.counter()
        rid = str(uuid.uuid4())
        for _ in range(3):
            await self.d.good("signal", id=id, name="add", input=[4], requestId=rid)
        q = await self.d.good("query", id=id, name="value", args=[100])
        self.assertEqual(q["result"], [114], "a repeated request is one signal")
        broken = await self.d.ask("query", id=id, name="broken")
        self.assertEqual((broken["code"], broken["text"]), (FAILED, "this query is broken"))
        unknown = await self.d.ask("query", id=id, name="nothing_like_it")
        self.assertEqual(unknown["code"], FAILED)
        self.assertIn("value", unknown["text"], "the known ones are listed")
        gone = await self.d.ask("query", id=id + "-no", name="value")
        self.assertEqual(gone["code"], NOTFOUND)
        gone = await self.d.ask("signal", id=id + "-no", name="add")
        self.assertEqual(gone["code"], NOTFOUND)

    async def test_update(self):
        id, run = await self.counter()
        a = await self.d.good("update", id=id, name="bump", args=[5], wait=True, updateId="u1")
        b = await self.d.good("update", id=id, name="bump", args=[5], wait=True, updateId="u1")
        self.assertEqual((a["result"], b["result"], a["runId"]), ([15], [15], run), "the same id runs once")
        no = await self.d.good("update", id=id, name="bump", args=[-1], wait=True)
        self.assertIn("no negative bumps", json.dumps(no["failure"]))
        bad = await self.d.good("update", id=id, name="bad", wait=True)
        self.assertEqual(bad["failure"]["message"], "the update fails")
        self.assertEqual(bad["failure"]["applicationFailureInfo"]["type"], "Bad")
        accepted = await self.d.good("update", id=id, name="slow", updateId="s1")
        self.assertNotIn("result", accepted)
        waiting = asyncio.ensure_future(self.d.good("update", id=id, name="slow", updateId="s1", wait=True))
        await self.client.get_workflow_handle(id).signal("open")
        self.assertEqual((await waiting)["result"], ["opened"])
        official = await self.client.get_workflow_handle(id).get_update_handle("s1").result()
        self.assertEqual(official, "opened")

    async def test_update_held_longer_than_the_server_waits(self):
        id, run = await self.counter()
        waiting = asyncio.ensure_future(self.d.good("update", id=id, name="slow", wait=True))
        await asyncio.sleep(5)  # the server answers a wait after 2 s with what stage was reached
        self.assertFalse(waiting.done())
        await self.d.good("signal", id=id, name="open")
        self.assertEqual((await waiting)["result"], ["opened"])

    async def test_update_with_start(self):
        id = self.new_id()
        a = await self.d.good("update_with_start", id=id, type="counter", queue=self.queue, input=[1], name="bump", args=[2],
                              updateId="u", wait=True)
        self.assertEqual(a["result"], [3])
        b = await self.d.good("update_with_start", id=id, type="counter", queue=self.queue, input=[1], name="bump", args=[2],
                              updateId="v", wait=True, onOpen=1)
        self.assertEqual((b["result"], b["runId"]), ([5], a["runId"]))
        c = await self.d.ask("update_with_start", id=id, type="counter", queue=self.queue, name="bump", args=[2], wait=True)
        self.assertEqual((c["code"], c["runId"]), (EXISTS, a["runId"]))
        d = await self.d.good("update_with_start", id=id, type="counter", queue=self.queue, name="bad", wait=True, onOpen=1)
        self.assertEqual(d["failure"]["message"], "the update fails")

    # -- ends
    async def test_cancel_terminate(self):
        ids = [self.new_id(), self.new_id()]
        for id in ids:
            await self.d.good("start", id=id, type="sleeper", queue=self.queue)
        await self.d.good("cancel", id=ids[0], reason="not wanted")
        a = await self.d.good("result", id=ids[0], wait=True)
        self.assertEqual(a["status"], "Canceled")
        self.assertIn("canceledFailureInfo", a["failure"])
        await self.d.good("terminate", id=ids[1], reason="no more")
        a = await self.d.good("result", id=ids[1], wait=True)
        self.assertEqual((a["status"], a["failure"]["message"]), ("Terminated", "no more"))
        events = (await self.client.get_workflow_handle(ids[0]).fetch_history()).events
        cause = [e.workflow_execution_cancel_requested_event_attributes for e in events
                 if e.HasField("workflow_execution_cancel_requested_event_attributes")][0]
        self.assertEqual((cause.cause, cause.identity), ("not wanted", "client_driver"))
        again = await self.d.ask("terminate", id=ids[1])
        self.assertEqual(again["code"], NOTFOUND)

    async def test_result_of_chains(self):
        id = self.new_id()
        first = await self.d.good("start", id=id, type="chain", queue=self.queue, input=[3])
        a = await self.d.good("result", id=id, runId=first["runId"], wait=True)
        self.assertEqual((a["status"], a["result"]), ("Completed", ["end of the chain"]))
        self.assertNotEqual(a["runId"], first["runId"])
        id = self.new_id()
        first = await self.d.good("start", id=id, type="fails", queue=self.queue, input=["wanted failure"],
                                  retry={"maximumAttempts": 3, "initialInterval": "0.1s"})
        a = await self.d.good("result", id=id, runId=first["runId"], wait=True)
        self.assertEqual((a["status"], a["failure"]["message"]), ("Failed", "wanted failure"))
        self.assertNotEqual(a["runId"], first["runId"], "the retry is followed")
        id = self.new_id()
        await self.d.good("start", id=id, type="sleeper", queue=self.queue, runTimeoutMs=1000)
        a = await self.d.good("result", id=id, wait=True)
        self.assertEqual(a["status"], "TimedOut")

    async def test_reset_and_delete(self):
        id, run = await self.counter()
        await self.d.good("update", id=id, name="bump", args=[5], wait=True)
        events = (await self.client.get_workflow_handle(id).fetch_history()).events
        done = [e.event_id for e in events if e.HasField("workflow_task_completed_event_attributes")][0]
        a = await self.d.good("reset", id=id, event=done, reason="again")
        self.assertNotEqual(a["runId"], run)
        self.assertEqual((await self.client.get_workflow_handle(id, run_id=run).describe()).status, WorkflowExecutionStatus.TERMINATED)
        await self.d.good("signal", id=id, name="finish")
        r = await self.d.good("result", id=id, wait=True)
        self.assertEqual((r["runId"], r["status"]), (a["runId"], "Completed"))
        bad = await self.d.ask("reset", id=id, event=0)
        self.assertEqual(bad["code"], ARG)
        await self.d.good("delete", id=id, runId=a["runId"])
        for _ in range(LIMIT * 5):
            gone = await self.d.ask("describe", id=id, runId=a["runId"])
            if gone["code"]:
                break
            await asyncio.sleep(0.2)
        self.assertEqual(gone["code"], NOTFOUND)

    # -- reading
    async def test_describe(self):
        id = self.new_id()
        await self.d.good("start", id=id, type="waits_outside", queue=self.queue, memo={"a": [1, None]})
        while id not in tokens:
            await asyncio.sleep(0.05)
        d = (await self.d.good("describe", id=id))["json"]
        self.assertEqual((d["workflowId"], d["type"], d["status"], d["taskQueue"]), (id, "waits_outside", "Running", self.queue))
        self.assertEqual(d["memo"], {"a": [1, None]})
        self.assertEqual(d["pending"], [{"kind": "activity", "name": "outside"}])
        self.assertEqual((d["open"][0]["id"], d["open"][0]["state"], d["open"][0]["attempt"]), ("the-one", "running", 1))
        self.assertNotIn("closeTime", d)
        await self.d.good("complete", id=id, activity="the-one", result=["x"])
        await self.d.good("result", id=id, wait=True)
        d = (await self.d.good("describe", id=id))["json"]
        self.assertEqual((d["status"], d["pending"]), ("Completed", []))
        self.assertIn("closeTime", d)
        self.assertNotIn("open", d)

    async def test_describe_waiting_and_blocked(self):
        id = self.new_id()
        await self.d.good("start", id=id, type="counter", queue="nobody-" + id)
        await asyncio.sleep(6)
        d = (await self.d.good("describe", id=id))["json"]
        self.assertEqual(d["waitsFor"], "no worker takes its task from queue nobody-" + id)
        await self.d.good("terminate", id=id)
        id = self.new_id()
        await self.d.good("start", id=id, type="no_such_workflow", queue=self.queue, taskTimeoutMs=1000)
        for _ in range(LIMIT * 2):
            d = (await self.d.good("describe", id=id))["json"]
            if d.get("blocked"):
                break
            await asyncio.sleep(0.5)
        self.assertTrue(d["blocked"])
        self.assertIn("WorkflowTaskFailed", d["blockedReason"])
        await self.d.good("terminate", id=id)

    async def test_list_count_history(self):
        prefix = self.new_id() + "'x"
        for i in range(5):
            await self.d.good("start", id=f"{prefix}-{i}", type="counter", queue=self.queue, input=[i])
        await self.d.good("signal", id=f"{prefix}-0", name="finish")
        await self.d.good("result", id=f"{prefix}-0", wait=True)
        for _ in range(LIMIT * 5):  # the visibility store follows
            all_ = await self.d.good("list", filter={"id_prefix": prefix})
            done = await self.d.good("list", filter={"id_prefix": prefix, "status": "Completed"})
            if len(all_["json"]) == 5 and len(done["json"]) == 1:
                break
            await asyncio.sleep(0.2)
        self.assertEqual(sorted(r["workflowId"] for r in all_["json"]), [f"{prefix}-{i}" for i in range(5)])
        self.assertEqual([r["workflowId"] for r in done["json"]], [f"{prefix}-0"])
        two = await self.d.good("list", filter={"id_prefix": prefix, "limit": 2})
        self.assertEqual(len(two["json"]), 2)
        rest = await self.d.good("list", filter={"id_prefix": prefix, "page": two["page"]})
        self.assertEqual(len({r["workflowId"] for r in two["json"] + rest["json"]}), 5)
        none = await self.d.good("list", filter={"id_prefix": prefix, "query": "WorkflowType = 'other'"})
        self.assertEqual(none["json"], [])
        n = await self.d.good("count", filter={"id_prefix": prefix})
        self.assertEqual(n["json"], {"byStatus": {"Running": 4, "Completed": 1}, "blocked": 0, "count": 5})
        bad = await self.d.ask("list", filter={"query": "this is no query ="})
        self.assertEqual(bad["code"], ARG)
        h = await self.d.good("history", id=f"{prefix}-0")
        official = (await self.client.get_workflow_handle(f"{prefix}-0").fetch_history()).to_json_dict()
        types = [e["eventType"] for e in h["history"]["events"]]
        self.assertEqual(types[0], "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED")
        self.assertEqual([e["eventId"] for e in h["history"]["events"]], [e["eventId"] for e in official["events"]])
        for i in range(1, 5):
            await self.d.good("terminate", id=f"{prefix}-{i}")

    async def test_long_history_by_pages(self):
        id = self.new_id()
        await self.d.good("start", id=id, type="counter", queue="nobody-" + id)
        handle = self.client.get_workflow_handle(id)
        for i in range(300):
            await handle.signal("add", args=[1, f"note {i}"])
        events, page, pages = [], "", 0
        while True:
            a = await self.d.good("history", id=id, page=page)
            events += a.get("history", {}).get("events", [])
            pages += 1
            page = a.get("page", "")
            if not page:
                break
        official = (await handle.fetch_history()).to_json_dict()["events"]
        self.assertGreater(pages, 1)
        self.assertEqual([(e["eventId"], e["eventType"]) for e in events], [(e["eventId"], e["eventType"]) for e in official])
        bad = await self.d.ask("history", id=id, page="no page")
        self.assertEqual(bad["code"], ARG)
        await self.d.good("terminate", id=id)

    # -- activities from outside
    async def test_complete_from_outside(self):
        async def begun(id):
            await self.d.good("start", id=id, type="waits_outside", queue=self.queue)
            while id not in tokens:
                await asyncio.sleep(0.05)
            return base64.b64encode(tokens[id]).decode()

        id = self.new_id()
        token = await begun(id)
        beat = await self.d.good("heartbeat", token=token, details=[1])
        self.assertEqual((beat["kind"], beat["cancel"]), (0, False))
        d = await self.client.get_workflow_handle(id).describe()
        self.assertEqual(d.raw_description.pending_activities[0].heartbeat_details.payloads[0].data, b"1")
        await self.d.good("complete", token=token, result=["by token"])
        self.assertEqual((await self.d.good("result", id=id, wait=True))["result"], ["by token"])
        stale = await self.d.ask("complete", token=token, result=["again"])
        self.assertEqual(stale["kind"], 1, "stale")
        id = self.new_id()
        await begun(id)
        await self.d.good("complete", id=id, activity="the-one", kind="failed", message="outside says no")
        failed = await self.d.good("result", id=id, wait=True)
        self.assertEqual(failed["failure"]["cause"]["message"], "outside says no")
        id = self.new_id()
        await begun(id)
        await self.d.good("cancel", id=id)
        for _ in range(LIMIT * 5):
            beat = await self.d.good("heartbeat", id=id, activity="the-one")
            if beat["cancel"]:
                break
            await asyncio.sleep(0.2)
        self.assertTrue(beat["cancel"])
        await self.d.good("complete", id=id, activity="the-one", kind="canceled")
        self.assertEqual((await self.d.good("result", id=id, wait=True))["status"], "Canceled")

    # -- schedules
    async def test_schedule(self):
        id = self.new_id()
        action = {"startWorkflow": {"workflowId": id + "-w", "workflowType": {"name": "counter"},
                                    "taskQueue": {"name": self.queue},
                                    "input": {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "Nw=="}]}}}
        await self.d.good("schedule_create", id=id, memo={"m": 1}, schedule={
            "spec": {"interval": [{"interval": "3600s"}]}, "action": action,
            "policies": {"overlapPolicy": "SCHEDULE_OVERLAP_POLICY_ALLOW_ALL"}, "state": {"notes": "first"}})
        twice = await self.d.ask("schedule_create", id=id, schedule={"spec": {}, "action": action})
        self.assertEqual(twice["code"], EXISTS)
        handle = self.client.get_schedule_handle(id)
        d = await handle.describe()
        self.assertEqual((d.schedule.action.workflow, d.schedule.state.note), ("counter", "first"))
        self.assertEqual(d.schedule.policy.overlap, ScheduleOverlapPolicy.ALLOW_ALL)
        self.assertEqual(d.schedule.spec.intervals[0].every, timedelta(hours=1))
        await self.d.good("schedule_update", id=id, note="second")
        self.assertEqual((await handle.describe()).schedule.state.note, "second")
        await self.d.good("schedule_patch", id=id, patch={"pause": "for now"})
        self.assertTrue((await handle.describe()).schedule.state.paused)
        await self.d.good("schedule_patch", id=id, patch={"unpause": "go on"})
        self.assertFalse((await handle.describe()).schedule.state.paused)
        async def acted(n):
            for _ in range(LIMIT * 5):
                d = (await self.d.good("schedule_describe", id=id))["json"]
                if len(d.get("info", {}).get("recentActions", [])) >= n:
                    break
                await asyncio.sleep(0.2)
            return d

        await self.d.good("schedule_patch", id=id, patch={"triggerImmediately": {}})
        await acted(1)  # a server forgets one of two patches that come at once
        await self.d.good("schedule_patch", id=id, patch={"backfillRequest": [
            {"startTime": "2024-01-01T00:30:00Z", "endTime": "2024-01-01T02:30:00Z", "overlapPolicy": "SCHEDULE_OVERLAP_POLICY_ALLOW_ALL"}]})
        d = await acted(3)
        self.assertEqual(len(d["info"]["recentActions"]), 3, "one trigger and two backfilled")
        self.assertEqual(d["schedule"]["state"]["notes"], "go on")
        for action in d["info"]["recentActions"]:
            w = action["startWorkflowResult"]["workflowId"]
            self.assertEqual((await self.d.good("query", id=w, name="value"))["result"], [7])
            await self.d.good("terminate", id=w)
        for _ in range(LIMIT * 5):
            entries = (await self.d.good("schedule_list"))["json"].get("schedules", [])
            if any(e["scheduleId"] == id for e in entries):
                break
            await asyncio.sleep(0.2)
        self.assertIn(id, [e["scheduleId"] for e in entries])
        await self.d.good("schedule_delete", id=id)
        gone = await self.d.ask("schedule_describe", id=id)
        self.assertEqual(gone["code"], NOTFOUND)

    async def test_schedule_updates_at_once(self):
        id = self.new_id()
        action = {"startWorkflow": {"workflowId": id + "-w", "workflowType": {"name": "counter"}, "taskQueue": {"name": self.queue}}}
        await self.d.good("schedule_create", id=id, schedule={"spec": {"interval": [{"interval": "3600s"}]}, "action": action})
        other = await Driver().start(harness.address)
        results = await asyncio.gather(*[(self.d if i % 2 else other).ask("schedule_update", id=id, note=f"note {i}") for i in range(6)])
        self.assertEqual([r["code"] for r in results], [0] * 6, results)
        self.assertEqual(await other.stop(), 0)
        await self.d.good("schedule_delete", id=id)

    # -- operators
    async def test_namespace_and_attributes(self):
        n = (await self.d.good("namespace"))["json"]
        self.assertEqual(n["namespaceInfo"]["name"], "default")
        self.assertTrue(n["namespaceInfo"]["capabilities"]["asyncUpdate"])
        self.assertEqual((await self.d.good("attributes"))["json"]["MlKeyword"], "Keyword")
        name = "Attr" + uuid.uuid4().hex[:8]
        await self.d.good("attributes_add", name=name, type="Int")
        for _ in range(LIMIT * 5):
            if name in (await self.d.good("attributes"))["json"]:
                break
            await asyncio.sleep(0.2)
        self.assertEqual((await self.d.good("attributes"))["json"][name], "Int")
        bad = await self.d.ask("attributes_add", name="X", type="Colour")
        self.assertEqual(bad["code"], ARG)

    async def test_deployments(self):
        name = "dep" + uuid.uuid4().hex[:8]
        workers = []
        for build in ("one", "two"):
            w = Worker(self.client, task_queue=self.queue + "-v", workflows=[Pinned], workflow_runner=UnsandboxedWorkflowRunner(), deployment_config=WorkerDeploymentConfig(
                version=WorkerDeploymentVersion(deployment_name=name, build_id=build), use_worker_versioning=True))
            workers.append((w, asyncio.create_task(w.run())))
        for _ in range(LIMIT * 5):
            a = await self.d.ask("deployment_describe", name=name)
            if a["code"] == 0 and len(a["json"]["workerDeploymentInfo"].get("versionSummaries", [])) == 2:
                break
            await asyncio.sleep(0.2)
        self.assertEqual(a["code"], 0, a)
        await self.d.good("deployment_set_current", name=name, build="one")
        a = await self.d.good("deployment_describe", name=name)
        self.assertEqual(a["json"]["workerDeploymentInfo"]["routingConfig"]["currentDeploymentVersion"]["buildId"], "one")
        for _ in range(LIMIT * 5):
            l = (await self.d.good("deployment_list"))["json"].get("workerDeployments", [])
            if name in [d["name"] for d in l]:
                break
            await asyncio.sleep(0.2)
        self.assertIn(name, [d["name"] for d in l])
        ids = {}
        for build in ("one", "two"):
            ids[build] = self.new_id()
            await self.d.good("start", id=ids[build], type="pinned", queue=self.queue + "-v", versioning=None if build == "one" else {
                "pinned": {"behavior": "PINNED_OVERRIDE_BEHAVIOR_PINNED", "version": {"deploymentName": name, "buildId": build}}})
            self.assertEqual((await self.d.good("result", id=ids[build], wait=True))["result"], ["pinned"])
            d = (await self.d.good("describe", id=ids[build]))["json"]
            self.assertEqual(d["bundle"], build)
        unknown = await self.d.ask("deployment_describe", name="no-such-deployment")
        self.assertEqual(unknown["code"], NOTFOUND)
        for w, task in workers:
            await w.shutdown()
            await task

    # -- bad input
    async def test_wrong_namespace(self):
        d = await Driver().start(harness.address, "no-such-namespace")
        a = await d.ask("describe", id="x")
        self.assertEqual(a["code"], NOTFOUND)
        self.assertIn("temporal operator namespace create no-such-namespace", a["text"])
        self.assertEqual(await d.stop(), 0)

    async def test_too_large(self):
        a = await self.d.ask("start", id=self.new_id(), type="counter", queue=self.queue, input=["x" * (5 << 20)])
        self.assertEqual(a["code"], LIMIT_CODE)
        self.assertIn("start workflow", a["text"])
        a = await self.d.ask("start", id=self.new_id(), type="counter", queue=self.queue, input=["x" * (3 << 20)])
        self.assertEqual(a["code"], ARG, "larger than the server's limit of a payload, smaller than gRPC's")

    async def test_missing_names(self):
        a = await self.d.ask("start", id="", type="counter", queue=self.queue)
        self.assertEqual(a["code"], ARG)
        a = await self.d.ask("start", id="x", type="", queue=self.queue)
        self.assertEqual(a["code"], ARG)

    async def test_text_that_is_not_utf8(self):
        id, run = await self.counter()
        self.d.n += 1
        f = asyncio.get_running_loop().create_future()
        self.d.waiting[self.d.n] = f
        self.d.p.stdin.write(b'{"n":%d,"op":"cancel","id":"%s","reason":"caf\xe9"}\n' % (self.d.n, id.encode()))
        self.assertEqual((await asyncio.wait_for(f, LIMIT))["code"], 0)
        await self.d.good("result", id=id, wait=True)
        events = (await self.client.get_workflow_handle(id).fetch_history()).events
        self.assertIn("caf\ufffd", [e.workflow_execution_cancel_requested_event_attributes.cause for e in events])

    async def test_closing_answers_what_waits(self):
        d = await Driver().start(harness.address)
        id, run = await self.counter()
        waiting = asyncio.ensure_future(d.ask("result", id=id, wait=True))
        await asyncio.sleep(1)
        self.assertEqual(await d.stop(), 0)
        a = await waiting
        self.assertEqual(a["code"], CLOSED)
        await self.d.good("terminate", id=id)


class NoServerTest(unittest.IsolatedAsyncioTestCase):
    async def test_nobody_listens(self):
        d = await Driver().start("127.0.0.1:1")
        a = await d.ask("describe", id="x")
        self.assertEqual(a["code"], -4)
        self.assertIn("127.0.0.1:1", a["text"])
        self.assertEqual(await d.stop(), 0)


if __name__ == "__main__":
    harness.main(OPTIONS)
