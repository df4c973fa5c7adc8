# SPDX-License-Identifier: BSD-3-Clause
"""The scenarios: each is called with a Rig and a function check(name, function, arguments...)."""
import contextlib
import hashlib
import pathlib
import socket
import sys

from lab import peers
import rig as r
from tap import Skip

PROXY = pathlib.Path(__file__).resolve().parents[3] / "config" / "redirect-proxy"
DNS_ADDRESS = "127.0.0.77"
PAGE = b"hello from the host"
BIG = 100_000_000

# All that a guest can decline, declined by the device.
NO_OFFLOADS = {name: "off" for name in (
    "csum", "guest_csum", "gso", "guest_tso4", "guest_tso6", "guest_ecn", "guest_ufo", "host_tso4",
    "host_tso6", "host_ecn", "host_ufo", "mrg_rxbuf", "indirect_desc", "event_idx",
    "guest_announce")}


def stock(rig, check):
    """a guest as it comes: configuration, DNS, TCP and UDP both ways, ping, both families"""
    dns = r.can_bind_port_53(DNS_ADDRESS)
    ports = {name: peers.free_port(family=family) for name, family in
             (("http4", 4), ("http6", 6), ("md5_4", 4), ("md5_6", 6), ("big4", 4), ("big6", 6))}
    udp = {family: peers.free_port(socket.SOCK_DGRAM, family) for family in (4, 6)}
    with contextlib.ExitStack() as stack:
        rig.start_weir({
            "tcp": "/".join([
                r.forward(4, ports["http4"], 80), r.forward(6, ports["http6"], 80),
                r.forward(4, ports["md5_4"], 9000), r.forward(6, ports["md5_6"], 9000),
                r.forward(4, ports["big4"], 9002), r.forward(6, ports["big6"], 9002)]),
            "udp": "/".join([r.forward(family, port, 9001) for family, port in udp.items()]),
            "dns": r.GATEWAY[4], "dns-forward": DNS_ADDRESS, "search": "example.org",
            "hostname": "stockguest"})
        guest = rig.start_guest()
        check("configures_itself_by_dhcp_slaac_and_dhcpv6", r.configures_itself, guest)
        check("takes_mtu_host_name_and_search_list", _takes_options, guest)
        r.start_servers(guest, BIG)
        body = peers.random_bytes(BIG)
        for family in (4, 6):
            pages = {"/": PAGE, "/big": body}
            web = stack.enter_context(peers.http_server(pages, family))
            md5 = stack.enter_context(peers.md5_server(family))
            echo = stack.enter_context(peers.udp_echo_server(family))
            v = f"ipv{family}"
            check(f"pings_gateway_{v}", r.pings, guest, r.GATEWAY[family])
            check(f"fetches_page_{v}", r.fetches, guest, family, web.port, "/", PAGE)
            check(f"downloads_100_mb_{v}", r.downloads, guest, family, web.port, "/big", body)
            check(f"uploads_100_mb_{v}", r.uploads, guest, family, md5.port)
            check(f"takes_100_mb_through_forward_{v}", r.takes, family,
                  ports[f"md5_{family}"], body)
            check(f"serves_100_mb_through_forward_{v}", r.serves, guest, family,
                  ports[f"big{family}"])
            check(f"serves_page_through_forward_{v}", r.serves_page, family, ports[f"http{family}"])
            check(f"is_refused_where_nobody_listens_{v}", r.is_refused, guest, family,
                  peers.free_port(family=family))
            for size in (1, 512, 1400):
                check(f"udp_echo_of_{size}_bytes_{v}", r.echoes_udp, guest, family, echo.port,
                      size)
            check(f"udp_through_forward_{v}", r.answers_udp, family, udp[family])
        check("resolves_names_through_gateway", _resolves, guest, stack, dns)
        check("lists_vm_and_flows", _lists, rig)
        check("daemon_ends_cleanly", rig.ends_cleanly)


