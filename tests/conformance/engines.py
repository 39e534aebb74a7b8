"""Where a case runs: the embedded engine, asked through the command `moonloop`, and a Temporal server, asked by the official client.
Both have the same verbs; a step's outcome is a value, or Refused."""
import asyncio, json, os, re, signal, subprocess, sys, uuid

from case import Bad, bare, history, plain

SUPPORT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support")
sys.path.append(SUPPORT)
LIMIT = int(os.environ.get("CONFORMANCE_LIMIT", 60))


class Refused(Exception):
    """The answer was an error: its text."""


async def command(*args, limit=LIMIT, env=None):
    """(code, output, errors) of a program."""
    p = await asyncio.create_subprocess_exec(*args, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=env)
    try:
        out, err = await asyncio.wait_for(p.communicate(), limit)
    except asyncio.TimeoutError:
        p.kill()
        await p.wait()
        raise Bad(f"no answer in {limit} s: {' '.join(args)}")
    return p.returncode, out.decode(), err.decode()


class Process:
    """A program that runs on: its lines of standard error, and its output at the end."""

    def __init__(self, *args, env=None):
        self.args, self.env, self.log = args, env, []

    async def start(self, ready=None):
        self.p = await asyncio.create_subprocess_exec(*self.args, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                                                      env=self.env, limit=1 << 24)
        self.ready = asyncio.Event()
        self.reader = asyncio.create_task(self.read(ready))
        self.output = asyncio.create_task(self.p.stdout.read())
        if ready:
            await asyncio.wait_for(self.ready.wait(), LIMIT)
            if self.p.returncode is not None or self.p.stderr.at_eof():
                raise Bad("the worker does not start:\n" + "\n".join(self.log))
        return self

    async def read(self, ready):
        while line := await self.p.stderr.readline():
            self.log.append(line.decode(errors="replace").rstrip())
            if ready and ready in self.log[-1]:
                self.ready.set()
        self.ready.set()

    async def end(self, sig=None, limit=LIMIT):
        if sig and self.p.returncode is None:
            self.p.send_signal(sig)
        try:
            await asyncio.wait_for(self.p.wait(), limit)
        except asyncio.TimeoutError:
            self.p.kill()
            await self.p.wait()
            raise Bad("it does not end:\n" + "\n".join(self.log[-20:]))
        await self.reader
        return self.p.returncode, (await self.output).decode()


