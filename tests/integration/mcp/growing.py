"""A server of the official library, which speaks both generations: its tools change when one of them is called, and whoever listens is told.

    growing.py stdio | growing.py http PORT
"""

import sys

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("growing")


@server.tool()
async def grow(ctx: Context) -> str:
    number = len(await server.list_tools())
    server.add_tool(lambda: str(number), name=f"grown{number}")
    await ctx.notify_tools_changed()
    return str(number)


if sys.argv[1] == "stdio":
    server.run("stdio")
else:
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
