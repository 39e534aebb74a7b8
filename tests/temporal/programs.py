#!/usr/bin/env python3
"""Random workflow programs (tests/replay/random_program.h) on a Temporal server: every run ends, no workflow task fails, and each history
that came of it replays equal.

  programs.py MOONLOOP GENERATOR [--programs 500] [--seed N] [--first N] [--cache 0|1|1000] [--at-once 8]
              [--restarts N] [--goaway] [--kills N]

Each program has a worker and a task queue of its own; its messages come from other processes. --cache: runs that a worker keeps (0: none, each task
is done from the whole history). --restarts: so often the server is stopped and started on its file; --goaway: it closes
connections after three seconds; --kills: so many workers are ended with SIGKILL in the midst and started again (then tasks may time out, none may fail).

A server on a busy machine loses tasks itself: it gives one to a poll only if it has written within a second that the task is begun, and where that came
later the task runs into its time-out without anyone having had it. The server counts those; as many tasks may time out, and are told.

Exit code 0 when all of it holds. A failure prints the seed, the program and the command that does it again.
"""
import argparse, importlib.machinery, importlib.util, json, os, random, re, shutil, signal, subprocess, sys, tempfile, threading, time, urllib.request
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UNIT, LIMIT_S = 0.05, 180  # seconds that a program's unit of time takes; a hang, not a slow machine
ATTRIBUTES = ["--search-attribute", "MoonGrade=Int", "--search-attribute", "MoonLabel=Keyword"]
BAD = {"EVENT_TYPE_WORKFLOW_TASK_FAILED", "EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT"}


def module(path):
    loader = importlib.machinery.SourceFileLoader("temporal_server", path)
    found = importlib.util.module_from_spec(importlib.util.spec_from_loader("temporal_server", loader))
    loader.exec_module(found)
    return found


class Server:
    """A development server on a file, so that it can be stopped and started again at the same address."""

    def __init__(self, folder, options):
        self.lib = module(os.path.join(ROOT, "tests", "support", "temporal_server"))
        self.options = options + ATTRIBUTES + ["--db-filename", os.path.join(folder, "server.db"), "--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=off"]
        self.log = open(os.path.join(folder, "server.log"), "w")
        self.process, self.address = self.lib.launch(self.options, self.log)
        self.restarts = 0

    def restart(self):
        self.lib.quit_server(self.process)
        self.process, self.address = self.lib.launch(self.options, self.log, int(self.address.split(":")[1]))
        self.restarts += 1

    def lost(self):
        """Workflow tasks that it marked as begun too late to give them to anyone, by its own count since it was started."""
        self.log.flush()
        with open(self.log.name, encoding="utf-8") as f:
            where = re.findall(r"http://\S+/metrics", f.read())[-1]
        text = urllib.request.urlopen(where, timeout=30).read().decode()
        return sum(int(n) for labels, n in re.findall(r"^client_errors\{(.*)\} (\d+)$", text, re.M)
                   if '"HistoryClientRecordWorkflowTaskStarted"' in labels and 'DeadlineExceeded"' in labels)

    def stop(self):
        self.lib.quit_server(self.process)
        self.log.close()


