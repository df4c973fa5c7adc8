# SPDX-License-Identifier: BSD-3-Clause
"""What figures are to reach, and how each is computed from results: data."""
import dataclasses

from .results import number

GBIT, RATE, PACKETS = "gbit_per_s", "transactions_per_s", "datagrams_per_s"


@dataclasses.dataclass(frozen=True)
class Target:
    """over, or over / under: each is (case, subject, key)."""
    name: str  # stable: notes are kept under it
    group: str
    title: str
    over: tuple
    under: tuple = ()
    at_least: float = None
    at_most: float = None

    def value(self, found):
        return found.ratio(self.over, self.under) if self.under else found.median(*self.over)

    def met(self, value):
        return value >= self.at_least if self.at_least is not None else value <= self.at_most

    def wanted(self):
        return f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"

    def verdict(self, value):
        """In words: met, or by how much missed."""
        if value is None:
            return "not measured"
        if self.met(value):
            return "met"
        bound = self.at_least if self.at_least is not None else self.at_most
        return f"missed by {number(abs(value - bound) / bound * 100)} %"


def _than(name, title, case, key, subject, least, other=None):
    """weir's figure of a case, over that of a subject (of another case, where one is given)."""
    return Target(name, case.split("/")[0], title, (case, "weir", key),
                  (other or case, subject, key), at_least=least)


def _bulk():
    for way, direction, n, kernel, large, plain in (
            ("out", "guest to host", 16, 0.95, 1.1, 5),
            ("out", "guest to host", 1, None, 1.5, None),
            ("in", "host to guest", 1, 0.9, 1.1, 2), ("in", "host to guest", 16, 0.9, 1.3, 2)):
        case = f"tcp-bulk/{way}-1500-{n}"
        # Like with like: what the guest sends lies for passt in one piece.
        like = f"{case}-whole" if way == "out" else case
        title = f"TCP {direction}, MTU 1500, {n} connection{'s' if n > 1 else ''}: "
        if kernel:
            yield _than(f"tcp-{way}-{n}-kernel", title + "of the kernel's own", case, GBIT,
                        "limit", kernel)
        if plain:
            yield _than(f"tcp-{way}-{n}-passt-1500", title + "of passt's at MTU 1500", like, GBIT,
                        "passt", plain, case)
        yield _than(f"tcp-{way}-{n}-passt-65520", title + "of passt's at MTU 65520", like, GBIT,
                    "passt", large, f"tcp-bulk/{way}-65520-{n}")


def _requests():
    yield Target("tcp-rr-1-median", "requests", "TCP request and response: median, us",
                 ("requests/tcp-rr-1", "weir", "p50_us"), at_most=12)
    yield _than("tcp-rr-32-passt", "TCP request and response, 32 at once: of passt's",
                "requests/tcp-rr-32", RATE, "passt", 2)
    for n in (8000, 100000):
        yield _than(f"tcp-rr-idle-{n}", f"the same beside {n:,} idle connections: of itself with "
                    "none", f"idle-flows/{n}", RATE, "weir", 0.95, "idle-flows/0")
    # Open files bound the ones above; these take none, but a second guest.
    for n in (100000, 1000000):
        yield _than(f"tcp-rr-idle-east-west-{n}", f"the same beside {n:,} idle flows between "
                    "guests: of itself beside 1,000", f"idle-flows/east-west-{n}", RATE, "weir",
                    0.95, "idle-flows/east-west-1000")
    for n in (1, 32):
        yield _than(f"tcp-crr-{n}-kernel", f"TCP connect, request, response, close, {n} at once: "
                    "of the kernel's own", f"requests/tcp-crr-{n}", RATE, "limit", 0.9)


def _udp():
    for n, flows, out in ((1, "1 flow", 3), (64, "64 flows", 2)):
        yield _than(f"udp-out-{n}-passt", f"UDP 64 B guest to host, {flows}: of passt's",
                    f"udp/out-64-{n}", PACKETS, "passt", out)
    for n, flows in ((1, "1 flow"), (64, "64 flows")):
        # The peer is the limit: what is left of it beside noise.
        yield _than(f"udp-in-{n}-kernel", f"UDP 64 B host to guest, one by one, {flows}: of what "
                    "the peer sends without a guest", f"udp/in-64-{n}", PACKETS, "limit", 0.95)
        yield _than(f"udp-in-{n}-train-passt", f"UDP 64 B host to guest, in trains, {flows}: of "
                    "passt's", f"udp/in-64-{n}-train", PACKETS, "passt", 2.5)


def _rest():
    for key, title, bound in (
            ("track_ns", "a tracked packet, ns", 80), ("insert_ns", "an insert, ns", 400),
            ("expire_ns", "an expiry, ns", 100), ("bytes_per_flow", "a flow, bytes", 300)):
        yield Target(f"flow-table-{key.split('_')[0]}", "flow-table",
                     f"1,000,000 flows, bursts of 32: {title}",
                     ("flow-table/ipv4-1000000", "weir", key), at_most=bound)
    for n in (2, 8):
        yield Target(f"tail-{n}", "mixed", f"TCP request and response beside {n} bulk connections: "
                     "99th percentile over median", (f"mixed/{n}", "weir", "p99_us"),
                     (f"mixed/{n}", "weir", "p50_us"), at_most=3)
    for n, flows in ((1, "1 flow"), (64, "64 flows")):
        yield _than(f"guest-to-guest-{n}", f"guest to guest, 64 B, {flows}: of testpmd's io "
                    "forwarding", f"guest-to-guest/{n}", "frames_per_s", "testpmd", 0.6)
    for case, title in (("tcp-out", "guests to host"), ("tcp-in", "host to guests"),
                        ("tcp-rr", "request and response")):
        yield Target(f"share-{case}", "vms", f"64 VMs, TCP {title}: least share of the mean",
                     (f"vms/{case}-64", "weir", "share_min"), at_least=0.5)
    for key, name, title, bound in (
            ("resident_mib", "resident", "resident at start, MiB", 64),
            # Nothing, to within what the housekeeping of a process takes.
            ("idle_cpu_percent", "idle-cpu", "CPU when idle, %", 0.5),
            ("ready_ms", "ready", "ready in, ms", 300)):
        yield Target(f"start-{name}", "start", f"one VM, no huge pages: {title}",
                     ("start/one-vm", "weir", key), at_most=bound)


TARGETS = (*_bulk(), *_requests(), *_udp(), *_rest())
