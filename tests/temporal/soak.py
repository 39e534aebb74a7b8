"""The soak of scripts/soak: one worker on a real server under steady mixed load, for minutes.

  soak.py MOONLOOP [--minutes 10] [--at-once 8] [--growth-mb 1] [--seed N] [--samples FILE]

Workflows with activities (retried, failing, heartbeating, cancelled), timers, signals, queries, updates, children, continue-as-new, local activities
and signals to other runs, so many at once, each checked: its result, and its history, in which no workflow task may have failed or timed out.
Each second the worker is asked what it holds (SIGUSR1) and its memory and descriptors are read. At the end, when all has been closed:

- memory is flat: the regression line of the resident memory over the last two thirds rises by at most --growth-mb in them
- descriptors are flat: in the last third not more than 2 above the most in the first third, and at the end not more than 2 above the beginning
- no workflow task timed out, but those that the server says it lost itself (programs.py tells how)
- nothing leaks: no run, task, attempt, coroutine or request is left, all slots are free, each stream belongs to a poll

Exit code 0 when all of it holds. --samples keeps what was read, a JSON line a second.
"""
import argparse, asyncio, ctypes, json, os, random, re, signal, sys, tempfile, time, traceback

from temporalio.api.enums.v1 import EventType, TimeoutType, WorkflowTaskFailedCause
from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ActivityError, CancelledError

import programs

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scripts", "soak.lua")
QUEUE, END_S, RUN_S = "soak", 60, 120
# The server asks for the task again: a message came while the run closed, or the run left the cache.
NO_FAILURE = {WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND, WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_STICKY_TASK_QUEUE}


class Worker:
    """The process under test."""

    async def start(self, moonloop, address):
        env = {k: v for k, v in os.environ.items() if not k.startswith("TEMPORAL_")}
        self.p = await asyncio.create_subprocess_exec(moonloop, "worker", SCRIPT, "--temporal", address, "--task-queue", QUEUE, "--json", stdin=asyncio.subprocess.DEVNULL,
                                                      stderr=asyncio.subprocess.PIPE, env=env, preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGTERM))
        self.log, self.answers = [], asyncio.Queue()
        self.serves = asyncio.get_running_loop().create_future()
        self.reader = asyncio.create_task(self.read())
        await asyncio.wait_for(self.serves, END_S)
        return self

    async def read(self):
        while line := await self.p.stderr.readline():
            said = json.loads(line)
            if "holds" in said:
                await self.answers.put(said["holds"])
            elif "serving" in said:
                self.serves.set_result(said["serving"])
            else:
                self.log.append(line.decode().rstrip())
        if not self.serves.done():
            self.serves.set_exception(RuntimeError("the worker does not begin: " + "\n".join(self.log)))

    async def look(self):
        """What it says of itself, and what the system says of it."""
        self.p.send_signal(signal.SIGUSR1)
        held = await asyncio.wait_for(self.answers.get(), END_S)
        with open(f"/proc/{self.p.pid}/status") as f:
            held["rssKb"] = int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
        held["descriptors"] = len(os.listdir(f"/proc/{self.p.pid}/fd"))
        return held

    async def stop(self):
        if self.p.returncode is None:
            self.p.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(self.p.wait(), END_S)
        await self.reader
        return code