def _takes_options(guest):
    assert guest.check("cat /sys/class/net/eth0/mtu") == "1500"
    assert guest.check("hostname") == "stockguest"
    resolv = guest.check("cat /etc/resolv.conf")
    assert "search example.org" in resolv and f"nameserver {r.GATEWAY[4]}" in resolv, resolv


def _resolves(guest, stack, dns):
    if not dns:
        raise Skip("port 53 on loopback needs privileges, or is taken")
    stack.enter_context(peers.dns_server(DNS_ADDRESS, {"weir.test": ("10.1.2.3", "fd00::7")}))
    text = guest.check("nslookup weir.test", 20)
    assert "10.1.2.3" in text and "fd00::7" in text, text


def _lists(rig):
    vms = rig.weir.ctl("vm", "list")
    assert "guest" in vms, vms
    rig.weir.ctl("flow", "list")


def plain(rig, check):
    """a card with every offload, mergeable buffers, indirect descriptors and event index off"""
    _transfers(rig, check, 30_000_000, device=NO_OFFLOADS)


def legacy(rig, check):
    """a transitional card without mergeable buffers only: large receive chains"""
    _transfers(rig, check, 30_000_000,
               device={"mrg_rxbuf": "off", "disable-modern": "off", "disable-legacy": "off"})


def queues(rig, check):
    """two queue pairs, two CPUs, MTU 9000: parallel transfers over both"""
    ports = _transfers(rig, check, 30_000_000, vm={"queues": "2", "mtu": "9000"}, queues=2, smp=2,
                       last=False)
    guest = rig.guests[0]
    check("uses_both_queues", _sets_queues, guest)
    body = peers.random_bytes(5_000_000)
    with peers.http_server({"/": PAGE, "/big": body}) as web:
        check("downloads_16_at_once", _downloads_many, guest, web.port, body, 16)
    check("takes_after_queues_were_added", r.takes, 4, ports[4], body)
    check("goes_back_to_one_queue", _goes_back, guest, ports[4], body)
    check("daemon_ends_cleanly", rig.ends_cleanly)


def _sets_queues(guest):
    guest.check("ethtool -L eth0 combined 2")
    assert guest.check("cat /sys/class/net/eth0/mtu") == "9000"
    status = guest.check("ethtool -l eth0")
    assert status.count("Combined:\t2") == 2, status


def _goes_back(guest, port, body):
    guest.check("ethtool -L eth0 combined 1")
    r.takes(4, port, body)


def _downloads_many(guest, port, body, count):
    want = hashlib.md5(body).hexdigest()
    text = guest.check(f"""
for i in $(seq {count}); do
	(curl -sS -m 60 '{r.url(4, port, "/big")}' | md5sum >/tmp/sum.$i) &
done
wait
cat /tmp/sum.*""", 90)
    assert text.count(want) == count, f"{text.count(want)} of {count} arrived: {text}"


def _transfers(rig, check, size, vm=None, smp=1, last=True, **card):
    """The core of all that moves data, with a smaller file. Forwarded ports by family."""
    ports = {family: peers.free_port(family=family) for family in (4, 6)}
    keys = {"tcp": "/".join(r.forward(family, port, 9000) for family, port in ports.items())}
    keys.update(vm or {})
    rig.start_weir(keys)
    guest = rig.start_guest(smp=smp, **card)
    check("configures_itself_by_dhcp_slaac_and_dhcpv6", r.configures_itself, guest)
    r.start_servers(guest, size)
    body = peers.random_bytes(size)
    for family in (4, 6):
        v = f"ipv{family}"
        with peers.http_server({"/": PAGE, "/big": body}, family) as web, \
                peers.md5_server(family) as md5, peers.udp_echo_server(family) as echo:
            check(f"pings_gateway_{v}", r.pings, guest, r.GATEWAY[family])
            check(f"downloads_{v}", r.downloads, guest, family, web.port, "/big", body)
            check(f"uploads_{v}", r.uploads, guest, family, md5.port)
            check(f"takes_through_forward_{v}", r.takes, family, ports[family], body)
            check(f"udp_echo_{v}", r.echoes_udp, guest, family, echo.port, 1000)
    if last:
        check("daemon_ends_cleanly", rig.ends_cleanly)
    return ports


