import os
import sys

from base import BaseTool


class Raises(BaseTool):
    name = "raises"

    def execute(self, params, ctx):
        return self.deeper()

    def deeper(self):
        raise KeyError("what it needs")


class Unspeakable(BaseTool):
    name = "unspeakable"

    def execute(self, params, ctx):
        return {"a set": {1, 2}}


class CannotBeMade(BaseTool):
    name = "cannot_be_made"

    def __init__(self):
        raise RuntimeError("not today")


class Exits(BaseTool):
    name = "exits"

    def execute(self, params, ctx):
        sys.exit(3)


class Dies(BaseTool):
    name = "dies"

    def execute(self, params, ctx):
        print("about to die", file=sys.stderr, flush=True)
        os._exit(7)


class Twice(BaseTool):
    name = "twice"


class TwiceAgain(BaseTool):
    name = Twice.name  # which nobody sees without running it


class TooMuch(BaseTool):
    name = "too_much"

    def execute(self, params, ctx):
        return "x" * (40 << 20)
