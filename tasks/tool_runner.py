"""Runs one tool of a plugin, or of source text, inside its sandbox. Written to be the whole program of a run.

The request comes on standard input as JSON. The answer is a file whose name only the request tells, so that nothing the tool
prints can be taken for it; what the tool prints is its output and no more.
"""
import base64
import ctypes
import importlib.util
import json
import os
import re
import struct
import sys
import traceback
import types

request = json.load(sys.stdin.buffer)
sys.stdin = open(os.devnull)
ROOT = "/plugin"
calls = []
CALLS_MAX = 1000


# ---- what tools are written against ----
class BaseTool:
    name = None
    description = ""
    category = "general"
    input_schema = {}

    def execute(self, params, ctx):
        raise NotImplementedError("execute")


class PluginType:
    TOOL, CHANNEL, LLM, EMBEDDING, OUTPUT = "tool", "channel", "llm", "embedding", "output"


class PluginManifest:
    def __init__(self, name=None, plugin_type=PluginType.TOOL, version="0", description="", author="", config_schema=None, **more):
        self.name, self.plugin_type, self.version = name, plugin_type, version
        self.description, self.author, self.config_schema = description, author, config_schema or {}
        self.__dict__.update(more)


class SandboxToolContext:
    """Plain data: nothing of the application is here."""

    def __init__(self, context, plugin_config):
        self.project_name = context.get("project_name")
        self.assistant_name = context.get("assistant_name")
        self.user_email = context.get("user_email")
        self.project = types.SimpleNamespace(name=self.project_name)
        self.assistant = types.SimpleNamespace(name=self.assistant_name)
        self.user = types.SimpleNamespace(email=self.user_email)
        self.app_config = {}
        self.plugin_config = plugin_config or {}

    def log_api_call(self, service=None, method=None, url=None, status_code=None, duration_ms=None, **more):
        if len(calls) < CALLS_MAX:
            calls.append({"service": service, "method": method, "url": url, "status_code": status_code, "duration_ms": duration_ms, **more})


def supply_modules():
    shims = {"BaseTool": BaseTool, "PluginManifest": PluginManifest, "PluginType": PluginType,
             "ToolContext": SandboxToolContext, "SandboxToolContext": SandboxToolContext}
    for name in ("app", "app.plugins", "app.plugins.base", "base"):
        module = types.ModuleType(name)
        module.__dict__.update(shims if name.endswith("base") else {"__path__": []})
        sys.modules[name] = module


# ---- answers ----
class Failure(Exception):
    def __init__(self, stage, text, lines=()):
        super().__init__(text)
        self.stage, self.text, self.lines = stage, text, list(lines)


def own_lines(error):
    """Where in the tool's own files it happened."""
    lines = []
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.startswith(ROOT + "/"):
            name = os.path.relpath(frame.filename, ROOT)
            lines.append(f'File "{name}", line {frame.lineno}, in {frame.name}' + (f": {frame.line}" if frame.line else ""))
    if isinstance(error, SyntaxError) and error.filename and error.filename.startswith(ROOT + "/"):
        lines.append(f'File "{os.path.relpath(error.filename, ROOT)}", line {error.lineno}: {(error.text or "").strip()}')
    return lines[-20:]


def named(error):
    return f"{type(error).__name__}: {error}"


def attempt(stage, function, *args):
    try:
        return function(*args)
    except Failure:
        raise
    except BaseException as error:
        raise Failure(stage, named(error), own_lines(error)) from None


# ---- schemas: what is asked of parameters ----
TYPES = {"object": dict, "array": (list, tuple), "string": str, "integer": int, "number": (int, float), "boolean": bool,
         "null": type(None)}


def is_type(value, name):
    if name not in TYPES:
        return True
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, TYPES[name])


