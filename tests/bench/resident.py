#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Memory that weir has in use when it is ready: resident.py WEIR

With the defaults, without huge pages, whose use is all resident. Fails above LIMIT_KB.
"""
import os
import re
import subprocess
import sys
import tempfile
import time

LIMIT_KB = 64 << 10
PATIENCE_S = 60


def resident(pid):
    """{"VmRSS": kB, "RssAnon": ..., ...}"""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        found = re.findall(r"^(VmRSS|Rss\w+):\s*(\d+) kB", status.read(), re.M)
    return {name: int(kb) for name, kb in found}


def ready(process, log):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        with open(log, encoding="utf-8") as file:
            if "weir: ready" in file.read():
                return True
        time.sleep(0.02)
    return False


def main():
    with tempfile.TemporaryDirectory(prefix="weir-resident-") as place:
        log = os.path.join(place, "log")
        with open(log, "w", encoding="utf-8") as file:
            process = subprocess.Popen(
                [sys.argv[1], "--hugepages", "off", "--control", os.path.join(place, "c"),
                 "--vm", f"a,socket={place}/a.sock"], stderr=file, stdin=subprocess.DEVNULL)
        try:
            if not ready(process, log):
                with open(log, encoding="utf-8") as file:
                    sys.exit("weir is not ready:\n" + file.read())
            kb = resident(process.pid)
        finally:
            process.terminate()
            process.wait()
    print(", ".join(f"{name} {value} kB" for name, value in kb.items()))
    return 0 if kb["VmRSS"] <= LIMIT_KB else 1


if __name__ == "__main__":
    sys.exit(main())
