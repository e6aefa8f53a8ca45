"""A web server of a test, on a loopback address, with TLS if it is given a certificate and its key."""

import http.server
import ssl
import threading


class Web:
    """`handler` finds the list `self.server.seen`, which is this one's `seen`."""

    def __init__(self, handler, address="127.0.0.1", port=0, certificate=None):
        self.server = http.server.ThreadingHTTPServer((address, port), handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a client that goes away is what most of these tests are about
        self.seen = self.server.seen = []
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            # the handshake is the handler's thread's business: who fails it keeps nobody else waiting
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
