# SPDX-License-Identifier: BSD-3-Clause
"""Frames and the files that testpmd's net_pcap plays and records."""
import ipaddress
import struct

BROADCAST = "ff:ff:ff:ff:ff:ff"
ETHERNET = 1  # LINKTYPE_ETHERNET
MAGIC = 0xa1b2c3d4


def _mac(text):
    return bytes.fromhex(text.replace(":", ""))


def _ip(text):
    return ipaddress.IPv4Address(text).packed


def _checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def arp_request(mac, source, target):
    """RFC 826, padded to what Ethernet asks for."""
    return (_mac(BROADCAST) + _mac(mac) + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1) +
            _mac(mac) + _ip(source) + bytes(6) + _ip(target)).ljust(60, b"\0")


def arp_answer(frames, address):
    """The MAC address that one of the frames says this IPv4 address is at, or None."""
    for frame in frames:
        if len(frame) >= 42 and frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\2" and \
                frame[28:32] == _ip(address):
            return ":".join(f"{byte:02x}" for byte in frame[22:28])
    return None


def udp_frame(to_mac, mac, source, target, ports, frame_bytes):
    """A datagram without a checksum of its own, as testpmd makes them (RFC 768 permits that)."""
    payload = frame_bytes - 42
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + payload, 0, 0, 64, 17, 0, _ip(source),
                       _ip(target))
    head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
    return (_mac(to_mac) + _mac(mac) + b"\x08\x00" + head +
            struct.pack("!HHHH", *ports, 8 + payload, 0) + bytes(payload))


def write(path, frames):
    with open(path, "wb") as file:
        file.write(struct.pack("=IHHiIII", MAGIC, 2, 4, 0, 0, 65535, ETHERNET))
        for frame in frames:
            file.write(struct.pack("=IIII", 0, 0, len(frame), len(frame)) + frame)


def read(path):
    """Whole frames of a file that may still be written to."""
    with open(path, "rb") as file:
        data = file.read()
    frames, at = [], 24
    while at + 16 <= len(data):
        size = struct.unpack_from("=I", data, at + 8)[0]
        if at + 16 + size > len(data):
            break
        frames.append(data[at + 16:at + 16 + size])
        at += 16 + size
    return frames
