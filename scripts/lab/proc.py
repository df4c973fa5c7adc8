# SPDX-License-Identifier: BSD-3-Clause
"""Child processes that end with us, by pid, on every way out."""
import ctypes
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """Something did not work; the text is one line for people."""


def _die_with_parent():
    # Covers the one exit path that no handler sees: SIGKILL of this process.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """One child; its output goes to log_path."""

    def __init__(self, argv, log_path, name=None, env=None, stdin=subprocess.DEVNULL):
        self.name = name or argv[0]
        self.log_path = log_path
        with open(log_path, "ab") as log:
            try:
                self.popen = subprocess.Popen(
                    argv, stdin=stdin, stdout=log, stderr=log, env=env,
                    start_new_session=True, preexec_fn=_die_with_parent)
            except OSError as err:
                raise LabError(f"cannot start {self.name}: {err}") from err

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def log_tail(self, lines=15):
        return "\n".join(self.log().splitlines()[-lines:])

    def wait_log(self, text, timeout_s):
        """Wait until text is in the log. False if the time is up or the process has ended."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if text in self.log():
                return True
            if not self.running():
                return text in self.log()
            time.sleep(0.02)
        return False

    def wait(self, timeout_s):
        """Exit status (negative: signal), or None if it still runs."""
        try:
            return self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def signal(self, number):
        if self.running():
            self.popen.send_signal(number)

    def stop(self, timeout_s=10):
        """SIGTERM, then SIGKILL when it does not listen. Exit status."""
        self.signal(signal.SIGTERM)
        status = self.wait(timeout_s)
        return self.kill() if status is None else status

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.popen.wait()


class Lab:
    """A directory and the processes that work in it; a context manager that leaves neither."""

    def __init__(self, directory):
        self.directory = directory
        self.processes = []

    def path(self, name):
        return f"{self.directory}/{name}"

    def spawn(self, argv, log_name, **kwargs):
        process = Process(argv, self.path(log_name), **kwargs)
        self.processes.append(process)
        return process

    def close(self):
        for process in reversed(self.processes):
            if process.running():
                process.stop(5)
        self.processes.clear()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def exit_on_signals():
    """Make SIGTERM and SIGHUP unwind the stack as Ctrl-C does, so that clean-up code runs.

    A shell starts background jobs with SIGINT ignored: that is undone, too.
    """
    def handler(number, _frame):
        raise SystemExit(128 + number)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
