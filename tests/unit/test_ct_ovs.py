#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Random traffic, as the tracker sees it and as Open vSwitch's userspace conntrack does.

  test_ct_ovs.py TEST_CT_ORACLE

test_ct_oracle writes a capture with its ct_state in each packet. ovs-vswitchd, with a dummy
datapath (no kernel module, no privilege, time that stands still until it is told), gets the same
packets at the same times, and writes its ct_state into them. Skipped where it is not installed.
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

SKIP = 77
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
TOOLS = ("ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl")
STATE_AT = 5
PCAP_HEADER, PCAP_RECORD = 24, 16
QUEUE = 50  # a dummy port keeps 100 packets
BITS = ((1, "new"), (2, "est"), (4, "rel"), (8, "rpl"), (16, "inv"), (32, "trk"))

# The zone stands in the frame's source address. The state goes into the destination address; what
# is new is committed.
ZONE = "zone=NXM_NX_REG0[0..15]"
READ_ZONE = "move:NXM_OF_ETH_SRC[8..15]->NXM_NX_REG0[0..7]"
WRITE_STATE = "move:NXM_NX_CT_STATE[0..7]->NXM_OF_ETH_DST[0..7]"
FLOWS = "".join(
    f"table=0,{ip},actions={READ_ZONE},ct(table=1,{ZONE})\n"
    f"table=1,priority=40000,{ip},ct_state=+trk+new-rel-inv,"
    f"actions={WRITE_STATE},ct(commit,{ZONE}),output:2\n"
    for ip in ("ip", "ipv6")) + f"table=1,priority=1,actions={WRITE_STATE},output:2\n"


def read_pcap(path):
    """(ms, frame) of each packet."""
    data = path.read_bytes()
    at = PCAP_HEADER
    while at + PCAP_RECORD <= len(data):
        sec, usec, size, _ = struct.unpack_from("<IIII", data, at)
        at += PCAP_RECORD
        yield sec * 1000 + usec // 1000, data[at:at + size]
        at += size


