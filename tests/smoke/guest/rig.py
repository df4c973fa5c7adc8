# SPDX-License-Identifier: BSD-3-Clause
"""One scenario's machines: a daemon, guests, and what can be asked of them."""
import hashlib
import os
import socket
import time

from lab import peers
from lab.daemon import Weir
from lab.proc import Lab, LabError
from lab.qemu import Guest

GATEWAY = {4: "10.0.2.2", 6: "fd00:2::2"}
ADDRESS = {4: "10.0.2.15", 6: "fd00:2::15"}


class Rig:
    """Daemon with a VM "guest", or more; the gateway's address stands for the host's loopback."""

    def __init__(self, directory, build, image, accel):
        os.mkdir(directory)
        self.lab = Lab(directory)
        self.build = build
        self.image = image
        self.accel = accel
        self.weir = None
        self.guests = []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.lab.close()

    def start_weir(self, vm=None, others=None, options=None):
        """vm: further keys of the VM "guest"; others: {name: keys} of further VMs."""
        vms = {"guest": vm or {}}
        vms.update(others or {})
        for name, keys in vms.items():
            keys.setdefault("socket", self.socket(name))
            keys.setdefault("loopback", "gateway")
        self.weir = Weir(self.lab, self.build, vms, options)
        self.weir.start()

    def start_guest(self, name="guest", smp=1, **card):
        guest = Guest(self.lab, self.image, self.accel, name=name, smp=smp)
        guest.use_vhost_user(self.socket(name), **card)
        self.guests.append(guest)
        guest.start()
        return guest

    def socket(self, name):
        return self.lab.path(f"{name}.sock")

    def logs(self):
        """The ends of all logs, for a failure."""
        for process in self.lab.processes:
            yield f"--- {process.name}"
            yield from process.log_tail(12).splitlines()
        for guest in self.guests:
            yield f"--- console of {guest.name}"
            yield from guest.console().splitlines()[-12:]

    def ends_cleanly(self):
        """SIGTERM: exit 0, sockets gone, nothing said by a sanitizer."""
        status = self.weir.stop()
        complaints = self.weir.complaints()
        assert not complaints, complaints[0]
        assert status == 0, f"exit status {status}: {self.weir.process.log_tail(5)}"
        for path in (self.weir.control, self.socket("guest")):
            assert not os.path.exists(path), f"{path} was left behind"


def forward(family, port, guest_port):
    """A value of the keys tcp and udp."""
    address = {4: "127.0.0.1", 6: "[::1]"}[family]
    return f"{address}:{port}:{guest_port}"


def address(family, port, kind="TCP"):
    """The host's loopback, as seen by the guest, in socat's words."""
    host = GATEWAY[family] if family == 4 else f"[{GATEWAY[family]}]"
    return f"{kind}{family}:{host}:{port}"


def url(family, port, path="/"):
    host = GATEWAY[family] if family == 4 else f"[{GATEWAY[family]}]"
    return f"http://{host}:{port}{path}"


# What a guest is asked to do. Each raises if it does not work.

def configures_itself(guest):
    """DHCP, SLAAC and DHCPv6 by stock clients."""
    text = guest.check("net-up", 90)
    lines = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    assert lines["dhcp"].startswith(f"{ADDRESS[4]}/24 router {GATEWAY[4]}"), text
    assert lines["slaac"].startswith("fd00:2::"), text
    assert lines["dhcp6"].startswith(ADDRESS[6]), text
    shown = guest.check("ip addr show dev eth0")
    assert f"inet {ADDRESS[4]}/24" in shown and f"inet6 {ADDRESS[6]}/128" in shown, shown
    assert GATEWAY[4] in lines["route"], text
    assert "fe80::" in lines["route6"], text
    return lines


def pings(guest, address):
    guest.check(f"ping -c 3 -W 5 {address}", 30)


def fetches(guest, family, port, path, body):
    got = guest.check(f"curl -sS -m 20 '{url(family, port, path)}'", 40)
    assert got == body.decode(), f"got {got[:80]!r}"


