#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/fuzz/seeds.py - write the seed corpus of the fuzz targets

  tests/fuzz/seeds.py [--help] [DIR]

  DIR   where to (default: corpus beside this file)

Small inputs that reach deep; what their bytes mean stands at the top of each fuzz_*.c.
"""
import pathlib
import socket
import struct
import sys

GUEST, GATEWAY = "10.0.2.15", "10.0.2.2"
GUEST6, GATEWAY6 = "fd00:2::15", "fd00:2::2"
PEER, PEER6 = "192.0.2.7", "2001:db8::7"
LINK6 = "fe80::5054:ff:fe12:3456"
MAC = bytes([0x52, 0x54, 0, 0x12, 0x34, 0x56])


def u8(n):
    return struct.pack("<B", n & 0xff)


def u16(n):
    return struct.pack("<H", n & 0xffff)


def u32(n):
    return struct.pack("<I", n & 0xffffffff)


def be16(n):
    return struct.pack(">H", n & 0xffff)


def be32(n):
    return struct.pack(">I", n & 0xffffffff)


# ---- packets; checksums are the target's to fill in, but those of fragments ----

def internet_sum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return be16(~total)


def ip4(proto, body, dst=PEER, src=GUEST, frag=0, options=b"", ttl=64, ident=7):
    options += bytes(-len(options) % 4)
    head = (bytes([0x45 + len(options) // 4, 0]) + be16(20 + len(options) + len(body)) +
            be16(ident) + be16(frag) + bytes([ttl, proto, 0, 0]) +
            socket.inet_aton(src) + socket.inet_aton(dst) + options)
    return head[:10] + internet_sum(head) + head[12:] + body


def ip6(proto, body, dst=PEER6, src=GUEST6, hops=64):
    return (be32(0x60000000) + be16(len(body)) + bytes([proto, hops]) +
            socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst) + body)


def udp(sport, dport, body=b""):
    return be16(sport) + be16(dport) + be16(8 + len(body)) + b"\0\0" + body


def udp_summed(sport, dport, body):
    """Over IPv6, complete."""
    pseudo = (socket.inet_pton(socket.AF_INET6, GUEST6) + socket.inet_pton(socket.AF_INET6, PEER6) +
              be32(8 + len(body)) + be32(17))
    bare = udp(sport, dport, body)
    return bare[:6] + internet_sum(pseudo + bare) + body


def tcp(flags, seq=1000, ack=0, body=b"", sport=40000, dport=80, options=b""):
    options += bytes(-len(options) % 4)
    return (be16(sport) + be16(dport) + be32(seq) + be32(ack) +
            bytes([(5 + len(options) // 4) << 4, flags]) + be16(8192) + b"\0\0\0\0" +
            options + body)


def echo(kind, body=b"ping"):
    return bytes([kind, 0, 0, 0]) + be16(500) + be16(1) + body


def arp(op, tpa=GATEWAY):
    return (be16(1) + be16(0x0800) + b"\6\4" + be16(op) + MAC + socket.inet_aton(GUEST) +
            bytes(6) + socket.inet_aton(tpa))


def dhcp(kind, options=b"", ciaddr="0.0.0.0"):
    head = (bytes([1, 1, 6, 0]) + be32(0x1234) + bytes(4) + socket.inet_aton(ciaddr) + bytes(12) +
            MAC + bytes(10) + bytes(192))
    return udp(68, 67, head + bytes([99, 130, 83, 99, 53, 1, kind]) + options +
               bytes([55, 6, 1, 3, 6, 12, 15, 26, 255]))


def dhcp6(kind, options=b""):
    client = be16(1) + be16(10) + be16(3) + be16(1) + MAC
    ia = b"" if kind == 11 else be16(3) + be16(12) + be32(1) + bytes(8)
    return udp(546, 547, bytes([kind, 1, 2, 3]) + client + options + ia +
               be16(6) + be16(4) + be16(23) + be16(24))


SYN_OPTIONS = bytes([2, 4, 5, 180, 1, 3, 3, 7, 4, 2])


# ---- fuzz_frames ----

ETHERNET, LENGTHS, SUMS, VOUCHED, GSO, CUT, LONG, FLUSH = (1 << i for i in range(8))
WHOLE = ETHERNET | LENGTHS | SUMS | FLUSH


def frame(body, flags=WHOLE, long=0, gso=0, cut=None, acks=False):
    """One step; long: so many bytes in all, with zeros at the end."""
    long = max(long, len(body) + 14) if long or len(body) > 255 else 0
    flags |= (LONG if long else 0) | (GSO if gso else 0) | (CUT if cut else 0)
    return (u8(0x10 if acks else 0) + u8(flags) + u8(len(body)) +
            (u8(len(body) >> 8) + u16(long) if long else b"") +
            body + (bytes(cut) if cut else b"") + (u16(gso) if gso else b""))


def time(us8, shift):
    return b"\x08" + u8(us8) + u8(shift)


def sock(what, rest=b"", n=0):
    return b"\x0b" + u8(what | n << 3) + rest


def dgram(body, n=0):
    """A datagram from the peer; with TOS and TTL."""
    return sock(6, u8(len(body)) + b"\0" + body + b"\0\x40", n)


SETTLE, DUMP = b"\x0f", b"\xff"


def frames_seeds():
    syn = frame(ip4(6, tcp(2, options=SYN_OPTIONS))) + b"\0"
    query = frame(ip4(17, udp(5000, 53, b"query")))
    yield "arp-dhcp", b"\0" + frame(arp(1)) + \
        frame(ip4(17, dhcp(1), "255.255.255.255", "0.0.0.0")) + \
        frame(ip4(17, dhcp(3, bytes([50, 4, 10, 0, 2, 15])), "255.255.255.255", "0.0.0.0")) + \
        frame(ip4(17, dhcp(3, bytes([50, 4, 10, 0, 2, 99])), "255.255.255.255", "0.0.0.0")) + \
        frame(ip4(17, dhcp(8, b"", GUEST), GATEWAY)) + \
        frame(ip4(17, dhcp(7, b"", GUEST), GATEWAY)) + frame(arp(1, PEER))
    yield "nd-dhcp6", b"\0" + \
        frame(ip6(58, bytes([133, 0, 0, 0, 0, 0, 0, 0, 1, 1]) + MAC, "ff02::2", LINK6, 255)) + \
        frame(ip6(58, bytes([135, 0, 0, 0, 0, 0, 0, 0]) +
                  socket.inet_pton(socket.AF_INET6, GATEWAY6) + b"\1\1" + MAC,
                  "ff02::1:ff00:2", GUEST6, 255)) + \
        frame(ip6(17, dhcp6(1), "ff02::1:2", LINK6)) + \
        frame(ip6(17, dhcp6(11), "ff02::1:2", LINK6)) + time(255, 24)
    yield "tcp", b"\0" + syn + SETTLE + frame(ip4(6, tcp(0x10, 1001)), acks=True) + \
        sock(2, u16(1000)) + SETTLE + frame(ip4(6, tcp(0x18, 1001, body=b"hello")), acks=True) + \
        time(200, 14) + DUMP + frame(ip4(6, tcp(0x11, 1006)), acks=True) + sock(3) + SETTLE + \
        frame(ip4(6, tcp(0x10, 1007)), acks=True) + time(255, 24)
    yield "tcp-refused", b"\0" + frame(ip4(6, tcp(2, options=SYN_OPTIONS))) + b"\6" + \
        frame(ip6(6, tcp(2, options=SYN_OPTIONS))) + b"\7" + sock(4, b"\2") + SETTLE
    yield "udp", b"\0" + query + dgram(b"reply") + SETTLE + \
        frame(ip6(17, udp(5000, 7, b"six"))) + dgram(bytes(255), 1) + SETTLE + \
        sock(4, b"\x08\3\3\0\0") + SETTLE + time(255, 20) + DUMP
    yield "udp-gso", b"\1" + frame(ip4(17, udp(5000, 7)), long=3042, gso=500, cut=(3, 200)) + \
        frame(ip4(17, udp(5000, 7)), long=1042, flags=WHOLE & ~FLUSH) + \
        frame(ip4(17, udp(5000, 7)), long=1042)
    yield "tcp-tso", b"\2" + syn + SETTLE + \
        frame(ip4(6, tcp(0x10, 1001)), WHOLE | VOUCHED, 20054, 1448, (0, 255), True) + \
        frame(ip4(6, tcp(0x10, 1001)), WHOLE | VOUCHED, 9054, 1448, (99, 3), True)
    yield "echo", b"\0" + frame(ip4(1, echo(8), GATEWAY)) + frame(ip4(1, echo(8))) + \
        dgram(echo(0)) + frame(ip6(58, echo(128), GATEWAY6)) + \
        frame(ip6(58, echo(128))) + SETTLE
    whole, whole6 = udp(5000, 7, bytes(24)), udp_summed(5000, 7, bytes(24))
    last, part = ETHERNET | FLUSH, ETHERNET
    yield "fragments", b"\0" + frame(ip4(17, whole[:16], frag=0x2000), part) + \
        frame(ip4(17, whole[16:], frag=2), last) + \
        frame(ip6(44, bytes([17, 0]) + be16(1) + be32(9) + whole6[:16]), part) + \
        frame(ip6(44, bytes([17, 0]) + be16(16) + be32(9) + whole6[16:]), last) + \
        frame(ip4(17, whole[:16], frag=0x2000, ident=8), last) + time(240, 16)
    yield "options", b"\0" + \
        frame(ip4(6, tcp(2), options=bytes([7, 7, 4, 0, 0, 0, 0, 0]))) + b"\0" + \
        frame(ip4(6, tcp(2), options=bytes([131, 3, 4]))) + \
        frame(ip6(0, bytes([60, 0, 5, 2, 0, 0, 1, 0]) + bytes([17, 0, 1, 4, 0, 0, 0, 0]) +
                  udp(1, 2)), VOUCHED | WHOLE & ~LENGTHS)
    yield "dns-forward", b"\x08" + frame(ip4(17, udp(5000, 53, b"query"), GATEWAY)) + \
        frame(ip6(17, udp(5000, 53, b"query"), GATEWAY6)) + frame(ip4(132, bytes(12)))
    yield "listener", b"\4" + b"\x0c\0\1" + SETTLE + b"\x0c\x09\2" + u16(5) + b"hello" + SETTLE + \
        b"\x0c\x0c\3" + u16(1) + b"x" + SETTLE + b"\xfd\x70" + SETTLE
    yield "queues", b"\x60" + query + frame(ip4(6, tcp(2, sport=3))) + b"\0" + \
        frame(ip4(6, tcp(2, sport=2)), WHOLE & ~FLUSH) + b"\x1e" + DUMP + b"\xfd\x60\4\xfd\x80"
    yield "starved", b"\0" + frame(ip4(6, tcp(2)), WHOLE & ~FLUSH) + b"\x2e" + \
        frame(ip4(17, udp(5000, 7), GATEWAY), WHOLE & ~FLUSH) + b"\x6e" + SETTLE


# ---- fuzz_tcp ----

def conn(what, rest=b"", more=False, n=0):
    return u8(what | n << 6 | (0x80 if more else 0)) + rest


def any_seg(flags, off=0, length=0, ack=0, win=8192):
    return conn(1, u8(flags) + u16(off) + u16(length) + u16(ack) + u16(win))


def tsock(what, rest=b"", n=0):
    return u8(0x0b | n << 6) + u8(what) + rest


def tcp_seeds():
    opened = conn(5, b"\0") + SETTLE + b"\0" + conn(2, u16(8192)) + SETTLE
    accepted = conn(12) + SETTLE + conn(5, b"\0") + SETTLE
    both = conn(0, u8(100)) + SETTLE + tsock(2, u16(5000)) + SETTLE + conn(2, u16(8192)) + SETTLE
    yield "open", b"\0" + opened + both + conn(4) + SETTLE + tsock(4) + SETTLE + \
        conn(2, u16(8192)) + conn(8, b"\xff\x0d")
    yield "accept", b"\4" + accepted + both + tsock(4) + SETTLE + conn(2, u16(8192)) + conn(4) + \
        SETTLE + conn(8, b"\xff\x0d")
    yield "open6", b"\1" + opened + both + conn(6, b"\0") + SETTLE
    yield "retransmit", b"\0" + opened + tsock(2, u16(9000)) + SETTLE + conn(7) + SETTLE + \
        conn(8, b"\xff\x0c") + SETTLE + conn(8, b"\xff\x0d") + SETTLE + conn(2, u16(0)) + SETTLE + \
        conn(8, b"\xff\x0d") + conn(2, u16(100)) + SETTLE
    yield "short", b"\0" + opened + tsock(5, u16(1000)) + conn(0, u8(255)) + conn(0, u8(255)) + \
        SETTLE + tsock(5, u16(30000)) + tsock(1, u16(0)) + SETTLE + conn(3) + SETTLE + conn(4) + \
        SETTLE
    yield "remote", b"\0" + opened + tsock(0x86) + conn(0, u8(255)) + SETTLE + \
        tsock(1, u16(500)) + SETTLE + conn(8, b"\xff\x07") + SETTLE + tsock(1, u16(5000)) + SETTLE
    yield "gap", b"\0" + opened + any_seg(0x10, 1000, 200) + any_seg(0x10, -1200, 100) + SETTLE + \
        any_seg(0x11, 0, 40000) + any_seg(0x02) + any_seg(0x04, 5) + SETTLE
    yield "burst", b"\0" + conn(5, b"\0", True) + conn(6, b"\0", True) + conn(5, b"\0") + SETTLE + \
        b"\0" + conn(2, u16(8192), True) + conn(0, u8(9), True) + conn(4, b"", True) + conn(14) + \
        SETTLE + tsock(2, u16(9)) + tsock(4) + SETTLE
    yield "keepalive", b"\x30" + opened + conn(8, b"\xff\x0d") + conn(8, b"\xff\x0d") + SETTLE + \
        conn(8, b"\xff\x10")
    yield "two", b"\x0a" + conn(5, b"\0") + SETTLE + b"\0" + conn(2, u16(99)) + \
        conn(12, n=1) + SETTLE + conn(5, b"\xff", n=1) + SETTLE + tsock(3, u16(99)) + \
        tsock(3, u16(999), 1) + conn(9) + conn(10) + SETTLE


# ---- fuzz_ct ----

COMMIT, BURST, CUT_UP, MORE = 0x10, 0x20, 0x40, 0x80
SYN, SYN_ACK, ACK, PSH, FIN, RST, RST_ACK = range(7)
AUDIT = b"\x0f"
# Ranges: one address, four of them, guests', and those that keep addresses; with ports.
ONE4, SOME4, GUESTS4, ONE6, SOME6, GUESTS6, KEEP4, KEEP6 = range(8)
PORTS = 0x08


def how_commit(opif=2, src=None, dst=None, choice=0, helper=0, more=0):
    """What follows a step with COMMIT."""
    what = (src is not None) | (dst is not None) << 1
    last = helper | more
    return (u8(opif | what << 2 | choice << 4 | (0x80 if last else 0)) +
            (b"" if src is None else u8(src)) + (b"" if dst is None else u8(dst)) +
            (u8(last) if last else b""))


def cpkt(proto, flags=SYN, host=(0, 1), port=(0, 1), v6=0, pif=0, data=0, commit=None, step=0,
         extra=b""):
    """A packet from host to host; proto 1: TCP, 2: UDP, 3: ICMP, 4: another."""
    return (u8(proto | step | (COMMIT if commit else 0)) +
            u8(host[0] | host[1] << 3 | pif << 6 | v6 << 7) + u8(port[0] | port[1] << 3) +
            (u8(flags) + u8(data) if proto == 1 else u8(data) if proto != 3 else b"") +
            extra + (commit or b""))


def creply(flags=ACK, data=0, which=0, answer=True, commit=None, tcp=True, step=0, extra=b""):
    return (u8((5 if answer else 7) | step | (COMMIT if commit else 0)) + u8(which) +
            (u8(flags) if tcp else b"") + (extra if extra else b"") +
            (b"" if data is None else u8(data)) + (commit or b""))


def cerror(which=0, how=0, rest=b""):
    return b"\x09" + u8(which) + u8(how) + rest


def ctime(ms, n, expire=1):
    return b"\x0c" + u8(ms) + u8(n) + u8(expire)


def text(n):
    return 0x80 | n


def opened(commit, **kw):
    return cpkt(1, SYN, commit=commit, **kw) + creply(SYN_ACK) + creply(ACK)


def ct_seeds():
    plain = how_commit()
    talk = creply(PSH, 100) + creply(PSH, 50) + creply(ACK)
    close = creply(FIN) + creply(FIN) + creply(ACK)
    for name, nat, v6 in (("plain", {}, 0), ("snat", {"src": ONE4}, 0),
                          ("dnat", {"dst": GUESTS4}, 0), ("both", {"src": SOME4 | PORTS,
                                                                   "dst": GUESTS4 | PORTS}, 0),
                          ("snat6", {"src": SOME6, "choice": 1}, 1),
                          ("both6", {"src": ONE6, "dst": GUESTS6 | PORTS, "choice": 2}, 1)):
        commit = how_commit(**nat)
        yield "tcp-" + name, b"\0" + opened(commit, v6=v6) + talk + \
            AUDIT + close + cerror() + cerror(9) + cerror(0x5a, 1, b"\x1c") + \
            cpkt(1, SYN, v6=v6, commit=commit) + creply(SYN_ACK) + AUDIT
        yield "udp-" + name, b"\0" + cpkt(2, v6=v6, data=40, commit=commit) + \
            creply(data=20, tcp=False) + creply(data=9, tcp=False, answer=False) + cerror() + \
            cerror(0x40) + cpkt(2, host=(2, 1), v6=v6, data=40, commit=commit) + \
            creply(data=20, tcp=False) + AUDIT + ctime(4, 2)
        yield "icmp-" + name, b"\0" + cpkt(3, v6=v6, commit=commit) + \
            creply(data=None, tcp=False) + cerror() + \
            cpkt(3, host=(2, 1), v6=v6, commit=commit) + creply(data=None, tcp=False) + AUDIT
        yield "other-" + name, b"\0" + b"".join(
            cpkt(4, port=(n, 1 | proto << 3), v6=v6, data=40, commit=commit) +
            creply(data=None, tcp=False)
            for n, proto in enumerate((0, 1, 2, 3))) + AUDIT
    ftp = {"port": (0, 2)}
    for name, nat in (("plain", {}), ("snat", {"src": ONE4}),
                      ("both", {"src": SOME4, "dst": GUESTS4})):
        yield "ftp-" + name, b"\0" + opened(how_commit(helper=1, **nat), **ftp) + \
            creply(PSH, text(0), answer=False) + creply(SYN, 0, 0x40, commit=plain) + \
            creply(SYN_ACK) + creply(PSH, text(1), 3) + creply(PSH, text(7), answer=False) + \
            creply(PSH, text(2), answer=False) + AUDIT + ctime(3, 2)
    yield "ftp6", b"\0" + opened(how_commit(helper=1, src=ONE6), v6=1, **ftp) + \
        creply(PSH, text(3), answer=False) + creply(ACK) + creply(PSH, text(4)) + \
        creply(SYN, 0, 0x40, commit=plain) + AUDIT
    yield "ftp-split", b"\x20" + opened(how_commit(helper=1, src=ONE4), **ftp) + \
        creply(PSH, text(8), answer=False) + creply(PSH, text(9), answer=False) + \
        creply(PSH | 8, text(0), answer=False, extra=b"\xf0") + AUDIT
    tftp = how_commit(helper=2, src=ONE4)
    yield "tftp", b"\x20" + b"".join(
        cpkt(2, port=(0, 3), host=(n, 1), data=0xff, commit=tftp) +
        creply(data=5, which=0x40, tcp=False, commit=plain) for n in (0, 2, 5)) + AUDIT
    yield "burst", b"\x40" + cpkt(1, step=BURST) + cpkt(1, ACK, step=BURST) + \
        cpkt(2, data=9, step=BURST | CUT_UP, extra=b"\x03\x30") + cpkt(3, step=BURST) + \
        cpkt(1, RST, step=BURST) + cpkt(1, SYN, commit=plain) + AUDIT
    yield "burst-commit", b"\0" + b"".join(
        cpkt(1, SYN, commit=plain, step=BURST) + cpkt(1, SYN, step=BURST) +
        cpkt(1, SYN_ACK, host=(1, 0), port=(1, 0), pif=1, step=BURST) +
        cpkt(2, data=9, step=BURST) + cpkt(2, data=9, host=(1, 0), port=(1, 0), pif=1, step=BURST) +
        AUDIT for _ in range(2)) + ctime(4, 2) + \
        cpkt(2, data=9, commit=plain, step=BURST) * 3 + AUDIT
    yield "burst-reopen", b"\0" + opened(plain) + close + cpkt(1, SYN, step=BURST) + \
        cpkt(1, ACK, step=BURST) + cpkt(1, SYN, step=BURST) + AUDIT
    yield "pickup", b"\0" + cpkt(1, ACK, data=100, commit=plain) + talk + creply(RST) + \
        cpkt(1, ACK, data=100, commit=plain) + cpkt(1, SYN, commit=plain) + creply(SYN_ACK) + \
        ctime(6, 2) + talk
    yield "refused", b"\0" + cpkt(1, SYN, commit=plain) + creply(RST_ACK) + \
        cpkt(1, SYN, commit=plain) + creply(SYN) + creply(SYN_ACK) + creply(RST)
    yield "limits", b"\x74" + b"".join(
        cpkt(2, host=(n & 3, 4), port=(n, n), data=9, commit=how_commit(more=4 | 8))
        for n in range(8)) + AUDIT + b"\x0d\3\1" + cpkt(2, data=1, commit=plain) + \
        b"\x0d\x08\x12\x01" + ctime(2, 9) + AUDIT
    yield "exhausted", b"\x88" + b"".join(
        cpkt(2, host=(0, 4), port=(n, 1), data=9, commit=how_commit(src=ONE4 | PORTS | 0x90))
        for n in range(8)) + AUDIT + b"\x0e\x00\x00" + AUDIT
    yield "partial", b"\0" + cpkt(1, SYN, step=MORE, extra=b"", commit=None) + b"\2" + \
        cpkt(1, SYN, commit=b"\2" + how_commit(src=ONE4), step=MORE) + \
        creply(SYN_ACK, step=MORE) + b"\2" + creply(PSH, 99, step=MORE) + b"\2"
    yield "shared", b"\0" + cpkt(2, data=9, commit=b"\x10" + how_commit(src=ONE4), step=MORE) + \
        cpkt(2, data=9, commit=how_commit(src=ONE4)) + cpkt(2, data=9, step=MORE) + b"\x10"
    yield "flush", b"\0" + opened(plain) + cpkt(2, data=1, commit=plain) + \
        b"\x0e\x11\x09" + cpkt(2, data=1) + b"\x0e\xc0\0" + AUDIT
    yield "raw", b"\0" + b"".join(
        u8(0x1a) + u8(0x31) + u8(len(body)) + body + plain for body in (
            ip4(6, tcp(2), "10.0.2.16"), ip4(17, udp(5, 6, bytes(30)), "10.0.2.16"),
            ip6(0, bytes([60, 0, 5, 2, 0, 0, 1, 0]) + bytes([17, 0, 1, 4, 0, 0, 0, 0]) +
                udp(1, 2), "fd00:2::16"))) + AUDIT


# ---- fuzz_ring ----

EVENT_IDX, INDIRECT, MERGE, VERSION_1, CSUM, GUEST_CSUM, TSO, LOG = (1 << i for i in range(8))


def ring(features, size=4, place=0, avail=(0, 0)):
    return u8(features) + u8(size) + u8(size) + u8(place) + u16(avail[0]) + u16(avail[1])


def rstep(what, rest=b"", on=0):
    """on: 1 for the guest's rx ring."""
    return u8(what | on << 4) + rest


