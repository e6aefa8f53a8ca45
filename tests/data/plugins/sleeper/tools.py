import time

from base import BaseTool


class Sleeper(BaseTool):
    name = "sleeper"

    def execute(self, params, ctx):
        time.sleep(600)
