# SPDX-License-Identifier: BSD-3-Clause
"""What is measured. A case is one load; its subjects take turns with it."""
import dataclasses
import fnmatch

# Who can be measured, as reports call them.
SUBJECTS = {
    "weir": "weir",
    "limit": "kernel alone",
    "passt": "passt",
    "fwd": "weir's guest port alone",
    "testpmd": "testpmd",
}


@dataclasses.dataclass(frozen=True)
class Figure:
    """A key of what a turn yields."""
    unit: str
    less_is_better: bool = False
    scale: float = 1  # what it is divided by before it is shown
    title: str = ""
    compared: bool = True  # with other runs


FIGURES = {
    "gbit_per_s": Figure("Gbit/s"),
    "datagrams_per_s": Figure("k datagrams/s", scale=1e3),
    "transactions_per_s": Figure("k/s", scale=1e3),
    "frames_per_s": Figure("M frames/s", scale=1e6),
    "cpu_s_per_gb": Figure("CPU s/GB", True),
    "cpu_us_per_datagram": Figure("CPU us each", True),
    "cpu_us_per_transaction": Figure("CPU us each", True),
    "p50_us": Figure("us", True, title="median"),
    "p99_us": Figure("us", True, title="99th percentile"),
    "share_min": Figure("of the mean", title="least share"),
    "share_max": Figure("of the mean", True, title="greatest share"),
    "other_queue": Figure("", True, title="frames on another pair", compared=False),
    "track_ns": Figure("ns", True, title="track"),
    "insert_ns": Figure("ns", True, title="insert"),
    "delete_ns": Figure("ns", True, title="delete"),
    "expire_ns": Figure("ns", True, title="expire"),
    "miss_ns": Figure("ns", True, title="miss"),
    "bytes_per_flow": Figure("bytes", True, title="memory a flow"),
    "ready_ms": Figure("ms", True, title="ready in"),
    "resident_mib": Figure("MiB", True, title="resident"),
    "idle_cpu_percent": Figure("%", True, title="CPU when idle"),
}


@dataclasses.dataclass(frozen=True)
class Case:
    group: str
    variant: str
    title: str
    kind: str  # how it is run: see run.KINDS
    load: dict  # options of the load
    figures: tuple  # keys of FIGURES, the main one first
    subjects: tuple = ("weir", "limit", "passt")
    quick: bool = False

    @property
    def name(self):
        return f"{self.group}/{self.variant}"


@dataclasses.dataclass(frozen=True)
class Group:
    name: str
    title: str
    text: str
    cases: tuple


DIRECTIONS = (("out", "guest to host"), ("in", "host to guest"))
BULK = ("gbit_per_s", "cpu_s_per_gb")
DATAGRAMS = ("datagrams_per_s", "cpu_us_per_datagram")
REQUESTS = ("transactions_per_s", "p50_us", "p99_us", "cpu_us_per_transaction")
# (name, title, options of weir-gen)
LINKS = (("1500", "MTU 1500", {"mtu": 1500}),
         ("1500-plain", "MTU 1500 without TSO", {"mtu": 1500, "no-tso": True}),
         ("9000", "MTU 9000", {"mtu": 9000}),
         ("65520", "MTU 65520", {"mtu": 65520}))


def _count(number, what):
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def gen_case(group, variant, title, load, figures, **more):
    """A case of weir-gen's. As Linux does it, the guest lays headers and payload of a stream in
    pieces, and what is small in one; for passt all is in one."""
    load = {"whole": load["case"] not in ("tcp-out", "east-west"), **load}
    return Case(group, variant, title, "gen", load, figures, **more)


def _tcp_bulk():
    for way, direction in DIRECTIONS:
        for link, link_title, options in LINKS:
            for n in (1, 4, 16, 256):
                yield gen_case(
                    "tcp-bulk", f"{way}-{link}-{n}",
                    f"{direction}, {link_title}, {_count(n, 'connection')}",
                    {"case": f"tcp-{way}", "connections": n, **options}, BULK,
                    quick=n in (1, 16) and link in ("1500", "65520"))
    for n in (1, 16):
        yield gen_case("tcp-bulk", f"out-1500-{n}-whole",
                       f"guest to host, MTU 1500, {_count(n, 'connection')}, each frame in one "
                       "piece, as for passt",
                       {"case": "tcp-out", "connections": n, "mtu": 1500, "whole": True}, BULK,
                       subjects=("weir",), quick=True)


def _udp():
    for way, direction in DIRECTIONS:
        for size in (64, 1400):
            for train in (1, 16) if way == "in" else (1,):
                for n in (1, 64, 1024):
                    yield gen_case(
                        "udp", f"{way}-{size}-{n}" + ("-train" if train > 1 else ""),
                        f"{direction}, {size} B, {_count(n, 'flow')}" +
                        (", in trains" if train > 1 else ", one by one" if way == "in" else ""),
                        {"case": f"udp-{way}", "connections": n, "size": size, "train": train},
                        DATAGRAMS, quick=size == 64 and n <= 64)


def _requests():
    for case, title in (("tcp-rr", "TCP request and response"),
                        ("tcp-crr", "TCP connect, request, response, close"),
                        ("udp-rr", "UDP request and response")):
        for n in (1, 32, 1024):
            yield gen_case("requests", f"{case}-{n}", f"{title}, {n:,} at once",
                           {"case": case, "connections": n}, REQUESTS,
                           quick=n <= 32 and case != "udp-rr" or n == 1)


