import os
import socket

import helper
from base import BaseTool, SandboxToolContext

from .deep import inside


class Context(BaseTool):
    name = "context"

    def execute(self, params, ctx):
        assert isinstance(ctx, SandboxToolContext)
        ctx.log_api_call("weather", "GET", "https://api.example/x", 200, 12)
        try:
            socket.create_connection(("1.1.1.1", 53), 2)
            network = True
        except OSError:
            network = False
        writable = []
        for path in ("/plugin/tools.py", "/plugin/new"):
            try:
                open(path, "a").close()
                writable.append(path)
            except OSError:
                pass
        return {
            "project": ctx.project_name, "assistant": ctx.assistant_name, "user": ctx.user_email, "app_config": ctx.app_config,
            "plugin_config": ctx.plugin_config, "network": network, "proxy": os.environ.get("http_proxy"), "writable": writable, "helper": helper.WORD, "deep": inside.WORD,
            "environment": sorted(name for name in os.environ if "CELER" in name or "DATABASE" in name or "SECRET" in name),
            "listing": sorted(os.listdir("/plugin")),
        }
