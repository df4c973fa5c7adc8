# SPDX-License-Identifier: BSD-3-Clause
"""The network in which everything is measured: one of the benchmark's own, for the host's TCP
congestion control would decide the figures."""
import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import sys

from ..proc import LabError

HOST = "host"  # for a name: stay in the host's network

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1

# Of the network of the thread that opens them.
CONGESTION, AVAILABLE, PING_GROUPS = (
    f"/proc/sys/net/ipv4/{name}" for name in (
        "tcp_congestion_control", "tcp_available_congestion_control", "ping_group_range"))


def add_option(parser):
    parser.add_argument("--congestion", default="cubic", metavar="NAME",
                        help="TCP congestion control (cubic), in a network namespace of the "
                        f"benchmark's own;\n{HOST}: stay in the host's, with what that has")


def _read(path):
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def _write(path, value):
    with open(path, "w", encoding="ascii") as file:
        file.write(value)


def _unshare():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _raise_loopback():
    """The kernel gives it 127.0.0.1 and ::1 by itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        # struct ifreq: a name, and a union of 24 bytes.
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))


def _refuse_unknown(name):
    available = _read(AVAILABLE).split()
    if name not in available:
        raise LabError(f"no TCP congestion control is called {name} "
                       f"(available: {', '.join(available)})")


def _choose(name):
    why = "it stays as it was"
    try:
        # Not looked up before: the kernel loads the module of a name that it does not know yet.
        _write(CONGESTION, name)
    except OSError as err:
        why = err.strerror
    if _read(CONGESTION) != name:
        _refuse_unknown(name)
        raise LabError(f"TCP congestion control {name}: {why} (--congestion {HOST} leaves it)")


def enter(name):
    """Move this thread, and all that it starts from then on, to a network namespace of its own
    where lo is up and this is TCP's congestion control; HOST: leave it where it is. To be called
    once, and before there are other threads: these would stay behind.

    What was really used, for results: {"network": "own" or "host", "congestion": its name}. Where
    no namespace may be had that is the host's network, and a line on stderr says so. LabError:
    the kernel has nothing of this name, or the namespace cannot be set up.
    """
    if name == HOST:
        return {"network": "host", "congestion": _read(CONGESTION)}
    ping_groups = _read(PING_GROUPS)
    try:
        _unshare()
    except OSError as err:
        _refuse_unknown(name)
        used = {"network": "host", "congestion": _read(CONGESTION)}
        print(f"bench: no network namespace ({err.strerror}): measuring in the host's network, "
              f"with TCP congestion control {used['congestion']}", file=sys.stderr)
        return used
    try:
        _raise_loopback()
    except OSError as err:
        raise LabError(f"lo of a new network namespace: {err.strerror} "
                       f"(--congestion {HOST} does without)") from err
    _choose(name)
    # A new namespace permits ping sockets to nobody. Groups that a user namespace does not have
    # cannot be written in it, and then it stays so.
    with contextlib.suppress(OSError):
        _write(PING_GROUPS, ping_groups)
    return {"network": "own", "congestion": name}
