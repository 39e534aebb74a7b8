"""scripts/bench --temporal: a moonloop worker beside workers of the official Go and Python SDKs. All three are given the same workload by
the same client on the same server, in turns, round after round; each is as its makers deliver it (slots, polls, cache). One JSON line
a figure: {"figure", "value", "unit", "go", "python"}; null: that worker could not be had, standard error says why.

T1_cpu_per_1000_tasks       CPU seconds of the worker per 1,000 workflow tasks: runs of sequential activities that another process does
T2_cpu_per_1000_activities  CPU seconds of the worker per 1,000 activities: they belong to runs whose tasks another process does
T3_throughput               workflows/s of one activity each, with 100 in flight
T4_latency_p50              ms from start to result of such a workflow, alone
T5_rss                      MB resident in the worker three seconds after all of that
"""
import argparse, asyncio, importlib.machinery, importlib.util, json, os, re, shutil, signal, statistics, subprocess, sys, tempfile, time

from temporalio.client import Client

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
HELPER = "bench-helper"
IN_FLIGHT, REST_S = 100, 3
# The development server's own limits are 20 steps/s otherwise.
SERVER = ["--sqlite-pragma", "journal_mode=wal"] + [w for name in ("transfer", "timer", "visibility")
                                                    for w in ("--dynamic-config-value", f"history.{name}ProcessorMaxPollRPS=5000")]


def note(text):
    print(text, file=sys.stderr, flush=True)


def server_module():
    loader = importlib.machinery.SourceFileLoader("temporal_server", os.path.join(ROOT, "tests", "support", "temporal_server"))
    found = importlib.util.module_from_spec(importlib.util.spec_from_loader("temporal_server", loader))
    loader.exec_module(found)
    return found


