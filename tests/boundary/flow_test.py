"""The examples of the boundary, end to end: the API with tokens, credits and keys, a publisher that fails and refuses, a chat whose tool
posts to the API of another process, kill -9 between "scheduled" and the post, and one process with all three modes.

  MOONLOOP=build/test/moonloop MOONLOOP_TEST_TOOLS=build/tools python3 tests/boundary/flow_test.py [-v] [FlowTest.NAME]"""
import json, os, shutil, sys, tempfile, time, unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from served import EXAMPLES, ROOT, Model, Publisher, Serve, eventually, listen, soon

PROGRAM = os.environ.get("MOONLOOP") or os.path.join(ROOT, "build", "test", "moonloop")


def example(name):
    return os.path.join(EXAMPLES, name)


def ends(history):
    return history["events"][-1]["eventType"].removeprefix("EVENT_TYPE_WORKFLOW_EXECUTION_")


class FlowTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="moonloop-flow-")
        self.addCleanup(shutil.rmtree, self.folder)

    def publisher(self, *args, port=0):
        p = Publisher(self.folder, *args, port=port)
        self.addCleanup(p.stop)
        return p

    def model(self, fixtures):
        m = Model(self.folder, fixtures)
        self.addCleanup(m.stop)
        return m

    def serve(self, script, env, name="serve"):
        s = Serve(PROGRAM, example(script), self.folder, env, name)
        self.addCleanup(s.kill)
        return s

    def api(self, publisher, script="10_schedule_post.lua", more=None):
        return self.serve(script, {**publisher.env(), "MOONLOOP_HTTP_ALLOW": "127.0.0.1", **(more or {})}, "api")

    def state_of(self, s, token, answer):
        return s.ask("/content/posts/" + answer.value["entityId"], token=token["token"]).value

    def agree(self, s, publisher, tokens):
        """History, ledger, audit chain and the publisher's record tell one story. Returns the runs by id."""
        proof = s.verb("audit", "verify")
        self.assertTrue(proof["ok"], proof)
        runs = {r["workflowId"]: r for r in s.verb("list") if r["type"] == "schedule_post"}
        accepts = [a for a in s.verb("audit", "list", "--limit", "1000") if a["action"] == "accept" and a["subject"] in runs]
        self.assertEqual(sorted(runs), sorted(a["subject"] for a in accepts))
        published = []
        for workflow_id, run in runs.items():
            history = s.verb("show", workflow_id)
            self.assertEqual(ends(history), run["status"].upper())
            if run["status"] == "Completed":
                published.append(s.verb("result", workflow_id)["url"])
        self.assertEqual(sorted(published), sorted(p["url"] for p in publisher.record()["posts"]))
        spent = {a["principal"]: 0 for a in accepts}
        for a in accepts:
            spent[a["principal"]] += 5 * (runs[a["subject"]]["status"] == "Completed")
        left = {k["id"]: k for k in s.verb("token", "list")}
        for token, credits in tokens:
            k = left[token["id"]]
            self.assertEqual((credits - spent.get("key:" + token["id"], 0), 0), (k["credits"], k["held"]))
        return runs

    def test_schedule_post(self):
        p = self.publisher("--fail", "2", "--uses", "3")
        s = self.api(p).up()
        good = s.token("--scope", "posts:write", "--credits", "100")
        other = s.token("--scope", "chat", "--credits", "100")
        poor = s.token("--scope", "posts:write", "--credits", "4")

        def post(caption, seconds, token=good, key=None, asset="/assets/a.png"):
            value = {"platform": "x", "caption": caption, "scheduledAt": soon(seconds), "assetUrl": p.url + asset}
            return s.ask("/content/schedule-post", "POST", value, token=token and token["token"], key=key), value

        first, sent = post("low tide", 1.0, key="one")
        self.assertEqual((202, "scheduled"), (first.status, first.value["status"]), first)
        again = s.ask("/content/schedule-post", "POST", sent, token=good["token"], key="one")
        self.assertEqual((first.status, first.body), (again.status, again.body))
        self.assertEqual("application/json", first.headers["content-type"])
        clash, _ = post("another body", 1.0, key="one")
        self.assertEqual((409, "urn:moonloop:problem:idempotency-key-reused"), (clash.status, clash.value["type"]))
        forbidden, _ = post("a forbidden word", 0.2, key="two")
        no_asset, _ = post("nothing to see", 0.2, key="three", asset="/assets/none.txt")
        withdrawn, _ = post("never mind", 3600, key="four")
        self.assertEqual(202, s.ask(f"/content/posts/{withdrawn.value['entityId']}/withdraw", "POST", token=good["token"]).status)
        nobody = s.token("--scope", "posts:write")
        for verb, path in (("GET", ""), ("POST", "/withdraw")):  # a post of another key is not there
            self.assertEqual(404, s.ask(f"/content/posts/{first.value['entityId']}{path}", verb, token=nobody["token"]).status)
        for status, kind, (a, _) in [(401, "unauthorized", post("x", 1, token=None)), (401, "unauthorized", post("x", 1, token={"token": "ml_no_no"})),
                                     (403, "forbidden", post("x", 1, token=other)), (402, "out-of-credit", post("x", 1, token=poor)),
                                     (422, "invalid-body", post("x" * 281, 1))]:
            self.assertEqual((status, "application/problem+json", "urn:moonloop:problem:" + kind),
                             (a.status, a.headers["content-type"], a.value["type"]), a)
        self.assertEqual([("/caption", "maxLength")], [(e["pointer"], e["rule"]) for e in a.value["errors"]])
        eventually("the post is published", lambda: self.state_of(s, good, first)["state"] == "published")
        eventually("no credit is held", lambda: all(k["held"] == 0 for k in s.verb("token", "list")))
        self.assertEqual("refused", self.state_of(s, good, forbidden)["state"])
        self.assertEqual(("refused", "NoAsset"), tuple(self.state_of(s, good, no_asset)[k] for k in ("state", "why")))
        self.assertEqual("withdrawn", self.state_of(s, good, withdrawn)["state"])
        record = p.record()
        self.assertEqual(["low tide"], [x["post"]["caption"] for x in record["posts"]])
        self.assertEqual(3, record["posts"][0]["tries"])  # twice no room, then published
        self.assertGreaterEqual(record["asked"]["refused tokens"], 1)  # an access token ran out and was fetched again
        runs = self.agree(s, p, [(good, 100), (other, 100), (poor, 4)])
        self.assertEqual(["Completed", "Failed", "Failed", "Failed"], sorted(r["status"] for r in runs.values()))
        s.stop()

    def test_publisher_away(self):
        """The publisher is not there when the time comes, then loses its first answer; serve is killed meanwhile. The post is published once."""
        p = self.publisher()
        port = int(p.url.rsplit(":", 1)[1])
        s = self.api(p).up()
        p.stop()
        token = s.token("--scope", "posts:write", "--credits", "5")
        value = {"platform": "x", "caption": "late", "scheduledAt": soon(0), "assetUrl": p.url + "/assets/a.png"}
        a = s.ask("/content/schedule-post", "POST", value, token=token["token"])
        self.assertEqual(202, a.status, a)
        time.sleep(1)
        s.kill()
        s.up()
        time.sleep(1)
        self.assertEqual(("scheduled", 5), (self.state_of(s, token, a)["state"], s.verb("token", "list")[0]["held"]))
        p = self.publisher("--lose", "1", "--fail", "0", port=port)
        eventually("the post is published", lambda: self.state_of(s, token, a)["state"] == "published")
        self.assertEqual(1, p.record()["asked"]["repeats"])  # the try after the lost answer, under the same key
        eventually("no credit is held", lambda: s.verb("token", "list")[0]["held"] == 0)
        self.agree(s, p, [(token, 5)])
        s.stop()

    def test_asset_in_our_network(self):
        """Without an operator's leave no address inside is looked at, whoever names it."""
        p = self.publisher()
        s = self.api(p, more={"MOONLOOP_HTTP_ALLOW": ""}).up()
        token = s.token("--scope", "posts:write", "--credits", "5")
        value = {"platform": "x", "caption": "x", "scheduledAt": soon(0), "assetUrl": "http://127.0.0.1:1/a.png"}
        a = s.ask("/content/schedule-post", "POST", value, token=token["token"])
        self.assertEqual(202, a.status, a)
        eventually("it is refused", lambda: self.state_of(s, token, a)["state"] == "refused")
        self.assertEqual("AddressBlocked", self.state_of(s, token, a)["why"])
        s.stop()

    def chat(self, s, text, token=None):
        """What the chat tells: its events, each with `after`, the seconds since the request."""
        value = {"messages": [{"role": "user", "content": text}]}
        return [{**data, "after": at} for at, data in listen(s.url + "/chat", value, token and {"Authorization": "Bearer " + token})]

    def results(self, told):
        return [e for e in told if e["type"] == "tool_result"]

    def test_seed(self):
        """A chat schedules, the API is killed with -9, and the post is published once, at its time."""
        p = self.publisher("--fail", "2")
        api = self.api(p).up()
        token = api.token("--scope", "posts:write", "--credits", "10")
        at = time.time() + 8  # the model server and the chat start meanwhile
        value = {"platform": "x", "caption": "low tide", "scheduledAt": soon(at - time.time()), "assetUrl": p.url + "/assets/a.png"}
        m = self.model([
            {"match": {"userMessage": "post the tide", "hasToolResult": False},
             "response": {"toolCalls": [{"id": "call_1", "name": "schedule_post", "arguments": value}]}},
            {"match": {"userMessage": "post the tide", "hasToolResult": True}, "response": {"content": "It is scheduled."}}])
        chat = self.serve("11_thin_tool.lua", {**m.env(), "POSTS_API": api.url + "/content/schedule-post", "POSTS_TOKEN": token["token"]}, "chat").up()
        told = self.chat(chat, "post the tide")
        results = self.results(told)
        self.assertEqual(1, len(results), told)
        self.assertEqual("scheduled", json.loads(results[0]["content"])["status"])
        asked = [e for e in told if e["type"] == "tool_call"][-1]
        took = results[0]["after"] - asked["after"]
        print(f"from the tool's call to \"scheduled\": {took * 1000:.1f} ms", file=sys.stderr)
        self.assertEqual("It is scheduled.", told[-1]["result"])
        self.assertLess(took, 0.5)  # some ms; a machine that does other things has time
        self.assertEqual(0, len(p.record()["posts"]))
        api.kill()
        time.sleep(0.5)
        api.up()
        workflow_id = api.verb("list")[0]["workflowId"]
        self.assertEqual("Running", api.verb("list")[0]["status"])
        eventually("the post is published", lambda: p.record()["posts"])
        eventually("the run has ended", lambda: api.verb("list")[0]["status"] == "Completed")
        eventually("the credits are settled", lambda: all(k["held"] == 0 for k in api.verb("token", "list")))
        post = p.record()["posts"][0]
        self.assertEqual(3, post["tries"])
        self.assertGreaterEqual(post["at"], at)  # never before its time
        self.assertLess(post["at"], at + 30)
        self.assertEqual([workflow_id], list(self.agree(api, p, [(token, 10)])))
        self.assertEqual(1, len([a for a in api.verb("audit", "list") if a["action"] == "accept"]))
        chat.stop()
        api.stop()

    def test_thin_tool_refused(self):
        """What the API refuses is told to the model, and the model's caller gets an answer."""
        p = self.publisher()
        value = {"platform": "x", "caption": "low tide", "scheduledAt": soon(60), "assetUrl": p.url + "/assets/a.png"}
        m = self.model([
            {"match": {"userMessage": "post the tide", "hasToolResult": False},
             "response": {"toolCalls": [{"id": "call_1", "name": "schedule_post", "arguments": value}]}},
            {"match": {"userMessage": "post the tide", "hasToolResult": True}, "response": {"content": "I may not."}}])
        api = self.api(p).up()
        poor = api.token("--scope", "posts:write", "--credits", "1")
        chat = self.serve("11_thin_tool.lua", {**m.env(), "POSTS_API": api.url + "/content/schedule-post", "POSTS_TOKEN": poor["token"]}, "chat").up()
        told = self.chat(chat, "post the tide")
        self.assertIn("5 credits are needed", str(self.results(told)))
        self.assertEqual("I may not.", told[-1]["result"])
        self.assertEqual([], api.verb("list"))
        api.stop()
        told = self.chat(chat, "post the tide")  # nobody is there
        self.assertIn("Connect", str(self.results(told)))
        chat.stop()

    def test_thin_tool_as_route(self):
        """A route that hands on spends the credentials of its process, so its own boundary lets nobody in who has no token of its own."""
        p = self.publisher()
        api = self.api(p).up()
        far = api.token("--scope", "posts:write", "--credits", "5")
        script = os.path.join(self.folder, "hand_on.lua")
        with open(script, "w") as f:
            f.write('local ml = require "moonloop"\nlocal thin = ml.tool { name = "thin", mode = "durable", scope = "here", input = ml.schema { platform = "string", '
                    'caption = "string", scheduledAt = "datetime", assetUrl = "url" }, remote = ml.env "FAR", auth = ml.secret "FAR_TOKEN" }\n'
                    'ml.api():post("/hand-on", thin)\n')
        s = self.serve(script, {"FAR": api.url + "/content/schedule-post", "FAR_TOKEN": far["token"]}, "near").up()
        near = s.token("--scope", "here")
        value = {"platform": "x", "caption": "handed on", "scheduledAt": soon(3600), "assetUrl": p.url + "/assets/a.png"}
        self.assertEqual(401, s.ask("/hand-on", "POST", value).status)
        self.assertEqual(403, s.ask("/hand-on", "POST", value, token=s.token()["token"]).status)
        self.assertEqual([], api.verb("list"))
        self.assertEqual(422, s.ask("/hand-on", "POST", {**value, "platform": "y"}, token=near["token"]).status)  # said by the far one
        a = s.ask("/hand-on", "POST", value, token=near["token"], key="one")
        self.assertEqual((202, "scheduled"), (a.status, a.value["status"]), a)
        again = s.ask("/hand-on", "POST", value, token=near["token"], key="one")
        self.assertEqual((a.status, a.body), (again.status, again.body))
        self.assertEqual([a.value["workflowId"]], [r["workflowId"] for r in api.verb("list")])
        self.assertEqual(0, len(s.verb("list")))
        other = s.ask("/hand-on", "POST", value, token=near["token"], key="two")  # there is no credit left there
        self.assertEqual((402, "urn:moonloop:problem:out-of-credit"), (other.status, other.value["type"]), other)
        api.verb("token", "revoke", far["id"])
        self.assertEqual(502, s.ask("/hand-on", "POST", value, token=near["token"]).status)
        api.stop()
        self.assertEqual(503, s.ask("/hand-on", "POST", value, token=near["token"]).status)
        self.assertEqual((a.status, a.body), tuple(getattr(s.ask("/hand-on", "POST", value, token=near["token"], key="one"), n) for n in ("status", "body")))
        s.stop()

    def test_all_modes(self):
        """A loop whose agent schedules a post each day under the key that started it, killed on its way; and a chat beside it."""
        p = self.publisher("--fail", "1")
        days = 3
        value = {"platform": "x", "caption": "by chat", "scheduledAt": soon(0), "assetUrl": p.url + "/assets/a.png"}
        fixtures = [{"match": {"userMessage": "hello", "hasToolResult": False},
                     "response": {"toolCalls": [{"id": "h", "name": "schedule_post", "arguments": value}]}},
                    {"match": {"userMessage": "hello", "hasToolResult": True}, "response": {"content": "Good morning."}}]
        for day in range(1, days + 1):
            value = {"platform": "linkedin", "caption": f"day {day}", "scheduledAt": soon(0), "assetUrl": p.url + "/assets/a.png"}
            fixtures += [
                {"match": {"userMessage": f"Day {day}.", "hasToolResult": False},
                 "response": {"toolCalls": [{"id": f"n{day}", "name": "read_numbers", "arguments": {"day": day}},
                                            {"id": f"s{day}", "name": "schedule_post", "arguments": value}]}},
                {"match": {"userMessage": f"Day {day}.", "hasToolResult": True}, "response": {"content": f"Planned day {day}."}}]
        m = self.model(fixtures)
        s = self.api(p, "12_all_modes.lua", m.env()).up()
        token = s.token("--scope", "chat,posts:write", "--credits", "100")
        a = s.ask("/content/loops", "POST", {"days": days, "prompt": "Plan a post.", "period": "2s"}, token=token["token"], key="loop")
        self.assertEqual((202, "accepted", "For 3 days"), (a.status, a.value["status"], a.value["message"]), a)
        reader = s.token("--scope", "chat", "--credits", "100")
        for caller, said in ((token, '"scheduled"'), (reader, 'the scope \\"posts:write\\" is needed')):  # its tools act for who asks
            told = self.chat(s, "hello", caller["token"])
            self.assertIn(said, self.results(told)[0]["content"])
            self.assertEqual("Good morning.", told[-1]["result"])
        eventually("the first post is published", lambda: p.record()["posts"])
        s.kill()
        s.up()
        eventually("the loop has ended", lambda: all(r["status"] == "Completed" for r in s.verb("list")) and len(p.record()["posts"]) == days + 1, 60)
        self.assertEqual({"days": 3, "said": [f"Planned day {d}." for d in (1, 2, 3)]}, s.verb("result", a.value["workflowId"]))
        self.assertEqual(["by chat", "day 1", "day 2", "day 3"], sorted(x["post"]["caption"] for x in p.record()["posts"]))
        eventually("the credits are settled", lambda: all(k["held"] == 0 for k in s.verb("token", "list")))
        self.assertEqual(days + 1, len(self.agree(s, p, [(token, 100), (reader, 100)])))
        s.stop()


if __name__ == "__main__":
    unittest.main()