def chain(length, n=1, at=0, on=0, header=None):
    return rstep(0, u8(n - 1) + u8(0 if header is None else 1) + u16(length) + u8(at) +
                 (header or b""), on)


def desc(i, addr, length, flags=0, after=0, table=b"", on=0):
    return rstep(2, u8(i) + u8(flags | (0x80 if table else 0)) + table + addr + u16(length) +
                 u8(after), on)


def region(r, off):
    return u8(0x10 * 2 | r) + u16(off)


def before_end(r, n):
    return u8(r) + u8(n)


OFFER, RECEIVE, KEEP, LEND, SEND, FREE, FLUSH_RINGS, RESTART = 3, 6, 0x26, 8, 9, 0xfb, 12, 14


def ring_seeds():
    receive, keep = rstep(RECEIVE, b"\x1f"), rstep(KEEP, b"\x1f")
    lend, flush = rstep(LEND, b"\3"), rstep(FLUSH_RINGS)
    yield "receive", ring(MERGE | VERSION_1) + chain(72) + chain(1000, 3) + receive + \
        chain(2000, 5, 9) + keep + flush + rstep(FREE) + flush + chain(10) + receive + flush
    gso = bytes([1, 1]) + u16(54) + u16(1000) + u16(34) + u16(16) + u16(0)
    yield "offload", ring(VERSION_1 | CSUM | TSO, 5) + chain(9000, 4, header=gso) + \
        chain(100, 1, 200, header=gso) + \
        chain(300, 1, 220, header=b"\1\0\0\0\0\0\xff\xff\4\0\0\0") + keep + \
        flush + rstep(FREE) + rstep(RESTART)
    yield "indirect", ring(INDIRECT | EVENT_IDX, 3, 3, (65534, 7)) + \
        desc(0, region(2, 0), 10, 1, 1, region(1, 0)) + \
        desc(1, region(2, 64), 600, 0, 0, region(1, 0)) + desc(2, region(1, 0), 32, 4) + \
        rstep(OFFER, b"\2") + keep + rstep(13) + desc(3, region(1, 0), 17, 4) + \
        rstep(OFFER, b"\3") + receive + rstep(RESTART)
    yield "border", ring(VERSION_1, 4) + desc(0, before_end(0, 20), 600) + rstep(OFFER, b"\0") + \
        keep + desc(1, before_end(3, 30), 60) + rstep(OFFER, b"\1") + receive + rstep(RESTART)
    yield "loop", ring(0, 2) + desc(0, region(2, 0), 9, 1, 1) + desc(1, region(2, 9), 9, 1, 0) + \
        rstep(OFFER, b"\0") + receive + rstep(RESTART) + rstep(5, u16(9)) + receive + \
        rstep(RESTART)
    buffers = b"".join(chain(1600, 2, 30 * i, 1) for i in range(4))
    yield "lend", ring(MERGE | VERSION_1 | EVENT_IDX, 6) + buffers * 5 + lend + \
        rstep(SEND, b"\x10" + u16(1500)) + rstep(SEND, b"\x30" + u16(2900)) + flush + \
        rstep(SEND, b"\x50" + u16(400)) + rstep(FREE) + rstep(13, on=1) + rstep(13) + \
        rstep(RESTART)
    yield "copy", ring(GUEST_CSUM | VERSION_1, 4) + buffers + rstep(SEND, b"\x08" + u16(900)) + \
        rstep(SEND, b"\x2c" + u16(3000)) + rstep(SEND, b"\x04" + u16(60)) + flush
    yield "merge", ring(MERGE | TSO | GUEST_CSUM | LOG, 4) + chain(300, 1, 0, 1) * 12 + \
        rstep(SEND, b"\x2c" + u16(2500)) + rstep(SEND, b"\0" + u16(1500)) * 3 + lend + flush + \
        rstep(RESTART)
    yield "overlap", ring(MERGE, 3) + desc(0, region(0, 0), 8192, 2, on=1) + \
        rstep(OFFER, b"\0", 1) + rstep(SEND, b"\0" + u16(2000)) + receive + rstep(RESTART)
    yield "starved", ring(VERSION_1 | MERGE, 4, 4) + chain(700) + chain(900) + \
        rstep(KEEP | 0x40, b"\3") + buffers + rstep(LEND | 0x40, b"\2") + flush + rstep(RESTART)
    yield "lost", ring(VERSION_1, 3) + chain(700) + keep + b"\xff" + receive + rstep(RESTART)


