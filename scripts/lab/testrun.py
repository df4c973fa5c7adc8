# SPDX-License-Identifier: BSD-3-Clause
"""The part of scripts/test that runs and counts."""
import os
import subprocess
import sys
import time

from . import report

# Most tests wait most of the time; a guest has a machine to emulate as well.
PROCESSES_PER_CPU = 3
GUESTS_PER_CPU = 1

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Totals:
    def __init__(self):
        self.counts = {report.PASSED: 0, report.FAILED: 0, report.SKIPPED: 0}
        self.skips = []

    def add(self, program, cases):
        for name, outcome, why in cases:
            self.counts[outcome] += 1
            if outcome == report.SKIPPED:
                self.skips.append(f"{program}: {name}: {why or 'no reason given'}")

    def line(self):
        return ", ".join(f"{self.counts[kind]} {kind}"
                         for kind in (report.PASSED, report.FAILED, report.SKIPPED))


def build_all(build, totals, *targets):
    """Build as much as can be built; what cannot is one failure, and the tests still run."""
    print(f"== building in {build}", flush=True)
    start = time.monotonic()
    done = subprocess.run(["ninja", "-C", build, "-k", "0", *targets], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines()
                 if "error:" in line or line.startswith("FAILED:") or "undefined" in line]
        print("\n".join(lines[:30] or done.stdout.splitlines()[-10:]))
        totals.add("build", [(build, report.FAILED, "does not build")])
    print(f"built in {time.monotonic() - start:.0f} s", flush=True)


def run_check(totals):
    """scripts/check, and that each of its checks can fail."""
    for argv in (["--self-test"], []):
        print(f"== scripts/check {' '.join(argv)}".rstrip(), flush=True)
        done = subprocess.run([os.path.join(ROOT, "scripts/check"), *argv], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        print(done.stdout, end="", flush=True)
        if argv:
            outcome = report.PASSED if done.returncode == 0 else report.FAILED
            cases = [("self-test", outcome, "")]
        else:
            cases = report.tap_cases(done.stdout) or [("check", report.FAILED, "no output")]
        totals.add("check", cases)


def run_suite(build, suite, totals):
    """One meson suite."""
    print(f"== {suite}", flush=True)
    log = os.path.join(build, "meson-logs", f"testlog-{suite}.json")
    env = dict(os.environ)
    env.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
    per_cpu = GUESTS_PER_CPU if suite == "guest" else PROCESSES_PER_CPU
    start = time.monotonic()
    argv = ["meson", "test", "-C", build, "--no-rebuild", "--suite", suite,
            "--timeout-multiplier", "3", "--logbase", f"testlog-{suite}",
            "--num-processes", str(per_cpu * (os.cpu_count() or 1))]
    if suite == "bench":
        argv.append("--benchmark")
    done = subprocess.run(argv, text=True, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if "No suitable tests defined" in done.stdout or "No tests defined" in done.stdout:
        print(f"no tests in suite {suite}")
        return
    if not os.path.exists(log):
        print(done.stdout)
        totals.add(suite, [(suite, report.FAILED, "meson test wrote no log")])
        return
    for program, cases, output in report.read_testlog(log):
        totals.add(program, cases)
        report.print_failures(program, cases, output)
        bad = sum(1 for case in cases if case[1] == report.FAILED)
        print(f"{'FAILED ' if bad else 'ok     '} {program}: {len(cases)} cases", flush=True)
    print(f"{suite}: {time.monotonic() - start:.0f} s", flush=True)
    if done.returncode not in (0, 1) and totals.counts[report.FAILED] == 0:
        totals.add(suite, [(suite, report.FAILED, f"meson test ended with {done.returncode}")])


def main(argv):
    """argv: build directory with sanitizers, one without, suites."""
    build, plain, suites = argv[0], argv[1], argv[2:]
    totals = Totals()
    error = report.self_test()
    totals.add("report", [("counts_cases", report.FAILED if error else report.PASSED, error or "")])
    if error:
        print(f"the counting itself is wrong: {error}")
    if set(suites) - {"check", "bench"}:
        build_all(build, totals)
    if "bench" in suites:
        build_all(plain, totals, "meson-benchmark-prereq")
    for suite in suites:
        if suite == "check":
            run_check(totals)
        else:
            run_suite(plain if suite == "bench" else build, suite, totals)
    for skip in totals.skips:
        print(f"skipped {skip}")
    print(totals.line())
    return 1 if totals.counts[report.FAILED] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
