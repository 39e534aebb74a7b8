#!/usr/bin/env python3
"""What the example of a scheduled post talks to: an OAuth server, assets and a publisher, on 127.0.0.1. Standard library only.

  publisher.py --record FILE [--fail 2] [--lose 0] [--uses 3] [--secret TEXT] [--refresh TEXT] [--prefix TEXT] [--port N]

Prints its port as one line and ends when its stdin is closed, so a test that dies leaves none behind.

  POST /oauth/token   client_credentials (client "moonloop", the secret) or refresh_token (the refresh text); an access token is
                      good for --uses requests, then it is answered with 401, as one that has run out
  HEAD /assets/NAME   200 for *.png, 404 for others
  POST /posts         needs a good access token and an Idempotency-Key. The first --fail requests of a key get 503; a caption with
                      "forbidden" gets 422; else the post is written to FILE (one JSON line, synced) before 201. A key that was
                      published is answered with the same receipt and written once. Of the first --lose posts the answer breaks off after
                      its first byte: whether it was published cannot be seen.
  GET  /record        what was published, and how often each thing was asked
"""
import argparse, json, os, secrets, socket, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


class State:
    def __init__(self, args):
        self.args, self.lock = args, threading.Lock()
        self.tokens, self.tried, self.posts, self.asked = {}, {}, {}, {}
        if os.path.exists(args.record):
            for line in open(args.record):
                post = json.loads(line)
                self.posts[post["key"]] = post

    def count(self, what):
        self.asked[what] = self.asked.get(what, 0) + 1

    def token(self, form):
        """(status, answer) of a token request."""
        grant = form.get("grant_type")
        good = form.get("client_id") == "moonloop" and form.get("client_secret") == self.args.secret
        if grant == "refresh_token":
            good = good and form.get("refresh_token") == self.args.refresh
        elif grant != "client_credentials":
            return 400, {"error": "unsupported_grant_type"}
        if not good:
            return 401, {"error": "invalid_client"}
        text = self.args.prefix + secrets.token_urlsafe(24)
        self.tokens[text] = self.args.uses
        self.count("tokens")
        return 200, {"access_token": text, "token_type": "Bearer", "expires_in": 3600}

    def allowed(self, header):
        text = (header or "").removeprefix("Bearer ")
        if self.tokens.get(text, 0) < 1:
            self.count("refused tokens")
            return False
        self.tokens[text] -= 1
        return True

    def publish(self, key, post):
        """(status, answer) of a post that may be published."""
        if key in self.posts:
            self.count("repeats")
            return 201, {"id": self.posts[key]["id"], "url": self.posts[key]["url"]}
        self.tried[key] = self.tried.get(key, 0) + 1
        if self.tried[key] <= self.args.fail:
            self.count("failures")
            return 503, {"error": "no room now"}
        if "forbidden" in post["caption"]:
            self.count("refusals")
            return 422, {"error": "the caption breaks the rules"}
        n = len(self.posts) + 1
        kept = {"key": key, "id": f"p{n}", "url": f"https://social.example/p{n}", "at": time.time(), "tries": self.tried[key], "post": post}
        with open(self.args.record, "a") as f:
            f.write(json.dumps(kept) + "\n")
            f.flush()
            os.fsync(f.fileno())
        self.posts[key] = kept
        if n <= self.args.lose:
            return 0, None
        return 201, {"id": kept["id"], "url": kept["url"]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    state = None

    def log_message(self, *args):
        pass

    def reply(self, status, value=None, kind="application/json"):
        data = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_HEAD(self):
        there = self.path.startswith("/assets/") and self.path.endswith(".png")
        with self.state.lock:
            self.state.count("assets")
        self.reply(200 if there else 404, kind="image/png" if there else "text/plain")

    def do_GET(self):
        if self.path != "/record":
            return self.reply(404)
        with self.state.lock:
            return self.reply(200, {"posts": list(self.state.posts.values()), "asked": self.state.asked})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        s = self.state
        with s.lock:
            if self.path == "/oauth/token":
                form = {k: v[0] for k, v in parse_qs(body.decode()).items()}
                return self.reply(*s.token(form))
            if self.path != "/posts":
                return self.reply(404)
            if not s.allowed(self.headers.get("Authorization")):
                return self.reply(401, {"error": "invalid_token"})
            key = self.headers.get("Idempotency-Key")
            if not key:
                return self.reply(400, {"error": "an Idempotency-Key is needed"})
            status, answer = s.publish(key, json.loads(body))
            if status:
                return self.reply(status, answer)
            self.send_response(201)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"{")
            self.wfile.flush()
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", required=True)
    parser.add_argument("--fail", type=int, default=2)
    parser.add_argument("--lose", type=int, default=0)
    parser.add_argument("--uses", type=int, default=3)
    parser.add_argument("--secret", default="client-secret")
    parser.add_argument("--refresh", default="refresh-secret")
    parser.add_argument("--prefix", default="at-", help="of access tokens")
    parser.add_argument("--port", type=int, default=0)
    args = parser.parse_args()
    Handler.state = State(args)
    server = ThreadingHTTPServer(("127.0.0.1", args.port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
