# SPDX-License-Identifier: BSD-3-Clause
"""Where and with what something was measured."""
import datetime
import glob
import os
import platform
import re
import subprocess


def _output(argv, cwd=None):
    try:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _field(path, pattern):
    try:
        with open(path, encoding="utf-8") as file:
            found = re.search(pattern, file.read(), re.M)
    except OSError:
        return ""
    return found.group(1).strip() if found else ""


def machine():
    pages = []
    for directory in sorted(glob.glob("/sys/kernel/mm/hugepages/hugepages-*")):
        count = _field(f"{directory}/nr_hugepages", r"^(\d+)")
        if count not in ("", "0"):
            pages.append(f"{count} of {directory.rsplit('-', 1)[-1]}")
    memory_kib = int(_field("/proc/meminfo", r"^MemTotal:\s*(\d+)") or 0)
    return {
        "cpu": _field("/proc/cpuinfo", r"^model name\s*:\s*(.*)$") or platform.machine(),
        "cpu_mhz": _field("/proc/cpuinfo", r"^cpu MHz\s*:\s*([\d]+)"),
        "cpus": os.cpu_count(),
        "hypervisor": " hypervisor " in _field("/proc/cpuinfo", r"^(flags\s*:.*)$") + " ",
        "memory_gib": round(memory_kib / (1 << 20), 1),
        "hugepages": ", ".join(pages) or "none",
        "kernel": platform.release(),
        "system": _field("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)'),
    }


def versions(root, build, passt):
    banner = _output([os.path.join(build, "app", "weir"), "--version"])
    found = re.search(r"weir (\S+) \(DPDK ([^)]*)\)", banner)
    compiler = _field(os.path.join(build, "meson-logs", "meson-log.txt"),
                      r"^C compiler for the host machine: .*?\((\S+ \S+)")
    of = {
        "weir": found.group(1) if found else "",
        "commit": _output(["git", "describe", "--always", "--dirty", "--tags"], root),
        "dpdk": found.group(2) if found else "",
        "compiler": compiler,
    }
    if passt:
        of["passt"] = (_output([passt, "--version"]).splitlines() or [""])[0]
    return of


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
