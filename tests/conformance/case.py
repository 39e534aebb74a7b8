"""A case: what the comment at the head of its Lua file says, and the comparison of a history with it. The form is in README.md."""
import base64, json, os, re

FOLDER = os.path.dirname(os.path.abspath(__file__))
ALIASES = {"Task": ["WorkflowTaskScheduled", "WorkflowTaskStarted", "WorkflowTaskCompleted"],
           "TaskFailed": ["WorkflowTaskScheduled", "WorkflowTaskStarted", "WorkflowTaskFailed"],
           "TaskTimedOut": ["WorkflowTaskScheduled", "WorkflowTaskStarted", "WorkflowTaskTimedOut"]}
HEADS = ("asks", "weight", "needs", "start", "options", "steps", "result", "events", "temporal", "embedded", "worker", "apart")
ABSENT = object()


class Bad(Exception):
    """A case that is not written as it should be, or that did not do what it says."""


# -- the text of a case

def names():
    found = []
    for at, folders, files in os.walk(FOLDER):
        folders.sort()
        found += [os.path.relpath(os.path.join(at, f), FOLDER)[:-4] for f in sorted(files) if f.endswith(".lua")]
    return sorted(found)


class Case:
    def __init__(self, name):
        self.name, self.path = name, os.path.join(FOLDER, name + ".lua")
        text = open(self.path, encoding="utf-8").read()
        head = re.match(r"--\[==\[ conformance\n(.*?)\n\]==\]", text, re.S)
        if not head:
            raise Bad("the file does not begin with --[==[ conformance")
        self.parts = self.split(head.group(1))
        self.asks, self.weight = self.text("asks"), self.text("weight")
        if not self.asks or self.weight not in ("A", "B", "C"):
            raise Bad("`asks:` and `weight:` (A, B or C) are missing")
        self.input, self.options = self.text("start") or "null", self.text("options")
        self.steps = [l for l in self.parts.get("steps", ("", []))[1] if l]
        self.result = self.text("result")
        self.events = {key.partition(" ")[2]: items(lines) for key, (_, lines) in self.parts.items() if key.split(" ")[0] == "events"}
        if "" not in self.events:
            raise Bad("`events:` is missing")
        self.needs = (self.text("needs") or "").split()
        self.left_out = {engine: self.text(engine) for engine in ("temporal", "embedded") if self.text(engine)}
        self.worker = self.text("worker")  # its options: the case has a worker of its own
        if self.worker is None and any(s.split()[0] == "worker" for s in self.steps):
            self.worker = ""
        self.apart = "apart" in self.parts  # runs when no other case does: it is about time

    def split(self, head):
        parts, key = {}, None
        for number, line in enumerate(head.split("\n"), 2):
            m = re.match(r"([a-z]+)( [^:\s]+)?:\s*(.*)$", line)
            if m and m.group(1) in HEADS:
                key = m.group(1) + (m.group(2) or "")
                if key in parts:
                    raise Bad(f"line {number}: `{key}:` stands there twice")
                parts[key] = (m.group(3).strip(), [])
            elif key and line.startswith("    ") and parts[key][1]:
                parts[key][1][-1] += " " + line.strip()
            elif key and (line.startswith("  ") or not line.strip()):
                parts[key][1].append(line.strip())
            else:
                raise Bad(f"line {number}: not a part of a case: {line}")
        return parts

    def text(self, key):
        return " ".join([self.parts[key][0], *self.parts[key][1]]).strip() if key in self.parts else None


# -- expected events

class Item:
    """Some events in a row, so many times; or, with `inner`, items in any order, with workflow tasks after each as they come."""

    def __init__(self, line):
        self.line, self.inner, self.least, self.most, self.begun = line, None, 1, 1, False
        self.parts = []
        for piece in line.split(";"):
            self.parts += self.event(piece.strip(), line)

    def event(self, text, line):
        m = re.match(r"([A-Za-z]+)([?*+]?)(?=\s|$)", text)
        if not m or (m.group(2) and ";" in line):
            raise Bad(f"not an event: {line}")
        if m.group(2):
            self.least, self.most = {"?": (0, 1), "*": (0, 10000), "+": (1, 10000)}[m.group(2)]
        wanted = attributes(text[m.end():], line)
        kinds = ALIASES.get(m.group(1), [m.group(1)])
        return [(kind, wanted if kind == kinds[-1] else []) for kind in kinds]


def attributes(text, line):
    """[(path, "=" or "~", value)] of `path=JSON path~"pattern"`."""
    found, text = [], text.strip()
    while text:
        m = re.match(r"([A-Za-z0-9_.\-]+)([=~])", text)
        if not m:
            raise Bad(f"not an attribute: {text} in: {line}")
        try:
            value, end = json.JSONDecoder().raw_decode(text, m.end())
        except ValueError:
            raise Bad(f"not JSON: {text[m.end():]} in: {line}")
        found.append((m.group(1), m.group(2), value))
        text = text[end:].strip()
    return found


def items(lines):
    out, group = [], None
    for line in lines:
        if not line:
            continue
        if line == "{":
            group = Item("Task")
            group.inner, group.line = [], "{ in any order, tasks after each }"
            out.append(group)
        elif line == "}":
            group = None
        else:
            (out if group is None else group.inner).append(Item(line))
    return out


# -- histories

