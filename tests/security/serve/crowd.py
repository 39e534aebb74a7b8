#!/usr/bin/env python3
"""`moonloop serve` in a crowd: connections that rest (silent, within a head, between two requests), readers and writers that are slow, and
meanwhile pipelined requests as fast as they go. Each answer must be its own request's, whole and in order; the process must not grow
beyond what its limits allow, cut those that never say a head, end no other, and end well when it is asked to. A large file goes to many
that read nothing of it, and takes no memory; an event of which a reader has taken half for twenty seconds is not broken by a sign of life.

  tests/security/serve/crowd.py PROGRAM [--idle 10000] [--slow 200] [--fast 8] [--seconds 30] [--seed N]
"""
import argparse, asyncio, json, os, random, re, shutil, signal, socket, struct, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
HEAD_TIME = 10 # HTTP_SERVER_HEAD_TIME of src/http/server.h
FILE_BYTES = EVENT_BYTES = 8 << 20 # more than the kernel takes for a connection (4 MiB)
KB_EACH = 40   # a connection's pool (24 KB), and what a handler and a stream's buffer take of the rest
KB_SLOW = 200  # a slow stream: 64 KiB that wait, its coroutine, the piece that it holds


def fail(text):
    raise SystemExit(f"FAILED: {text}")


def rss_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


