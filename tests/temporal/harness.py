"""What the tests of this folder share. The server: the shared one of ctest (MOONLOOP_TEMPORAL names the file with its address), or, for tests that
want options of their own and for runs by hand, one that lives as long as this process. And programs that run on beside a test: worker processes."""
import asyncio, contextlib, os, signal, subprocess, sys, unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SUPPORT = os.path.join(ROOT, "tests", "support")
LIMIT = 120  # seconds: a hang, not a slow machine
sys.path.append(SUPPORT)
address = None


class Process:
    """A program that runs on: its lines of both outputs are in `log`; it is ready when one of them contains `says`."""

    def __init__(self, *command, says="serving task queue", cwd=None, env=None):
        self.command, self.says, self.cwd, self.env, self.log = command, says, cwd, env, []

    async def start(self):
        self.p = await asyncio.create_subprocess_exec(*self.command, cwd=self.cwd, env=self.env, stdin=asyncio.subprocess.DEVNULL,
                                                      stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        self.ready = asyncio.get_running_loop().create_future()
        self.reader = asyncio.create_task(self.read())
        await asyncio.wait_for(self.ready, LIMIT)
        return self

    async def read(self):
        while line := await self.p.stdout.readline():
            self.log.append(line.decode(errors="replace").rstrip())
            if self.says in self.log[-1] and not self.ready.done():
                self.ready.set_result(True)
        if not self.ready.done():
            self.ready.set_exception(RuntimeError("\n".join(self.log)))

    async def stop(self, sig=signal.SIGTERM):
        """The exit code."""
        if self.p.returncode is None:
            self.p.send_signal(sig)
        await asyncio.wait_for(self.p.wait(), LIMIT)
        await self.reader
        return self.p.returncode


@contextlib.contextmanager
def server(options=()):
    """One that lives as long as the block: its address."""
    process = subprocess.Popen([os.path.join(SUPPORT, "temporal_server"), "run", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        at = process.stdout.readline().strip()
        if not at:
            sys.exit("the server does not start")
        yield at
    finally:
        process.communicate()


def main(options=()):
    """Runs the tests of the calling module, with the server's options; ends the process with the outcome."""
    global address
    shared = os.environ.get("MOONLOOP_TEMPORAL")
    with contextlib.nullcontext(open(shared).read().strip()) if shared and not options else server(options) as address:
        ok = bool(address) and unittest.main(exit=False).result.wasSuccessful()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if ok else 1)  # threads of the SDK may outlive the interpreter and abort it
