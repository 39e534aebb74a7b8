#!/usr/bin/env python3
"""Compares what we wrote of Temporal's API with the official descriptors (PyPI temporalio).

  protos.py PROTOC

Two texts are held against them: src/temporal/proto/*.proto (through PROTOC's descriptor set) and src/history/messages.def.
Messages and fields may be fewer than the official ones, never different; an enum is whole. Prints what differs and exits 1.
"""
import importlib, os, pkgutil, re, subprocess, sys, tempfile

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf import any_pb2, duration_pb2, empty_pb2, field_mask_pb2, timestamp_pb2, wrappers_pb2  # noqa: F401
import temporalio.api

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
F = descriptor_pb2.FieldDescriptorProto
A = "temporal.api."
# google.rpc.Status is not in the package; Temporal ships a message of the same shape.
TWINS = {"google.rpc.Status": A + "common.v1.GrpcStatus"}
errors = []


def load_official():
    for m in pkgutil.walk_packages(temporalio.api.__path__, "temporalio.api."):
        if m.name.endswith("message_pb2") or m.name.endswith("request_response_pb2") or ".enums." in m.name:
            if not m.name.endswith("_grpc"):
                importlib.import_module(m.name)


def official(name):
    pool = descriptor_pool.Default()
    try:
        d = pool.FindMessageTypeByName(TWINS.get(name, name))
    except KeyError:
        return None
    p = descriptor_pb2.DescriptorProto()
    d.CopyToProto(p)
    return p


def official_enum(name):
    try:
        e = descriptor_pool.Default().FindEnumTypeByName(name)
    except KeyError:
        return None
    return {v.name: v.number for v in e.values}


def wrong(text):
    errors.append(text)


# ---- the .proto files -------------------------------------------------------------------------------------------------------
def oneof_of(message, field):
    return message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None


def json_name(f):
    """The one that is set, else the one protobuf makes from the name."""
    return f.json_name or re.sub(r"_([a-z0-9])", lambda m: m[1].upper(), f.name)


def check_enum(full, ours, counts):
    counts["enums"] += 1
    theirs = official_enum(full)
    if theirs is None:
        return wrong(f"enum {full}: not in the official API")
    for name in sorted(set(ours) | set(theirs)):
        if ours.get(name) != theirs.get(name):
            wrong(f"enum {full}: {name} is {ours.get(name)} here, {theirs.get(name)} there")


def check_message(full, ours, counts):
    counts["messages"] += 1
    theirs = official(full)
    if theirs is None:
        return wrong(f"message {full}: not in the official API")
    by_number = {f.number: f for f in theirs.field}
    for f in ours.field:
        counts["fields"] += 1
        t = by_number.get(f.number)
        if t is None:
            wrong(f"{full}.{f.name} = {f.number}: no such number in the official message")
            continue
        for what, a, b in [("name", f.name, t.name), ("type", f.type, t.type), ("label", f.label, t.label),
                           ("type name", f.type_name, t.type_name), ("oneof", oneof_of(ours, f), oneof_of(theirs, t)),
                           ("JSON name", json_name(f), json_name(t))]:
            if a != b:
                wrong(f"{full}.{f.name} = {f.number}: {what} is {a} here, {b} there")
    if ours.options.map_entry != theirs.options.map_entry:
        wrong(f"{full}: a map's entry on one side only")
    for n in ours.nested_type:
        check_message(f"{full}.{n.name}", n, counts)
    for e in ours.enum_type:
        check_enum(f"{full}.{e.name}", {v.name: v.number for v in e.value}, counts)


