"""Workflows and activities of the official Python SDK: the other side of the tests in this folder."""
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RetryPolicy, VersioningBehavior
from temporalio.exceptions import ApplicationError


@workflow.defn(name="counter")
class Counter:
    """Counts; ends when told to, with what it counted."""

    @workflow.init
    def __init__(self, start: int = 0):
        self.n, self.log, self.done, self.gate = start, [], False, False

    @workflow.run
    async def run(self, start: int = 0) -> dict:
        await workflow.wait_condition(lambda: self.done)
        return {"n": self.n, "log": self.log}

    @workflow.signal
    def add(self, k: int = 1, note: str = ""):
        self.n += k
        if note:
            self.log.append(note)

    @workflow.signal
    def finish(self):
        self.done = True

    @workflow.signal
    def open(self):
        self.gate = True

    @workflow.query
    def value(self, plus: int = 0) -> int:
        return self.n + plus

    @workflow.query
    def broken(self) -> int:
        raise ApplicationError("this query is broken", type="Broken")

    @workflow.update
    async def bump(self, k: int) -> int:
        self.n += k
        return self.n

    @bump.validator
    def check_bump(self, k: int):
        if k < 0:
            raise ApplicationError("no negative bumps", type="Negative")

    @workflow.update
    async def slow(self) -> str:
        await workflow.wait_condition(lambda: self.gate)
        return "opened"

    @workflow.update
    async def bad(self) -> str:
        raise ApplicationError("the update fails", type="Bad")


@workflow.defn(name="chain")
class Chain:
    @workflow.run
    async def run(self, left: int) -> str:
        if left > 0:
            workflow.continue_as_new(left - 1)
        return "end of the chain"


@workflow.defn(name="fails")
class Fails:
    @workflow.run
    async def run(self, message: str) -> None:
        raise ApplicationError(message, {"why": 1}, type="Wanted", non_retryable=workflow.info().attempt > 1)


@workflow.defn(name="sleeper")
class Sleeper:
    @workflow.run
    async def run(self, tell: str = "") -> str:
        await workflow.sleep(3600)
        return tell


@activity.defn(name="outside")
async def outside() -> str:
    tokens[activity.info().workflow_id] = activity.info().task_token
    activity.raise_complete_async()


tokens = {}


@workflow.defn(name="waits_outside")
class WaitsOutside:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_activity(outside, activity_id="the-one", start_to_close_timeout=timedelta(seconds=300),
                                               heartbeat_timeout=timedelta(seconds=120),
                                               cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                                               retry_policy=RetryPolicy(maximum_attempts=1))


@workflow.defn(name="pinned", versioning_behavior=VersioningBehavior.PINNED)
class Pinned:
    @workflow.run
    async def run(self) -> str:
        return "pinned"