def problems(value, schema, where, depth=0):
    """The first thing that is wrong with a value, or None."""
    if not isinstance(schema, dict) or depth > 32:
        return None
    kinds = schema.get("type")
    if kinds is not None and not any(is_type(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return f"{where} must be {kinds if isinstance(kinds, str) else ' or '.join(kinds)}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where} must be one of {json.dumps(schema['enum'])[:200]}"
    if "const" in schema and value != schema["const"]:
        return f"{where} must be {json.dumps(schema['const'])[:200]}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        for key, wrong, words in (("minimum", lambda limit: value < limit, "at least"), ("maximum", lambda limit: value > limit, "at most"),
                                  ("exclusiveMinimum", lambda limit: value <= limit, "more than"),
                                  ("exclusiveMaximum", lambda limit: value >= limit, "less than")):
            if isinstance(schema.get(key), (int, float)) and wrong(schema[key]):
                return f"{where} must be {words} {schema[key]}"
    if isinstance(value, (str, list)):
        low, high = ("minLength", "maxLength") if isinstance(value, str) else ("minItems", "maxItems")
        if len(value) < schema.get(low, 0) or len(value) > schema.get(high, len(value)):
            return f"{where} must have {schema.get(low, 0)} to {schema.get(high, 'any number of')} {'characters' if isinstance(value, str) else 'items'}"
    if isinstance(value, str) and isinstance(schema.get("pattern"), str) and not re.search(schema["pattern"], value):
        return f"{where} must match {schema['pattern']}"
    if isinstance(value, list):
        for number, item in enumerate(value):
            wrong = problems(item, schema.get("items"), f"{where}[{number}]", depth + 1)
            if wrong:
                return wrong
    if isinstance(value, dict):
        return object_problems(value, schema, where, depth)
    return None


def object_problems(value, schema, where, depth):
    properties = schema.get("properties") or {}
    for name in schema.get("required") or []:
        if name not in value:
            return f"{where}.{name} is required"
    for name, item in value.items():
        if name in properties:
            wrong = problems(item, properties[name], f"{where}.{name}", depth + 1)
        elif schema.get("additionalProperties") is False:
            wrong = f"{where}.{name} is not known"
        else:
            wrong = problems(item, schema.get("additionalProperties"), f"{where}.{name}", depth + 1)
        if wrong:
            return wrong
    return None


# ---- the tool ----
def unpack():
    """The files, which nobody needs to write: modes 0444 and 0555."""
    for name, content in request["files"].items():
        path = os.path.join(ROOT, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb") as file:
            file.write(base64.b64decode(content))
            os.fchmod(file.fileno(), 0o444)
    request["files"] = None
    for directory, _, _ in os.walk(ROOT, topdown=False):
        os.chmod(directory, 0o555)


def keep(root):
    """Nothing below `root` can be changed any more, by this process or any that it starts, whatever its modes: Landlock(7), which knows
    only what is allowed, so everything beside `root` is. Where the kernel does not have it, the modes remain."""
    create, add, restrict = 444, 445, 446
    call = ctypes.CDLL(None, use_errno=True).syscall
    version = call(create, None, ctypes.c_size_t(0), 1)
    if version < 2:  # the first would forbid renaming from one directory to another everywhere
        return
    # WRITE_FILE, REMOVE_DIR to MAKE_SYM, REFER, and from version 3 on TRUNCATE
    changes = 1 << 1 | 0x1FF << 4 | 1 << 13 | (1 << 14 if version >= 3 else 0)
    rules = call(create, struct.pack("Q", changes), ctypes.c_size_t(8), 0)
    if rules < 0:
        return
    for name in os.listdir("/"):
        if "/" + name != root and os.path.isdir("/" + name):
            place = os.open("/" + name, os.O_PATH | os.O_CLOEXEC)
            call(add, rules, 1, struct.pack("=Qi", changes, place), 0)
            os.close(place)
    call(restrict, rules, 0)
    os.close(rules)


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=[ROOT] if path.endswith("__init__.py") else None)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def load_tools():
    sys.path.insert(0, ROOT)
    sys.dont_write_bytecode = True
    package = types.ModuleType("plugin")
    package.__path__ = [ROOT]
    sys.modules["plugin"] = package
    for name in ("__init__.py", "manifest.py"):
        if os.path.exists(os.path.join(ROOT, name)):
            load("plugin" if name == "__init__.py" else "plugin.manifest", os.path.join(ROOT, name))
    return load("plugin.tools", os.path.join(ROOT, "tools.py"))


def find_tool(module):
    classes = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, BaseTool) and value is not BaseTool]
    wanted = request["tool"]
    if wanted is not None:
        classes = [kind for kind in classes if kind.name == wanted]
    own = [kind for kind in classes if kind.__module__ == module.__name__] or classes
    if not own:
        raise Failure("class", f"there is no tool {wanted!r}" if wanted is not None else "there is no class that derives from BaseTool")
    if len(own) > 1:
        raise Failure("class", "more than one tool: " + ", ".join(sorted(kind.__name__ for kind in own)))
    return own[0]


def run():
    supply_modules()
    unpack()
    keep(ROOT)
    kind = find_tool(attempt("import", load_tools))
    schema = attempt("class", lambda: kind.input_schema)
    wrong = attempt("schema", problems, request["params"], schema or {}, "params")
    if wrong:
        raise Failure("schema", wrong)
    tool = attempt("class", kind)
    context = SandboxToolContext(request["context"], request["plugin_config"])
    result = attempt("exception", tool.execute, request["params"], context)
    return attempt("result", json.dumps, result)


def answer():
    try:
        return '{"ok": true, "result": %s' % run()
    except Failure as failure:
        return '{"ok": false, "stage": %s, "error": %s, "lines": %s' % tuple(
            json.dumps(value) for value in (failure.stage, failure.text, failure.lines))


def logged():
    try:
        return json.dumps(calls)
    except Exception:
        return json.dumps([{key: str(value) for key, value in call.items()} for call in calls])


def deliver(text):
    path = "/sandbox/output/" + request["answer"]
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    data = text.encode("utf-8", "replace")
    while data:
        data = data[os.write(descriptor, data):]
    os.close(descriptor)


deliver(answer() + ', "calls": %s}' % logged())
for stream in (sys.stdout, sys.stderr):
    try:
        stream.flush()
    except Exception:
        pass
os._exit(0)
