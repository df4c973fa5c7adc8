# SPDX-License-Identifier: BSD-3-Clause
"""The daemon and its client, as child processes."""
import json
import os
import signal
import subprocess

from .proc import LabError


def find_binaries(build):
    """(weir, weirctl) of a build directory."""
    binaries = tuple(os.path.join(build, "app", name) for name in ("weir", "weirctl"))
    for binary in binaries:
        if not os.access(binary, os.X_OK):
            raise LabError(f"{binary} is not there: build it first (ninja -C {build})")
    return binaries


class Weir:
    """One daemon, without hugepages, with its control socket in the lab's directory."""

    def __init__(self, lab, build, vms, options=None, name="weir"):
        """vms: {name: {key: value}}; options: {key: value} of section [weir]."""
        self.lab = lab
        self.binary, self.client = find_binaries(build)
        self.control = lab.path(f"{name}.control")
        self.name = name
        self.vms = vms
        self.options = {"hugepages": "off", "control": self.control}
        self.options.update(options or {})
        self.process = None

    def argv(self):
        argv = [self.binary]
        for key, value in self.options.items():
            argv += [f"--{key}", str(value)]
        for name, keys in self.vms.items():
            argv += ["--vm", ",".join([name] + [f"{key}={value}" for key, value in keys.items()])]
        return argv

    def start(self, timeout_s=30):
        env = dict(os.environ)
        # The allocator of DPDK outlives main(): what it keeps is no leak.
        env.setdefault("ASAN_OPTIONS", "detect_leaks=0")
        self.process = self.lab.spawn(self.argv(), f"{self.name}.log", name="weir", env=env)
        if not self.process.wait_log("weir: ready", timeout_s):
            status = self.process.wait(0.5)
            state = "not ready" if status is None else f"ended with {status}"
            raise LabError(f"weir: {state}: {self.process.log_tail(8)}")

    def ctl(self, *words, as_json=False, timeout_s=10):
        """Run weirctl. Its output, or what it stands for with as_json."""
        argv = [self.client, "--control", self.control] + (["--json"] if as_json else [])
        try:
            done = subprocess.run(argv + list(words), text=True, capture_output=True,
                                  timeout=timeout_s)
        except subprocess.TimeoutExpired as err:
            raise LabError(f"weirctl {' '.join(words)}: no answer in {timeout_s} s") from err
        if done.returncode != 0:
            raise LabError(f"weirctl {' '.join(words)}: {done.stderr.strip() or done.returncode}")
        return json.loads(done.stdout) if as_json else done.stdout

    def stop(self, timeout_s=20):
        """SIGTERM; the exit status, or an error if it does not end by itself."""
        self.process.signal(signal.SIGTERM)
        status = self.process.wait(timeout_s)
        if status is None:
            self.process.kill()
            raise LabError(f"weir did not end within {timeout_s} s of SIGTERM")
        return status

    def complaints(self):
        """Lines of the sanitizers in its log."""
        return [line for line in self.process.log().splitlines()
                if "runtime error:" in line or "ERROR: AddressSanitizer" in line
                or "ERROR: LeakSanitizer" in line]
