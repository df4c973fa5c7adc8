# SPDX-License-Identifier: BSD-3-Clause
"""One turn of one case: start who is measured, put the load on, read the figures, stop it all.

The load is on the first CPU that may be used, who is measured on the second.
"""
import dataclasses
import json
import os
import re
import resource
import shutil
import subprocess
import tempfile
import time

from ..daemon import Weir
from ..proc import Lab, LabError

CPUS = sorted(os.sched_getaffinity(0))
SPARE_FILES = 1000  # beside those of idle flows
LOAD_CPU, DAEMON_CPU = CPUS[0], CPUS[:2][-1]
PATIENCE_S = 120


@dataclasses.dataclass
class Rig:
    """What holds for all cases."""
    build: str
    seconds: float
    poll: str = "busy"
    interrupts: bool = False
    passt: str = ""

    def program(self, name):
        return os.path.join(self.build, "tests", "bench", name)

    def missing(self, case, subject):
        """Why this cannot be measured here, or ""."""
        if subject == "passt" and not self.passt:
            return "no --passt"
        if subject == "testpmd" and not shutil.which("dpdk-testpmd"):
            return "dpdk-testpmd is not installed (scripts/setup --bench)"
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        idle = 0 if case.load.get("idle-kind") == "east-west" else case.load.get("idle", 0)
        needed = idle + SPARE_FILES
        if needed > files:
            return f"{needed:,} open files are needed, {files:,} are permitted (ulimit -Hn)"
        return ""


def raise_files():
    """A connection is a file for the daemon and one for the load: as many as may be had."""
    with open("/proc/sys/fs/nr_open", encoding="ascii") as file:
        most = int(file.read())
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (OSError, ValueError):
        # Only those with CAP_SYS_RESOURCE may have more than this.
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# Who is measured: each starts it and returns (processes, arguments of weir-gen).

def _two_guests(case):
    return "east-west" in (case.load["case"], case.load.get("idle-kind"))


def _sockets(lab, case):
    if _two_guests(case):
        return [lab.path("a.sock"), lab.path("b.sock")]
    return [lab.path(f"vm{i}.sock") for i in range(case.load.get("vms", 1))]


def start_weir(lab, rig, case):
    load = case.load
    keys = {"mtu": load.get("mtu", 1500), "queues": load.get("queues", 1)}
    if load["case"] != "east-west":
        keys["loopback"] = "gateway"
    options = {"workers": f"{DAEMON_CPU}-{DAEMON_CPU}", "bridges": "inline", "poll": rig.poll,
               "policy-east-west": "accept"}
    if load.get("idle"):
        options.update({"max-flows": load["idle"] + 4096, "timeout-udp": 3600})
    if load.get("idle-kind") == "east-west":
        # One guest begins them all, and gets none of the table's last eighth.
        options["max-flows"] = load["idle"] * 5 // 4 + 4096
        options["config"] = lab.path("weir.conf")
        with open(options["config"], "w", encoding="ascii") as file:
            file.write("[timeouts.default]\nudp-first = 3600\nudp-single = 3600\n")
    vms = {f"vm{i}": {"socket": path, **keys} for i, path in enumerate(_sockets(lab, case))}
    weir = Weir(lab, rig.build, vms, options)
    weir.start()
    return [weir.process], []


def passt_argv(rig, socket, log, mtu=1500, address=15):
    return ["taskset", "-c", str(DAEMON_CPU), rig.passt, "-f", "--vhost-user", "-s", socket,
            "--map-host-loopback", "10.0.2.2", "-a", f"10.0.2.{address}", "-n", "24",
            "-g", "10.0.2.2", "-m", str(mtu), "--runas", "0", "-l", log]


def start_passt(lab, rig, case):
    """One process for each guest."""
    # It gives up root for a user that has to reach its socket.
    os.chmod(lab.directory, 0o777)
    processes, sockets = [], _sockets(lab, case)
    for i, socket in enumerate(sockets):
        processes.append(lab.spawn(
            passt_argv(rig, socket, lab.path(f"passt{i}.messages"), case.load.get("mtu", 1500),
                       15 + i), f"passt{i}.log", name="passt"))
    for process, socket in zip(processes, sockets):
        _wait(process, lambda path=socket: os.path.exists(path))
    # It resets connections of a guest that lays a frame in pieces.
    return processes, [] if case.load["whole"] else ["--whole"]


def start_testpmd(lab, rig, case):
    vdevs = [f"--vdev=net_vhost{i},iface={path}" for i, path in enumerate(_sockets(lab, case))]
    process = lab.spawn(
        ["dpdk-testpmd", "-l", f"{LOAD_CPU},{DAEMON_CPU}", "--main-lcore", str(LOAD_CPU),
         "--no-huge", "-m", "512", "--no-pci", "--no-shconf", "--no-telemetry",
         f"--file-prefix=bench{os.getpid()}"] + vdevs +
        ["--", "--forward-mode=io", "--auto-start", "--nb-cores=1", "--total-num-mbufs=16384",
         "--no-mlockall", "--no-lsc-interrupt"],
        "testpmd.log", name="testpmd", stdin=subprocess.PIPE)
    _wait(process, lambda: "Checking link statuses" in process.log())
    return [process], ["--no-arp"]