def _guest_to_guest():
    for n in (1, 64):
        yield gen_case("guest-to-guest", str(n), f"64 B, {_count(n, 'flow')}",
                       {"case": "east-west", "connections": n, "size": 64},
                       ("frames_per_s",), subjects=("weir", "fwd", "testpmd"), quick=n == 1)


def _flow_table():
    for family in (4, 6):
        for n in (1000, 100000, 1000000):
            yield Case("flow-table", f"ipv{family}-{n}", f"IPv{family}, {_count(n, 'flow')}",
                       "flowtab", {"flows": n, "family": family, "hash": "sip", "burst": 32},
                       ("track_ns", "insert_ns", "delete_ns", "expire_ns", "miss_ns",
                        "bytes_per_flow"),
                       subjects=("weir",), quick=family == 4 and n < 1000000)


def _start():
    yield Case("start", "one-vm", "one VM, no huge pages", "start", {},
               ("ready_ms", "resident_mib", "idle_cpu_percent"), subjects=("weir", "passt"),
               quick=True)


def _idle():
    for n in (0, 1000, 8000, 100000, 1000000):
        load = {"case": "tcp-rr", "connections": 1}
        if n:
            load.update({"idle": n, "idle-kind": "udp" if n > 100000 else "tcp"})
        kind = "UDP flow" if n > 100000 else "TCP connection"
        # passt has 128 Ki flows at most, and opens many of them slowly.
        yield gen_case("idle-flows", str(n), f"beside {_count(n, 'idle ' + kind)}", load, REQUESTS,
                       subjects=("weir", "passt") if n <= 8000 else ("weir",),
                       quick=n in (0, 8000))
    # From another guest to the one that is measured. passt has no others.
    for n in (1000, 100000, 1000000):
        yield gen_case("idle-flows", f"east-west-{n}", f"beside {n:,} idle flows between guests",
                       {"case": "tcp-rr", "connections": 1, "idle": n, "idle-kind": "east-west"},
                       REQUESTS, subjects=("weir",), quick=n == 100000)


def _vms():
    for case, title, figures in (("tcp-out", "guests to host", BULK),
                                 ("tcp-in", "host to guests", BULK),
                                 ("tcp-rr", "request and response", REQUESTS)):
        for n in (1, 4, 16, 64):
            yield gen_case("vms", f"{case}-{n}", f"{title}, {_count(n, 'VM')}, 64 connections",
                           {"case": case, "connections": 64, "vms": n},
                           figures + ("share_min", "share_max"), subjects=("weir", "passt"),
                           quick=n == 4)


def _queues():
    for case, title, figures in (("tcp-out", "guest to host", BULK),
                                 ("tcp-in", "host to guest", BULK),
                                 ("tcp-rr", "request and response", REQUESTS)):
        for n in (1, 2, 4):
            yield gen_case("queues", f"{case}-{n}", f"{title}, {_count(n, 'queue pair')}",
                           {"case": case, "connections": 16, "queues": n},
                           figures + ("other_queue",), subjects=("weir",))


def _mixed():
    for n in (0, 2, 8):
        load = {"case": "tcp-mix", "connections": 1, "bulk": n} if n else \
            {"case": "tcp-rr", "connections": 1}
        yield gen_case("mixed", f"{n}", f"beside {_count(n, 'bulk connection')}", load,
                       ("p99_us", "p50_us", "gbit_per_s"),
                       subjects=("weir", "passt"), quick=n == 2)


GROUPS = tuple(Group(name, title, text, tuple(cases)) for name, title, text, cases in (
    ("tcp-bulk", "TCP, bulk", "Streams as fast as they go, through one guest.", _tcp_bulk()),
    ("udp", "UDP", "Datagrams as fast as they go, counted where they arrive. From the host they "
     "are sent one by one, or in trains of 16 with one call.", _udp()),
    ("requests", "Requests", "One byte there, one byte back, so many at once.", _requests()),
    ("guest-to-guest", "Guest to guest", "Frames from one guest to another. weir tracks each in "
     "its flow; weir's guest port alone and testpmd's io forwarding look into no frame.",
     _guest_to_guest()),
    ("flow-table", "The flow table and the tracker", "Cost of one packet or flow on one core, in "
     "bursts of 32, flows in random order. *track*: a segment of an established connection; "
     "*insert*: a SYN, tracked and committed; *miss*: a packet of no flow.", _flow_table()),
    ("start", "Start and rest", "Until it can serve, memory then, and processor time when "
     "nothing happens.", _start()),
    ("idle-flows", "Idle flows", "One TCP request and response at a time, beside flows on which "
     "nothing happens. Those between guests lead to the one that is measured, and take no open "
     "files.", _idle()),
    ("vms", "Many VMs", "64 connections spread over so many guests of one daemon on one core; "
     "passt has a process for each guest, all on that core. Shares are those of single guests.",
     _vms()),
    ("queues", "Queue pairs", "One guest with so many queue pairs and 16 connections, one worker.",
     _queues()),
    ("mixed", "Requests beside bulk", "One TCP request and response at a time beside bulk "
     "connections, half of them each way.", _mixed()),
))


def select(patterns, quick):
    """Groups with those of their cases that the patterns name (by group or case; all without)."""
    def wanted(case):
        return (not quick or case.quick) and (not patterns or any(
            fnmatch.fnmatch(name, p) for p in patterns for name in (case.group, case.name)))
    chosen = (dataclasses.replace(g, cases=tuple(c for c in g.cases if wanted(c))) for g in GROUPS)
    return [group for group in chosen if group.cases]
