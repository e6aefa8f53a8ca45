import time

from base import BaseTool


class Sleeper(BaseTool):
    name = "sleeper"

    def execute(self, params, ctx):
        time.sleep(params.get("seconds", 600))
        return "slept"
