"""A peer of the owner's socket that speaks nonsense: garbage.py SOCKET KIND. Prints what came back (at most 2000 bytes) and "closed"
when the other side ended the connection within 10 s, "open" otherwise. KIND "many" opens 200 connections that say nothing, counts
those that were not let go, and ends them all."""
import json
import socket
import struct
import sys

path, kind = sys.argv[1:3]


def connect():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(path)
    return s


def frame(text):
    return struct.pack(">I", len(text)) + text


if kind == "many":
    held, refused = [], 0
    for _ in range(200):
        try:
            held.append(connect())
        except OSError:
            refused += 1
    print("connected", len(held), "refused", refused)
    sys.exit(0)

SENT = {
    "zero": b"\0\0\0\0" * 100,
    "too_long": struct.pack(">I", 0xFFFFFFFF) + b"x" * 1000,
    "over_limit": struct.pack(">I", (16 << 20) + 1) + b"x" * 1000,
    "not_json": frame(b"this is not JSON"),
    "not_object": frame(b"[1,2,3]"),
    "deep": frame(b"[" * 100000),
    "invalid_utf8": frame(b'{"v":1,"verb":"list","id":"\xff\xfe"}'),
    "wrong_version": frame(json.dumps({"v": 999, "verb": "list", "n": 1}).encode()),
    "no_version": frame(b"{}"),
    "unknown_verb": frame(json.dumps({"v": 1, "verb": "nonsense", "n": 1}).encode()),
    "wrong_types": frame(json.dumps({"v": 1, "verb": 7, "n": {}, "args": "x"}).encode()),
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "half_length": b"\0\0",
    "half_frame": struct.pack(">I", 500) + b'{"v":1,',
}
s = connect()
answer = b""
try:
    s.sendall(SENT[kind])
    s.shutdown(socket.SHUT_WR)
    while len(answer) < 2000:
        got = s.recv(2000)
        if not got:
            print("closed")
            break
        answer += got
except TimeoutError:
    print("open")
except OSError:
    print("closed")
print(answer)
