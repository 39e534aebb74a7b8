// The contract of the interoperation tests in the official TypeScript SDK: node worker.js ADDRESS QUEUE serves until it is terminated.
const { ApplicationFailure, Context } = require('@temporalio/activity');
const { NativeConnection, Runtime, Worker } = require('@temporalio/worker');

const activities = {
  async echo(v) {
    return v;
  },
  async boom(kind) {
    throw ApplicationFailure.create({
      message: 'it broke', type: 'Boom', nonRetryable: true, details: [{ why: kind }],
      cause: ApplicationFailure.create({ message: 'inside', type: 'Inner' }),
    });
  },
  async hang() {
    for (;;) {
      Context.current().heartbeat();
      await Context.current().sleep(100);
    }
  },
};

async function main() {
  Runtime.install({ logger: { log() {}, trace() {}, debug() {}, info() {}, warn: console.error, error: console.error } });
  const connection = await NativeConnection.connect({ address: process.argv[2] });
  const worker = await Worker.create({ connection, taskQueue: process.argv[3], workflowsPath: require.resolve('./workflows'), activities });
  console.log('ready');
  await worker.run();
  await connection.close();
}

main().then(() => process.exit(0), (e) => {
  console.error(e);
  process.exit(1);
});
