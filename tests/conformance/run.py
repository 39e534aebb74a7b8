#!/usr/bin/env python3
"""The conformance suite: each case on a real Temporal server and on the embedded engine, with the same expectation.

  run.py MOONLOOP temporal|embedded [--readme] [--noop] [-v] [CASE...]

temporal  MOONLOOP_TEMPORAL names the file with the server's address; without it a server is started for this run.
--readme  writes the table of cases in README.md (give both engines: temporal,embedded).
--noop    the cases again, with each API name that a case needs made to do nothing: the case must fail then (embedded only).
The form of a case: README.md.
"""
import asyncio, json, os, re, shlex, subprocess, sys, tempfile, time

import case as cases_
from case import Bad, Case, altered, compare, history
from engines import Embedded, Refused, Temporal
import special

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
AT_ONCE = 6
LEFT_OUT = {  # cases of temporalio/features that have no script here: weight, why
    "data_converter/binary_protobuf": ("C", "Lua has no protobuf messages"),
    "data_converter/json_protobuf": ("C", "Lua has no protobuf messages"),
    "deployment_versioning/routing_with_ramp": ("C", "ramps are set with Temporal's own tools; `tests/temporal/deployment_test.py` has one between a worker of ours and a Python one"),
    "nexus/sync_success": ("C", "Nexus is not there yet"),
    "query/unexpected_return_type": ("C", "Lua has no types that a client could decode into"),
    "telemetry/metrics": ("C", "workers have no metrics yet"),
    "tracing/tracing": ("C", "workers have no spans yet"),
    "update/client_interceptor": ("C", "clients have no interceptors"),
}


def words(step):
    """name, JSON arguments, what must come out (text or None) of a step's text."""
    said, arrow, wanted = step.partition(" -> ")
    verb, _, said = said.strip().partition(" ")
    name, _, said = said.strip().partition(" ")
    args, said = [], said.strip()
    while said:
        _, end = json.JSONDecoder().raw_decode(said)
        args.append(said[:end])
        said = said[end:].strip()
    return verb, name, args, wanted.strip() if arrow else None


class Script:
    """The steps of a case on a run."""

    def __init__(self, run):
        self.run, self.later = run, {}

    async def step(self, text):
        if text.startswith("python "):
            return await getattr(special, text.split()[1])(self.run)
        verb, name, args, wanted = words(text)
        args = [a.replace("$ID", self.run.id) for a in args]
        await getattr(self, "do_" + verb.replace("-", "_"))(name, args, wanted)

    async def outcome(self, awaitable, wanted):
        try:
            got = await awaitable
        except Refused as e:
            if wanted is None or not wanted.startswith("error"):
                raise Bad(f"refused: {e}")
            text = json.loads(wanted[5:].strip())
            if text not in str(e):
                raise Bad(f"refused with: {e}")
            return
        if wanted is not None and (wanted.startswith("error") or got != json.loads(wanted)):
            raise Bad(f"got {json.dumps(got)}")

    async def do_signal(self, name, args, wanted):
        await self.outcome(self.run.signal(name, args), wanted)

    async def do_query(self, name, args, wanted):
        await self.outcome(self.run.query(name, args), wanted)

    async def do_until(self, name, args, wanted):
        """A query, again and again until its answer is this."""
        for _ in range(300):
            try:
                got = await self.run.query(name, args)
            except Refused as e:
                got = str(e)
            if got == json.loads(wanted):
                return
            await asyncio.sleep(0.05)
        raise Bad(f"the answer stays {json.dumps(got)}")

    async def do_update(self, name, args, wanted):
        name, _, id = name.partition("#")
        id = f"{self.run.id}-{id}" if id else None
        if wanted == "accepted":
            await self.run.update(name, args, id, True)
        elif wanted and wanted.startswith("later "):
            task = self.later[wanted[6:]] = asyncio.create_task(self.run.update(name, args, id))
            task.add_done_callback(lambda t: t.cancelled() or t.exception())  # asked for or not
            await asyncio.sleep(0.05)
        else:
            await self.outcome(self.run.update(name, args, id), wanted)

    async def do_answer(self, key, args, wanted):
        """Of an update that was to be answered later."""
        await self.outcome(self.later.pop(key), wanted)

    async def do_cancel(self, *_):
        await self.run.cancel()

    async def do_terminate(self, *_):
        await self.run.terminate()

    async def do_reset(self, event, *_):
        await self.run.reset(event)

    async def do_drop(self, key, *_):
        """Of an update that was to be answered later: nobody waits for it any more."""
        self.later.pop(key)

    async def do_look(self, *_):
        """What `events look:` is about."""
        self.run.looked = history(await self.run.events())

    async def do_delete(self, *_):
        """The newest run of the id; then its history is gone."""
        run_id = await self.run.newest()
        self.run.base = self.run.looked[0][1]["firstExecutionRunId"]
        await self.run.delete()
        for _ in range(200):
            try:
                await self.run.events(run=run_id)
            except Exception:
                return
            await asyncio.sleep(0.05)
        raise Bad("the run is still there")

    async def do_mend(self, *_):
        self.run.mend()

    async def do_sleep(self, seconds, *_):
        await asyncio.sleep(float(seconds))

    async def do_wait(self, kind, args, wanted):
        """Until the history has this kind of event, so many times; `/child:EVENT` of another run."""
        which, _, kind = kind.rpartition(":")
        for _ in range(600):
            try:
                found = history(await self.run.events(id=self.run.id + which))
            except Refused:
                found = []  # its owner has just ended
            except Exception:
                if not which:
                    raise
                found = []  # not there yet
            if sum(k == kind for k, _ in found) >= int((args or ["1"])[0]):
                return
            await asyncio.sleep(0.05)
        raise Bad(f"no {kind}: {[k for k, _ in found]}")

    async def do_worker(self, what, *_):
        if what in ("start", "restart", "again"):
            if what == "restart":
                await self.run.worker_stop()
            await self.run.worker_start()
        else:
            await self.run.worker_stop("SIGKILL" if what == "kill" else "SIGTERM")


