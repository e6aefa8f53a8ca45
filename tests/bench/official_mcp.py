"""The official Python client's half of mcp_echo.py: a Celery worker's tasks as they are written today.

The server's argument vector is BENCH_SERVER (JSON); the broker that of tests/integration's Python workers.
"""

import asyncio
import json
import os
import threading

import celery
from mcp import ClientSession, stdio_client, StdioServerParameters

app = celery.Celery("official", broker=os.environ["TEST_REDIS_URL"], backend=os.environ["TEST_REDIS_URL"])
app.conf.task_default_queue = "official"
PROGRAM, *ARGUMENTS = json.loads(os.environ["BENCH_SERVER"])
SERVER = StdioServerParameters(command=PROGRAM, args=ARGUMENTS)


class Kept:
    """One session, open in a thread with an event loop of its own."""

    def __init__(self):
        self.loop, self.session, self.ready = asyncio.new_event_loop(), None, threading.Event()
        threading.Thread(target=self.loop.run_until_complete, args=(self.live(),), daemon=True).start()
        assert self.ready.wait(60)

    async def live(self):
        async with stdio_client(SERVER) as streams, ClientSession(*streams) as self.session:
            await self.session.initialize()
            await self.session.list_tools()
            self.ready.set()
            await asyncio.Event().wait()

    def echo(self, message):
        return asyncio.run_coroutine_threadsafe(self.session.call_tool("echo", {"message": message}), self.loop).result(60)


kept = None


@app.task(name="official.open")
def echo_of_open_session(message):
    global kept
    kept = kept or Kept()
    return kept.echo(message).content[0].text


async def once(message):
    async with stdio_client(SERVER) as streams, ClientSession(*streams) as session:
        await session.initialize()
        await session.list_tools()
        return await session.call_tool("echo", {"message": message})


@app.task(name="official.each")
def echo_of_a_session_for_each(message):
    return asyncio.run(once(message)).content[0].text
