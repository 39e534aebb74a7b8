#!/usr/bin/env python3
"""The contract of the interoperation tests in the official Python SDK: peer.py ADDRESS QUEUE serves until it is terminated."""
import asyncio, os, signal, sys
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError, is_cancelled_exception
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

SHORT, LONG = timedelta(seconds=30), timedelta(seconds=120)


def failure(message, type, *details):
    e = ApplicationError(message, *details, type=type, non_retryable=True)
    e.__cause__ = ApplicationError("inside", type="Inner")
    return e


@activity.defn
async def echo(v):
    return v


@activity.defn
async def boom(kind: str) -> None:
    raise failure("it broke", "Boom", {"why": kind})


@activity.defn
async def hang() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(0.1)


def describe(e):
    c = e.cause
    return {"type": c.type, "message": c.message, "details": c.details[0], "inner": c.cause.type, "inside": c.cause.message}


@workflow.defn(name="twice")
class Twice:
    @workflow.run
    async def run(self, v):
        return [v, v]


@workflow.defn(name="fails")
class Fails:
    @workflow.run
    async def run(self) -> None:
        raise failure("it failed", "Failed", {"n": 1})


@workflow.defn(name="waits")
class Waits:
    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(3600)


@workflow.defn(name="calls")
class Calls:
    @workflow.run
    async def run(self, queue: str, v) -> dict:
        return {"activity": await workflow.execute_activity("echo", v, task_queue=queue, start_to_close_timeout=SHORT),
                "child": await workflow.execute_child_workflow("twice", v, task_queue=queue)}


@workflow.defn(name="catches")
class Catches:
    @workflow.run
    async def run(self, queue: str) -> dict:
        got = {}
        try:
            await workflow.execute_activity("boom", "asked", task_queue=queue, start_to_close_timeout=SHORT)
        except ActivityError as e:
            got["activity"] = describe(e)
        try:
            await workflow.execute_child_workflow("fails", task_queue=queue)
        except ChildWorkflowError as e:
            got["child"] = describe(e)
        return got


@workflow.defn(name="stops")
class Stops:
    @workflow.run
    async def run(self, queue: str) -> dict:
        child = asyncio.ensure_future(workflow.execute_child_workflow(
            "waits", task_queue=queue, cancellation_type=workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED))
        running = workflow.start_activity("hang", task_queue=queue, start_to_close_timeout=LONG, heartbeat_timeout=timedelta(seconds=20),
                                          cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED)
        await workflow.sleep(1.5)
        child.cancel()
        running.cancel()
        got = {}
        for name, what in (("child", child), ("activity", running)):
            try:
                await what
            except BaseException as e:
                got[name] = is_cancelled_exception(e)
        return got


async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await Client.connect(sys.argv[1])
    async with Worker(client, task_queue=sys.argv[2], activities=[echo, boom, hang], workflow_runner=UnsandboxedWorkflowRunner(),
                      workflows=[Twice, Fails, Waits, Calls, Catches, Stops], graceful_shutdown_timeout=timedelta(seconds=1)):
        print("ready", flush=True)
        await stop.wait()


asyncio.run(main())
sys.stdout.flush()
os._exit(0)  # threads of the SDK may outlive the interpreter and abort it
