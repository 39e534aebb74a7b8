#!/usr/bin/env python3
"""The HTTP server that the tests talk to: standard library only, 127.0.0.1, a free port, printed as one line on stdout.
With --tls CERT KEY it speaks TLS. It ends when its stdin is closed, so a test that dies leaves none behind."""
import gzip
import json
import os
import socket
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

counts = {}
counts_lock = threading.Lock()
release = threading.Event()


def count(key):
    with counts_lock:
        counts[key] = counts.get(key, 0) + 1
        return counts[key]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def body(self):
        n = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(n) if n else b""

    def reply(self, status, body=b"", headers=(), kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def begin_chunks(self, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def echo(self, query):
        data = self.body()
        answer = {
            "method": self.command,
            "path": self.path,
            "query": query,
            "headers": {k.lower(): v for k, v in self.headers.items()},
            "body": data.decode("utf-8", "replace"),
            "port": self.client_address[1],
        }
        self.reply(200, json.dumps(answer).encode(), kind="application/json")

    def sse(self, query):
        step = int(query.get("split", ["0"])[0])
        text = "\ufeff: hi\r\nevent: tick\r\ndata: one\r\ndata: two\r\nid: 7\r\n\r\ndata: {\"n\": 2}\n\ndata:last\r\rdata: lost"
        data = text.encode()
        self.begin_chunks("text/event-stream")
        step = step or len(data)
        for i in range(0, len(data), step):
            self.chunk(data[i : i + step])
        self.wfile.write(b"0\r\n\r\n")

    def serve(self):
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        parts = url.path.strip("/").split("/")
        name, arg = parts[0], parts[1] if len(parts) > 1 else ""
        if name == "echo":
            return self.echo(query)
        data = self.body()
        if name == "status":
            return self.reply(int(arg), b"status " + arg.encode(), [("X-Test", "a"), ("X-Test", "b")])
        if name == "redirect":
            n = int(arg)
            code = int(query.get("code", ["302"])[0])
            return self.reply(code, b"moved", [("Location", "/redirect/%d?code=%d" % (n - 1, code) if n > 1 else "/echo")])
        if name == "redirect-to":
            return self.reply(int(arg or 302), b"moved", [("Location", query["url"][0])])
        if name == "slow":
            release.wait(float(arg or 30))
            return self.reply(200, b"late")
        if name == "delay":
            time.sleep(float(arg))
            return self.reply(200, b"done")
        if name == "chunked":
            self.begin_chunks("text/plain")
            for i in range(int(arg or 3)):
                self.chunk(b"part %d\n" % i)
            return self.wfile.write(b"0\r\n\r\n")
        if name == "hang":  # headers and one chunk, then silence
            self.begin_chunks("text/plain")
            self.chunk(b"first")
            release.wait(30)
            self.close_connection = True
            return None
        if name == "sse":
            return self.sse(query)
        if name == "gzip":
            return self.reply(200, gzip.compress(b"x" * int(arg or 1000)), [("Content-Encoding", "gzip")])
        if name == "big":
            return self.reply(200, b"y" * int(arg))
        if name == "big-chunked":
            self.begin_chunks("text/plain")
            left = int(arg)
            while left > 0:
                self.chunk(b"z" * min(left, 65536))
                left -= 65536
            return self.wfile.write(b"0\r\n\r\n")
        if name == "truncated":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")
            self.wfile.flush()
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        if name == "drop":
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        if name == "flaky":  # /flaky/KEY: 503 with Retry-After, twice, then 200
            if count("flaky/" + arg) <= 2:
                return self.reply(503, b"busy", [("Retry-After", "7")])
            return self.reply(200, b'{"ok": true}', kind="application/json")
        if name == "pay":  # an effect per Idempotency-Key; /pay/hold answers the first request of a key only after half a minute
            key = self.headers.get("Idempotency-Key") or "none"
            count("pay-requests")
            first = count("pay " + key) == 1
            if first:
                count("pay-effects")
            if first and arg == "hold":
                release.wait(30)
            return self.reply(200, json.dumps({"key": key, "effects": counts["pay-effects"]}).encode(), kind="application/json")
        if name == "token":
            n = count("token")
            fields = parse_qs(data.decode())
            if fields.get("client_secret") != ["s3cret-canary"]:
                return self.reply(401, b'{"error": "invalid_client"}', kind="application/json")
            answer = {"access_token": "token-%d" % n, "token_type": "Bearer", "expires_in": int(arg or 3600)}
            return self.reply(200, json.dumps(answer).encode(), kind="application/json")
        if name == "rotate":  # /rotate/SECONDS: each answer has the one refresh token that counts next
            time.sleep(float(arg or 0))
            n = count("rotate")
            if parse_qs(data.decode()).get("refresh_token") != ["refresh-%d" % (n - 1)]:
                return self.reply(400, b'{"error": "invalid_grant"}', kind="application/json")
            answer = {"access_token": "token-%d" % n, "refresh_token": "refresh-%d" % n, "expires_in": 3600}
            return self.reply(200, json.dumps(answer).encode(), kind="application/json")
        if name == "count":
            return self.reply(200, str(counts.get(arg, 0)).encode())
        return self.reply(404, b"nothing here")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = serve


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request, client_address):
        pass


def main():
    server = Server(("127.0.0.1", 0), Handler)
    if len(sys.argv) >= 4 and sys.argv[1] == "--tls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2], sys.argv[3])
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    release.set()
    os._exit(0)


main()