def start_fwd(lab, rig, case):
    process = lab.spawn([rig.program("weir-fwd")] + _sockets(lab, case) + [str(DAEMON_CPU)],
                        "fwd.log", name="weir-fwd")
    _wait(process, lambda: "ready" in process.log())
    return [process], ["--no-arp"]


def start_limit(lab, rig, case):
    return [], ["--limit", str(DAEMON_CPU)]


STARTS = {"weir": start_weir, "limit": start_limit, "passt": start_passt, "fwd": start_fwd,
          "testpmd": start_testpmd}


def _wait(process, ready, timeout_s=30):
    """Until ready(). Seconds that it took."""
    start = time.monotonic()
    while not ready():
        if not process.running() or time.monotonic() > start + timeout_s:
            raise LabError(f"{process.name} did not start: {process.log_tail(5)}")
        time.sleep(0.0005)
    return time.monotonic() - start


# Kinds of case: each yields the figures of a turn.

def run_gen(lab, rig, case, subject):
    processes, more = STARTS[subject](lab, rig, case)
    argv = ["taskset", "-c", str(LOAD_CPU), rig.program("weir-gen"),
            "--ms", str(int(rig.seconds * 1000))]
    for key, value in case.load.items():
        if value is True:
            argv.append(f"--{key}")
        elif value is not False:
            argv += [f"--{key}", str(value)]
    sockets = _sockets(lab, case)
    if subject != "limit":
        argv += ["--socket", lab.path("vm%u.sock") if "vms" in case.load else sockets[0]]
    if _two_guests(case):
        argv += ["--peer-socket", sockets[1]]
    if len(processes) == 1:
        argv += ["--pid", str(processes[0].pid)]
    figures = _json_of(argv + more + (["--interrupts"] if rig.interrupts else []), rig.seconds)
    for process in processes:
        if not process.running():
            raise LabError(f"{process.name} ended under the load: {process.log_tail(5)}")
    if len(processes) != 1 and subject != "limit":
        # Nobody has read their processor time.
        figures = {key: value for key, value in figures.items() if not key.startswith("cpu_")}
    return figures


def run_flowtab(lab, rig, case, subject):
    argv = ["taskset", "-c", str(DAEMON_CPU), rig.program("bench_flowtab"), "--json"]
    for key, value in case.load.items():
        argv += [f"--{key}", str(value)]
    return _json_of(argv, 0)


def run_start(lab, rig, case, subject):
    """Time to be ready, memory in use, and processor time when nothing happens."""
    socket = lab.path("vm.sock")
    if subject == "passt":
        os.chmod(lab.directory, 0o777)
        argv = passt_argv(rig, socket, lab.path("messages"))
    else:
        argv = Weir(lab, rig.build, {"vm": {"socket": socket}}).argv()
    process = lab.spawn(argv, "start.log", name=subject)
    ready = (lambda: os.path.exists(socket)) if subject == "passt" else \
        (lambda: "weir: ready" in process.log())
    took_s = _wait(process, ready)
    time.sleep(0.2)
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        resident_kib = int(re.search(r"^VmRSS:\s*(\d+) kB", status.read(), re.M).group(1))
    used_ns, start = _cpu_ns(process.pid), time.monotonic()
    time.sleep(max(1, rig.seconds))
    idle = (_cpu_ns(process.pid) - used_ns) / 1e9 / (time.monotonic() - start)
    return {"ready_ms": took_s * 1e3, "resident_mib": resident_kib / 1024,
            "idle_cpu_percent": idle * 100}


def _cpu_ns(pid):
    """Processor time of all threads; utime and stime only know ticks of 10 ms."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as stat:
            total += int(stat.read().split()[0])
    return total


KINDS = {"gen": run_gen, "flowtab": run_flowtab, "start": run_start}


def _json_of(argv, seconds):
    """What a load prints: one JSON object, of which the numbers are kept."""
    name = os.path.basename(argv[3])
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False,
                              timeout=seconds + PATIENCE_S)
    except subprocess.TimeoutExpired as err:
        raise LabError(f"{name}: timed out") from err
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise LabError(lines[0] if lines else f"{name} ended with {done.returncode}")
    try:
        figures = json.loads(done.stdout, parse_constant=_no_number)
    except ValueError as err:
        raise LabError(f"{name}: no JSON: {done.stdout[:80]!r}") from err
    return {key: value for key, value in figures.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)}


def _no_number(word):
    raise ValueError(word)


def turn(rig, case, subject):
    """Figures of one subject under one load, or LabError."""
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as directory, Lab(directory) as lab:
        return KINDS[case.kind](lab, rig, case, subject)