def check_result(got, wanted, run):
    """`wanted` is JSON, or failed|canceled|terminated|timedout|blocked [TYPE] ["part of the message"]."""
    m = re.match(r"(failed|canceled|terminated|timedout|blocked)\b\s*(\w*)\s*(\".*\")?$", wanted)
    if not m:
        wanted = json.loads(wanted.replace("$ID", run.id))
        if isinstance(got, tuple) or got != wanted:
            raise Bad(f"result: {got if isinstance(got, tuple) else json.dumps(got)}")
    elif not isinstance(got, tuple) or got[0].lower() != m.group(1):
        raise Bad(f"result: {got}")
    elif m.group(2) and got[1] != m.group(2) or m.group(3) and json.loads(m.group(3)) not in got[2]:
        raise Bad(f"result: {got}")


async def chain(run):
    """The histories of the run and of those that went on in its place, oldest first."""
    found, last = [], history(await run.events())
    first = last[0][1].get("firstExecutionRunId")
    events = history(await run.events(run=first))
    while True:
        found.append(events)
        following = next((a.get("newExecutionRunId") for k, a in events[-1:] if a.get("newExecutionRunId")), None)
        if not following:
            return found
        events = history(await run.events(run=following))


async def look(case, run):
    """The histories that the case speaks of against what it expects; how many altered expectations were tried."""
    names, tried = {"id": run.id, "queue": run.queue}, 0
    for which, expected in case.events.items():
        if which == "look":
            found = run.looked
        elif which.startswith("@"):
            whole = await chain(run)
            found = whole[int(which[1:]) - 1] if int(which[1:]) <= len(whole) else []
        elif which:
            found = history(await run.events(id=run.id + which))
        else:
            found = (await chain(run))[0] if "@2" in case.events else history(await run.events(run=run.base))
        wrong = compare(found, expected, names)
        if wrong:
            raise Bad(f"events {which or 'of the run'}: {wrong}")
        for what, other in altered(expected):
            tried += 1
            if compare(found, other, names) is None:
                raise Bad(f"the expectation {what} holds as well")
    return tried


async def one(engine, case, env=None):
    """Runs a case: how many altered expectations it noticed. Raises Bad."""
    run = engine.run_of(case, env)
    try:
        await run.start()
        await run.known()
        script = Script(run)
        for text in case.steps:
            try:
                await script.step(text)
            except Bad as e:
                raise Bad(f"step `{text}`: {e}")
        if case.result is not None:
            check_result(await run.result(), case.result, run)
        return await look(case, run)
    except Bad as e:
        try:
            so_far = " ".join(k for k, _ in history(await run.events()))
        except Exception as unknown:
            so_far = str(unknown)
        raise Bad(f"{e}\n    log: " + "\n    ".join(run.log[-6:]) + f"\n    history: {so_far}")
    finally:
        await run.close()


async def all_of(engine, cases, verbose):
    """{name: None or what was wrong}"""
    outcome, tried, slots = {}, [0], asyncio.Semaphore(AT_ONCE)

    async def guarded(case):
        async with slots:
            begun = time.monotonic()
            try:
                noticed = await one(engine, case)
                tried[0] += noticed
                outcome[case.name] = None
            except (Bad, Refused) as e:
                outcome[case.name] = str(e)
            except Exception as e:
                outcome[case.name] = f"{type(e).__name__}: {e}"
            if verbose or outcome[case.name]:
                print(f"{'ok  ' if outcome[case.name] is None else 'FAIL'} {engine.name} {case.name} {time.monotonic() - begun:.2f}s"
                      + (f"\n    {outcome[case.name]}" if outcome[case.name] else ""), flush=True)

    await asyncio.gather(*(guarded(c) for c in cases if not c.apart))
    for c in cases:
        if c.apart:
            await guarded(c)
    return outcome, tried[0]


