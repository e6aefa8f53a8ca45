"""A door to a server with bad weather in it: see FAULTS for what it does to what is carried."""

import os
import socket
import time

from forwarder import Forwarder


def cut(door, sink, data, is_answer):
    raise OSError("cut")


def half_close(door, sink, data, is_answer):
    """Whoever asks finds the end of the answers, though it may still send."""
    if is_answer:
        sink.shutdown(socket.SHUT_WR)
    else:
        sink.sendall(data)


def stall(door, sink, data, is_answer):
    """Nothing moves while it lasts; all of it comes later."""
    while door.fault is stall:
        time.sleep(0.02)
    sink.sendall(data)


def one_byte(door, sink, data, is_answer):
    for byte in data:
        sink.sendall(bytes([byte]))


def delay(door, sink, data, is_answer):
    time.sleep(0.5)
    sink.sendall(data)


def wrong_answers(door, sink, data, is_answer):
    sink.sendall(os.urandom(len(data)) if is_answer else data)


def restart(door, sink, data, is_answer):
    raise OSError("away")


# name: (what it does, whether work goes on while it lasts)
FAULTS = {f.__name__: (f, f in (one_byte, delay)) for f in (cut, half_close, stall, one_byte, delay, wrong_answers, restart)}


class FaultyDoor(Forwarder):
    fault = None

    def begin(self, fault):
        self.fault = fault
        if fault in (cut, restart):
            self.close()
        if fault is cut:
            self.open()

    def end(self):
        """The fault is over; whoever was cut off may come again."""
        ended, self.fault = self.fault, None
        if ended is restart:
            self.open()

    def _carry(self, source, sink, is_answer, gone):
        try:
            if source.family == socket.AF_INET:
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := source.recv(65536):
                if self.fault:
                    self.fault(self, sink, data, is_answer)
                else:
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._shut(source)
            self._shut(sink)
