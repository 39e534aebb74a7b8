"""The worker of scripts/bench --temporal with the official Python SDK: worker.py ADDRESS TASK-QUEUE. A second process of it is the
helper, which does what the measured worker shall not: activities when workflow tasks are measured, workflows when activities are."""
import asyncio, logging, signal, sys
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

TIMEOUT = timedelta(seconds=30)


@activity.defn
async def step(n: int) -> int:
    return n + 1


@workflow.defn(name="one")
class One:
    @workflow.run
    async def run(self, n: int) -> int:
        return await workflow.execute_activity(step, n, start_to_close_timeout=TIMEOUT)


@workflow.defn(name="steps")
class Steps:
    @workflow.run
    async def run(self, n: int) -> int:
        x = 0
        for _ in range(n):
            x = await workflow.execute_activity(step, x, start_to_close_timeout=TIMEOUT)
        return x


@workflow.defn(name="steps_at")
class StepsAt:
    @workflow.run
    async def run(self, n: int, queue: str) -> int:
        x = 0
        for _ in range(n):
            x = await workflow.execute_activity(step, x, task_queue=queue, start_to_close_timeout=TIMEOUT)
        return x


@workflow.defn(name="fan")
class Fan:
    """Only the helper runs it: so many rounds of so many activities at once, on the measured worker's queue."""

    @workflow.run
    async def run(self, rounds: int, width: int, queue: str) -> None:
        for _ in range(rounds):
            await asyncio.gather(*[workflow.execute_activity(step, i, task_queue=queue, start_to_close_timeout=TIMEOUT) for i in range(width)])


async def main():
    logging.basicConfig(level=logging.ERROR)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await Client.connect(sys.argv[1])
    async with Worker(client, task_queue=sys.argv[2], workflows=[One, Steps, StepsAt, Fan], activities=[step]):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
