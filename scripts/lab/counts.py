# SPDX-License-Identifier: BSD-3-Clause
"""Count what the data path executes for a datagram, a transaction, 64 KiB: instructions in user
space, and system calls. Neither depends on how fast the machine is or what else it does.

weir-counts runs the data path in lockstep with guests and peers, under valgrind, which counts. An
error is what has grown past the baseline (counts.json, --update makes it anew) by more than its
tolerance, and what costs more with more guests, flows or workers than alone. Instructions are
compared with a baseline of the same compiler, libraries, valgrind and kernel only, and so are
system calls of bulk transfers, for the kernel decides how much a socket takes; and all system calls
only where there is an io_uring, if the baseline had one.
"""
import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, namedtuple
from concurrent.futures import ThreadPoolExecutor

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIP = 77  # meson's
BASELINE = os.path.join(TOP, "tests", "bench", "counts.json")

# By how much figures may grow: past the baseline, and with guests, flows and workers.
INSTRUCTIONS_TOLERANCE = 0.10
CALLS_TOLERANCE = 0.04
FLAT_TOLERANCE = 0.15

# The unit of bulk transfers.
BULK = "64 KiB"

# What counts_world.c writes to, to tell where it is.
MARK_ITERATION, MARK_BETWEEN, MARK_CASE = MARKS = (-1, -2, -3)

ALONE = [
    "tcp-out-1", "tcp-out-16", "tcp-out-1-no-tso", "tcp-out-16-no-tso",
    "tcp-in-1", "tcp-in-16", "tcp-in-1-no-tso", "tcp-in-16-no-tso",
    "tcp-rr-1", "tcp-rr-32", "tcp-rr-32-irq", "tcp-crr-1", "tcp-crr-32",
    "udp-out-1", "udp-out-64", "udp-out-4x16",
    "udp-in-1", "udp-in-64", "udp-in-64-irq", "udp-in-1x16", "udp-in-4x16",
    "udp-rr-1", "udp-rr-32"]
BETWEEN = ["east-west"]

# What else there is; flat: a unit must cost what it costs alone.
Run = namedtuple("Run", "label options cases flat cpus")
RUNS = [
    Run("", [], ALONE, False, 1),
    Run("", ["--east-west"], BETWEEN, False, 1),
    Run("64 guests", ["--guests", "64"], ["tcp-rr-1", "udp-in-4x16"], True, 1),
    Run("100000 flows", ["--east-west", "--flows", "100000"],
        ["tcp-rr-32", "tcp-crr-32", "udp-out-64", "udp-in-64", "east-west"], True, 1),
    Run("2 workers", ["--workers", "2", "--guests", "2"],
        ["tcp-rr-32", "udp-out-4x16", "udp-in-4x16"], True, 2),
    # Where guests may reach each other, each frame is asked for its worker.
    Run("2 workers, east-west", ["--workers", "2", "--guests", "2", "--east-west"],
        ["udp-out-4x16"], False, 2),
    # Each look at an idle guest's rings costs something, so these only have a baseline.
    Run("63 idle guests", ["--idle", "63"], ["tcp-rr-32", "udp-out-1"], False, 1),
]

# instructions, calls: Counters by name, of one unit.
Figure = namedtuple("Figure", "unit instructions calls")


class CountsError(Exception):
    pass


# ---- what valgrind writes ----

def read_dump(path):
    """(case, {function: instructions of its own}) of one dump; the format is callgrind's."""
    names, costs = {}, Counter()
    case = function = None
    of_callee = False
    with open(path, encoding="utf-8") as dump:
        for line in dump:
            if line.startswith("desc: Trigger: Client Request: "):
                case = line.split(": ")[3].strip()
            elif match := re.match(r"(c?)fn=(\(\d+\))(?: (.*))?", line):
                if match.group(3):
                    names[match.group(2)] = re.sub(r"'\d+$", "", match.group(3))
                if not match.group(1):
                    function = names[match.group(2)]
            elif line.startswith("calls="):
                of_callee = True
            elif re.match(r"[-+*\d]", line):
                costs[function] += 0 if of_callee else int((line.split() + ["0"])[1])
                of_callee = False
    return case, costs


def read_trace(path):
    """[{system call: times}] for each case in turn: within iterations, by the first thread."""
    cases, iterating = [], False
    with open(path, encoding="utf-8", errors="replace") as trace:
        for line in trace:
            call = re.match(r"SYSCALL\[\d+,1\]\(\s*\d+\) sys_(\w+) \( *(\d*)", line)
            if not call:
                continue
            name, mark = call.group(1), int(call.group(2) or 0) - (1 << 32)
            if name == "write" and mark in MARKS:
                iterating = mark == MARK_ITERATION
                if mark == MARK_CASE:
                    cases.append(Counter())
            elif iterating:
                cases[-1][name] += 1
    return cases


