"""50 planted secrets (environment, ml.secret in all its uses, tokens, OAuth, headers of requests): none of them is found in the database, its
log, what the program prints, histories, answers, or a core file, after the server was asked, refused, failed, was killed and aborted.

  MOONLOOP=build/test/moonloop MOONLOOP_TEST_TOOLS=build/tools python3 tests/boundary/canary_test.py [-v]"""
import base64, glob, json, os, resource, secrets, shutil, signal, subprocess, sys, tempfile, unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from served import EXAMPLES, ROOT, SUPPORT, Model, Publisher, Serve, eventually, soon

PROGRAM = os.environ.get("MOONLOOP") or os.path.join(ROOT, "build", "test", "moonloop")
SCRIPT = """
local ml = require "moonloop"
local url, gone = ml.env "ECHO_URL", ml.env "GONE_URL"
local s = {}
for i = 1, 12 do s[i] = ml.secret("CANARY_" .. i) end
-- Each way in which a secret may be used; what comes back is looked at here and not kept.
local function uses()
  local function back(options) return ml.json.encode(ml.http.post(url .. "/echo", options):ok():json()) end
  local seen = 0
  for _, text in ipairs { back { auth = s[1] }, back { auth = { header = "X-Key", value = s[3] } }, back { headers = { ["X-Token"] = s[4] } },
    back { form = { p = s[5] } } } do
    if text:find("canary%-") then seen = seen + 1 end
  end
  if back({ auth = { basic = { user = "u", password = s[2] } } }):find("Basic ", 1, true) then seen = seen + 1 end
  local length = ml.process.run({ "sh", "-c", "printf %s \\"${#S}\\"", env = { S = s[6] } }).stdout
  return seen + (tonumber(length) > 30 and 1 or 0)
end
local fails = {
  function() ml.http.get(url .. "/status/500", { auth = s[7] }):ok() end,
  function() ml.http.get(tostring(gone), { auth = s[8] }):ok() end,
  function() ml.http.get(url .. "/redirect/50", { auth = s[9] }):ok() end,
  function() ml.http.get(url .. "/slow/5", { auth = s[10], timeout = "50ms" }):ok() end,
  function() ml.http.get(url .. "/truncated", { auth = s[11] }):ok() end,
  function() ml.log.info("a secret", { secret = s[12] }) end,
  function() return "x" .. s[12] end,
  function() return ml.json.encode { s[12] } end,
  function() ml.store.namespace("n"):set("k", s[12]) end,
  function() ml.fail("with a secret", { details = { s[12] } }) end,
  function() error(s[12]) end,
  function() error("as a text: " .. tostring(s[12])) end,
  function() ml.process.run { "sh", "-c", "exit 3", env = { S = s[12] }, check = true } end,
  function() return s[12] end,
}
local use = ml.activity("use", { timeout = "20s" }, uses)
local fail = ml.activity("fail", { timeout = "20s", retry = { max_attempts = 2, initial = "10ms" } }, function(i) return fails[i]() end)
ml.workflow("all", function()
  local out = { seen = use(), failed = 0 }
  for i = 1, #fails do
    if not pcall(fail, i) then out.failed = out.failed + 1 end
  end
  return out
end)
local all = ml.tool { name = "all", mode = "durable", scope = "all", cost = 1, rate = "2/h", input = ml.schema { ["n?"] = "integer" },
  run = function() return ml.accept { workflow = "all", id = "all:" .. ml.uuid() } end }
local api = ml.api { auth = "bearer" }
api:post("/all", all)
local free = ml.api { timeout = "200ms" }
free:post("/free", { input = ml.schema { n = "integer" } }, function(req) return req.input end)
free:get("/breaks", function(req) error("no " .. tostring(req.path)) end)
free:get("/breaks/secret", function() error(s[12]) end)
free:get("/slow", function() ml.sleep(5) end)
free:get("/fails/{i}", function(req) return fails[tonumber(req.params.i)]() end)
"""


class CanaryTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="moonloop-canary-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.planted, self.answers = {}, []

    def plant(self, name):
        text = "canary-" + secrets.token_hex(16)
        self.planted[name] = text
        return text

    def token(self, s, name, *args):
        """A token of the server's own: its secret part is planted."""
        k = s.token(*args)
        self.planted[name] = k["token"].split("_", 2)[2]
        return k["token"], k["id"]

    def ask(self, s, *args, **more):
        try:
            a = s.ask(*args, **more)
        except OSError:
            return None
        self.answers.append(f"{a.status} {a.headers}\n".encode() + a.body)
        return a

    def found(self, data):
        """The names of the secrets that are in data, as they are or as Basic credentials have them."""
        out = []
        for name, text in self.planted.items():
            forms = [text.encode()] + [base64.b64encode(user + b":" + text.encode()).rstrip(b"=")[4:-4] for user in (b"", b"u", b"uu")]
            if any(f in data for f in forms):
                out.append(name)
        return out

    def echo(self):
        p = subprocess.Popen(["python3", os.path.join(SUPPORT, "http_server.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (p.stdin.close(), p.wait(10), p.stdout.close()))
        return f"http://127.0.0.1:{int(p.stdout.readline())}"

    def core_of(self, s):
        """The bytes of a core file of the server: from the kernel, else by gcore, which keeps to the same rules. Ends the server."""
        with open("/proc/sys/kernel/core_pattern") as f:
            pattern = f.read().strip()
        if pattern == "core" and resource.getrlimit(resource.RLIMIT_CORE)[0] != 0:
            s.process.send_signal(signal.SIGABRT)
            s.process.wait(30)
            files = glob.glob(os.path.join(self.folder, "core*"))
        else:
            gcore = shutil.which("gcore")
            if not gcore or subprocess.run([gcore, "-o", os.path.join(self.folder, "core"), str(s.process.pid)], capture_output=True, timeout=60).returncode != 0:
                return None
            files = glob.glob(os.path.join(self.folder, "core*"))
        s.kill()
        self.assertEqual(1, len(files), "no core file came")
        with open(files[0], "rb") as f:
            data = f.read()
        os.remove(files[0])
        return data

    def load(self, s, poor, good, wrong, revoked):
        """Requests that are accepted, refused and break, each with secrets in it."""
        self.assertEqual(202, self.ask(s, "/all", "POST", {}, token=good, key="one").status)
        self.assertEqual(202, self.ask(s, "/all", "POST", {}, token=good, key="one").status)
        self.assertEqual(409, self.ask(s, "/all", "POST", {"n": 1}, token=good, key="one").status)
        self.assertEqual(422, self.ask(s, "/all", "POST", {"n": "x"}, token=good).status)
        self.ask(s, "/all", "POST", {}, token=good)
        self.assertEqual(429, self.ask(s, "/all", "POST", {}, token=good).status)
        self.assertEqual(402, self.ask(s, "/all", "POST", {}, token=poor).status)
        self.assertEqual(403, self.ask(s, "/all", "POST", {}, token=wrong).status)
        self.assertEqual(401, self.ask(s, "/all", "POST", {}, token=revoked).status)
        paths = [("POST", "/all"), ("GET", "/none"), ("DELETE", "/free"), ("POST", "/free"), ("GET", "/breaks"), ("GET", "/slow"), ("GET", "/v1/workflows"),
                 ("POST", "/v1/workflows"), ("GET", "/metrics"), ("GET", "/openapi.json")]
        heads = [{"Authorization": "Bearer " + self.plant(f"wrong bearer {i}")} for i in range(4)]
        heads += [{"Authorization": "Bearer ml_0123456789abcdef_" + self.plant("a token of nobody")},
                  {"Authorization": "Basic " + base64.b64encode(b"u:" + self.plant("basic").encode()).decode()},
                  {"Authorization": "Digest response=" + self.plant("digest")}, {"Cookie": "session=" + self.plant("cookie")},
                  {"X-Api-Key": self.plant("api key")}, {"X-Amz-Security-Token": self.plant("cloud token")},
                  {"Proxy-Authorization": "Bearer " + self.plant("proxy")}, {"Authorization": self.plant("without a scheme")},
                  {"Authorization": "Bearer eyJhbGciOiJIUzI1NiJ9." + self.plant("jwt") + ".x"}]
        for head in heads:
            for method, path in paths:
                a = self.ask(s, path, method, body=b"{not json" if method == "POST" else None, headers=dict(head))
                self.assertGreaterEqual(a.status, 200)
        query = self.plant("query")
        self.ask(s, "/none?access_token=" + query)
        self.ask(s, "/breaks?access_token=" + query)
        for i in range(1, 15):
            status = self.ask(s, f"/fails/{i}").status
            self.assertTrue(status >= 400 or i == 6, (i, status))  # a log line has the secret's name
        self.assertEqual(500, self.ask(s, "/breaks/secret").status)

    def the_post(self, env):
        """The example with its publisher: OAuth, access tokens, a thin tool, a model's key."""
        p = Publisher(self.folder, "--secret", env["PUBLISHER_SECRET"], "--refresh", env["PUBLISHER_REFRESH"], "--uses", "1", "--fail", "3",
                      "--prefix", self.plant("prefix of access tokens"))
        self.addCleanup(p.stop)
        value = {"platform": "x", "caption": "low tide", "scheduledAt": soon(0), "assetUrl": p.url + "/assets/a.png"}
        m = Model(self.folder, [{"match": {"userMessage": "post", "hasToolResult": False},
                                 "response": {"toolCalls": [{"id": "c", "name": "schedule_post", "arguments": value}]}},
                                {"match": {"userMessage": "post", "hasToolResult": True}, "response": {"content": "It is scheduled."}}])
        self.addCleanup(m.stop)
        api = Serve(PROGRAM, os.path.join(EXAMPLES, "10_schedule_post.lua"), self.folder,
                    {**p.env(env["PUBLISHER_SECRET"], env["PUBLISHER_REFRESH"]), "MOONLOOP_HTTP_ALLOW": "127.0.0.1"}, "api").up()
        self.addCleanup(api.kill)
        token, _ = self.token(api, "token of the thin tool", "--scope", "posts:write", "--credits", "50")
        chat = Serve(PROGRAM, os.path.join(EXAMPLES, "11_thin_tool.lua"), self.folder,
                     {**m.env(self.plant("model key")), "POSTS_API": api.url + "/content/schedule-post", "POSTS_TOKEN": token}, "chat").up()
        self.addCleanup(chat.kill)
        a = self.ask(chat, "/chat", "POST", {"messages": [{"role": "user", "content": "post"}]})
        self.assertIn(b"It is scheduled.", a.body)
        eventually("the post is published", lambda: p.record()["posts"])
        self.assertGreaterEqual(p.record()["asked"]["tokens"], 3)
        return [api, chat]

    def test_canaries(self):
        resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
        script = os.path.join(self.folder, "s.lua")
        with open(script, "w") as f:
            f.write(SCRIPT)
        env = {f"CANARY_{i}": self.plant(f"secret {i}") for i in range(1, 13)}
        env.update({name: self.plant(name) for name in ("PUBLISHER_SECRET", "PUBLISHER_REFRESH")})
        env.update({f"UNUSED_{i}": self.plant(f"unused variable {i}") for i in range(1, 11)})
        env.update({"ECHO_URL": self.echo(), "GONE_URL": "http://127.0.0.1:1/x", "MOONLOOP_HTTP_ALLOW": "127.0.0.1", "MOONLOOP_LOG": "debug"})
        s = Serve(PROGRAM, script, self.folder, env).up()
        self.addCleanup(s.kill)
        good, _ = self.token(s, "good token", "--scope", "all", "--credits", "10")
        poor, _ = self.token(s, "poor token", "--scope", "all")
        wrong, _ = self.token(s, "token of another scope", "--scope", "other", "--credits", "10")
        revoked, revoked_id = self.token(s, "revoked token", "--scope", "all", "--credits", "10")
        for i in range(5):
            self.token(s, f"token {i} that is never used", "--scope", "all")
        s.verb("token", "revoke", revoked_id)
        self.load(s, poor, good, wrong, revoked)
        s.kill()
        s.up()
        others = self.the_post(env)
        eventually("the runs have ended", lambda: all(r["status"] != "Running" for r in s.verb("list")), 60)
        runs = s.verb("list")
        self.assertEqual({"seen": 6, "failed": 13}, s.verb("result", runs[0]["workflowId"]))  # each was really used
        self.assertGreaterEqual(len(self.planted), 50)
        cores = {x.name: self.core_of(x) for x in [s, *others]}
        places = {"answers": b"\n".join(self.answers)}
        for x in [s, *others]:
            places[f"histories of {x.name}"] = b"".join(json.dumps(x.verb("show", r["workflowId"])).encode() for r in x.verb("list"))
            places[f"lists of {x.name}"] = json.dumps([x.verb("list"), x.verb("token", "list"), x.verb("audit", "list")]).encode()
            if cores[x.name] is not None:
                places[f"core of {x.name}"] = cores[x.name]
        for path in glob.glob(os.path.join(self.folder, "*.db*")) + glob.glob(os.path.join(self.folder, "*.log")):
            with open(path, "rb") as f:
                places[os.path.basename(path)] = f.read()
        for name in ("serve.db", "serve.log", "api.db", "histories of serve", "answers"):
            self.assertGreater(len(places[name]), 1000, name)  # something was looked at
        for name, data in places.items():
            self.assertEqual([], self.found(data), f"secrets in {name}")
        if any(c is None for c in cores.values()):
            self.skipTest("no core file: the kernel gives it to a program, and gcore (package gdb) is not there or may not look")

    def test_a_whole_core_has_them(self):
        """What the search above would find, when the server were told to leave a whole core file."""
        resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
        script = os.path.join(self.folder, "s.lua")
        with open(script, "w") as f:
            f.write(SCRIPT)
        env = {f"CANARY_{i}": self.plant(f"secret {i}") for i in range(1, 13)}
        s = Serve(PROGRAM, script, self.folder, {**env, "ECHO_URL": "http://127.0.0.1:1", "GONE_URL": "http://127.0.0.1:1", "MOONLOOP_CORE": "full"}).up()
        self.addCleanup(s.kill)
        core = self.core_of(s)
        if core is None:
            self.skipTest("no core file: the kernel gives it to a program, and gcore (package gdb) is not there or may not look")
        self.assertEqual(12, len(self.found(core)))


if __name__ == "__main__":
    unittest.main()
