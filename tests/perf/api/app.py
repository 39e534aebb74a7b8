"""What scripts/bench --api measures beside moonloop: the same routes in FastAPI. One worker process, as one moonloop is one."""
import asyncio, json, os, sqlite3, threading, uuid

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

app = FastAPI()
local = threading.local()
client = httpx.AsyncClient(timeout=60)


def connection():
    """One per thread of the pool that runs plain handlers."""
    if not hasattr(local, "db"):
        local.db = sqlite3.connect(os.environ["DB"], isolation_level=None, timeout=60)
        local.db.execute("PRAGMA journal_mode=WAL")
        local.db.execute("PRAGMA synchronous=FULL")
        local.db.execute("CREATE TABLE IF NOT EXISTS accepted(id TEXT PRIMARY KEY, key TEXT UNIQUE, body TEXT)")
    return local.db


@app.get("/hello/{name}")
async def hello(name: str):
    return {"hello": name}


@app.post("/accept", status_code=202)
def accept(body: dict, request: Request):
    id = str(uuid.uuid4())
    connection().execute("INSERT INTO accepted VALUES(?, ?, ?)", (id, request.headers["idempotency-key"], json.dumps(body)))
    return {"status": "accepted", "entityId": id}


@app.post("/chat")
async def chat(body: dict):
    async def tokens():
        ask = {"model": "fake", "stream": True, "messages": [{"role": "user", "content": body["text"]}]}
        async with client.stream("POST", os.environ["MODEL_URL"] + "/chat/completions", json=ask) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    text = json.loads(line[6:])["choices"][0]["delta"].get("content")
                    if text:
                        yield f"data: {text}\n\n"
    return StreamingResponse(tokens(), media_type="text/event-stream")


@app.get("/events")
async def events(every: float):
    async def ticks():
        yield "event: hello\ndata: \n\n"
        while True:
            await asyncio.sleep(every)
            yield "event: tick\ndata: \n\n"
    return StreamingResponse(ticks(), media_type="text/event-stream")