# ---- figures ----

def run(argv):
    """The lines of JSON that a command prints; anything but success is an error."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise CountsError(f"{' '.join(argv)}: status {done.returncode}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def cannot_count(program):
    """Why valgrind cannot count here, or None."""
    if not shutil.which("valgrind"):
        return "valgrind is not installed"
    if not run([program, "--versions"])[0]["callgrind"]:
        return "weir-counts was built without valgrind's headers"
    return None


def made_with(program):
    """What instructions depend on, beside the code."""
    versions = run([program, "--versions"])[0]
    del versions["callgrind"]
    versions["valgrind"] = subprocess.run(["valgrind", "--version"], capture_output=True, text=True,
                                          check=False).stdout.strip()
    # libc chooses by it.
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        flags = re.search(r"^flags\s*:(.*)$", info.read(), re.M)
    versions["avx2"] = flags is not None and "avx2" in flags.group(1).split()
    versions["linux"] = ".".join(os.uname().release.split(".")[:2])
    return versions


def count_run(program, what):
    """{name: Figure} of one run."""
    figures = {}
    with tempfile.TemporaryDirectory(prefix="weir-counts-") as place:
        out, log = os.path.join(place, "callgrind"), os.path.join(place, "log")
        lines = run(["valgrind", "--tool=callgrind", "--fair-sched=try", "--instr-atstart=no",
                     "--collect-atstart=no",
                     f"--callgrind-out-file={out}", "--trace-syscalls=yes", f"--log-file={log}",
                     program, *what.options, *what.cases])
        dumps = dict(read_dump(path) for path in glob.glob(out + ".*"))
        for line, calls in zip(lines, read_trace(log), strict=True):
            name = f"{line['case']}, {what.label}".removesuffix(", ")
            instructions = dumps[line["case"]]
            # A count of nothing is no count.
            if not instructions or not calls:
                raise CountsError(f"{name}: nothing was counted")
            figures[name] = Figure(line["unit"], *(
                Counter({k: n / line["units"] for k, n in c.items()})
                for c in (instructions, calls)))
    return figures


def count(program, runs):
    """{name: Figure}"""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda what: count_run(program, what), runs)
        return {name: figure for figures in results for name, figure in figures.items()}


# ---- comparison ----

def grown(what, now, before, tolerance):
    """A line that says so, or None."""
    if now <= before * (1 + tolerance):
        return None
    return (f"{what}: {now:,.6g}, was {before:,.6g}: {now / before - 1:+.1%}, "
            f"{tolerance:.0%} are allowed")


def compare(figures, runs, baseline, other):
    """{name: [what has grown]}; other: what the baseline was made with that is not here"""
    problems = {name: [] for name in figures}
    for name, figure in figures.items():
        was = baseline.get(name)
        if was is None:
            problems[name].append("there is no baseline: --update makes one")
            continue
        if not other:
            problems[name].append(grown(f"instructions for one {figure.unit}",
                                        figure.instructions.total(), was["instructions"],
                                        INSTRUCTIONS_TOLERANCE))
        if "io_uring" not in other and ("linux" not in other or figure.unit != BULK):
            problems[name].append(grown(f"system calls for one {figure.unit}",
                                        figure.calls.total(), was["calls"], CALLS_TOLERANCE))
    for what in runs:
        for case in what.cases if what.flat else []:
            name = f"{case}, {what.label}"
            for kind in ("instructions", "calls"):
                problems[name].append(grown(
                    f"{kind} with {what.label}, and alone", getattr(figures[name], kind).total(),
                    getattr(figures[case], kind).total(), FLAT_TOLERANCE))
    return {name: [text for text in texts if text] for name, texts in problems.items()}


# ---- output ----

def cell(value, digits):
    return "-" if value is None else f"{value:,.{digits}f}"


def print_table(figures, baseline):
    print(f"{'case':32} {'for one':12} {'instructions':>12} {'baseline':>10} "
          f"{'system calls':>12} {'baseline':>10}")
    for name, figure in figures.items():
        was = baseline.get(name, {})
        print(f"{name:32} {figure.unit:12} {cell(figure.instructions.total(), 0):>12} "
              f"{cell(was.get('instructions'), 0):>10} {cell(figure.calls.total(), 3):>12} "
              f"{cell(was.get('calls'), 3):>10}")


def print_profile(figures, rows):
    for name, figure in figures.items():
        print(f"\n{name}, for one {figure.unit}")
        for call, n in figure.calls.most_common():
            print(f"  {n:12.3f}         {call}()")
        everything = figure.instructions.total()
        for function, n in figure.instructions.most_common(rows):
            print(f"  {n:12,.1f} {n / everything:6.1%}  {function}")


def say_shrunk(figures, baseline):
    """A baseline that is too high would let as much grow again."""
    names = [name for name, figure in figures.items() if name in baseline and
             (figure.instructions.total() < baseline[name]["instructions"] *
              (1 - INSTRUCTIONS_TOLERANCE) or
              figure.calls.total() < baseline[name]["calls"] * (1 - CALLS_TOLERANCE))]
    if names:
        print(f"# cheaper than the baseline (--update makes it anew): {'; '.join(names)}")


def update(figures, versions):
    counts = {name: {"unit": figure.unit, "instructions": round(figure.instructions.total(), 1),
                     "calls": round(figure.calls.total(), 3)} for name, figure in figures.items()}
    with open(BASELINE, "w", encoding="utf-8") as file:
        json.dump({"made_with": versions, "counts": counts}, file, indent=1)
        file.write("\n")
    print(f"{len(counts)} figures are the new baseline")


def report(problems, skipped, tap):
    """@return whether all is well"""
    for number, (name, texts) in enumerate(problems.items(), 1):
        if tap:
            print(f"{'not ok' if texts else 'ok'} {number} - {name}")
        for text in texts:
            print(f"counts: {name}: {text}", file=sys.stderr)
    for number, (what, why) in enumerate(skipped.items(), len(problems) + 1):
        print(f"ok {number} - {what} # SKIP {why}" if tap else f"{what}: not compared: {why}")
    if tap:
        print(f"1..{len(problems) + len(skipped)}")
    return not any(problems.values())


def arguments(argv):
    p = argparse.ArgumentParser(prog="bench counts", description=__doc__,
                                formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--build", default=os.path.join(TOP, "build"), metavar="DIR",
                   help="where weir-counts was built (default: build)")
    p.add_argument("--case", action="append", metavar="NAME", choices=ALONE + BETWEEN,
                   help="only this one, alone; may be repeated")
    p.add_argument("--profile", nargs="?", type=int, const=20, metavar="N",
                   help="show system calls and the N (20) functions that cost most")
    p.add_argument("--update", action="store_true", help="make the baseline anew")
    p.add_argument("--tap", action="store_true", help="a line for each case, for scripts/test")
    return p.parse_args(argv)


def main(argv=None):
    args = arguments(argv)
    program = os.path.join(args.build, "tests", "bench", "weir-counts")
    if not os.access(program, os.X_OK):
        sys.exit(f"counts: there is no {program}: meson setup -Dtests=enabled, then ninja")
    runs = RUNS
    if args.case:
        runs = [what._replace(cases=[case for case in what.cases if case in args.case])
                for what in RUNS if not what.label]
        runs = [what for what in runs if what.cases]
    cpus = len(os.sched_getaffinity(0))
    skipped = {what.label: f"{cpus} CPU" for what in runs if what.cpus > cpus}
    with open(BASELINE, encoding="utf-8") as file:
        saved = json.load(file)
    try:
        why = cannot_count(program)
        if why:
            print(f"1..0 # SKIP {why}" if args.tap else f"counts: {why}")
            return SKIP if args.tap else 1
        versions = made_with(program)
        runs = [what for what in runs if what.label not in skipped]
        figures = count(program, runs)
    except CountsError as error:
        sys.exit(f"counts: {error}")
    if args.profile:
        print_profile(figures, args.profile)
    if args.update:
        if args.case or skipped:
            sys.exit("counts: --update needs all cases" + "".join(f": {w}" for w in
                                                                  skipped.values()))
        update(figures, versions)
        return 0
    other = {k: saved["made_with"].get(k) for k in versions
             if saved["made_with"].get(k) != versions[k]}
    if other:
        skipped["baseline of instructions"] = "it was made with " + ", ".join(
            f"{k} {was} (here {versions[k]})" for k, was in other.items())
    print_table(figures, saved["counts"])
    if not other:
        say_shrunk(figures, saved["counts"])
    return 0 if report(compare(figures, runs, saved["counts"], other), skipped, args.tap) else 1


if __name__ == "__main__":
    sys.exit(main())
