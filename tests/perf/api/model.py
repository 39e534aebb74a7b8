"""A model server of the OpenAI form for scripts/bench --api: streams tokens at a steady pace; each token is the time when it was sent, in
ns of the machine's monotonic clock. The message says how many and how many ms apart: "1000 2"."""
import asyncio, json, time


def event(delta):
    return b"data: " + json.dumps({"id": "x", "object": "chat.completion.chunk", "model": "fake",
                                   "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}).encode() + b"\n\n"


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            n, gap = json.loads(await reader.readexactly(length))["messages"][-1]["content"].split()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            start = time.monotonic()
            for i in range(int(n)):
                await asyncio.sleep(max(0, start + i * float(gap) / 1e3 - time.monotonic()))
                writer.write(chunk(event({"content": f"{time.monotonic_ns()} "})))
                await writer.drain()
            end = b'data: {"id":"x","object":"chat.completion.chunk","model":"fake","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
            writer.write(chunk(end + b"data: [DONE]\n\n") + b"0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