class Load:
    def __init__(self, client, chance):
        self.client, self.chance = client, chance
        self.n = self.runs = self.events = self.messages = self.again = self.lost = 0
        self.kinds = [self.steps, self.fan, self.timers, self.talk, self.family, self.chain, self.locals, self.beating, self.retries, self.doomed, self.stopped,
                      self.neighbour]

    # -- what is checked of each
    def same(self, got, expected, what):
        if got != expected:
            raise AssertionError(f"{what}: {got!r} instead of {expected!r}")

    async def begin(self, workflow, *args):
        self.n += 1
        return await self.client.start_workflow(workflow, args=args, id=f"{workflow}-{self.n}", task_queue=QUEUE)

    async def ends(self, handle, expected):
        self.same(await handle.result(), expected, handle.id)
        await self.check(handle.id, handle.first_execution_run_id)

    async def check(self, id, run=None):
        """The run's history and those that it continued as: no workflow task failed in any."""
        while True:
            following = None
            async for e in self.client.get_workflow_handle(id, run_id=run).fetch_history_events():
                self.events += 1
                if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
                    if e.workflow_task_timed_out_event_attributes.timeout_type == TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE:
                        self.lost += 1
                        continue
                    raise AssertionError(f"{id}: a workflow task timed out: {e}")
                if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                    if e.workflow_task_failed_event_attributes.cause not in NO_FAILURE:
                        raise AssertionError(f"{id}: a workflow task failed: {e}")
                    self.again += 1
                if e.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
                    following = e.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
            self.runs += 1
            if not following:
                return
            run = following

    async def fails(self, handle, kind):
        """Waits for its failure: the cause's class."""
        try:
            got = await handle.result()
        except WorkflowFailureError as e:
            self.same(type(e.cause), kind, f"{handle.id}: {e.cause}")
            await self.check(handle.id)
            return e.cause
        raise AssertionError(f"{handle.id} completed with {got!r}")

    async def open_runs(self):
        """What has not ended, as texts: the histories of three."""
        found = []
        async for w in self.client.list_workflows("ExecutionStatus = 'Running'", limit=3):
            events = [f"{e.event_id} {e.event_time.ToJsonString()[11:23]} {EventType.Name(e.event_type)[11:]}" async for e in
                      self.client.get_workflow_handle(w.id, run_id=w.run_id).fetch_history_events()]
            found.append(f"{w.id} {w.run_id} is open: {', '.join(events)[-2000:]}")
        return found

    async def until(self, handle, kind):
        """Until its history has such an event."""
        while kind not in [e.event_type async for e in handle.fetch_history_events()]:
            await asyncio.sleep(0.05)

    # -- the kinds of runs
    async def steps(self):
        n = self.chance.randint(1, 20)
        await self.ends(await self.begin("steps", n), n * (n + 1) // 2)

    async def fan(self):
        n = self.chance.randint(2, 20)
        await self.ends(await self.begin("fan", n), n * (n + 1))

    async def timers(self):
        n = self.chance.randint(1, 4)
        await self.ends(await self.begin("timers", n), [*range(1, n + 1), False])

    async def talk(self):
        handle, n, notes = await self.begin("talk", 5), 5, []
        for i in range(self.chance.randint(2, 6)):
            k = self.chance.randint(1, 100)
            what = self.chance.choice(["more", "bump", "slow", "refused", "query", "signal"])
            if what == "more":
                await handle.signal("more", {"i": i, "k": k})
                notes.append({"i": i, "k": k})
            elif what == "signal":
                await handle.signal("add", k)
                n += k
                while await handle.query("value", 0) != n:
                    await asyncio.sleep(0.05)
            elif what == "query":
                self.same(await handle.query("value", k), n + k, handle.id)
            elif what == "refused":
                try:
                    raise AssertionError(f"{handle.id} took {await handle.execute_update('bump', -k)!r}")
                except WorkflowUpdateFailedError as e:
                    self.same(e.cause.type, "Negative", handle.id)
            else:
                n += k
                self.same(await handle.execute_update(what, k), n, handle.id)
            self.messages += 1
        self.same(await handle.execute_update("finish"), "finished", handle.id)
        await self.ends(handle, {"n": n, "notes": notes})
        if self.chance.random() < 0.2:
            self.same(await handle.query("value", 1), n + 1, f"{handle.id} when it was closed")

    async def family(self):
        n = self.chance.randint(1, 5)
        self.n += 1
        id = f"family-{self.n}"
        handle = await self.client.start_workflow("family", args=[id, n], id=id, task_queue=QUEUE)
        await self.ends(handle, {"sum": n * (n + 1) // 2 * 3, "ok": False, "type": "ActivityFailure", "ended": False, "why": "Canceled"})
        for name in ("one", "two", "lost", "bad"):
            await self.check(f"{id}-{name}")

    async def chain(self):
        n = self.chance.randint(1, 5)
        await self.ends(await self.begin("chain", {"left": n, "sum": 0}), n * (n + 1) // 2)

    async def locals(self):
        n = self.chance.randint(1, 8)
        await self.ends(await self.begin("locals", n), n * (n + 1))

    async def beating(self):
        await self.ends(await self.begin("beating"), 5)

    async def retries(self):
        await self.ends(await self.begin("retries"), {"attempt": 3, "ok": False, "type": "Flaky"})

    async def doomed(self):
        failed = await self.fails(await self.begin("doomed"), ActivityError)
        self.same(failed.cause.type, "Flaky", "doomed")

    async def stopped(self):
        handle = await self.begin("stopped")
        await self.until(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
        await asyncio.sleep(self.chance.random() / 2)
        await handle.cancel()
        await self.fails(handle, CancelledError)
        self.same(await handle.query("undone"), 1, handle.id)

    async def neighbour(self):
        other, k = await self.begin("talk", 0), self.chance.randint(1, 9)
        await self.ends(await self.begin("neighbour", other.id, k), "drawn")
        while await other.query("value", 0) != k:
            await asyncio.sleep(0.05)
        await other.execute_update("finish")
        await self.ends(other, {"n": k, "notes": []})


def line(samples, key):
    """Slope of the regression line, per second."""
    n = len(samples)
    t, v = [s["at"] for s in samples], [s[key] for s in samples]
    mt, mv = sum(t) / n, sum(v) / n
    return sum((a - mt) * (b - mv) for a, b in zip(t, v)) / (sum((a - mt) ** 2 for a in t) or 1)


def flat(samples, first, last, growth_mb):
    """What is not flat, as texts; and the slope in kB a minute."""
    part = samples[len(samples) // 3:]
    slope = line(part, "rssKb")
    grown = slope * (part[-1]["at"] - part[0]["at"]) / 1024
    wrong = [f"memory grew by {grown:.2f} MB over the last two thirds ({slope * 60:.0f} kB a minute); {growth_mb} MB is the most"] if grown > growth_mb else []
    early, late = (max(s["descriptors"] for s in p) for p in (samples[:len(samples) // 3], samples[-(len(samples) // 3):]))
    if late > early + 2 or last["descriptors"] > first["descriptors"] + 2:
        wrong.append(f"descriptors: {first['descriptors']} to begin with, at most {early} in the first third and {late} in the last, {last['descriptors']} at the end")
    return wrong, slope * 60


def left(first, last):
    """What is left over when all has ended, as texts."""
    wrong = [f"{last[k]} {k} are left" for k in ("runs", "tasks", "activities", "localActivities", "coroutines", "requests") if last[k]]
    wrong += [f"{last[k]} of {first[k]} {k} are free" for k in ("workflowSlots", "activitySlots") if last[k] != first[k]]
    if last["streams"] != last["polls"]:
        wrong.append(f"{last['streams']} streams for {last['polls']} polls")
    return wrong


async def idle(worker):
    """What it holds when it serves and nothing is asked of it."""
    end = time.monotonic() + END_S
    while True:
        held = await worker.look()
        if held["polls"] and not left(held, held) or time.monotonic() > end:
            return held
        await asyncio.sleep(0.25)


async def soak(args, worker, load):
    first, samples, failed = await idle(worker), [], []
    begun = time.monotonic()
    end = begun + args.minutes * 60

    async def runner(number):
        turn = number
        while time.monotonic() < end and not failed:
            kind = load.kinds[turn % len(load.kinds)]
            turn += 1
            try:
                await asyncio.wait_for(kind(), RUN_S)
            except Exception:
                failed.append(f"{kind.__name__}: {traceback.format_exc(limit=-3)}")

    runners = [asyncio.create_task(runner(i * 5)) for i in range(args.at_once)]
    while not all(r.done() for r in runners):
        if worker.p.returncode is not None:
            failed.append(f"the worker ended with {worker.p.returncode}")
            break
        samples.append({"at": time.monotonic() - begun, **await worker.look()})
        await asyncio.sleep(1)
    await asyncio.gather(*runners, return_exceptions=True)
    if failed:
        failed += await load.open_runs()
    if worker.p.returncode is not None:
        return first, samples, None, failed
    return first, samples, await idle(worker), failed


def report(args, load, worker, found):
    first, samples, last, failed = found
    if args.samples:
        with open(args.samples, "w") as f:
            f.writelines(json.dumps(s) + "\n" for s in samples)
    wrong, slope = flat(samples, first, last, args.growth_mb) if last and len(samples) > 5 else ([], 0)
    wrong = failed + wrong + (left(first, last) if last else [])
    if wrong:
        print("\n".join(["the worker's log, its last lines:"] + worker.log[-20:] + wrong))
        return 1
    rss = [s["rssKb"] / 1024 for s in samples[len(samples) // 3:]]
    print(f"{samples[-1]['at'] / 60:.1f} min, {args.at_once} at once: {load.runs} runs with {load.events} events and {load.messages} messages, each ended as expected, no workflow task"
          f" failed ({load.again} asked again for a message" + f", {load.lost} lost by the server" * (load.lost > 0) + f"); {last['tasksEnded']} tasks, {last['attemptsEnded']} attempts; memory {min(rss):.1f} to {max(rss):.1f} MB,"
          f" slope {slope:.0f} kB a minute; descriptors {min(s['descriptors'] for s in samples)} to {max(s['descriptors'] for s in samples)}; at the end {last['runs']} runs,"
          f" {last['tasks']} tasks, {last['coroutines']} coroutines, {last['workflowSlots']} and {last['activitySlots']} free slots of {first['workflowSlots']} and"
          f" {first['activitySlots']}, {last['streams']} streams of {last['polls']} polls, {last['rssKb'] / 1024:.1f} MB")
    return 0


async def main(args, server):
    load = Load(await Client.connect(server.address), random.Random(args.seed))
    worker = await Worker().start(os.path.abspath(args.moonloop), server.address)
    try:
        found = await soak(args, worker, load)
        if load.lost > server.lost():
            found[-1].append(f"{load.lost} workflow tasks timed out, of which the server lost {server.lost()}")
        code = report(args, load, worker, found)
    finally:
        ended = await worker.stop()
    if code == 0 and ended != 0:
        print(f"the worker ended with exit code {ended}", *worker.log[-20:], sep="\n")
        code = 1
    return code


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("moonloop")
    p.add_argument("--minutes", type=float, default=10)
    p.add_argument("--at-once", type=int, default=8)
    p.add_argument("--growth-mb", type=float, default=1)
    p.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    p.add_argument("--samples")
    ARGS = p.parse_args()
    print(f"seed {ARGS.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="moonloop-soak-") as FOLDER:
        OPTIONS = []
        for LIMIT in ("transfer", "timer", "visibility"):  # else the server's own limits are what is soaked: 20 steps/s
            OPTIONS += ["--dynamic-config-value", f"history.{LIMIT}ProcessorMaxPollRPS=5000"]
        SERVER = programs.Server(FOLDER, OPTIONS)
        try:
            CODE = asyncio.run(main(ARGS, SERVER))
        finally:
            SERVER.stop()
    sys.stdout.flush()
    os._exit(CODE)  # threads of the SDK may outlive the interpreter and abort it
