# SPDX-License-Identifier: BSD-3-Clause
"""What guests talk to on the host: small servers on loopback, each in a thread."""
import hashlib
import http.server
import os
import socket
import socketserver
import struct
import threading

LOOPBACK = {4: "127.0.0.1", 6: "::1"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


def free_port(kind=socket.SOCK_STREAM, family=4):
    """A port that nobody listens on at this moment."""
    with socket.socket(FAMILY[family], kind) as probe:
        probe.bind((LOOPBACK[family], 0))
        return probe.getsockname()[1]


class _Server:
    """A socketserver in a thread; a context manager."""

    def __init__(self, base, address, family, handler):
        kind = type("Server", (socketserver.ThreadingMixIn, base), {
            "address_family": FAMILY[family], "daemon_threads": True,
            "allow_reuse_address": True, "request_queue_size": 64,
            "handle_error": lambda *_: None})
        self.server = kind(address, handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.1,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def http_server(pages, family=4):
    """Serve {path: bytes}."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            page = pages.get(self.path)
            self.send_response(200 if page is not None else 404)
            self.send_header("Content-Length", str(len(page or b"")))
            self.end_headers()
            if page:
                self.wfile.write(page)

        def log_message(self, *_):
            pass
    return _Server(socketserver.TCPServer, (LOOPBACK[family], 0), family, Handler)


def md5_server(family=4):
    """TCP: read to the end, answer with the MD5 sum of it all, close."""
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            digest = hashlib.md5()
            while True:
                data = self.request.recv(1 << 18)
                if not data:
                    break
                digest.update(data)
            self.request.sendall(digest.hexdigest().encode() + b"\n")
    return _Server(socketserver.TCPServer, (LOOPBACK[family], 0), family, Handler)


def stream_server(family=4):
    """TCP: send zeroes until the other side has enough."""
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            block = bytes(1 << 16)
            try:
                while True:
                    self.request.sendall(block)
            except OSError:
                pass
    return _Server(socketserver.TCPServer, (LOOPBACK[family], 0), family, Handler)


def udp_echo_server(family=4):
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            data, sock = self.request
            sock.sendto(data, self.client_address)
    kind = type("Echo", (socketserver.UDPServer,), {"max_packet_size": 65535})
    return _Server(kind, (LOOPBACK[family], 0), family, Handler)


def dns_server(address, names):
    """UDP port 53 at an IPv4 loopback address; names: {"name": ("IPv4", "IPv6")}."""
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            query, sock = self.request
            answer = _dns_answer(query, names)
            if answer:
                sock.sendto(answer, self.client_address)
    return _Server(socketserver.UDPServer, (address, 53), 4, Handler)


def _dns_answer(query, names):
    if len(query) < 17:
        return None
    labels, at = [], 12
    while at < len(query) and query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode(errors="replace"))
        at += 1 + query[at]
    question = query[12:at + 5]
    kind = struct.unpack("!H", query[at + 1:at + 3])[0]
    known = names.get(".".join(labels).lower())
    data = b""
    if known and kind == 1:
        data = socket.inet_pton(socket.AF_INET, known[0])
    elif known and kind == 28:
        data = socket.inet_pton(socket.AF_INET6, known[1])
    # RFC 1035, 4.1: response, recursion available; NXDOMAIN (3) for what is not known.
    flags = 0x8180 if known else 0x8183
    header = query[:2] + struct.pack("!HHHHH", flags, 1, 1 if data else 0, 0, 0)
    record = b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data)) + data if data else b""
    return header + question + record


def _read_all(link):
    """To the end. In pieces: bytes that are added to bytes are copied every time."""
    pieces = iter(lambda: link.recv(1 << 18), b"")
    return b"".join(pieces)


def fetch(port, path="/", family=4, timeout_s=30):
    """GET http://loopback:port/path. The body."""
    with socket.create_connection((LOOPBACK[family], port), timeout_s) as link:
        link.sendall(f"GET {path} HTTP/1.0\r\nHost: guest\r\n\r\n".encode())
        answer = _read_all(link)
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise OSError(f"answer: {head[:80]!r}")
    return body


def exchange(port, data, family=4, timeout_s=60):
    """Send data, shut down the sending side, read to the end. What was read."""
    with socket.create_connection((LOOPBACK[family], port), timeout_s) as link:
        link.sendall(data)
        link.shutdown(socket.SHUT_WR)
        return _read_all(link)


def udp_exchange(port, data, family=4, timeout_s=5, tries=3):
    """Send one datagram and wait for the answer, a few times."""
    with socket.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
        sock.connect((LOOPBACK[family], port))
        sock.settimeout(timeout_s)
        for _ in range(tries):
            sock.send(data)
            try:
                return sock.recv(65535)
            except OSError:
                continue
    raise OSError("no answer")


def random_bytes(size):
    """Bytes that no middle can guess, cheaply: a random MiB, repeated with a counter."""
    block = os.urandom((1 << 20) - 8)
    parts = [struct.pack("!Q", n) + block for n in range((size >> 20) + 1)]
    return b"".join(parts)[:size]
