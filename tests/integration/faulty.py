"""A door to a server with bad weather in it: see FAULTS for what it does to what is carried."""

import contextlib
import os
import socket
import threading
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
    while door.fault in (stall, hold):
        time.sleep(0.02)
    sink.sendall(data)


def hold(door, sink, data, is_answer):
    """What clients say stays here while it lasts; they are still told everything."""
    if not is_answer:
        stall(door, sink, data, is_answer)
    else:
        sink.sendall(data)


def one_byte(door, sink, data, is_answer):
    for byte in data:
        sink.sendall(bytes([byte]))


def delay(door, sink, data, is_answer):
    time.sleep(0.5)
    sink.sendall(data)


def wrong_answers(door, sink, data, is_answer):
    sink.sendall(os.urandom(len(data)) if is_answer else data)


def truncated(door, sink, data, is_answer):
    """Half of an answer, and then nobody."""
    sink.sendall(data[:len(data) // 2] if is_answer else data)
    if is_answer:
        raise OSError("truncated")


def held_until(text, times):
    """What clients say stays until they have said `text` so many times, and goes on then."""
    held, lock, over = {}, threading.Lock(), threading.Event()

    def held_up(door, sink, data, is_answer):
        if is_answer:
            sink.sendall(data)
            return
        with lock:
            held[sink] = held.get(sink, b"") + data
            if not over.is_set() and sum(said.count(text) for said in held.values()) < times:
                return
            over.set()
            for one in list(held):
                said = held.pop(one)
                with contextlib.suppress(OSError):  # gone, which those who carry for it find out themselves
                    one.sendall(said)

    return held_up


def restart(door, sink, data, is_answer):
    raise OSError("away")


# name: (what it does, whether work goes on while it lasts)
FAULTS = {f.__name__: (f, f in (one_byte, delay)) for f in (cut, half_close, stall, one_byte, delay, wrong_answers, truncated, restart)}


def answers(text):
    """A server that answers everything so."""
    def nonsense(door, sink, data, is_answer):
        sink.sendall(text if is_answer else data)

    return nonsense


# What each protocol has for it: {server: {name: (what it does, whether work goes on)}}
NONSENSE = {server: {name: (answers(text), False) for name, text in rows.items()} for server, rows in {
    "redis": {"another_type": b":7\r\n", "an_error": b"-ERR nonsense\r\n", "huge_length": b"$9000000000\r\n", "huge_count": b"*2147483647\r\n",
              "no_type": b"!?\r\n", "nested": b"*1\r\n" * 200},
    "postgres": {"another_type": b"?\0\0\0\x04", "another_state": b"Z\0\0\0\x05I", "huge_length": b"D\x7f\xff\xff\xff\0\1",
                 "short_length": b"D\0\0\0\0"},
    "engine": {"another_type": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]",
               "no_json": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"Id\": 7,",
               "huge_length": b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000000\r\n\r\n{",
               "huge_chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff0\r\n{",
               "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"},
    "rabbitmq": {"another_type": b"\x09\0\0\0\0\0\0\xce", "another_method": b"\1\0\1\0\0\0\4\xff\xff\xff\xff\xce",
                 "huge_length": b"\1\0\1\x7f\xff\xff\xff\0\x3c", "no_end": b"\1\0\1\0\0\0\4\0\x3c\0\x15\0"},
}.items()}


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
