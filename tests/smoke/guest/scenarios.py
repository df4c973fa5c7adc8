# SPDX-License-Identifier: BSD-3-Clause
"""The scenarios: each is called with a Rig and a function check(name, function, arguments...)."""
import contextlib
import hashlib
import socket

from lab import peers
import rig as r
from tap import Skip

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
        r.start_servers(guest)
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
            check(f"uploads_100_mb_{v}", r.uploads, guest, family, md5.port, "/tmp/big")
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
    r.start_servers(guest)
    guest.check(f"head -c {size} /tmp/big >/tmp/part")
    body = peers.random_bytes(size)
    for family in (4, 6):
        v = f"ipv{family}"
        with peers.http_server({"/": PAGE, "/big": body}, family) as web, \
                peers.md5_server(family) as md5, peers.udp_echo_server(family) as echo:
            check(f"pings_gateway_{v}", r.pings, guest, r.GATEWAY[family])
            check(f"downloads_{v}", r.downloads, guest, family, web.port, "/big", body)
            check(f"uploads_{v}", r.uploads, guest, family, md5.port, "/tmp/part")
            check(f"takes_through_forward_{v}", r.takes, family, ports[family], body)
            check(f"udp_echo_{v}", r.echoes_udp, guest, family, echo.port, 1000)
    if last:
        check("daemon_ends_cleanly", rig.ends_cleanly)
    return ports


def reboot(rig, check):
    """the guest is reset in the middle of transfers both ways, three times"""
    rig.start_weir()
    guest = rig.start_guest()
    with peers.stream_server() as stream, peers.md5_server() as md5, \
            peers.http_server({"/": PAGE}) as web:
        for count in range(1, 4):
            check(f"moves_data_before_reset_{count}", _moves_data, guest, stream.port, md5.port)
            check(f"comes_back_after_reset_{count}", _resets, guest)
            check(f"fetches_page_after_reset_{count}", _reaches, guest, web.port)
        check("daemon_ends_cleanly", rig.ends_cleanly)


def _moves_data(guest, stream_port, md5_port):
    r.configures_itself(guest)
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
            r.start_servers(guest)
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
    want = two.check("md5sum </tmp/big", 60)
    assert got.split()[0] == want.split()[0], f"hash {got} instead of {want}"


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
    stock, plain, legacy, queues, reboot, killed, restart, neighbours, ipxe)}
