# SPDX-License-Identifier: BSD-3-Clause
"""Guests under QEMU: see scripts/guest-image for what they boot."""
import base64
import json
import os
import socket
import time

from .proc import Lab, LabError

QEMU = "qemu-system-x86_64"
APPEND = "console=ttyS0 quiet loglevel=3 panic=-1 random.trust_cpu=on"


def _boot_id():
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot_id:
        return boot_id.read().strip()


def find_accel(image, directory):
    """'kvm' where a guest really runs under it, else 'tcg'. Kept in the image's directory.

    That /dev/kvm can be opened says little in nested or restricted machines, so a kernel is booted.
    """
    note = f"{image}/accel"
    try:
        with open(note, encoding="ascii") as file:
            boot_id, accel = file.read().split()
            if boot_id == _boot_id():
                return accel
    except (OSError, ValueError):
        pass
    usable = os.access("/dev/kvm", os.R_OK | os.W_OK) and _boots(image, directory)
    accel = "kvm" if usable else "tcg"
    with open(note, "w", encoding="ascii") as file:
        file.write(f"{_boot_id()} {accel}\n")
    return accel


def _boots(image, directory):
    with Lab(directory) as lab:
        process = lab.spawn(
            [QEMU, "-nodefaults", "-display", "none", "-accel", "kvm", "-cpu", "host", "-m", "256",
             "-kernel", f"{image}/vmlinuz", "-append", "console=ttyS0 panic=-1", "-no-reboot",
             "-serial", "stdio"], "accel.log")
        return process.wait_log("Linux version", 5)