async def noop(engine, cases):
    """Each name that a case says it needs, doing nothing: the case must not pass."""
    outcome, slots = {}, asyncio.Semaphore(AT_ONCE)

    async def guarded(case, name):
        async with slots:
            try:
                await asyncio.wait_for(one(engine, case, {"ML_NOOP": name}), 5)
                outcome[f"{case.name} without {name}"] = "passes"
                print(f"FAIL {case.name} passes when {name} does nothing", flush=True)
            except (Bad, Refused, asyncio.TimeoutError):
                outcome[f"{case.name} without {name}"] = None

    await asyncio.gather(*(guarded(c, n) for c in cases for n in c.needs))
    return outcome, 0


def readme(cases, outcomes):
    path = os.path.join(HERE, "README.md")
    text = open(path, encoding="utf-8").read()
    lines, ok = {}, {}
    for c in cases:
        cell = [("failed" if outcomes[e][c.name] else "ok") if c.name in outcomes[e] else f"– {c.left_out.get(e, '')}" for e in ("temporal", "embedded")]
        lines[c.name] = f"| [{c.name}]({c.name}.lua) | {c.weight} | {cell[0]} | {cell[1]} |"
        for e in (0, 1):
            ok[c.weight, e] = ok.get((c.weight, e), 0) + (cell[e] == "ok")
    for name, (weight, why) in LEFT_OUT.items():
        lines[name] = f"| {name} | {weight} | – {why} | – |"
    rows = []
    for weight in "ABC":
        all_ = sum(c.weight == weight for c in cases) + sum(w == weight for w, _ in LEFT_OUT.values())
        rows.append(f"Weight {weight}: of {all_} cases {ok.get((weight, 0), 0)} on Temporal, {ok.get((weight, 1), 0)} on the embedded engine.")
    rows += ["", "| case | weight | temporal | embedded |", "|---|---|---|---|"] + [lines[name] for name in sorted(lines)]
    text = re.sub(r"(<!-- cases:begin -->\n).*?(<!-- cases:end -->)", lambda m: m.group(1) + "\n".join(rows) + "\n" + m.group(2), text, flags=re.S)
    open(path, "w", encoding="utf-8").write(text)


def server_address():
    shared = os.environ.get("MOONLOOP_TEMPORAL")
    if shared:
        return open(shared).read().strip(), None
    server = subprocess.Popen([os.path.join(ROOT, "tests", "support", "temporal_server"), "run"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return server.stdout.readline().strip(), server


async def run_engine(name, moonloop, cases, args):
    cases = [c for c in cases if name not in c.left_out]
    if name == "embedded":
        with tempfile.TemporaryDirectory() as folder:
            engine = Embedded(moonloop, folder)
            return await (noop(engine, cases) if "--noop" in args else all_of(engine, cases, "-v" in args))
    address, server = server_address()
    if not address:
        raise SystemExit("no Temporal server")
    try:
        folder = tempfile.TemporaryDirectory()
        engine = Temporal(moonloop, folder.name, address, os.environ.get("MOONLOOP_TEST_TOOLS") or os.path.join(ROOT, "build", "tools"))
        await engine.open(cases)
        try:
            return await all_of(engine, cases, "-v" in args)
        finally:
            await engine.close()
    finally:
        if server:
            server.communicate()


async def main():
    args = sys.argv[1:]
    chosen = [a for a in args[2:] if not a.startswith("-")]
    if len(args) < 2:
        sys.exit(__doc__)
    cases, bad = [], False
    for name in cases_.names():
        if chosen and name not in chosen:
            continue
        try:
            cases.append(Case(name))
        except Bad as e:
            bad = True
            print(f"FAIL {name}: {e}")
    outcomes = {"temporal": {}, "embedded": {}}
    for name in args[1].split(","):
        begun = time.monotonic()
        outcomes[name], tried = await run_engine(name, os.path.abspath(args[0]), cases, args)
        failed = sum(1 for v in outcomes[name].values() if v)
        bad = bad or failed or not outcomes[name]
        print(f"{name}: {len(outcomes[name])} cases, {failed} failed, {tried} altered expectations noticed, {time.monotonic() - begun:.0f} s", flush=True)
    if "--readme" in args:
        readme(cases, outcomes)
    return 1 if bad else 0


if __name__ == "__main__":
    code = asyncio.run(main())
    sys.stdout.flush()
    os._exit(code)  # threads of the SDK may outlive the interpreter