class Control:
    """JSON-RPC to a daemon's control socket: a process for each command would take far longer."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(str(path))
        self.buf = b""
        self.decoder = json.JSONDecoder()

    def __call__(self, method, *params):
        request = {"id": 0, "method": method, "params": [str(p) for p in params]}
        self.sock.sendall(json.dumps(request).encode())
        while True:
            try:
                reply, end = self.decoder.raw_decode(self.buf.decode())
                self.buf = self.buf[end:]
                break
            except ValueError:
                part = self.sock.recv(65536)
                if not part:
                    raise RuntimeError("ovs-vswitchd is gone")
                self.buf += part
        if reply.get("error"):
            raise RuntimeError(f"{method}: {reply['error']}")
        return reply["result"]


class Switch:
    def __init__(self, folder):
        self.dir = folder
        self.env = dict(os.environ, OVS_RUNDIR=folder, OVS_LOGDIR=folder, OVS_DBDIR=folder,
                        OVS_SYSCONFDIR=folder)
        self.out = pathlib.Path(folder, "out.pcap")
        self.processes = []
        db = f"unix:{folder}/db.sock"
        self.run("ovsdb-tool", "create", "conf.db", SCHEMA)
        self.spawn("ovsdb-server", "--remote=p" + db, "conf.db")
        self.run("ovs-vsctl", "--db=" + db, "--no-wait", "--retry", "init")
        control = f"{folder}/control.sock"
        self.spawn("ovs-vswitchd", "--enable-dummy=override", "--disable-system",
                   "--unixctl=" + control, db)
        self.run("ovs-vsctl", "--db=" + db, "add-br", "br0", "--", "set", "bridge", "br0",
                 "datapath_type=dummy", "fail-mode=secure", "--", "add-port", "br0", "p1", "--",
                 "set", "interface", "p1", "type=dummy", "ofport_request=1", "--", "add-port",
                 "br0", "p2", "--", "set", "interface", "p2", "type=dummy", "ofport_request=2",
                 f"options:tx_pcap={self.out}")
        subprocess.run(["ovs-ofctl", "add-flows", f"unix:{folder}/br0.mgmt", "-"], input=FLOWS,
                       text=True, env=self.env, check=True)
        self.control = Control(control)
        self.control("time/stop")

    def run(self, *argv):
        subprocess.run(argv, cwd=self.dir, env=self.env, check=True, timeout=60,
                       stdout=subprocess.DEVNULL)

    def spawn(self, *argv):
        self.processes.append(subprocess.Popen(
            argv, cwd=self.dir, env=self.env, stdout=subprocess.DEVNULL,
            stderr=open(pathlib.Path(self.dir, argv[0] + ".log"), "w")))

    def stop(self):
        for p in reversed(self.processes):
            p.send_signal(signal.SIGTERM)
            p.wait(timeout=60)

    def settle(self, size):
        """Wait until the packets given so far have come out: few wait to be taken at a time."""
        for _ in range(20000):
            if self.out.stat().st_size >= size:
                return
            time.sleep(0.0005)
        raise RuntimeError(f"{self.out.stat().st_size} of {size} bytes came out")

    def judge(self, packets):
        """The ct_state of each."""
        now, size, waiting = packets[0][0], PCAP_HEADER, 0
        for ms, frame in packets:
            if ms > now or waiting == QUEUE:
                self.settle(size)
                waiting = 0
            if ms > now:
                self.control("time/warp", ms - now)
                now = ms
            self.control("netdev-dummy/receive", "p1", frame.hex())
            size += PCAP_RECORD + len(frame)
            waiting += 1
        self.settle(size)
        return [frame[STATE_AT] for _, frame in read_pcap(self.out)]


def name(state):
    return "+".join(text for bit, text in BITS if state & bit)


TCP, ICMP, ICMP6 = 6, 1, 58
FIN, SYN, RST, ACK = 1, 2, 4, 16
NEW, EST, INV, TRK = 1, 2, 16, 32
DAY, CLOSED = 86400000, 30000


def take_apart(ip):
    """(protocol, both addresses, rest) of a packet that bears no options."""
    if ip[0] >> 4 == 4:
        return ip[9], (ip[12:16], ip[16:20]), ip[20:]
    return ip[6], (ip[8:24], ip[24:40]), ip[40:]


def conversation(ip):
    """(key, TCP flags): the same key for both directions; an ICMP error has that of its quote."""
    proto, addresses, l4 = take_apart(ip)
    if proto in (ICMP, ICMP6):
        if l4[0] in (3, 11) if proto == ICMP else l4[0] < 128:
            return conversation(l4[8:])[0], 0
        return (proto, frozenset(addresses), l4[4:6]), 0
    ports = struct.unpack_from(">HH", l4)
    flags = l4[13] if proto == TCP and len(l4) > 13 else 0  # of a quote there is less
    return (proto, frozenset(zip(addresses, ports))), flags


class Conversation:
    """
    What can be compared. From a first SYN to its end both have to agree. On the rest they are known
    to differ. Open vSwitch 3.1
    - says "est" of all packets of an unanswered TCP flow but the first; ovs-fields(7) reserves that
      for flows that both directions were seen of;
    - loses a connection that both ends open at once;
    - begins a flow with an RST;
    - judges by the numbers of before for as long as a connection lives that was picked up in the
      middle, or into which a SYN is sent;
    - takes any ACK for that of a FIN, so that some connections end earlier, and lets anything pass
      once both ends have closed.
    """

    def __init__(self):
        self.over, self.fins, self.last, self.regular = True, set(), 0, False

    def take(self, ms, tcp, state):
        """Before the packet is compared."""
        if ms - self.last > DAY:
            self.over = True
        if self.over and state & INV:
            self.regular = False
        if len(self.fins) == 2 and ms - self.last >= CLOSED:
            self.regular = False
        self.last = ms
        syn = tcp & (SYN | ACK) == SYN
        if state == NEW | TRK and self.over:
            self.over, self.fins, self.regular = False, set(), syn
        elif syn and state != NEW | TRK:
            self.regular = False
        elif state == NEW | TRK and not syn:
            self.regular = False

    def taken(self, side, tcp, state):
        """After."""
        if state & EST and tcp & RST:
            self.regular = False
        if state & EST and tcp & FIN:
            self.fins.add(side)
            self.over = self.regular and len(self.fins) == 2


def compare(packets, got):
    """How many packets were comparable; what differed."""
    known, compared, wrong = {}, 0, []
    for i, ((ms, frame), theirs) in enumerate(zip(packets, got)):
        ours, side = frame[STATE_AT], frame[11]
        ip = frame[14:]
        proto = take_apart(ip)[0]
        key, tcp = conversation(ip)
        key = (frame[10],) + key
        c = known.setdefault(key, Conversation())
        error = proto != key[1] or (proto in (ICMP, ICMP6) and ours & 4)
        if key[1] == TCP and not error:
            c.take(ms, tcp, ours)
        again = ours == NEW | TRK and theirs == EST | TRK and proto == TCP
        reset = ours == INV | TRK and theirs == NEW | TRK and tcp & RST
        if reset:
            c.regular = c.over = False
        if key[1] != TCP or c.regular:
            compared += 1
            if ours != theirs and not again:
                wrong.append(f"packet {i} at {ms} ms: {name(ours)} here, {name(theirs)} in Open "
                             f"vSwitch, flags {tcp:#x}: {frame.hex()}")
        if key[1] == TCP and not error:
            c.taken(side, tcp, ours)
    return compared, wrong


def main():
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        print(f"skipped: Open vSwitch is not installed ({', '.join(missing)})")
        return SKIP
    with tempfile.TemporaryDirectory(prefix="ct-ovs-") as folder:
        capture = pathlib.Path(folder, "in.pcap")
        subprocess.run([sys.argv[1], "--capture", capture], check=True, timeout=120)
        packets = list(read_pcap(capture))
        switch = Switch(folder)
        try:
            got = switch.judge(packets)
        finally:
            switch.stop()
    compared, wrong = compare(packets, got)
    for line in wrong[:10]:
        print(line)
    same = sum(frame[STATE_AT] == theirs for (_, frame), theirs in zip(packets, got))
    print(f"{same} of {len(packets)} packets have the same ct_state; of {compared} that must, "
          f"{len(wrong)} have not")
    return 0 if not wrong and compared > len(packets) // 2 else 1


if __name__ == "__main__":
    sys.exit(main())