class Helper:
    """A program of tests/support that says one line and serves until its input closes."""

    def __init__(self, *args):
        self.p = subprocess.Popen([sys.executable, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.line = self.p.stdout.readline().strip()

    async def end(self, *_):
        self.p.communicate()


class Script:
    """The script of a run: the case's, or a copy that `mend` takes the lines out of that end with `-- broken`."""

    def choose_script(self):
        text = open(self.case.path, encoding="utf-8").read()
        self.script, self.base = self.case.path, None
        self.folder = os.path.join(self.engine.folder, self.id.replace("/", "_"))  # for the script's own files
        os.mkdir(self.folder)
        self.input = self.case.input.replace("$FOLDER", self.folder)
        if "-- broken\n" in text:
            self.script = os.path.join(self.engine.folder, self.id.replace("/", "_") + ".lua")
            self.write(text)

    def write(self, text):
        with open(self.script, "w", encoding="utf-8") as f:
            f.write(text)

    def mend(self):
        text = open(self.script, encoding="utf-8").read()
        self.write("".join(l for l in text.splitlines(True) if not l.endswith("-- broken\n")))


class Embedded:
    """One file and one owner process for each case."""
    name = "embedded"

    def __init__(self, moonloop, folder):
        self.moonloop, self.folder = moonloop, folder

    def run_of(self, case, env=None):
        return EmbeddedRun(self, case, env)


class EmbeddedRun(Script):
    def __init__(self, engine, case, env):
        self.engine, self.case, self.env = engine, case, dict(os.environ, **(env or {}))
        self.id, self.queue = case.name + "-" + uuid.uuid4().hex[:6], "default"
        self.db = os.path.join(engine.folder, self.id.replace("/", "_") + ".db")
        self.process, self.log = None, []
        self.choose_script()

    async def start(self):
        if self.case.options:
            await self.ask("start", self.script, "--workflow", self.case.name, "--id", self.id, "--input", self.input, "--options", self.case.options)
        await self.worker_start()

    async def worker_start(self, *_):
        self.process = await Process(self.engine.moonloop, "run", self.script, "--workflow", self.case.name, "--id", self.id, "--input", self.input, "--wait-all",
                                     "--db", self.db, "--json", env=self.env).start()

    async def worker_stop(self, how="SIGTERM"):
        await self.process.end(getattr(signal, how))
        self.log += self.process.log

    async def ask(self, verb, *args):
        code, out, err = await command(self.engine.moonloop, verb, *args, "--db", self.db, "--json", env=self.env)
        if code:
            raise Refused(f"{out} {err}")
        return json.loads(out) if out.strip() else None

    async def known(self):
        """Waits until the run is there: its owner may be starting."""
        for _ in range(200):
            try:
                return await self.events()
            except Refused:
                if self.process.p.returncode is not None:
                    raise Bad("\n".join(self.process.log))
                await asyncio.sleep(0.02)

    async def events(self, id=None, run=None):
        for _ in range(20):
            try:
                return (await self.ask("show", id or self.id, *(["--run", run] if run else [])))["events"]
            except Refused as e:
                if "before it answered" not in str(e):
                    raise
                last = e  # its owner has ended meanwhile: the file itself answers next time
        raise last

    async def signal(self, name, args):
        await self.ask("signal", self.id, name, *args)

    async def query(self, name, args):
        return await self.ask("query", self.id, name, *args)

    async def update(self, name, args, id=None, accepted=False):
        return await self.ask("update", self.id, name, *args, *(["--update-id", id] if id else []), *(["--accepted"] if accepted else []))

    async def cancel(self):
        await self.ask("cancel", self.id)

    async def terminate(self):
        await self.ask("terminate", self.id)

    async def reset(self, event):
        await self.ask("reset", self.id, "--event", event)

    async def newest(self):
        return (await self.ask("list", "--id-prefix", self.id))[0]["runId"]

    async def delete(self):
        await self.ask("delete", self.id)

    async def result(self):
        code, out = await self.process.end()
        self.log += self.process.log
        if code == 0:
            return json.loads(out)
        code, out, err = await command(self.engine.moonloop, "result", self.id, "--db", self.db, "--json")
        lines = [json.loads(l) for l in err.splitlines() if l.startswith('{"status"')]
        if not lines:
            return ("blocked", "\n".join(self.log[-8:]))
        failure = lines[0].get("failure", {})
        return (lines[0]["status"], failure.get("type"), failure.get("message"))

    async def close(self):
        if self.process and self.process.p.returncode is None:
            await self.process.end(signal.SIGKILL)
        if self.process:
            self.log = self.process.log


class Temporal:
    """One server, and one worker process for all cases that do not want their own."""
    name = "temporal"

    def __init__(self, moonloop, folder, address, tools):
        self.moonloop, self.folder, self.address, self.tools = moonloop, folder, address, tools
        self.queue, self.worker = "conformance-" + uuid.uuid4().hex[:8], None

    async def open(self, cases):
        from temporalio.client import Client
        self.client = await Client.connect(self.address)
        shared = [c.path for c in cases if c.worker is None]
        if shared:
            self.worker = await self.serve(shared, self.queue)

    async def serve(self, scripts, queue, *options, env=None):
        where = () if "--temporal" in options else ("--temporal", self.address)
        return await Process(self.moonloop, "worker", *scripts, *where, "--task-queue", queue, *options, env=env).start("serving task queue")

    async def close(self):
        if self.worker:
            code, _ = await self.worker.end(signal.SIGTERM)
            lost = [l for l in self.worker.log if "could not be" in l]
            if code or lost:
                raise Bad(f"the worker ended with {code}:\n" + "\n".join(lost or self.worker.log[-20:]))

    def run_of(self, case, env=None):
        return TemporalRun(self, case)


class TemporalRun(Script):
    def __init__(self, engine, case):
        self.engine, self.case, self.client, self.process = engine, case, engine.client, None
        self.id = case.name + "-" + uuid.uuid4().hex[:6]
        self.queue = engine.queue if case.worker is None else "q-" + self.id
        self.log = engine.worker.log if engine.worker else []
        self.handle = self.client.get_workflow_handle(self.id)
        self.unique, self.others, self.keys = self.id.rpartition("-")[2], [], ""
        self.choose_script()

    async def start(self):
        if "$KEYS" in (self.case.worker or ""):
            await self.encrypt()
        if self.case.worker is not None:
            await self.worker_start()
        code, out, err = await command(self.engine.moonloop, "start", "--workflow", self.case.name, "--id", self.id, "--input", self.input, "--temporal", self.engine.address,
                                       "--task-queue", self.queue, *(["--options", self.fill(self.case.options)] if self.case.options else []),
                                       *(["--codec-keys", self.keys] if self.keys else []))
        if code:
            raise Bad(f"start: {out} {err}")

    async def encrypt(self):
        """The official client with a codec of the same form, its failures encoded too."""
        import aes_codec
        from temporalio.client import Client
        self.keys = aes_codec.key_file(self.folder, "spring", "summer")
        self.client = await Client.connect(self.engine.address, data_converter=aes_codec.converter("spring", "summer"))
        self.handle = self.client.get_workflow_handle(self.id)

    async def worker_start(self, *options):
        more = await self.worker_options()
        self.process = await self.engine.serve([self.script], self.queue, *more, *options)
        self.log = self.process.log

    async def worker_options(self):
        text = self.case.worker or ""
        if "$PROXY" in text and not hasattr(self, "proxy"):
            user = re.search(r"(\S+:\S+)@\$PROXY", text)
            self.proxy = Helper(os.path.join(SUPPORT, "connect_proxy.py"), *(user.groups() if user else ["--glue"]))
            self.others.append(self.proxy)
        return self.fill(text).split()

    def fill(self, text):
        """$UNIQUE, $PROXY, $PORT (the server's) and $KEYS (a file of codec keys)."""
        proxy = f"127.0.0.1:{self.proxy.line}" if hasattr(self, "proxy") else ""
        return text.replace("$UNIQUE", self.unique).replace("$PROXY", proxy).replace("$PORT", self.engine.address.rpartition(":")[2]).replace("$KEYS", self.keys)

    async def worker_stop(self, how="SIGTERM"):
        code, _ = await self.process.end(getattr(signal, how))
        if code and how == "SIGTERM":
            raise Bad(f"the worker ended with {code}:\n" + "\n".join(self.process.log[-20:]))

    async def known(self):
        pass

    async def events(self, id=None, run=None):
        return json.loads((await self.client.get_workflow_handle(id or self.id, run_id=run).fetch_history()).to_json())["events"]

    async def refusable(self, awaitable):
        from temporalio.client import WorkflowQueryFailedError, WorkflowUpdateFailedError
        from temporalio.service import RPCError
        try:
            return await asyncio.wait_for(awaitable, LIMIT)
        except WorkflowUpdateFailedError as e:
            raise Refused(f"{getattr(e.cause, 'type', '')} {e.cause}")
        except (WorkflowQueryFailedError, RPCError) as e:
            raise Refused(str(e))

    async def signal(self, name, args):
        await self.refusable(self.handle.signal(name, args=[json.loads(a) for a in args]))

    async def query(self, name, args):
        return await self.refusable(self.handle.query(name, args=[json.loads(a) for a in args]))

    async def update(self, name, args, id=None, accepted=False):
        from temporalio.client import WorkflowUpdateStage
        args = [json.loads(a) for a in args]
        if accepted:
            await self.refusable(self.handle.start_update(name, args=args, id=id, wait_for_stage=WorkflowUpdateStage.ACCEPTED))
        else:
            return await self.refusable(self.handle.execute_update(name, args=args, id=id))

    async def cancel(self):
        await self.handle.cancel()

    async def terminate(self):
        await self.handle.terminate()

    async def reset(self, event):
        await self.tell("reset", self.id, "--event", event)

    async def newest(self):
        return (await self.handle.describe()).run_id

    async def delete(self):
        await self.tell("delete", self.id)

    async def tell(self, *args):
        """Our own command on this server."""
        code, out, err = await command(self.engine.moonloop, *args, "--temporal", self.engine.address)
        if code:
            raise Refused(f"{out} {err}")
        return out

    async def result(self):
        from temporalio.client import WorkflowFailureError
        from temporalio.exceptions import CancelledError, TerminatedError, TimeoutError as TimedOut
        try:
            return await asyncio.wait_for(self.handle.result(), LIMIT)
        except asyncio.TimeoutError:
            return ("blocked", "\n".join(self.log[-8:]))
        except WorkflowFailureError as e:
            status = {CancelledError: "Canceled", TerminatedError: "Terminated", TimedOut: "TimedOut"}.get(type(e.cause), "Failed")
            return (status, getattr(e.cause, "type", type(e.cause).__name__), getattr(e.cause, "message", str(e.cause)))

    async def close(self):
        if self.process:
            await self.process.end(signal.SIGTERM)
        for other in reversed(self.others):
            await other.end(signal.SIGTERM)
        try:
            await self.handle.terminate()
        except Exception:
            pass  # closed already, as it should be
