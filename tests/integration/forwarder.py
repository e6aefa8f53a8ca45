"""A door to a server that a test can close: what is connected is cut off, and nobody answers until it is opened again."""

import os
import queue
import socket
import threading
import time


class Forwarder:
    """Listens on the Unix socket `path` (or a loopback port if None) and carries bytes to `target` both ways."""

    def __init__(self, target, path=None, port=None):
        self.target = target
        self.path = path
        self.port = port
        self.listener = None
        self.connections = set()
        self.lock = threading.Lock()
        self.muted = False  # what the server says is thrown away
        self.swallow = False  # as a peer that vanished: whoever sends now stays connected and never gets anything again
        self.silenced = set()  # connections that carry nothing more, though they stay open
        self.names = {}  # of a connection: the first bytes that the client sent

    def open(self):
        if self.path is None:
            self.listener = socket.create_server(("127.0.0.1", self.port or 0))
            self.port = self.listener.getsockname()[1]
        else:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(self.path))
            self.listener.listen(64)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()
        return self

    def silence(self, name):
        """Present connections whose client called itself so carry nothing more; later ones do."""
        with self.lock:
            self.silenced |= {one for one, said in self.names.items() if name in said}

    def named(self, name):
        with self.lock:
            return {one for one, said in self.names.items() if name in said and one in self.connections}

    def cut(self, name):
        """Present connections whose client said that end, as a proxy ends those that were idle."""
        cut = self.named(name)
        with self.lock:
            self.connections -= cut
        for connection in cut:
            self._shut(connection)

    def close(self):
        listener, self.listener = self.listener, None
        if listener is None:
            return
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        if self.path is not None:
            os.unlink(self.path)
        with self.lock:
            cut, self.connections = self.connections, set()
        for connection in cut:
            self._shut(connection)

    kill = close

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.socket(socket.AF_UNIX if isinstance(self.target, str) else socket.AF_INET)
                server.connect(self.target)
            except OSError:
                client.close()
                continue
            with self.lock:
                self.connections |= {client, server}
            gone = threading.Event()
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._carry, args=(one, other, one is server, gone), daemon=True).start()

    def _carry(self, source, sink, is_answer, gone):
        try:
            while data := source.recv(65536):
                if not is_answer:
                    self._remember(source, sink, data)
                if self.swallow:
                    gone.set()
                if source not in self.silenced and not gone.is_set() and not (is_answer and self.muted):
                    sink.sendall(data)
            if gone.is_set():
                return
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._shut(source)
            self._shut(sink)

    def _remember(self, source, sink, data):
        with self.lock:
            said = self.names.get(source, b"")
            if len(said) < 1024:
                self.names[source] = self.names[sink] = said + data

    @staticmethod
    def _shut(connection):
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class DelayingForwarder(Forwarder):
    """What clients send reaches the server so many seconds later; answers are not held up."""

    def __init__(self, target, seconds, port=None):
        super().__init__(target, port=port)
        self.seconds = seconds

    def _carry(self, source, sink, is_answer, gone):
        if not is_answer:
            late = queue.Queue()
            threading.Thread(target=self._deliver, args=(late, sink), daemon=True).start()
            sink = _Later(late, self.seconds)
        super()._carry(source, sink, is_answer, gone)

    def _remember(self, source, sink, data):
        pass

    @staticmethod
    def _deliver(late, sink):
        while (entry := late.get()) is not None:
            at, data = entry
            time.sleep(max(0, at - time.monotonic()))
            try:
                sink.sendall(data)
            except OSError:
                return
        Forwarder._shut(sink)


class SlowForwarder(Forwarder):
    """Answers come with so many bytes a second, and not faster; what clients send is not held up."""

    def __init__(self, target, rate):
        super().__init__(target)
        self.rate = rate

    def _carry(self, source, sink, is_answer, gone):
        super()._carry(source, _Paced(sink, self.rate) if is_answer else sink, is_answer, gone)

    def _remember(self, source, sink, data):
        pass


class _Paced:
    """A socket to write to, whose next bytes go when the last ones have had their time."""

    def __init__(self, sink, rate):
        self.sink, self.rate, self.free_at = sink, rate, 0

    def sendall(self, data):
        now = time.monotonic()
        if now - self.free_at > 1:  # since when nothing was said: what is late is made up for, a silence is not
            self.free_at = now
        self.free_at += len(data) / self.rate
        time.sleep(max(0, self.free_at - now))
        self.sink.sendall(data)

    def shutdown(self, how):
        self.sink.shutdown(how)


class _Later:
    """A socket to write to, whose bytes are sent by another thread when their time has come."""

    def __init__(self, late, seconds):
        self.late, self.seconds = late, seconds

    def sendall(self, data):
        self.late.put((time.monotonic() + self.seconds, data))

    def shutdown(self, _):
        self.late.put(None)