# ---- fuzz_conf ----

FILE = b"""[weir]
workers = 1,3-5
bridges = inline
memory = 512
network = 10.1.0.0/16
timeout-tcp-syn = 20
# a comment
[network.lab]
subnet = 192.168.7.0/24
subnet6 = fd07::/64
gateway = 192.168.7.1
dns = 9.9.9.9, 2620:fe::fe
search = lab.example.org
mtu = 9000

[vm.web]
socket = /tmp/web.sock
queues = 4
network = lab
address = 192.168.7.20
mac = 02:00:00:00:00:01
tcp = 8080:80, [::1]:9000-9010:90, 127.0.0.1:22
udp = 5353
loopback = gateway
hostname = web.example.org
mark = 0x20
[vm.db]
socket = /tmp/db.sock
mode = client
address6 = none
new-flows-per-s = 100
"""


def conf_seeds():
    yield "file", FILE
    yield "vm", b"\0web,socket=/tmp/web.sock,tcp=8080:80/2222:22\0db,socket=/tmp/a,,b,mtu=1280\0"
    yield "options", b"[vm.a]\nsocket=/a\n\0--memory=64\0--poll\0busy\0--network6\0none\0a,queues=2"
    yield "resolv", b"[vm.a]\nsocket=/a\n\0@nameserver 127.0.0.53\nsearch a.example b.example\n" \
        b"nameserver ::1\n\0b,socket=/b,dns=host/none,dns-forward=1.1.1.1\0"
    yield "errors", b"\xef\xbb\xbf[weir]\nmtu=1\nmtu=2\n[vm.a\nx\n[vm.b]\nsocket=\n" \
        b"tcp=0,70000,1-\n[network.n]\ngateway=10.0.0.1\nsubnet=10.0.0.0/31\n" \
        b"[vm.c]\nsocket=/c\nnetwork=n\n"
    yield "small", b"[weir]\nnetwork=10.0.0.0/30\nnetwork6=fd00::/126\n[vm.a]\nsocket=/a\n" \
        b"[vm.b]\nport=net_tap0\nloopback=10.0.0.3/::1\n"