class Guest:
    """One virtual machine with the agent of the image on its second serial port."""

    def __init__(self, lab, image, accel, name="guest", smp=1, memory_mib=512):
        self.lab = lab
        self.name = name
        self.smp = smp
        self.memory_mib = memory_mib
        self.image = image
        self.accel = accel
        self.process = None
        self.net_args = []
        self._agent = None
        self._buffer = b""
        self._request = 0

    # -- network cards ------------------------------------------------------------------------

    def use_vhost_user(self, socket_path, queues=1, mac=None, reconnect=False, device=None):
        """A weir port. device: further properties of virtio-net-pci, such as {"csum": "off"}."""
        properties = {"netdev": "n0", "romfile": "", "mac": mac or "52:54:00:12:34:56"}
        if self.accel == "tcg":
            # QEMU 7.2 crashes when a vhost-user card uses MSI-X under TCG.
            properties["vectors"] = "0"
        if queues > 1:
            properties["mq"] = "on"
        properties.update(device or {})
        chardev = f"socket,id=vu,path={socket_path}" + (",reconnect=1" if reconnect else "")
        self.net_args = [
            "-chardev", chardev,
            "-netdev", f"vhost-user,id=n0,chardev=vu,queues={queues}",
            "-device", _device("virtio-net-pci", properties)]

    def use_user_net(self, options=""):
        """QEMU's own user-mode network: to try the image without weir."""
        properties = {"netdev": "n0", "romfile": "", "vectors": "0"}
        self.net_args = ["-netdev", f"user,id=n0{options}",
                         "-device", _device("virtio-net-pci", properties)]

    # -- life ---------------------------------------------------------------------------------

    def argv(self, append="weir.agent"):
        size = f"{self.memory_mib}M"
        return [
            QEMU, "-name", self.name, "-nodefaults", "-no-user-config", "-display", "none",
            "-accel", self.accel, "-cpu", "host" if self.accel == "kvm" else "max",
            "-smp", str(self.smp), "-m", size,
            "-object", f"memory-backend-memfd,id=m,size={size},share=on",
            "-numa", "node,memdev=m",
            "-kernel", f"{self.image}/vmlinuz", "-initrd", f"{self.image}/initramfs.cpio",
            "-append", f"{APPEND} {append}",
            "-serial", f"file:{self._path('console')}",
            "-chardev", f"socket,id=agent,path={self._path('agent')},server=on,wait=off",
            "-serial", "chardev:agent",
            "-qmp", f"unix:{self._path('qmp')},server=on,wait=off"] + self.net_args

    def start(self, timeout_s=60):
        """Boot and wait for the agent."""
        self.process = self.lab.spawn(self.argv(), f"{self.name}.qemu.log", name="QEMU")
        self.connect(timeout_s)

    def boot_from_network(self):
        """No kernel, no agent: the card's boot ROM, whose words are on the console."""
        argv = self.argv()
        kernel = argv.index("-kernel")
        del argv[kernel:kernel + 6]
        argv = [word.replace(",romfile=,", ",") for word in argv]
        # Without graphics the firmware writes to the serial port.
        argv += ["-machine", "graphics=off", "-boot", "n"]
        self.process = self.lab.spawn(argv, f"{self.name}.qemu.log", name="QEMU")

    def connect(self, timeout_s=60):
        """Take the agent's line; needed again after a reset."""
        deadline = time.monotonic() + timeout_s
        self._agent = self._connect(self._path("agent"), deadline)
        self._buffer = b""
        while self._line(deadline).strip() != "ready":
            pass

    def run(self, script, timeout_s=60):
        """Run a shell script in the guest. (status, output)"""
        self._request += 1
        text = base64.b64encode(script.encode()).decode()
        self._send(f"{self._request} {text}\n".encode())
        deadline = time.monotonic() + timeout_s
        while True:
            words = self._line(deadline, script).split()
            # A late answer to a request that ran out of time is passed over.
            if len(words) >= 2 and words[0] == str(self._request):
                output = base64.b64decode(words[2]) if len(words) > 2 else b""
                return int(words[1]), output.decode(errors="replace")

    def check(self, script, timeout_s=60):
        """Like run(), but a status that is not 0 is an error. The output, stripped."""
        status, output = self.run(script, timeout_s)
        if status != 0:
            raise LabError(f"{self.name}: '{script.strip()}' ended with {status}: {output.strip()}")
        return output.strip()

    def qmp(self, command, timeout_s=10):
        """One QMP command; what it returns."""
        deadline = time.monotonic() + timeout_s
        with self._connect(self._path("qmp"), deadline) as qmp, qmp.makefile("rw") as stream:
            qmp.settimeout(timeout_s)
            stream.readline()
            for execute in ("qmp_capabilities", command):
                stream.write(json.dumps({"execute": execute}) + "\n")
                stream.flush()
                answer = json.loads(stream.readline())
                while "event" in answer:
                    answer = json.loads(stream.readline())
            if "error" in answer:
                raise LabError(f"QMP {command}: {answer['error']['desc']}")
            return answer.get("return")

    def reset(self, timeout_s=60):
        """Pull the reset line, as a crash of the guest would, and wait for the agent."""
        self.qmp("system_reset")
        deadline = time.monotonic() + timeout_s
        while self._line(deadline).strip() != "ready":
            pass

    def kill(self):
        self._hang_up()
        if self.process:
            self.process.kill()

    def stop(self):
        self._hang_up()
        if self.process:
            self.process.stop(5)

    def console(self):
        """What was written to it so far."""
        try:
            with open(self._path("console"), encoding="utf-8", errors="replace") as console:
                return console.read()
        except FileNotFoundError:
            return ""

    # -- inside -------------------------------------------------------------------------------

    def _path(self, what):
        return self.lab.path(f"{self.name}.{what}")

    def _hang_up(self):
        if self._agent:
            self._agent.close()
            self._agent = None

    def _connect(self, path, deadline):
        while True:
            link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                link.connect(path)
                return link
            except OSError as err:
                link.close()
                if not self.process.running():
                    raise LabError(f"QEMU ended: {self.process.log_tail(5)}") from err
                if time.monotonic() > deadline:
                    raise LabError(f"{self.name}: no connection to {path}") from err
                time.sleep(0.05)

    def _send(self, data):
        self._agent.settimeout(30)
        try:
            self._agent.sendall(data)
        except OSError as err:
            raise LabError(f"{self.name}: agent does not listen: {err}") from err

    def _line(self, deadline, what="boot"):
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise LabError(f"{self.name}: no answer in time to '{what.strip()}'")
            self._agent.settimeout(left)
            try:
                data = self._agent.recv(65536)
            except socket.timeout:
                continue
            if not data:
                raise LabError(f"{self.name}: QEMU ended: {self.process.log_tail(5)}")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.decode(errors="replace")


def _device(kind, properties):
    return ",".join([kind] + [f"{key}={value}" for key, value in properties.items()])
