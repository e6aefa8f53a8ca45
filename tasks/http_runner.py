"""Makes one HTTP request inside a sandbox. Written to be the whole program of a run.

The request comes on standard input as JSON, checked by the worker; the answer is a file whose name only the request tells: a line of
JSON, then the body. The way out is the proxy that the agent offers, which leads where the worker lets it.
"""
import base64
import http.client
import json
import os
import socket
import ssl
import sys
import urllib.parse
import zlib

request = json.load(sys.stdin.buffer)
sys.stdin = open(os.devnull)
PIECE = 1 << 16
HEAD_MAX = 1 << 16


class Failure(Exception):
    pass


def tunnel(proxy):
    """A TLS connection to the host, whose certificate must be the host's."""
    place = "%s:%d" % (f"[{request['host']}]" if ":" in request["host"] else request["host"], request["port"])
    proxy.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = proxy.recv(1)
        head += piece
        if not piece or len(head) > HEAD_MAX:
            raise Failure("the way out was closed")
    if head.split(b" ", 2)[1:2] != [b"200"]:
        raise Failure("there is no way to the host")
    return ssl.create_default_context().wrap_socket(proxy, server_hostname=request["host"])


def exchange():
    way = urllib.parse.urlsplit(os.environ["http_proxy"])
    connection = http.client.HTTPConnection(request["host"], request["port"])
    connection.sock = socket.create_connection((way.hostname, way.port))
    if request["tls"]:
        connection.sock = tunnel(connection.sock)
    body = None if request["body"] is None else base64.b64decode(request["body"])
    connection.putrequest(request["method"], request["target" if request["tls"] else "url"], skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", request["authority"])
    connection.putheader("Accept-Encoding", "gzip, deflate")
    for name, value in request["headers"]:
        connection.putheader(name, value.encode())
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    return connection.getresponse()


def unpacked(response):
    """The body's pieces, decompressed: never more at once than PIECE, whatever they are made of."""
    encoding = (response.getheader("Content-Encoding") or "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip", "deflate"):
        raise Failure("the answer has an encoding that was not asked for")
    way = zlib.decompressobj(47) if encoding != "identity" else None
    while True:
        data = response.read(PIECE)
        if not data:
            break
        while way and data and not way.eof:
            yield way.decompress(data, PIECE)
            data = way.unconsumed_tail
        if not way:
            yield data
    if response.length:
        raise Failure("the answer ended early")
    if way:
        yield way.flush(PIECE)
        if not way.eof:
            raise Failure("the answer ended early")


def make():
    response = exchange()
    if sum(len(name) + len(value) + 4 for name, value in response.getheaders()) > HEAD_MAX:
        raise Failure("more than %d bytes of headers" % HEAD_MAX)
    body = bytearray()
    for piece in unpacked(response):
        body += piece
        if len(body) > request["limit"]:
            raise Failure("the answer has more than %d bytes" % request["limit"])
    return {"status": response.status, "content_type": (response.getheader("Content-Type") or "")[:159]}, body


def answer():
    """No text of a failure repeats the request, which holds secrets."""
    try:
        return make()
    except Failure as failure:
        return {"error": str(failure)}, b""
    except ssl.SSLError as error:
        return {"error": f"TLS: {getattr(error, 'verify_message', None) or error.reason or 'no connection'}"}, b""
    except (OSError, EOFError):
        return {"error": "the connection was lost"}, b""
    except zlib.error:
        return {"error": "the answer cannot be decompressed"}, b""
    except (http.client.HTTPException, ValueError) as error:
        return {"error": f"the answer is no HTTP ({type(error).__name__})"}, b""


head, content = answer()
with open("/sandbox/output/" + request["answer"], "xb") as file:
    file.write(json.dumps(head).encode() + b"\n" + content)
