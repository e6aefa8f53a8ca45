import sys

from app.plugins.base import BaseTool

print("imported")


class Noisy(BaseTool):
    name = "noisy"

    def execute(self, params, ctx):
        print('{"ok": true, "result": "printed"}')
        print("to stderr", file=sys.stderr)
        return {"said": params["say"], "größe": 3, "list": [1, None, True]}
