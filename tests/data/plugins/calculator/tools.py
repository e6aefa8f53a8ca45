from app.plugins.base import BaseTool, ToolContext


class Add(BaseTool):
    name = "calc_add"
    description = "Adds two numbers"
    category = "math"
    input_schema = {
        "type": "object",
        "properties": {
            "a": {"type": "number", "description": "one"},
            "b": {"type": "number", "description": "two"},
            "mode": {"type": "string", "enum": ["plain", "double"]},
        },
        "required": ["a", "b"],
        "additionalProperties": False,
    }

    def execute(self, params: dict, ctx: ToolContext) -> str:
        total = params["a"] + params["b"]
        return str(total * 2 if params.get("mode") == "double" else total)


class Divide(BaseTool):
    name = "calc_divide"
    input_schema = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}

    def execute(self, params, ctx):
        return divide(params["a"], params["b"])


def divide(a, b):
    return a / b
