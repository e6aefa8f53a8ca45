"""Runs a program as `python3 -u FILE` would. Part of the agent: it is read from a descriptor by an interpreter that has
just begun (the direct way), or by the fork server, whose children end up here.

What is done on top: matplotlib figures that are still open and were never saved are saved to /sandbox/output.
"""
import os
import sys

OUTPUT = "/sandbox/output"
US = sys.modules["__main__"]
print_error = sys.__excepthook__
SAVED = "_celeriac_saved"


def new_main(path):
    """The module __main__ as the interpreter itself makes it for a file."""
    import builtins
    from importlib.machinery import SourceFileLoader

    main = type(sys)("__main__")
    main.__builtins__ = builtins
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    if path is not None:
        main.__file__ = path
        main.__cached__ = None
        main.__loader__ = SourceFileLoader("__main__", path)
    sys.modules["__main__"] = main
    return main


def without_us(traceback):
    while traceback is not None and traceback.tb_frame.f_code in OUR_FRAMES:
        traceback = traceback.tb_next
    return traceback


def exit_status(error):
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF if -(1 << 63) <= code < 1 << 63 else 0xFF
    try:
        print(code, file=sys.stderr)
    except BaseException:
        pass
    return 1


def show(error):
    """As the interpreter shows what nobody caught. The exit status."""
    traceback = without_us(error.__traceback__)
    error = error.with_traceback(traceback)
    sys.last_type, sys.last_value, sys.last_traceback, sys.last_exc = type(error), error, traceback, error
    hook = print_error if sys.excepthook is sys.__excepthook__ else sys.excepthook
    try:
        hook(type(error), error, traceback)
    except SystemExit as leaving:
        return exit_status(leaving)
    except BaseException as second:
        print("Error in sys.excepthook:", file=sys.stderr)
        sys.__excepthook__(type(second), second, without_us(second.__traceback__))
        print("\nOriginal exception was:", file=sys.stderr)
        sys.__excepthook__(type(error), error, traceback)
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def execute(code, namespace):
    """The exit status, 130 after a KeyboardInterrupt."""
    try:
        exec(code, namespace)
    except SystemExit as leaving:
        return exit_status(leaving)
    except BaseException as error:
        return show(error)
    return 0


def load(path, name):
    """The program's code, or None and it has been said why."""
    try:
        with open(path, "rb") as file:
            source = file.read()
        return source, compile(source, name, "exec", dont_inherit=True)
    except OSError as error:
        print(f"{sys.executable}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}", file=sys.stderr)
        return b"", None
    except BaseException as error:
        show(error)
        return b"", None


OUR_FRAMES = {execute.__code__, load.__code__}


def watch_saving(module):
    """Figures remember that somebody saved them."""
    original = module.FigureCanvasBase.print_figure

    def print_figure(self, *args, **kwargs):
        done = original(self, *args, **kwargs)
        setattr(self.figure, SAVED, "by the program")
        return done

    print_figure.__wrapped__ = original
    print_figure.__name__, print_figure.__qualname__, print_figure.__doc__ = (
        original.__name__, original.__qualname__, original.__doc__)
    module.FigureCanvasBase.print_figure = print_figure


class Watcher:
    """Waits for the import of matplotlib's canvases."""

    def find_spec(self, name, path=None, target=None):
        if name != "matplotlib.backend_bases":
            return None
        import importlib.util

        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module):
                run(module)
                watch_saving(module)

            spec.loader.exec_module = exec_module
        return spec


def save_figures():
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    if helpers is None:
        return
    try:
        for number, manager in sorted(helpers.Gcf.figs.items(), key=lambda item: str(item[0])):
            figure = manager.canvas.figure
            path = getattr(figure, SAVED, None)
            if not figure.axes or path == "by the program" or (path and not figure.stale):
                continue
            path = path or free_name(number)
            figure.savefig(path)
            setattr(figure, SAVED, path)
            figure.stale = False
    except Exception as error:
        print(f"an open figure could not be saved: {error!r}", file=sys.stderr)


def free_name(number):
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in str(number))
    for more in range(1000):
        path = f"{OUTPUT}/figure_{name}{f'_{more}' if more else ''}.png"
        if not os.path.lexists(path):
            return path
    return path


def run_file(path, args):
    """Everything up to where the interpreter would begin to end. The exit status."""
    main = new_main(path)
    sys.argv[:] = [path, *args]
    _, code = load(path, path)
    if code is None:
        return 1 if os.path.exists(path) else 2
    status = execute(code, main.__dict__)
    save_figures()
    return status


def run_directly():
    sys.meta_path.insert(0, Watcher())
    path, args = sys.argv[2], sys.argv[3:]
    sys.orig_argv[:] = ["python3", "-u", path, *args]
    sys.path[0] = os.path.dirname(path)
    status = run_file(path, args)
    if status == 130 and isinstance(getattr(sys, "last_value", None), KeyboardInterrupt):
        import signal

        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    sys.exit(status)


if sys.argv[1] == "direct":
    run_directly()
# -- end of python_run.py --
