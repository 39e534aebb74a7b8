"""Steps of single cases that no other case needs: `python NAME` calls NAME(run)."""
from case import Bad
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
