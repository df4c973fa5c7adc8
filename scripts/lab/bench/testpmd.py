# SPDX-License-Identifier: BSD-3-Clause
"""testpmd in the guests' place: its net_virtio_user ports are the network cards of VMs."""
import argparse
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time

from ..daemon import Weir
from ..proc import Lab, LabError
from . import network, pcap
from .run import DAEMON_CPU, LOAD_CPU

HELP = """Packet rates of weir with testpmd as its guests, as testpmd reports them.

The guests are net_virtio_user ports of one testpmd, whose two threads share the first CPU that may
be used; weir, with one worker, the bridge inline and busy polling, has the second. No huge pages
are needed. What the guests send:

  to the host       txonly: datagrams to a socket on the host that nobody reads
  one way           net_pcap plays a file to the first guest's port, over and over; the second
                    guest's port is emptied. A rule lets frames pass from guest to guest
  both ways         the same, and the other way at the same time

testpmd and its drivers are installed by scripts/setup --bench.
"""

GATEWAY = "10.0.2.2"
GUESTS = (("a", "10.0.2.15", "52:54:00:12:34:56"), ("b", "10.0.2.16", "52:54:00:12:34:57"))
FORWARDS = "packets/burst="


class Testpmd:
    """One testpmd on the first CPU, forwarding until it is stopped."""

    def __init__(self, lab, vdevs, *options):
        self.ports = len(vdevs)
        # Line by line: it is read while it runs.
        argv = ["stdbuf", "-oL", "dpdk-testpmd", "--lcores", f"0@{LOAD_CPU},1@{LOAD_CPU}",
                "--no-huge", "-m", "512", "--no-pci", "--no-shconf", "--no-telemetry",
                f"--file-prefix=bench-guests{os.getpid()}"]
        argv += [f"--vdev={vdev}" for vdev in vdevs]
        argv += ["--", "-i", "--auto-start", "--no-flush-rx", "--nb-cores=1",
                 "--total-num-mbufs=32768", "--no-mlockall", "--no-lsc-interrupt", *options]
        self.process = lab.spawn(argv, "testpmd.log", name="testpmd", stdin=subprocess.PIPE)
        self._wait(lambda text: FORWARDS in text)

    def _wait(self, done, timeout_s=30):
        end = time.monotonic() + timeout_s
        while not done(self.process.log()):
            if not self.process.running() or time.monotonic() > end:
                raise LabError(f"testpmd: no answer: {self.process.log_tail(8)}")
            time.sleep(0.01)

    def _say(self, words):
        self.process.popen.stdin.write(words.encode() + b"\n")
        self.process.popen.stdin.flush()

    def _show(self):
        """[(received, sent) a second since the last time] of each port."""
        before = len(self.process.log())
        self._say("show port stats all")
        self._wait(lambda text: len(re.findall(r"Tx-pps:\s+\d+", text[before:])) == self.ports)
        text = self.process.log()[before:]
        return list(zip(*([int(n) for n in re.findall(rf"{way}-pps:\s+(\d+)", text)]
                          for way in ("Rx", "Tx"))))

    def rates(self, seconds):
        time.sleep(0.5)
        self._show()
        time.sleep(seconds)
        return self._show()

    def stop(self):
        self._say("quit")
        if self.process.wait(20) is None:
            self.process.kill()


def _card(lab, i):
    name, _address, mac = GUESTS[i]
    return f"net_virtio_user{i},path={lab.path(name)}.sock,mac={mac},queue_size=256,queues=1"


def _player(lab, i, frames):
    """A port that plays these frames for ever, and drops what it is given."""
    path = lab.path(f"play{i}.pcap")
    pcap.write(path, frames)
    return f"net_pcap{i},rx_pcap={path},infinite_rx=1"


def _learn_gateway(lab):
    """The gateway's MAC address, by ARP, as any guest learns it."""
    question, answers = lab.path("arp.pcap"), lab.path("answers.pcap")
    _name, address, mac = GUESTS[0]
    pcap.write(question, [pcap.arp_request(mac, address, GATEWAY)])
    testpmd = Testpmd(lab, [f"net_pcap0,rx_pcap={question},tx_pcap={answers}", _card(lab, 0)],
                      "--forward-mode=io")
    try:
        time.sleep(0.5)
    finally:
        testpmd.stop()
    found = pcap.arp_answer(pcap.read(answers), GATEWAY)
    if not found:
        raise LabError("the gateway does not answer ARP")
    return found


