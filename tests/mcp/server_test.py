#!/usr/bin/env python3
"""The official MCP client (PyPI mcp) against `moonloop mcp` (stdio) and a script's /mcp (streamable HTTP), by the handshake and by the
version without one. Usage: server_test.py MOONLOOP"""
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time

from mcp import Client, MCPError, StdioServerParameters

program = os.path.abspath(sys.argv[1])
script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tools.lua")
cases = 0


def check(name, got, want):
    global cases
    cases += 1
    if got != want:
        print(f"{name}: {got!r}, not {want!r}")
        sys.exit(1)


def text(result):
    return result.content[0].text if result.content else None


async def tools(client, where):
    listed = {t.name: t for t in (await client.list_tools()).tools}
    check(f"{where}: tools", sorted(set(listed) & {"add", "greet", "numbers", "nothing", "refuse", "broken", "slow"}),
          ["add", "broken", "greet", "nothing", "numbers", "refuse", "slow"])
    check(f"{where}: schema", listed["greet"].input_schema["properties"]["name"], {"type": "string", "maxLength": 20})
    r = await client.call_tool("add", {"a": 1, "b": 2.5})
    check(f"{where}: structured", (r.structured_content, r.is_error, json.loads(text(r))), ({"sum": 3.5}, False, {"sum": 3.5}))
    check(f"{where}: text", text(await client.call_tool("greet", {"name": "you"})), "hello you")
    check(f"{where}: list", (text(await client.call_tool("numbers", {}))), "[1,2,3]")
    check(f"{where}: nothing", (await client.call_tool("nothing", {})).content, [])
    r = await client.call_tool("greet", {"name": "x" * 21, "more": 1})
    check(f"{where}: invalid", (r.is_error, "/name: must have at most 20 characters, has 21" in text(r), "/more: is not known here" in text(r)), (True, True, True))
    r = await client.call_tool("refuse", {})
    check(f"{where}: refused", (r.is_error, text(r)), (True, "not today"))
    r = await client.call_tool("broken", {})
    check(f"{where}: broken", (r.is_error, "secret" in text(r)), (True, False))
    try:
        await client.call_tool("no_such_tool", {})
        check(f"{where}: unknown", "answered", "an error")
    except MCPError as e:
        check(f"{where}: unknown", e.error.code, -32602)
    many = await asyncio.gather(*(client.call_tool("add", {"a": i, "b": 1}) for i in range(50)))
    check(f"{where}: 50 at once", [r.structured_content["sum"] for r in many], [i + 1 for i in range(50)])


async def workflows(client, where, run):
    r = await client.call_tool("start_collect", {"id": run, "input": {"who": "she"}})
    check(f"{where}: start", (r.is_error, r.structured_content["workflowId"]), (False, run))
    check(f"{where}: status", (await client.call_tool("workflow_status", {"id": run})).structured_content["status"], "Running")
    check(f"{where}: not yet", (await client.call_tool("workflow_result", {"id": run, "wait": 0.1})).structured_content["status"], "Running")
    await client.call_tool("workflow_signal", {"id": run, "name": "word", "value": "yes"})
    check(f"{where}: result", (await client.call_tool("workflow_result", {"id": run})).structured_content["result"], {"text": "she says yes"})
    check(f"{where}: twice", (await client.call_tool("start_collect", {"id": run, "input": {}})).is_error, True)
    check(f"{where}: no run", (await client.call_tool("workflow_status", {"id": "no-such-run"})).is_error, True)


async def timed_out(client, where):
    begun = time.monotonic()
    try:
        await client.call_tool("slow", {}, read_timeout_seconds=0.5)
        check(f"{where}: slow", "answered", "timed out")
    except MCPError:
        pass
    check(f"{where}: the client goes on after what it gave up", text(await client.call_tool("greet", {"name": "again"})), "hello again")
    check(f"{where}: at once", time.monotonic() - begun < 10, True)


async def stdio(folder, mode, version):
    server = StdioServerParameters(command=program, args=["mcp", script, "--db", os.path.join(folder, f"{mode}.db")])
    async with Client(server, mode=mode) as client:
        where = f"stdio {mode}"
        check(f"{where}: version", client.protocol_version, version)
        check(f"{where}: server", client.server_info.name, "moonloop")
        await tools(client, where)
        await workflows(client, where, "collect-1")
        await timed_out(client, where)


async def http(url, mode, version):
    async with Client(url + "/mcp", mode=mode) as client:
        where = f"http {mode}"
        check(f"{where}: version", client.protocol_version, version)
        await tools(client, where)
        await workflows(client, where, f"collect-{mode}")
    async with Client(url + "/tools", mode=mode) as client:
        names = [t.name for t in (await client.list_tools()).tools]
        check(f"{where}: without workflows", [n for n in names if "workflow" in n or "start" in n], [])


async def main():
    with tempfile.TemporaryDirectory() as folder:
        for mode, version in (("legacy", "2025-11-25"), ("auto", "2026-07-28")):
            await stdio(folder, mode, version)
        serve = subprocess.Popen([program, "serve", script, "--port", "0", "--json", "--db", os.path.join(folder, "serve.db")],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            url = json.loads(serve.stdout.readline())["url"]
            for mode, version in (("legacy", "2025-11-25"), ("auto", "2026-07-28")):
                await http(url, mode, version)
        finally:
            serve.terminate()
            serve.wait()
    print(f"{cases} passed, 0 failed")


asyncio.run(main())