def go_worker():
    """The path of the Go worker, built; None, and a note why, when there is no Go that can build it."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    out = os.path.join(ROOT, "build", "bench-go-worker")
    if not go:
        note("no `go` in PATH: the figures of the Go SDK are null. Install Go 1.26 (https://go.dev/dl) to have them")
        return None
    note("building the Go worker (minutes, the first time)")
    built = subprocess.run([go, "build", "-o", out, "."], cwd=os.path.join(HERE, "go"), capture_output=True, text=True,
                           env=dict(os.environ, GOFLAGS="-buildvcs=false"))
    if built.returncode:
        note(f"{go} cannot build the Go worker, so its figures are null:\n{built.stderr[-1500:]}")
        return None
    return out


class Worker:
    def __init__(self, name, command, address, die_with_parent):
        self.name, self.queue = name, f"bench-{name}"
        env = {k: v for k, v in os.environ.items() if not k.startswith("TEMPORAL_")}
        self.process = subprocess.Popen([w.format(address=address, queue=self.queue) for w in command], stdin=subprocess.DEVNULL,
                                        stdout=sys.stderr, preexec_fn=die_with_parent, env=env)
        self.cpu_s, self.tasks, self.activity_cpu_s, self.activities, self.rates, self.latencies = 0.0, 0, 0.0, 0, [], []

    def cpu(self):
        """Seconds of all its threads, in the kernel too."""
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) / 1024

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Load:
    def __init__(self, client):
        self.client, self.started = client, 0

    async def one(self, workflow, args, queue, expected):
        self.started += 1
        id = f"{queue}-{workflow}-{self.started}"
        result = await self.client.execute_workflow(workflow, args=args, id=id, task_queue=queue)
        if result != expected:
            sys.exit(f"{id} answered {result!r} instead of {expected!r}")
        return id

    async def many(self, n, at_once, *run):
        left = [n]

        async def runner():
            while left[0]:
                left[0] -= 1
                await self.one(*run)

        await asyncio.gather(*[runner() for _ in range(at_once)])

    async def events(self, id):
        return [e.event_type async for e in self.client.get_workflow_handle(id).fetch_history_events()]


async def check(load, workers):
    """Warms up each worker; what they record must be the same, else they do not do the same work."""
    seen = {}
    for w in workers:
        try:
            ids = [await asyncio.wait_for(load.one(*run), 60) for run in (("steps", [5], w.queue, 5), ("one", [1], w.queue, 2),
                                                                       ("steps_at", [5, HELPER], w.queue, 5), ("fan", [2, 5, w.queue], HELPER, None))]
        except asyncio.TimeoutError:
            sys.exit(f"the {w.name} worker does no work" + ("; it has ended" if w.process.poll() is not None else ""))
        seen[w.name] = [await load.events(id) for id in ids[:3]]
        if seen[w.name] != seen[workers[0].name]:
            sys.exit(f"the histories of {w.name} and {workers[0].name} differ: {seen[w.name]} {seen[workers[0].name]}")


async def tasks(load, w, runs, steps):
    before = w.cpu()
    await load.many(runs, 10, "steps_at", [steps, HELPER], w.queue, steps)
    w.cpu_s += w.cpu() - before
    w.tasks += runs * (steps + 1)


async def activities(load, w, runs, rounds, width):
    before = w.cpu()
    await load.many(runs, 5, "fan", [rounds, width, w.queue], HELPER, None)
    w.activity_cpu_s += w.cpu() - before
    w.activities += runs * rounds * width


async def throughput(load, w, n):
    start = time.perf_counter()
    await load.many(n, IN_FLIGHT, "one", [1], w.queue, 2)
    w.rates.append(n / (time.perf_counter() - start))


async def latency(load, w, n):
    for _ in range(n):
        start = time.perf_counter()
        await load.one("one", [1], w.queue, 2)
        w.latencies.append((time.perf_counter() - start) * 1e3)


async def measure(address, workers, quick):
    load = Load(await Client.connect(address))
    await check(load, workers)
    rounds, runs = (2, 10) if quick else (5, 20)
    for i in range(rounds):
        for measured in ((tasks, runs, 49), (activities, 5, runs // 2, 20), (throughput, runs * 15), (latency, runs)):
            for w in workers if i % 2 == 0 else workers[::-1]:
                await measured[0](load, w, *measured[1:])
        note(f"round {i + 1} of {rounds} done")
    await asyncio.sleep(REST_S)


def figures(workers):
    def say(figure, unit, of):
        values = {w.name: round(of(w), 3) for w in workers}
        print(json.dumps({"figure": figure, "value": values["moonloop"], "unit": unit, "go": values.get("go"), "python": values.get("python")}), flush=True)

    say("T1_cpu_per_1000_tasks", "s", lambda w: w.cpu_s / w.tasks * 1000)
    say("T2_cpu_per_1000_activities", "s", lambda w: w.activity_cpu_s / w.activities * 1000)
    say("T3_throughput", "workflows/s", lambda w: statistics.median(w.rates))
    say("T4_latency_p50", "ms", lambda w: statistics.median(w.latencies))
    say("T5_rss", "MB", Worker.rss)


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench --temporal", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller runs, for a look")
    args = parser.parse_args()
    moonloop = os.path.join(ROOT, "build", "moonloop")
    if not os.path.exists(moonloop):
        sys.exit("build/moonloop is missing: run scripts/build")
    python = [sys.executable, os.path.join(HERE, "worker.py"), "{address}", "{queue}"]
    commands = {"moonloop": [moonloop, "worker", os.path.join(HERE, "worker.lua"), "--temporal", "{address}", "--task-queue", "{queue}", "--quiet"]}
    go = go_worker()
    if go:
        commands["go"] = [go, "{address}", "{queue}"]
    commands["python"] = python
    lib = server_module()
    folder = tempfile.mkdtemp(prefix="moonloop-bench-", dir=os.path.join(ROOT, "build"))
    server, started = None, []
    try:
        with open(os.path.join(folder, "server.log"), "w") as log:
            server, address = lib.launch(SERVER + ["--db-filename", os.path.join(folder, "server.db")], log)
        started.append(Worker("helper", python, address, lib.die_with_parent))
        workers = [Worker(name, command, address, lib.die_with_parent) for name, command in commands.items()]
        started += workers
        asyncio.run(measure(address, workers, args.quick))
        figures(workers)
    finally:
        for w in started:
            w.end()
        if server:
            lib.quit_server(server)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
