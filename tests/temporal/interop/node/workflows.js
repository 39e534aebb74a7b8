// The contract of the interoperation tests in the official TypeScript SDK: its workflows.
const wf = require('@temporalio/workflow');

const short = '30s';
const inner = () => wf.ApplicationFailure.create({ message: 'inside', type: 'Inner' });

function describe(e) {
  const c = e.cause;
  return { type: c.type, message: c.message, details: c.details[0], inner: c.cause.type, inside: c.cause.message };
}

exports.twice = async (v) => [v, v];

exports.fails = async () => {
  throw wf.ApplicationFailure.create({ message: 'it failed', type: 'Failed', nonRetryable: true, details: [{ n: 1 }], cause: inner() });
};

exports.waits = async () => {
  await wf.sleep('1h');
};

exports.calls = async (queue, v) => {
  const { echo } = wf.proxyActivities({ taskQueue: queue, startToCloseTimeout: short });
  return { activity: (await echo(v)) ?? null, child: await wf.executeChild('twice', { taskQueue: queue, args: [v] }) };
};

exports.catches = async (queue) => {
  const { boom } = wf.proxyActivities({ taskQueue: queue, startToCloseTimeout: short });
  const got = {};
  try {
    await boom('asked');
  } catch (e) {
    got.activity = describe(e);
  }
  try {
    await wf.executeChild('fails', { taskQueue: queue });
  } catch (e) {
    got.child = describe(e);
  }
  return got;
};

exports.stops = async (queue) => {
  const { hang } = wf.proxyActivities({
    taskQueue: queue, startToCloseTimeout: '2m', heartbeatTimeout: '20s',
    cancellationType: wf.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  });
  const scope = new wf.CancellationScope();
  const ended = (promise) => promise.then(() => false, (e) => wf.isCancellation(e));
  const both = scope.run(async () => {
    const child = ended(wf.executeChild('waits', {
      taskQueue: queue, cancellationType: wf.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
    }));
    const activity = ended(hang());
    return { child: await child, activity: await activity };
  });
  await wf.sleep('1500ms');
  scope.cancel();
  return await both;
};