def reboot(rig, check):
    """the guest is reset in the middle of transfers both ways, three times"""
    rig.start_weir()
    guest = rig.start_guest()
    r.configures_itself(guest)
    with peers.stream_server() as stream, peers.md5_server() as md5, \
            peers.http_server({"/": PAGE}) as web:
        for count in range(1, 4):
            check(f"moves_data_before_reset_{count}", _moves_data, guest, stream.port, md5.port)
            check(f"comes_back_after_reset_{count}", _resets, guest)
            check(f"fetches_page_after_reset_{count}", _reaches, guest, web.port)
        check("daemon_ends_cleanly", rig.ends_cleanly)


def _moves_data(guest, stream_port, md5_port):
    guest.check(f"""
socat -u -b 262144 {r.address(4, stream_port)} /dev/null >/dev/null 2>&1 &
socat -u -b 262144 /dev/zero {r.address(4, md5_port)} >/dev/null 2>&1 &""")
    for direction in ("rx", "tx"):
        path = f"/sys/class/net/eth0/statistics/{direction}_bytes"
        r.wait_for(lambda: int(guest.check(f"cat {path}")) > 5_000_000, f"5 MB {direction}")


def _resets(guest):
    guest.reset()
    r.configures_itself(guest)


def _reaches(guest, port):
    r.fetches(guest, 4, port, "/", PAGE)
    r.fetches(guest, 4, port, "/", PAGE)


def killed(rig, check):
    """QEMU is killed in the middle of transfers and another connects to the same socket"""
    rig.start_weir()
    with peers.stream_server() as stream, peers.md5_server() as md5, \
            peers.http_server({"/": PAGE}) as web:
        for count in range(1, 4):
            guest = rig.start_guest()
            r.configures_itself(guest)
            check(f"moves_data_{count}", _moves_data, guest, stream.port, md5.port)
            guest.kill()
        guest = rig.start_guest()
        check("configures_itself_after_kills", r.configures_itself, guest)
        check("fetches_page_after_kills", _reaches, guest, web.port)
        check("daemon_ends_cleanly", rig.ends_cleanly)


def restart(rig, check):
    """the daemon is stopped and started under a running guest, whose QEMU reconnects"""
    rig.start_weir()
    guest = rig.start_guest(reconnect=True)
    with peers.http_server({"/": PAGE}) as web:
        check("configures_itself", r.configures_itself, guest)
        for count in range(1, 3):
            check(f"fetches_page_{count}", _reaches, guest, web.port)
            check(f"daemon_ends_cleanly_{count}", rig.ends_cleanly)
            rig.weir.start()
            check(f"reaches_host_after_restart_{count}", _reconnects, guest, web.port)
        # A daemon that is killed leaves rings that the guest's driver cannot go on with: buffers
        # were used out of order, and QEMU keeps no record of that for network cards.
        rig.weir.process.kill()
        rig.weir.start()
        check("guest_comes_back_by_reset_after_daemon_was_killed", _resets, guest)
        check("fetches_page_after_daemon_was_killed", _reaches, guest, web.port)
        check("daemon_ends_cleanly", rig.ends_cleanly)


def _reconnects(guest, port):
    def reached():
        status, text = guest.run(f"curl -sS -m 3 '{r.url(4, port)}'", 20)
        return status == 0 and text == PAGE.decode()
    r.wait_for(reached, "page after reconnect", 30)