def _frames(args, gateway_mac, sender):
    """One frame of each flow from this guest to the other."""
    (_, source, mac), (_, target, _) = GUESTS[sender], GUESTS[1 - sender]
    # Twice over, at least: net_pcap plays no burst that is longer than the file.
    return [pcap.udp_frame(gateway_mac, mac, source, target, (20000 + n % args.flows, 5001),
                           args.size) for n in range(max(64, args.flows))]


def to_host(lab, args, gateway_mac):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        testpmd = Testpmd(lab, [_card(lab, 0)], "--forward-mode=txonly",
                          f"--eth-peer=0,{gateway_mac}", f"--txpkts={args.size}",
                          f"--tx-ip={GUESTS[0][1]},{GATEWAY}",
                          f"--tx-udp=20000,{sink.getsockname()[1]}")
        try:
            return {"sent": testpmd.rates(args.seconds)[0][1]}
        finally:
            testpmd.stop()


def _between(lab, args, other, gateway_mac):
    """Paired ports: what plays for the first guest and its card, the same for the second."""
    testpmd = Testpmd(lab, [_player(lab, 0, _frames(args, gateway_mac, 0)), _card(lab, 0),
                            other, _card(lab, 1)], "--forward-mode=io")
    try:
        return testpmd.rates(args.seconds)
    finally:
        testpmd.stop()


def one_way(lab, args, gateway_mac):
    rates = _between(lab, args, "net_null1,no-rx=1", gateway_mac)
    return {"sent": rates[1][1], "received": rates[3][0]}


def both_ways(lab, args, gateway_mac):
    player = _player(lab, 1, _frames(args, gateway_mac, 1))
    rates = _between(lab, args, player, gateway_mac)
    return {"sent": rates[1][1] + rates[3][1], "received": rates[1][0] + rates[3][0]}


LOADS = (("to the host", to_host), ("one way", one_way), ("both ways", both_ways))


def dropped(weir):
    """{reason: packets} that weir has dropped so far."""
    return {name: count for name, count in weir.ctl("stats", as_json=True)["drops"].items()
            if count}


def main(argv, build):
    p = argparse.ArgumentParser(prog="bench testpmd", description=HELP,
                                formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--build", default=build, metavar="DIR", help="where weir was built (build)")
    p.add_argument("--seconds", type=float, default=2, metavar="S", help="length of each (2)")
    p.add_argument("--size", type=int, default=64, metavar="BYTES", help="of a frame (64)")
    p.add_argument("--flows", type=int, default=1, metavar="N", help="between guests (1)")
    network.add_option(p)
    args = p.parse_args(argv)
    if not 60 <= args.size <= 1514 or not 1 <= args.flows <= 1024:
        raise LabError("--size is from 60 to 1514, --flows from 1 to 1024")
    if not shutil.which("dpdk-testpmd"):
        raise LabError("dpdk-testpmd is not installed (scripts/setup --bench)")
    network.enter(args.congestion)
    for name, load in LOADS:
        with tempfile.TemporaryDirectory(prefix="weir-bench-") as directory, \
                Lab(directory) as lab:
            weir = Weir(lab, args.build,
                        {guest: {"socket": lab.path(f"{guest}.sock"), "mac": mac,
                                 "address": address, "loopback": "gateway"}
                         for guest, address, mac in GUESTS},
                        {"workers": f"{DAEMON_CPU}-{DAEMON_CPU}", "bridges": "inline",
                         "poll": "busy", "rule": "1,direction=east-west,action=accept"})
            weir.start()
            rates = load(lab, args, _learn_gateway(lab))
            print(f"{name:12} " + "  ".join(f"{what} {pps / 1e6:.2f} Mpps"
                                            for what, pps in rates.items()), flush=True)
            print(f"{'':12} dropped by weir, in all: " + (", ".join(
                f"{n:,} {why}" for why, n in dropped(weir).items()) or "none"), flush=True)
    return 0