def check_protos(protoc, counts):
    folder = os.path.join(ROOT, "src", "temporal", "proto")
    protos = sorted(os.path.join(folder, f) for f in os.listdir(folder) if f.endswith(".proto"))
    with tempfile.TemporaryDirectory() as tmp:
        out = os.path.join(tmp, "set")
        subprocess.run([protoc, "-I", os.path.join(ROOT, "src"), "-I", "/usr/include", "--descriptor_set_out=" + out] + protos, check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(open(out, "rb").read())
    for file in files.file:
        if file.syntax != "proto3":
            wrong(f"{file.name}: not proto3")
        for m in file.message_type:
            check_message(f"{file.package}.{m.name}", m, counts)
        for e in file.enum_type:
            check_enum(f"{file.package}.{e.name}", {v.name: v.number for v in e.value}, counts)


# ---- the table of records ---------------------------------------------------------------------------------------------------
# Full names of the messages that the others are reached from.
ROOTS = {"history": "history.v1.History", "command": "command.v1.Command", "protocol_message": "protocol.v1.Message",
         "update_acceptance": "update.v1.Acceptance", "update_rejection": "update.v1.Rejection", "update_response": "update.v1.Response",
         "workflow_query": "query.v1.WorkflowQuery", "workflow_query_result": "query.v1.WorkflowQueryResult",
         "describe_schedule_response": "workflowservice.v1.DescribeScheduleResponse",
         "schedule_patch": "schedule.v1.SchedulePatch", "list_schedules_response": "workflowservice.v1.ListSchedulesResponse",
         "describe_worker_deployment_response": "workflowservice.v1.DescribeWorkerDeploymentResponse",
         "list_worker_deployments_response": "workflowservice.v1.ListWorkerDeploymentsResponse",
         "describe_namespace_response": "workflowservice.v1.DescribeNamespaceResponse"}
KINDS = {"INT": {F.TYPE_INT32, F.TYPE_INT64, F.TYPE_UINT32, F.TYPE_UINT64}, "BOOL": {F.TYPE_BOOL}, "ENUM": {F.TYPE_ENUM},
         "DOUBLE": {F.TYPE_DOUBLE}, "FLOAT": {F.TYPE_FLOAT}, "STR": {F.TYPE_STRING}, "BYTES": {F.TYPE_BYTES},
         "MSG": {F.TYPE_MESSAGE}, "TIME": {F.TYPE_MESSAGE}, "DURATION": {F.TYPE_MESSAGE}}
WELL_KNOWN = {"TIME": ".google.protobuf.Timestamp", "DURATION": ".google.protobuf.Duration"}
WIDE = {F.TYPE_INT64, F.TYPE_UINT64}


def read_table():
    text = open(os.path.join(ROOT, "src", "history", "messages.def")).read()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    messages, enums = {}, {}
    for line in text.splitlines():
        if m := re.match(r"MSG\((\w+), \"(\w+)\"\)", line):
            messages[m[1]] = (m[2], [])
        elif m := re.match(r"FIELD\((\w+), (\d+), (\w+), \"([@\w]+)\", (\w+), (\w+), ([\w| ]+)\)", line):
            messages[m[1]][1].append((int(m[2]), m[3], m[4], m[5], m[6], set(m[7].split(" | ")) - {"0"}))
        elif m := re.match(r"VALUE\((\w+), (\w+), (\d+)\)", line):
            enums[m[1]][m[2]] = int(m[3])
        elif m := re.match(r"ENUM\((\w+)\)", line):
            enums[m[1]] = {}
        elif line and not re.match(r"END\(|ENUM_END\(", line):
            wrong(f"messages.def: a line this check cannot read: {line}")
    return messages, enums


def check_record(name, full, messages, enum_names, seen, counts):
    if seen.setdefault(name, full) != full:
        return wrong(f"messages.def: {name} stands for both {seen[name]} and {full}")
    counts["records"] += 1
    theirs = official(full)
    if theirs is None:
        return wrong(f"messages.def: {name}: {full} is not in the official API")
    proto, fields = messages[name]
    if proto != full.rsplit(".", 1)[1]:
        wrong(f"messages.def: {name} is called {proto}, officially {full}")
    by_number = {f.number: f for f in theirs.field}
    for number, field, json, kind, type_name, flags in fields:
        counts["record fields"] += 1
        t = by_number.get(number)
        where = f"messages.def: {name}.{field} = {number}"
        if t is None:
            wrong(f"{where}: no such number in {full}")
            continue
        if t.name != field:
            wrong(f"{where}: officially {t.name}")
        if json != json_name(t) and (full, field) != ("google.protobuf.Any", "type_url"):
            wrong(f"{where}: JSON name {json}, officially {json_name(t)}")
        if t.type not in KINDS[kind] or (kind in WELL_KNOWN) != (t.type_name in WELL_KNOWN.values()):
            wrong(f"{where}: kind {kind}, officially type {t.type} {t.type_name}")
        if kind in WELL_KNOWN and t.type_name != WELL_KNOWN[kind]:
            wrong(f"{where}: kind {kind}, officially {t.type_name}")
        check_flags(where, theirs, t, flags, full)
        if kind == "MSG":
            check_next(name, field, t, type_name, messages, enum_names, seen, counts)
        if kind == "ENUM" and enum_names.setdefault(type_name, t.type_name[1:]) != t.type_name[1:]:
            wrong(f"{where}: enum {type_name} stands for both {enum_names[type_name]} and {t.type_name[1:]}")


def check_flags(where, message, t, flags, full):
    entry = next((n for n in message.nested_type if t.type_name == f".{full}.{n.name}"), None)
    is_map = entry is not None and entry.options.map_entry
    want = set()
    if t.label == F.LABEL_REPEATED:
        want.add("REC_MAP" if is_map else "REC_REPEATED")
    if t.type in WIDE:
        want.add("REC_WIDE")
    if t.HasField("oneof_index") and t.type != F.TYPE_MESSAGE:
        want.add("REC_PRESENCE")
    if flags != want:
        wrong(f"{where}: flags {sorted(flags)}, should be {sorted(want)}")


def check_next(name, field, t, type_name, messages, enum_names, seen, counts):
    if type_name not in messages:
        return wrong(f"messages.def: {name}.{field}: no message {type_name}")
    if type_name not in seen or seen[type_name] != t.type_name[1:]:
        check_record(type_name, t.type_name[1:], messages, enum_names, seen, counts)


def check_table(counts):
    messages, enums = read_table()
    seen, enum_names = {}, {"event_type": A + "enums.v1.EventType"}
    for name, full in ROOTS.items():
        if name in messages:
            if name not in seen:
                check_record(name, A + full, messages, enum_names, seen, counts)
        else:
            wrong(f"messages.def: {name} is gone")
    for name in messages:
        if name not in seen:
            wrong(f"messages.def: {name} is reached from no checked message")
    for name, values in enums.items():
        if name not in enum_names:
            wrong(f"messages.def: enum {name} is used by no field")
        else:
            check_enum(enum_names[name], values, counts)


def main():
    load_official()
    counts = dict.fromkeys(["messages", "fields", "enums", "records", "record fields"], 0)
    check_protos(sys.argv[1], counts)
    check_table(counts)
    for e in errors:
        print(e)
    print(", ".join(f"{n} {what}" for what, n in counts.items()), f"- {len(errors)} differences")
    if counts["messages"] < 200 or counts["record fields"] < 400:
        print("too little was compared: the files were not found or not read")
        return 1
    return 1 if errors else 0


sys.exit(main())