def neighbours(rig, check):
    """two guests of one daemon: both reach the host, and each other through forwards"""
    ports = {name: peers.free_port() for name in ("guest", "other")}
    forwards = {name: "/".join([r.forward(4, port, 9002)]) for name, port in ports.items()}
    rig.start_weir({"tcp": forwards["guest"]}, others={"other": {"tcp": forwards["other"]}})
    one = rig.start_guest()
    two = rig.start_guest("other", mac="52:54:00:12:34:57")
    lines = {guest: guest.check("net-up", 90) for guest in (one, two)}
    check("guests_have_addresses_in_order", _in_order, lines[one], lines[two])
    with peers.http_server({"/": PAGE}) as web:
        for guest in (one, two):
            r.start_servers(guest, 30_000_000)
            check(f"{guest.name}_fetches_page_from_host", _reaches, guest, web.port)
        check("guest_downloads_from_neighbour", _from_neighbour, one, two, ports["other"])
        check("neighbour_downloads_from_guest", _from_neighbour, two, one, ports["guest"])
        one.kill()
        check("other_is_not_disturbed_when_guest_dies", _reaches, two, web.port)
    check("daemon_ends_cleanly", rig.ends_cleanly)


def _in_order(first, second):
    assert "dhcp: 10.0.2.15/" in first and "dhcp6: fd00:2::15" in first, first
    assert "dhcp: 10.0.2.16/" in second and "dhcp6: fd00:2::16" in second, second


def _from_neighbour(one, two, port):
    got = one.check(f"socat -u -b 262144 {r.address(4, port)} - | md5sum", 70)
    want = r.hash_of_big(two)
    assert got.split()[0] == want, f"hash {got} instead of {want}"


NEIGHBOUR = {4: "10.0.2.16", 6: "fd00:2::16"}


def east_west(rig, check):
    """guests reach each other where a rule lets them; a third has an address of theirs in a zone"""
    keys = {"address": NEIGHBOUR[4], "address6": NEIGHBOUR[6]}
    rig.start_weir(others={"other": dict(keys), "third": {"zone": "7", **keys}})
    one = rig.start_guest(reconnect=True)
    two = rig.start_guest("other", mac="52:54:00:12:34:57", reconnect=True)
    three = rig.start_guest("third", mac="52:54:00:12:34:58", reconnect=True)
    for guest in (one, two, three):
        guest.check("net-up", 90)
    r.start_servers(two, BIG)
    r.start_servers(three, 1_000_000)
    check("nothing_passes_without_a_rule", _reaches_nobody, rig, one, two)
    rig.weir.stop()
    rig.weir.options["rule"] = "1,direction=east-west,action=accept"
    rig.weir.start()
    with peers.http_server({"/": PAGE}) as web:
        for guest in (one, two, three):
            check(f"{guest.name}_is_back_with_the_rule", _reconnects, guest, web.port)
        r.start_servers(one, BIG)
        for family in (4, 6):
            v = f"ipv{family}"
            check(f"guest_pings_neighbour_{v}", r.pings, one, NEIGHBOUR[family])
            check(f"guest_copies_100_mb_from_neighbour_{v}", _copies, one, two, family,
                  NEIGHBOUR[family])
            check(f"neighbour_copies_100_mb_from_guest_{v}", _copies, two, one, family,
                  r.ADDRESS[family])
            check(f"udp_echo_of_neighbour_{v}", r.echoes_udp, one, family, 9001, 1400,
                  NEIGHBOUR[family])
        check("flows_between_guests_are_listed", _lists_east_west, rig)
        check("third_reaches_host_and_nobody_else", _is_apart, three, web.port)
    check("daemon_ends_cleanly", rig.ends_cleanly)


def _received(guest):
    """Segments and ICMP messages that came in, of both families."""
    text = guest.check("cat /proc/net/snmp /proc/net/snmp6 2>/dev/null")
    lines = [line.split() for line in text.splitlines()]
    tables = {line[0]: line[1:] for line in lines if line and not line[0].endswith(":")}
    count = int(tables["Icmp6InEchos"][0])
    for head, row in zip(lines, lines[1:]):
        if head[0] == row[0] and head[0] in ("Tcp:", "Icmp:"):
            count += int(dict(zip(head, row))["InSegs" if head[0] == "Tcp:" else "InMsgs"])
    return count


