"""A server for the tests of this folder: the shared one of ctest (MOONLOOP_TEMPORAL names the file with its address), or, for tests that
want options of their own and for runs by hand, one that lives as long as this process."""
import os, subprocess, sys, unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
address = None


def main(options=()):
    """Runs the tests of the calling module, with the server's options; ends the process with the outcome."""
    global address
    server = None
    shared = os.environ.get("MOONLOOP_TEMPORAL")
    if shared and not options:
        address = open(shared).read().strip()
    else:
        server = subprocess.Popen([os.path.join(ROOT, "tests", "support", "temporal_server"), "run", *options],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        address = server.stdout.readline().strip()
    ok = bool(address) and unittest.main(exit=False).result.wasSuccessful()
    if server:
        server.communicate()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if ok else 1)  # threads of the SDK may outlive the interpreter and abort it
