"""Steps of single cases that no other case needs: `python NAME` calls NAME(run)."""
import asyncio, json, os, time

from case import Bad, history
from engines import command


async def query_without_worker(run):
    from datetime import timedelta
    from temporalio.service import RPCError, RPCStatusCode
    try:
        got = await run.handle.query("n", rpc_timeout=timedelta(seconds=2))
        raise Bad(f"the query was answered: {got}")
    except RPCError as e:
        if e.status not in (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED):
            raise Bad(f"{e.status}: {e}")
    code, out, err = await command(run.engine.moonloop, "query", run.id, "n", "--temporal", run.engine.address, limit=60)
    if not code:
        raise Bad(f"answered: {out}")
    if "no poller" not in err:
        raise Bad(err)


async def complete_activity(run):
    await run.client.get_async_activity_handle(workflow_id=run.id, run_id=None, activity_id="later").complete("from outside")


async def through_proxy(run):
    """Each kind of request, by a name that only the proxy knows."""
    where = run.fill(run.case.worker).split()
    for args, wanted in ((["signal", run.id, "word", '"through"'], None), (["query", run.id, "count"], "1"), (["update", run.id, "count"], "1"),
                         (["signal", run.id, "word", '"the proxy"'], None), (["result", run.id, "--wait"], '["through","the proxy"]')):
        code, out, err = await command(run.engine.moonloop, *args, *where)
        if code or wanted and out.strip() != wanted:
            raise Bad(f"{args}: {out} {err}")
        if args[0] == "signal" and "through" in args[3]:
            await until(run, 1)


async def until(run, n):
    for _ in range(200):
        if await run.query("count", []) == n:
            return
        await asyncio.sleep(0.05)
    raise Bad("the signal does not arrive")


async def proxy_refuses(run):
    """Without the password nothing goes through."""
    where = run.fill(run.case.worker.replace("user:secret@", "user:wrong@")).split()
    code, out, err = await command(run.engine.moonloop, "query", run.id, "count", *where)
    if not code or "407" not in err:
        raise Bad(f"{code} {out} {err}")


async def make_current(run, build):
    name = f"conformance-{run.unique}"
    temporal = os.path.join(run.engine.tools, "venv", "bin", "temporal")
    for left in range(100, -1, -1):  # the server may not have seen the build's polls yet
        code, out, err = await command(temporal, "worker", "deployment", "set-current-version", "--deployment-name", name, "--build-id", build, "--yes", "--address",
                                       run.engine.address)
        if not code:
            return
        await asyncio.sleep(0.2)
    raise Bad(f"{build} does not become current: {out} {err}")


async def current_one(run):
    await make_current(run, "one")


async def current_two(run):
    """Build two begins to serve and becomes current; then until a new run goes there: `/new`."""
    run.others.append(await run.engine.serve([run.script], run.queue, "--deployment", f"conformance-{run.unique}", "--build-id", "two"))
    await make_current(run, "two")
    for _ in range(100):
        handle = await run.client.start_workflow(run.case.name, id=run.id + "/new", task_queue=run.queue)
        build = None
        while not build:
            await asyncio.sleep(0.05)
            events = history(await run.events(id=run.id + "/new"))
            build = next((a.get("deploymentVersion", {}).get("buildId") for k, a in events if k == "WorkflowTaskCompleted"), None)
        await handle.terminate()
        if build == "two":
            return
    raise Bad("new runs stay on build one")


async def start_on_one(run):
    id, options = run.id + "/override", {"version": {"deployment": f"conformance-{run.unique}", "build": "one"}}
    await run.tell("start", "--workflow", run.case.name, "--id", id, "--task-queue", run.queue, "--options", json.dumps(options))
    for _ in range(200):
        if any(k == "WorkflowTaskCompleted" for k, _ in history(await run.events(id=id))):
            break
        await asyncio.sleep(0.05)
    await run.client.get_workflow_handle(id).terminate()


class Other:
    """A worker of the official SDK."""

    def __init__(self, run, queue, *activities):
        from temporalio.worker import Worker
        self.worker = Worker(run.client, task_queue=queue, activities=activities, identity="another worker")
        self.task = asyncio.create_task(self.worker.run())

    async def end(self, *_):
        await self.worker.shutdown()
        await self.task


async def serve_activity(run):
    """A worker that has the activity."""
    from temporalio import activity

    @activity.defn(name="eager_activity.remote")
    async def remote() -> str:
        return "from another worker"

    run.others.append(Other(run, run.queue, remote))


async def serve_failing(run):
    """A worker whose activity fails."""
    from temporalio import activity
    from temporalio.exceptions import ApplicationError

    @activity.defn(name="failure.python")
    async def fails():
        raise ApplicationError("python error", non_retryable=True)

    run.others.append(Other(run, run.id + "/python", fails))


async def stop_quickly(run):
    await asyncio.sleep(1.5)  # its polls are open
    begun = time.monotonic()
    await run.worker_stop()
    if time.monotonic() - begun > 10:  # a poll lasts a minute
        raise Bad(f"the worker needed {time.monotonic() - begun:.1f} s to stop")