def _reaches_nobody(rig, one, two):
    before = _received(two)
    for family in (4, 6):
        status, text = one.run(f"ping -c 2 -W 1 {NEIGHBOUR[family]}", 20)
        assert status != 0, text
        host = NEIGHBOUR[family] if family == 4 else f"[{NEIGHBOUR[family]}]"
        status, text = one.run(f"socat -u TCP{family}:{host}:9002,connect-timeout=2 -", 20)
        assert status != 0, text
    assert _received(two) == before, "something came through"
    assert rig.weir.ctl("stats", as_json=True)["total"]["ew-pkts"] == 0


def _copies(to, source, family, address):
    host = address if family == 4 else f"[{address}]"
    got = to.check(f"socat -u -b 262144 TCP{family}:{host}:9002 - | md5sum", 120)
    want = r.hash_of_big(source)
    assert got.split()[0] == want, f"hash {got} instead of {want}"


def _lists_east_west(rig):
    flows = rig.weir.ctl("flow", "list", as_json=True)["flows"]
    between = [flow for flow in flows if flow["kind"] == "east-west"]
    assert between and all(flow["rule"] == 1 and flow["zone"] == 0 for flow in between), flows
    assert {"guest", "other"} == {flow["vm"] for flow in between} | {
        flow["to_vm"] for flow in between}, between


def _is_apart(three, port):
    _reaches(three, port)
    for family in (4, 6):
        status, text = three.run(f"ping -c 2 -W 1 {r.ADDRESS[family]}", 20)
        assert status != 0, text
    # Its own address, which is that of a guest in another zone, is its own.
    assert three.check(f"ip -4 addr show dev eth0 | grep -c {NEIGHBOUR[4]}/") == "1"


def redirect(rig, check):
    """connections of a guest to port 80 go through a proxy on the host, which asks for the way"""
    port = peers.free_port()
    rig.start_weir(options={
        "rule": f"10,direction=out,proto=tcp,destination-port=80,action=accept,redirect={port}"})
    for family, loopback in ((4, "127.0.0.1"), (6, "[::1]")):
        rig.lab.spawn([sys.executable, str(PROXY), "--listen", f"{loopback}:{port}", "--control",
                       rig.weir.control, "--weirctl", rig.weir.client], f"proxy{family}.log")
    guest = rig.start_guest()
    r.configures_itself(guest)
    check("proxy_knows_where_the_guest_wanted_to_go_ipv4", _asks_proxy, guest, "192.0.2.80",
          "192.0.2.80")
    check("proxy_knows_where_the_guest_wanted_to_go_ipv6", _asks_proxy, guest, "[2001:db8::80]",
          "2001:db8::80")
    with peers.http_server({"/": PAGE}) as web:
        check("other_ports_go_their_own_way", _reaches, guest, web.port)
    check("rule_has_hits", _has_hits, rig)
    check("daemon_ends_cleanly", rig.ends_cleanly)


def _asks_proxy(guest, host, shown):
    """No such host is to be reached: the proxy says so, and which one it was asked for."""
    text = guest.check(f"curl -sS -m 30 'http://{host}/'", 40)
    assert f"{shown} port 80" in text, text


def _has_hits(rig):
    rules = rig.weir.ctl("rule", "list", as_json=True)["rules"]
    assert rules[0]["number"] == 10 and rules[0]["hits"] >= 2, rules


def ipxe(rig, check):
    """the boot ROM of QEMU's card, which declines nearly every feature, gets a lease"""
    rig.start_weir()
    guest = r.Guest(rig.lab, rig.image, rig.accel)
    guest.use_vhost_user(rig.socket("guest"))
    guest.boot_from_network()
    lease = f"{r.ADDRESS[4]}/255.255.255.0 gw {r.GATEWAY[4]}"
    check("gets_a_lease", r.wait_for, lambda: lease in guest.console(), "lease", 60)
    check("gets_an_address_by_slaac", r.wait_for, lambda: "net0: fd00:2::" in guest.console(),
          "IPv6 address", 30)
    check("daemon_ends_cleanly", rig.ends_cleanly)


SCENARIOS = {function.__name__: function for function in (
    stock, plain, legacy, queues, reboot, killed, restart, neighbours, east_west, redirect, ipxe)}