def downloads(guest, family, port, path, body, timeout_s=120):
    """Guest connects and receives; compared by hash."""
    want = hashlib.md5(body).hexdigest()
    got = guest.check(f"curl -sS -m {timeout_s} '{url(family, port, path)}' | md5sum",
                      timeout_s + 10)
    assert got.split()[0] == want, f"hash {got} instead of {want}"


def uploads(guest, family, port, timeout_s=120):
    """Guest connects, sends its file and half-closes; the host answers with the hash it saw."""
    got = guest.check(f"socat -b 262144 -t 60 - {address(family, port)} </tmp/big", timeout_s)
    want = hash_of_big(guest)
    assert got == want, f"hash {got[:40]!r} instead of {want}"


def takes(family, port, body, timeout_s=120):
    """Host connects through a forward, sends and half-closes; the guest answers with the hash."""
    want = hashlib.md5(body).hexdigest()
    got = peers.exchange(port, body, family, timeout_s).decode()
    assert got.split()[:1] == [want], f"hash {got[:40]!r} instead of {want}"


def serves(guest, family, port):
    """Host connects through a forward and reads the guest's file to its end."""
    body = peers.exchange(port, b"", family, 120)
    assert hashlib.md5(body).hexdigest() == hash_of_big(guest), \
        f"{len(body)} bytes with another hash"


def serves_page(family, port):
    body = peers.fetch(port, "/", family)
    assert body == b"hello from the guest\n", f"got {body[:80]!r}"


def is_refused(guest, family, port):
    """A connection to a port without a listener fails at once, as on the host itself."""
    start = time.monotonic()
    status, text = guest.run(f"socat -u {address(family, port)} -", 30)
    assert status != 0 and "refused" in text, f"socat ended with {status}: {text}"
    assert time.monotonic() - start < 5, "refused, but late"


def echoes_udp(guest, family, port, size, host=None):
    """Guest sends one datagram, to the host's loopback or another, and gets it back."""
    to = address(family, port, "UDP")
    if host:
        to = f"UDP{family}:{host if family == 4 else f'[{host}]'}:{port}"
    guest.check(f"""
base64 -w 0 /dev/urandom | head -c {size} >/tmp/datagram
for try in 1 2 3; do
	socat -b 65536 -t 0.7 - {to} </tmp/datagram >/tmp/echo
	cmp -s /tmp/datagram /tmp/echo && break
done
cmp /tmp/datagram /tmp/echo""", 30)


def answers_udp(family, port):
    """Host sends a datagram through a forward to the guest's echo."""
    data = os.urandom(700)
    assert peers.udp_exchange(port, data, family) == data


def start_servers(guest, size):
    """In the guest, for both families: httpd on 80, hash of what comes on 9000, UDP echo on 9001,
    /tmp/big, of this size in whole megabytes, on 9002."""
    guest.check(f"""
dd if=/dev/urandom of=/tmp/big bs=1000000 count={size // 1_000_000} 2>/dev/null
md5sum </tmp/big >/tmp/big.md5
echo 'hello from the guest' >/www/index.html
httpd -p 80 -h /www
socat -b 262144 -t 60 TCP6-LISTEN:9000,fork,reuseaddr,ipv6only=0 EXEC:md5sum >/dev/null 2>&1 &
socat -U -b 262144 TCP6-LISTEN:9002,fork,reuseaddr,ipv6only=0 OPEN:/tmp/big,rdonly >/dev/null 2>&1 &
socat -b 65536 UDP6-LISTEN:9001,fork,ipv6only=0 EXEC:cat >/dev/null 2>&1 &
""", 60)


def hash_of_big(guest):
    return guest.check("cat /tmp/big.md5").split()[0]


def wait_for(condition, what, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {timeout_s} s")
        time.sleep(0.2)


def can_bind_port_53(address):
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((address, 53))
        return True
    except OSError:
        return False