# ---- fuzz_control ----

def control_seeds():
    yield "ping", b'{"cmd":"ping"}\n\1\2{"cmd":"flow list","args":{"proto":"tcp","port":1000}}\n\1'
    yield "parts", b'{"cmd":"parts","args":{"n":5}}\n{"cmd":"ping"}\n\1\2\5{"cmd":"big"}\n\1\4\1'
    yield "filters", b'{"cmd":"flow list","args":{"proto":"99","addr":"::7"}}\n' \
        b'{"cmd":"flow list","args":{"addr":5}}\n{"cmd":"flow list","args":{"port":-1}}\n' \
        b'{"cmd":"flow list","args":{"proto":[]}}\n\1'
    yield "nonsense", b'{"cmd":"\xff\xfe"}\n[]\n{"cmd":"ping","cmd":"ping"}\n\n{"cmd":5}\n\1' \
        b'{"cmd":"ping","args":[]}\n{"cmd":"a\\u0000b"}\n' + b"[" * 3000 + b"\n"
    yield "late", b'{"cmd":\1\3\3\3\3"ping"}\n\1\5' + b"x" * 9000 + b"\1\2"


TARGETS = {"frames": frames_seeds, "tcp": tcp_seeds, "ct": ct_seeds, "ring": ring_seeds,
           "conf": conf_seeds, "control": control_seeds}


def main(argv):
    if any(a in ("-h", "--help") for a in argv) or len(argv) > 1:
        print(__doc__)
        return 0 if len(argv) == 1 else 2
    top = pathlib.Path(argv[0] if argv else pathlib.Path(__file__).resolve().parent / "corpus")
    for target, seeds in TARGETS.items():
        folder = top / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in seeds():
            (folder / name).write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
