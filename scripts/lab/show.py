# SPDX-License-Identifier: BSD-3-Clause
"""The part of scripts/demo that runs weir and a guest and shows what they do."""
import argparse
import re
import shutil
import socket
import sys
import tempfile
import time

from . import peers
from .daemon import Weir
from .proc import Lab, LabError, exit_on_signals
from .qemu import Guest, find_accel

GATEWAY = "10.0.2.2"
GATEWAY6 = "fd00:2::2"
HOST_PAGE = "Hello from a server on the host's loopback.\n"
GUEST_PAGE = "Hello from the web server in the guest."


class Show:
    """Runs the steps, prints one line or a few for each, remembers which worked."""

    def __init__(self):
        self.worked = []
        self.failed = []
        self.staying = False
        self.colour = sys.stdout.isatty()

    def paint(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def title(self, text):
        print(f"\n{self.paint('1', text)}", flush=True)

    def note(self, text):
        for line in text.splitlines():
            print(f"     {line}", flush=True)

    def step(self, name, function):
        """function returns the text to show; an exception is a step that did not work."""
        start = time.monotonic()
        try:
            text = function()
        except (LabError, OSError) as err:
            self.failed.append(name)
            print(f"{self.paint('31;1', ' no ')} {name}", flush=True)
            self.note(str(err))
            return
        self.worked.append(name)
        seconds = time.monotonic() - start
        print(f"{self.paint('32;1', ' ok ')} {name} ({seconds:.1f} s)", flush=True)
        self.note(text)

    def summary(self):
        if self.failed:
            return f"demo: did not work: {', '.join(self.failed)}"
        return f"demo: worked: {', '.join(self.worked)}"


def choose_port(wanted):
    """wanted if it is free, else any."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", wanted))
            return wanted
    except OSError:
        return peers.free_port()


def lease(guest):
    text = guest.check("net-up", 90)
    guest.check(f"echo '{GUEST_PAGE}' >/www/index.html; httpd -p 80 -h /www")
    return text


def addresses(guest):
    lines = guest.check("ip addr show dev eth0").splitlines()
    return "\n".join(line.strip() for line in lines if re.search(r"mtu|link/ether|inet", line))


def guest_fetches(guest, web, web6):
    shown = []
    for url in (f"http://{GATEWAY}:{web.port}/", f"http://[{GATEWAY6}]:{web6.port}/"):
        page = guest.check(f"curl -sS -m 20 '{url}'", 30)
        if page != HOST_PAGE.strip():
            raise LabError(f"{url}: got '{page[:60]}'")
        shown.append(f"guest$ curl {url}\n{page}")
    return "\n".join(shown)


def host_fetches(port):
    page = peers.fetch(port).decode(errors="replace").strip()
    if page != GUEST_PAGE:
        raise LabError(f"got '{page[:60]}'")
    return f"host$ curl http://127.0.0.1:{port}/\n{page}"


def pings(guest):
    shown = []
    for target in (GATEWAY, GATEWAY6):
        text = guest.check(f"ping -c 3 -W 5 {target}", 30)
        shown.append(f"{target}: " + " ".join(text.splitlines()[-2:]).strip())
    return "\n".join(shown)


def bulk(guest, web):
    """A rate, so that there is something to see; under emulation it measures QEMU, not weir."""
    text = guest.check(
        f"curl -sS -m 60 -o /dev/null -w '%{{size_download}} %{{time_total}}' "
        f"http://{GATEWAY}:{web.port}/100M", 70)
    size, seconds = text.split()
    rate = int(size) * 8 / float(seconds) / 1e9
    return f"{int(size) // 1000000} MB, host to guest, {float(seconds):.1f} s: {rate:.2f} Gbit/s"


def flow_table(weir, guest, web):
    guest.check(f"(curl -sS -m 30 --limit-rate 100k -o /dev/null http://{GATEWAY}:{web.port}/100M"
                " >/dev/null 2>&1 &)")
    time.sleep(0.5)
    text = weir.ctl("flow", "list").rstrip()
    if str(web.port) not in text:
        raise LabError(f"the running download is not in it:\n{text}")
    return f"$ {weir.client} --control {weir.control} flow list\n{text}"


def stay(show, weir, port):
    show.staying = True
    show.title("The guest keeps running. Try:")
    show.note(f"curl http://127.0.0.1:{port}/\n"
              f"{weir.client} --control {weir.control} flow list\n"
              f"{weir.client} --control {weir.control} vm list\n"
              "Ctrl-C ends it all.")
    last = None
    while weir.process.running():
        text = weir.ctl("flow", "list").rstrip()
        if text != last:
            show.title(f"Flow table at {time.strftime('%H:%M:%S')}")
            show.note(text)
            last = text
        time.sleep(2 if show.colour else 10)
    raise LabError(f"weir has ended: {weir.process.log_tail(5)}")


def run(args, show, lab):
    accel = find_accel(args.image, lab.directory)
    port = choose_port(8080)
    weir = Weir(lab, args.build, {"guest": {
        "socket": lab.path("guest.sock"), "loopback": "gateway",
        "tcp": f"127.0.0.1:{port}:80", "hostname": "demo"}})
    guest = Guest(lab, args.image, accel)
    guest.use_vhost_user(lab.path("guest.sock"))
    pages = {"/": HOST_PAGE.encode(), "/100M": bytes(100_000_000)}

    with peers.http_server(pages, 4) as web, peers.http_server(pages, 6) as web6:
        show.title("Start")
        show.step("daemon", lambda: weir.start() or " ".join(weir.argv()))
        if show.failed:
            return
        show.step("guest boots", lambda: guest.start() or
                  f"QEMU with {'KVM' if accel == 'kvm' else 'TCG (KVM does not work here)'}, "
                  "one CPU, 512 MiB, vhost-user")
        if show.failed:
            return
        show.title("The guest configures itself")
        show.step("DHCP, SLAAC and DHCPv6", lambda: lease(guest))
        show.step("addresses", lambda: addresses(guest))
        show.title("Traffic")
        show.step("guest fetches a page from the host", lambda: guest_fetches(guest, web, web6))
        show.step("host fetches a page from the guest", lambda: host_fetches(port))
        show.step("ping", lambda: pings(guest))
        show.step("download of 100 MB", lambda: bulk(guest, web))
        show.title("Flows")
        show.step("flow table", lambda: flow_table(weir, guest, web))
        if not args.once and not show.failed:
            stay(show, weir, port)
        guest.stop()
        show.title("End")
        show.step("daemon ends cleanly", lambda: ends(weir))


def ends(weir):
    status = weir.stop()
    if status != 0:
        raise LabError(f"exit status {status}: {weir.process.log_tail(5)}")
    return "SIGTERM, exit status 0"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--build", required=True)
    parser.add_argument("--image", required=True)
    args = parser.parse_args()
    exit_on_signals()
    show = Show()
    directory = tempfile.mkdtemp(prefix="weir-demo-")
    try:
        with Lab(directory) as lab:
            run(args, show, lab)
    except KeyboardInterrupt:
        print("\nCtrl-C: everything is stopped.")
        if not show.staying:
            show.failed.append("stopped before its end")
    except (LabError, OSError) as err:
        show.failed.append(str(err))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(f"\n{show.summary()}", flush=True)
    return 1 if show.failed else 0


if __name__ == "__main__":
    sys.exit(main())