class Crowd:
    def __init__(self, port, args):
        self.port, self.args, self.random = port, args, random.Random(args.seed)
        self.answers = self.streamed = self.n = 0

    def id(self):
        self.n += 1
        return f"i{self.n}x{self.random.getrandbits(40):x}"

    def idle(self, kind):
        """A raw socket; kind 0 says nothing, 1 stops within a head, 2 has had an answer."""
        s = socket.create_connection(("127.0.0.1", self.port), 20)
        if kind == 1:
            s.sendall(b"GET /echo/a HTTP/1.1\r\nHost: x\r\nX-Half: ")
        if kind == 2:
            id = self.id().encode()
            s.sendall(b"GET /echo/" + id + b"?q=1 HTTP/1.1\r\nHost: x\r\nX-Id: " + id + b"\r\n\r\n")
            got = b""
            while b"}" not in got:
                piece = s.recv(4096)
                if not piece:
                    fail("a connection was ended before its answer")
                got += piece
            if got.count(id) != 2:
                fail(f"the answer for {id} is {got}")
        s.setblocking(False)
        return s

    async def answer(self, reader):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: (\d+)", head.lower())
        if not head.startswith(b"HTTP/1.1 200 ") or not length:
            fail(f"an answer is {head}")
        self.answers += 1
        return head, await reader.readexactly(int(length.group(1)))

    async def fast(self, until):
        """Pipelines of one to four requests, each with its own id and body; the answers must come in their order."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        while time.monotonic() < until:
            asked = []
            for _ in range(self.random.randint(1, 4)):
                id, body = self.id(), None
                if self.random.random() < 0.5:
                    body = (id * self.random.choice((1, 3, 50, 900))).encode()
                    writer.write(f"POST /echo/{id} HTTP/1.1\r\nHost: x\r\nX-Id: {id}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                else:
                    writer.write(f"GET /echo/{id}?q={id} HTTP/1.1\r\nHost: x\r\nX-Id: {id}\r\n\r\n".encode())
                asked.append((id, body))
            await writer.drain()
            for id, body in asked:
                head, got = await self.answer(reader)
                wanted = json.dumps({"header": id, "id": id, "query": id}, separators=(",", ":")).encode() if body is None else f"{id} ".encode() + body
                if got != wanted or (body is not None and f"\r\nX-Id: {id}\r\n".encode() not in head):
                    fail(f"the answer for {id} is {head} {got[:200]}")
        writer.close()

    async def slow_reader(self, until):
        while time.monotonic() < until:
            id, lines = self.id(), self.random.randint(50, 400)
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect(("127.0.0.1", self.port))
            reader, writer = await asyncio.open_connection(sock=s, limit=4096)
            writer.write(f"GET /stream/{id}?lines={lines} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
            got = b""
            while piece := await reader.read(8192):
                got += piece
                if time.monotonic() < until:
                    await asyncio.sleep(0.05)
            writer.close()
            line = (id + " ") * (1000 // (len(id) + 1))
            if got.partition(b"\r\n\r\n")[2] != "".join(f"{line}{i}\n" for i in range(1, lines + 1)).encode():
                fail(f"the stream of {id} is not its own, or not whole: {got[:300]} ... {len(got)}")
            self.streamed += 1

    async def slow_writer(self, until):
        while time.monotonic() < until:
            id = self.id()
            body = (id * self.random.randint(1, 2000)).encode()
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            text = f"POST /echo/{id} HTTP/1.1\r\nHost: x\r\nX-Id: {id}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            at, step = 0, max(40, len(text) // 100)
            while at < len(text):
                writer.write(text[at:at + step])
                await writer.drain()
                at += step
                if time.monotonic() < until:
                    await asyncio.sleep(0.03)
            _, got = await self.answer(reader)
            if got != f"{id} ".encode() + body:
                fail(f"the answer for {id} is {got[:200]}")
            writer.close()

    async def resting_reader(self, path, seconds):
        """Asks, reads nothing for so long, then reads the whole."""
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=s, limit=4096)
        writer.transport.pause_reading()
        writer.write(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
        await asyncio.sleep(seconds)
        writer.transport.resume_reading()
        got = await reader.read(-1)
        writer.close()
        return got.partition(b"\r\n\r\n")[2]

    async def event(self):
        """Longer than a stream of events rests before it is kept alive (15 s, looked at each 5 s)."""
        got = await self.resting_reader("/event", 21)
        if got != b"id: 1\ndata: " + b"x" * EVENT_BYTES + b"\n\n":
            fail(f"an event is broken: {got.replace(b'x', b'')}, {len(got)} bytes")

    async def files(self, pid):
        """A resting reader of the file for each idle connection's hundredth, at least 20."""
        before = rss_kb(pid)
        waiting = [asyncio.ensure_future(self.resting_reader("/files/big", 4)) for _ in range(max(20, self.args.idle // 100))]
        await asyncio.sleep(3)
        grown = rss_kb(pid) - before
        for got in await asyncio.gather(*waiting):
            if len(got) != FILE_BYTES or got.strip(b"f"):
                fail(f"{len(got)} bytes of a file came")
        if grown > FILE_BYTES // 1024:
            fail(f"{len(waiting)} readers of a file that rest take {grown} KB")

    async def run(self, seconds, pid):
        await self.files(pid)
        until = time.monotonic() + seconds
        slow = self.args.slow // 2
        await asyncio.gather(self.event(), *(self.fast(until) for _ in range(self.args.fast)), *(self.slow_reader(until) for _ in range(slow)),
                             *(self.slow_writer(until) for _ in range(slow)))


def ended(s):
    try:
        return s.recv(4096, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def leave(s):
    """Some are reset, as by a peer that crashed."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def watch(server, args, port):
    crowd = Crowd(port, args)
    crowd.idle(2).close()
    before, begun = rss_kb(server.pid), time.monotonic()
    resting = [(i % 3, crowd.idle(i % 3)) for i in range(args.idle)]
    opened = time.monotonic() - begun
    idle = rss_kb(server.pid)
    asyncio.run(crowd.run(args.seconds, server.pid))
    full = rss_kb(server.pid)
    while time.monotonic() < begun + opened + HEAD_TIME + 3:
        time.sleep(0.1)
    silent = sum(not ended(s) for kind, s in resting if kind != 2)
    cut = sum(ended(s) for kind, s in resting if kind == 2) if time.monotonic() - begun < 55 else 0
    print(f"{args.idle} idle connections in {opened:.1f} s, {(idle - before) / max(1, args.idle):.1f} KB each; {crowd.answers} answers and {crowd.streamed} "
          f"slow streams, each its own; {before / 1024:.1f} MB before, {full / 1024:.1f} MB at the end (seed {args.seed})", flush=True)
    if silent:
        fail(f"{silent} connections never said a head and are open still")
    if cut:
        fail(f"{cut} connections that rest between two requests were cut within a minute")
    if full - before > args.idle * KB_EACH + args.slow * KB_SLOW + 65536:
        fail(f"the process has grown from {before} to {full} KB")
    for _, s in resting:
        leave(s)
    crowd.idle(2).close()
    if not crowd.answers or not crowd.streamed:
        fail("nothing was asked")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    for name, value in (("idle", 10000), ("slow", 200), ("fast", 8), ("seconds", 30), ("seed", random.SystemRandom().randint(1, 1 << 30))):
        parser.add_argument("--" + name, type=int, default=value)
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="moonloop-crowd-")
    shutil.copy(os.path.join(HERE, "crowd.lua"), folder)
    os.mkdir(folder + "/files")
    with open(folder + "/files/big", "wb") as f:
        f.write(b"f" * FILE_BYTES)
    log = open(os.path.join(folder, "err"), "w+")
    server = subprocess.Popen([os.path.abspath(args.program), "serve", "crowd.lua", "--port", "0", "--json", "--db", folder + "/c.db"],
                              stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, text=True, cwd=folder)
    try:
        line = server.stdout.readline()
        if not line:
            fail("serve does not start: " + open(log.name).read())
        watch(server, args, int(re.search(r":(\d+)\"", line).group(1)))
        server.send_signal(signal.SIGTERM)
        if server.wait(30) != 0:
            fail(f"serve ended with {server.returncode}")
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
        log.seek(0)
        told = log.read()
        if told:
            print(told[-3000:], file=sys.stderr)
        shutil.rmtree(folder)
    if told and re.search(r"error|assert|Sanitizer", told):
        fail("the log tells of an error")


main()