def plain(value):
    """A message's JSON with payloads decoded: a payload becomes {"encoding", "value", ...}, a list of them a list."""
    if isinstance(value, list):
        return [plain(v) for v in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"payloads"}:
        return plain(value["payloads"])
    if "metadata" in value and set(value) <= {"metadata", "data"} and isinstance(value["metadata"], dict):
        meta = {k: base64.b64decode(v).decode() for k, v in value["metadata"].items()}
        data = base64.b64decode(value.get("data", ""))
        if meta.get("encoding") == "binary/encrypted":
            return sealed(meta, data)
        json_ = meta.get("encoding", "").startswith("json/")
        return Payload(encoding=meta.get("encoding"), metadata=meta, data=data.decode("utf-8", "backslashreplace"),
                       value=json.loads(data) if json_ else None if meta.get("encoding") == "binary/null" else data.decode("utf-8", "backslashreplace"))
    return {k: plain(v) for k, v in value.items()}


class Payload(dict):
    pass


def sealed(meta, data):
    """An encrypted payload: what is around it, and what is `inside`."""
    import aes_codec, google.protobuf.json_format, temporalio.api.common.v1 as common
    outer = common.Payload(metadata={k: v.encode() for k, v in meta.items()}, data=data)
    inside = plain(google.protobuf.json_format.MessageToDict(aes_codec.Aes(*aes_codec.KEYS).open(outer)))
    return Payload(encoding=meta["encoding"], metadata=meta, data=data.decode("utf-8", "backslashreplace"), inside=inside, value=inside["value"])


def bare(value):
    """The same without what is around the values."""
    if isinstance(value, Payload):
        return value["value"]
    if isinstance(value, list):
        return [bare(v) for v in value]
    return {k: bare(v) for k, v in value.items()} if isinstance(value, dict) else value


def kind_of(event):
    return "".join(w.capitalize() for w in event["eventType"].removeprefix("EVENT_TYPE_").split("_"))


def history(events):
    """[(kind, attributes)]"""
    return [(kind_of(e), plain(next((v for k, v in e.items() if k.endswith("EventAttributes")), {}))) for e in events]


def at(value, path):
    for key in path.split("."):
        if isinstance(value, Payload) and key not in value:
            value = value["value"]
        if isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            return ABSENT
    return value


def holds(attrs, wanted, names):
    path, how, value = wanted
    got = at(attrs, path)
    if how == "~":
        return isinstance(got, str) and re.search(value, got) is not None
    if value is None:
        return got is ABSENT or got in ("0s", "", 0, "0")
    if isinstance(value, str):
        value = value.replace("$ID", names["id"]).replace("$QUEUE", names["queue"])
    got = None if got is ABSENT else bare(got)
    return same(got, value)


def same(got, value):
    if isinstance(value, (int, float)) and not isinstance(value, bool) and isinstance(got, str):
        return got == str(value)  # 64 bits are texts in the JSON form
    return type(got) in (int, float) and type(value) in (int, float) and got == value or (type(got) is type(value) and got == value)


def compare(found, expected, names):
    """None, or where the history and what was expected part."""
    far = [0, None]

    def event(i, part):
        return i < len(found) and found[i][0] == part[0] and all(holds(found[i][1], w, names) for w in part[1])

    def row(i, item):
        for part in item.parts:
            if not event(i, part):
                if i >= far[0]:
                    far[:] = [i, f"{part[0]} ({item.line})"]
                return None
            i += 1
        return i

    def rest(i, todo):
        if not todo:
            if i >= far[0] and i < len(found):
                far[:] = [i, "the end"]
            return i == len(found)
        item, more = todo[0], todo[1:]
        if item.inner is not None:
            if item.begun and i < len(found) and found[i][0] in ALIASES["Task"] and rest(i + 1, todo):
                return True
            if not item.inner:
                return rest(i, more)
            return any(rest(i, [item.inner[k], group(item.inner[:k] + item.inner[k + 1:])] + more) for k in range(len(item.inner)))
        return repeat(i, item, 0, more)

    def repeat(i, item, times, more):
        if times < item.most:
            j = row(i, item)
            if j is not None and repeat(j, item, times + 1, more):
                return True
        return times >= item.least and rest(i, more)

    def group(inner):
        g = Item("Task")
        g.inner, g.begun = inner, True
        return g

    if rest(0, expected):
        return None
    i, wanted = far
    there = f"{found[i][0]} {json.dumps(bare(found[i][1]), default=str)[:900]}" if i < len(found) else "the end"
    return f"event {i + 1}: expected {wanted}, found {there}\n    " + "\n    ".join(f"{n} {k}" + (f" attempt {a['attempt']}" if "attempt" in a else "") for n, (k, a) in enumerate(found, 1))


def altered(expected):
    """The expectation with one thing changed, again and again: (what, items)."""
    for i, item in enumerate(expected):
        if item.inner is not None:
            for what, inner in altered(item.inner):
                g = Item("Task")
                g.inner = inner
                yield what, expected[:i] + [g] + expected[i + 1:]
            continue
        if item.least > 0 and item.most == 1:
            yield f"without {item.line}", expected[:i] + expected[i + 1:]
        for k, (kind, wanted) in enumerate(item.parts):
            if item.most != 1 or item.least == 0:
                break
            for w in range(len(wanted)):
                other = Item("Task")
                value = ("never this" if wanted[w][1] == "~" else {"other": wanted[w][2]})
                other.line, other.parts = item.line, list(item.parts)
                other.parts[k] = (kind, wanted[:w] + [(wanted[w][0], wanted[w][1], value)] + wanted[w + 1:])
                yield f"another {wanted[w][0]} in {item.line}", expected[:i] + [other] + expected[i + 1:]
