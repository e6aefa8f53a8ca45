"""A name server of our own, and programs that ask it."""

import socket
import struct
import threading

from namespaces import program_with


class Resolver:
    """`says[name]` is a list of answers, each a list of IPv4 addresses; the last one is given from then on. TTL 0."""

    def __init__(self, address):
        self.says, self.asked = {}, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.address = address
        self.closing = False
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while not self.closing:
            query, client = self.socket.recvfrom(4096)
            if len(query) > 16:
                self.socket.sendto(self.answer(query), client)

    def answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind = struct.unpack(">H", query[at + 1:at + 3])[0]
        name, question = ".".join(labels).lower(), query[12:at + 5]
        addresses = []
        if kind == 1 and name in self.says:
            left = self.says[name]
            addresses = left.pop(0) if len(left) > 1 else left[0]
            self.asked.append(name)
        code = 0 if name in self.says else 3
        head = query[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, len(addresses), 0, 0)
        return head + question + b"".join(b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(address) for address in addresses)

    def program(self, directory):
        """The worker with this name server."""
        settings = directory / "resolv.conf"
        settings.write_text(f"nameserver {self.address}\n")
        return program_with(directory, {"/etc/resolv.conf": settings})

    def close(self):
        self.closing = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", (self.address, 53))
        self.thread.join()
        self.socket.close()