class Program:
    def __init__(self, args, folder, address, number, kill):
        self.args, self.folder, self.address, self.number, self.kill = args, folder, address, number, kill
        self.script = os.path.join(folder, f"program-{number}.lua")
        with open(os.path.join(folder, f"program-{number}.json"), encoding="utf-8") as f:
            self.plan = json.load(f)
        self.id = f"p{args.seed}-{number}"
        self.where = ["--temporal", address, "--task-queue", self.id]
        self.env = dict({k: v for k, v in os.environ.items() if not k.startswith("TEMPORAL_")}, HOME=folder)
        if args.cache == 0:
            self.env["ML_EVICT_ALWAYS"] = "1"
        else:
            self.env["ML_CACHE_RUNS"] = str(args.cache)

    def call(self, *words, tries=1):
        """The command; where the server may be away for a while, again until it gives an answer."""
        for _ in range(tries):
            try:
                done = subprocess.run([self.args.moonloop, *words, *self.where, "--quiet"], capture_output=True, text=True, timeout=LIMIT_S, env=self.env)
            except subprocess.TimeoutExpired:
                return None
            if done.returncode in (0, 1, 4, 5):
                return done
            time.sleep(0.5)
        return done

    def worker(self):
        return subprocess.Popen([self.args.moonloop, "worker", self.script, *self.where, "--quiet"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=open(os.path.join(self.folder, f"worker-{self.number}.log"), "a"), env=self.env)

    def send(self, m):
        if m["kind"] == "cancel":
            return self.call("cancel", self.id)
        extra = ["--update-id", m["id"], "--accepted"] if m["kind"] == "update" else []
        return self.call(m["kind"], self.id, m["name"], *[json.dumps(a) for a in m["args"]], *extra)

    def run(self):
        worker, self.sent, self.killed, self.lost = self.worker(), 0, 0, 0
        try:
            tries = 60 if self.args.restarts else 1
            started = self.call("start", self.script, "--workflow", self.plan["workflow"], "--id", self.id, "--input", json.dumps(self.plan["input"]), tries=tries)
            if started is None or started.returncode:
                return self.bad(f"does not start: {started and started.stderr}")
            ended = []
            waits = threading.Thread(target=lambda: ended.append(self.call("result", self.id, "--wait", tries=tries)))
            waits.start()
            chance = random.Random(self.number)
            for m in self.plan["messages"]:
                time.sleep(m["after"] * UNIT)
                if ended:
                    break
                done = self.send(m)  # refused when the run has ended, or the update is rejected
                self.sent += done is not None and done.returncode == 0
                if self.kill and not self.killed and chance.random() < 0.5:
                    worker = self.again(worker)
            if self.kill and not self.killed and not ended:
                time.sleep(chance.random() * 0.3)
                worker = self.again(worker)
            while waits.is_alive():
                waits.join(0.5)
                if self.args.restarts and worker.poll() is not None:  # the server was away when it came: it says so and ends, as it should
                    worker = self.worker()
            if ended[0] is None:
                shown = self.call("show", self.id)
                return self.bad(f"does not end: {shown and shown.stdout[-3000:]}")
            if ended[0].returncode not in (0, 1, 4):  # completed, failed, cancelled
                return self.bad(f"ended with exit code {ended[0].returncode}: {ended[0].stderr}")
            return self.histories()
        finally:
            worker.send_signal(signal.SIGTERM)
            try:
                worker.wait(30)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    def again(self, worker):
        worker.kill()
        worker.wait()
        self.killed = 1
        return self.worker()

    def histories(self):
        """Of the run and its children, read from the server; those of other task queues have no history to speak of."""
        tries, runs = 60 if self.args.restarts else 1, []
        for _ in range(40):  # what can be listed lags behind
            listed = self.call("list", "--json", "--query", f"RootWorkflowId = '{self.id}'", "--limit", "1000", tries=tries)
            found = json.loads(listed.stdout) if listed is not None and listed.returncode == 0 and listed.stdout.strip() else []
            if found and len(found) == len(runs):
                break
            runs = found
            time.sleep(0.3)
        if not any(r["workflowId"] == self.id for r in runs):
            return self.bad("is not listed")
        events = 0
        for i, r in enumerate(runs):
            shown = self.call("show", r["workflowId"], "--run", r["runId"], "--json", tries=tries)
            if shown is None or shown.returncode:
                return self.bad(f"cannot be shown: {shown and shown.stderr}")
            path = os.path.join(self.folder, f"{self.number}-{i}.json")
            with open(path, "w", encoding="utf-8") as f:
                f.write(shown.stdout)
            history = json.loads(shown.stdout)["events"]
            wrong = [e for e in history if e["eventType"] in BAD and not self.forgiven(e)]
            if wrong:
                return self.bad(f"{path}: {json.dumps(wrong[0])[:1500]}")
            said = subprocess.run([self.args.moonloop, "replay", path, self.script], capture_output=True, text=True, timeout=LIMIT_S)
            if said.returncode != 0 or "other arguments" in said.stdout + said.stderr:
                return self.bad(f"{path}: {said.stdout}{said.stderr}")
            events += len(history)
        return {"runs": len(runs), "events": events, "sent": self.sent, "killed": self.killed, "lost": self.lost, "number": self.number}

    def forgiven(self, event):
        """A task's loss with its worker or its server; never a task that failed, nor one that waited for a worker."""
        if event.get("workflowTaskTimedOutEventAttributes", {}).get("timeoutType") == "TIMEOUT_TYPE_START_TO_CLOSE" and not self.killed and not self.args.restarts:
            self.lost += 1
            return True
        return event["eventType"].endswith("TIMED_OUT") and (self.killed or self.args.restarts > 0) or \
            event.get("workflowTaskFailedEventAttributes", {}).get("cause") in ("WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND", "WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND",
                                                                               "WORKFLOW_TASK_FAILED_CAUSE_RESET_STICKY_TASK_QUEUE")

    def bad(self, why):
        return f"program {self.number}: {why}"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("moonloop")
    p.add_argument("generator")
    p.add_argument("--programs", type=int, default=500)
    p.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    p.add_argument("--first", type=int, default=1)
    p.add_argument("--cache", type=int, default=1000)
    p.add_argument("--at-once", type=int, default=8)
    p.add_argument("--restarts", type=int, default=0)
    p.add_argument("--goaway", action="store_true")
    p.add_argument("--kills", type=int, default=0)
    args = p.parse_args()
    folder = tempfile.mkdtemp(prefix="moonloop-programs-")
    print(f"seed {args.seed}", flush=True)
    subprocess.run([args.generator, "--seed", str(args.seed), "--program", str(args.first), "--programs", str(args.programs),
                    "--unit", str(UNIT), "--out", folder], check=True)
    options = ["--dynamic-config-value", 'frontend.keepAliveMaxConnectionAge="3s"'] if args.goaway else []
    server = Server(folder, options)
    numbers = range(args.first, args.first + args.programs)
    killed = set(random.Random(args.seed).sample(numbers, min(args.kills, args.programs)))
    failed, done, at = [], [], time.monotonic()

    def one(number):
        said = Program(args, folder, server.address, number, number in killed).run() if len(failed) < 5 else "left out"
        (failed if isinstance(said, str) else done).append(said)
        if sys.stderr.isatty():
            print(f"\r{len(done)} of {args.programs}, {len(failed)} failed ", end="", file=sys.stderr)

    try:
        with ThreadPoolExecutor(args.at_once) as pool:
            jobs = [pool.submit(one, n) for n in numbers]
            for i in range(args.restarts):  # when this part of the programs is through
                while len(done) + len(failed) < args.programs * (i + 1) // (args.restarts + 1):
                    time.sleep(0.05)
                server.restart()
            for job in jobs:
                job.result()
            lost, counted = sum(d["lost"] for d in done), server.lost()
            if lost > counted:
                failed.append(f"{lost} workflow tasks timed out, of which the server lost {counted}: {[d['number'] for d in done if d['lost']]}")
    finally:
        server.stop()
    if failed:
        print("\n".join(failed[:5]) + f"\nthe files are in {folder}; again: tests/temporal/programs.py MOONLOOP GENERATOR --seed {args.seed}"
              f" --first {args.first} --programs {args.programs} --cache {args.cache} --kills {args.kills} --restarts {args.restarts}"
              + " --goaway" * args.goaway)
        sys.exit(1)
    shutil.rmtree(folder)
    print(f"{args.programs} programs on the server in {time.monotonic() - at:.0f} s, {args.cache} runs kept: {sum(d['runs'] for d in done)} histories with"
          f" {sum(d['events'] for d in done)} events replayed, {sum(d['sent'] for d in done)} messages taken, {sum(d['killed'] for d in done)} workers"
          f" killed, the server restarted {server.restarts} times" + ", connections of three seconds" * args.goaway
          + f", {lost} tasks lost by the server" * (lost > 0))


if __name__ == "__main__":
    main()
