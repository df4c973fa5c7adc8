# SPDX-License-Identifier: BSD-3-Clause
"""The command: see scripts/bench --help."""
import argparse
import os
import shlex
import sys

from .. import counts
from ..proc import LabError, exit_on_signals
from . import cases, machine, network, report, results, run, testpmd

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__)))))
REPORT = os.path.join(ROOT, "docs", "bench")

HELP = """Measure weir, beside what it is to be compared with.

  scripts/bench [OPTIONS]                     measure
  scripts/bench report FILE.json [--report DIR]
                                              write the report of results again
  scripts/bench compare OLD.json NEW.json [--tolerance PERCENT]
                                              status 1 if a figure has become worse
  scripts/bench testpmd [--help]              packet rates, with testpmd as the guests
  scripts/bench counts [--help]               instructions and system calls, beside a baseline

A vhost-user front-end (weir-gen) is both the guest and its peer on the host, in one polled thread
on the first CPU that may be used; weir, with one worker and the bridge inline, runs on the second.
So every figure is that of weir on one core. Beside it, in turns: the same socket calls with no
guest at all (the kernel's own limit), passt where --passt says where it is, and testpmd for work
on rings alone (installed by scripts/setup --bench). Absolute figures differ from machine to machine
and from minute to minute: compare what was measured in one run.
"""


def measure_options():
    p = argparse.ArgumentParser(prog="bench", description=HELP,
                                formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--quick", action="store_true",
                   help="the main cases only, one round of one second")
    p.add_argument("--only", action="append", default=[], metavar="NAME",
                   help="only this group or case (see --list), also with * and ?; may be repeated")
    p.add_argument("--list", action="store_true", help="names of groups and cases")
    p.add_argument("--rounds", type=int, metavar="N",
                   help="turns of each, whose median counts (3; 1 with --quick)")
    p.add_argument("--seconds", type=float, metavar="S",
                   help="length of a turn (2; 1 with --quick)")
    p.add_argument("--json", metavar="FILE", help="write all results to this file")
    p.add_argument("--report", nargs="?", const=REPORT, metavar="DIR",
                   help="write a report with plots to this folder (docs/bench)")
    p.add_argument("--build", default=os.path.join(ROOT, "build"), metavar="DIR",
                   help="where weir was built (build)")
    p.add_argument("--passt", metavar="PATH", default="", help="passt, to be measured as well")
    p.add_argument("--subject", action="append", choices=cases.SUBJECTS, default=[],
                   help="measure only this one (%s); may be repeated" % ", ".join(cases.SUBJECTS))
    p.add_argument("--poll", default="busy", choices=["busy", "adaptive"],
                   help="how weir polls (busy)")
    p.add_argument("--interrupts", action="store_true",
                   help="the guest wants one for each frame, as one that sleeps does")
    network.add_option(p)
    return p


def check_build(build):
    for program, option in (("app/weir", ""), ("tests/bench/weir-gen", " -Dtests=enabled")):
        if not os.access(os.path.join(build, program), os.X_OK):
            raise LabError(f"no {program} in {build}; build it first: "
                           f"meson setup{option} {build} && ninja -C {build}")


def one_line(case, subject, figures):
    parts = [f"{results.number(figures[key] / cases.FIGURES[key].scale)} "
             f"{cases.FIGURES[key].unit}" for key in case.figures[:3] if key in figures]
    return f"{case.name:32} {subject:8} {', '.join(parts)}"


def measure_turn(rig, case, subject, found):
    try:
        figures = run.turn(rig, case, subject)
        if case.figures[0] not in figures:
            raise LabError(f"no {case.figures[0]}")
        found.add(case, subject, figures)
        print(one_line(case, subject, figures), flush=True)
    except LabError as err:
        found.add_error(case, subject, str(err))
        print(f"{case.name:32} {subject:8} failed: {err}", flush=True)


def measure_group(rig, group, rounds, subjects, found):
    """All cases in each round, all subjects in turn for each case: noise hits all alike."""
    turns = []
    for case in group.cases:
        for subject in case.subjects:
            if subjects and subject not in subjects:
                continue
            why = rig.missing(case, subject)
            if why:
                found.add_missing(case, subject, why)
            else:
                turns.append((case, subject))
    for _ in range(rounds):
        for case, subject in turns:
            measure_turn(rig, case, subject, found)


def measure(argv):
    args = measure_options().parse_args(argv)
    groups = cases.select(args.only, args.quick)
    if args.list:
        for group in groups:
            print(f"{group.name}: {group.title}")
            for case in group.cases:
                print(f"  {case.name:32} {case.title}")
        return 0
    if not groups:
        raise LabError(f"nothing is called {' or '.join(args.only)} (see --list)")
    check_build(args.build)
    rig = run.Rig(args.build, args.seconds or (1 if args.quick else 2), args.poll,
                  args.interrupts, args.passt and os.path.abspath(args.passt))
    if rig.passt and not os.access(rig.passt, os.X_OK):
        raise LabError(f"{args.passt}: no such program")
    if len(run.CPUS) < 2:
        print("bench: one CPU: the load and what is measured share it", file=sys.stderr)
    used = network.enter(args.congestion)
    rounds = args.rounds or (1 if args.quick else 3)
    found = results.Results.new({
        "date": machine.now(), "command": shlex.join(["scripts/bench"] + argv),
        "machine": {**machine.machine(), **used},
        "versions": machine.versions(ROOT, args.build, rig.passt),
        "options": {"rounds": rounds, "seconds": rig.seconds, "poll": rig.poll,
                    "interrupts": rig.interrupts}})
    run.raise_files()
    for group in groups:
        measure_group(rig, group, rounds, args.subject, found)
        if args.json:
            found.save(args.json)
    if args.report:
        report.write(found, args.report)
        print(f"report: {os.path.join(args.report, 'README.md')}")
    for why, names in found.missing().items():
        print(f"not measured: {results.some(names)}: {why}", file=sys.stderr)
    return 1 if found.errors() else 0


def compare(argv):
    p = argparse.ArgumentParser(prog="bench compare", description="Ratios of new to old figures "
                                "of weir, and of the kernel alone beside them: what both share is "
                                "the machine's. Status 1 if one of weir's has become worse.")
    p.add_argument("old")
    p.add_argument("new")
    p.add_argument("--tolerance", type=float, default=20, metavar="PERCENT",
                   help="what is put up with (20)")
    args = p.parse_args(argv)
    old, new = results.Results.load(args.old), results.Results.load(args.new)
    rows = list(results.compare(old, new, args.tolerance / 100))
    if not rows:
        raise LabError("the two have no figure in common")
    print(f"{'case':32} {'figure':24} {'old':>9} {'new':>9} {'ratio':>6} {'kernel':>6}")
    for name, key, before, after, change, limit, worse in rows:
        scale = cases.FIGURES[key].scale
        print(f"{name:32} {key:24} {results.number(before / scale):>9} "
              f"{results.number(after / scale):>9} {results.number(change):>6} "
              f"{results.number(limit):>6}{'  WORSE' if worse else ''}")
    worse = sum(row[-1] for row in rows)
    print(f"{len(rows)} figures, {worse} worse by more than {args.tolerance:g} %")
    return 1 if worse else 0


def report_again(argv):
    p = argparse.ArgumentParser(prog="bench report", description="Write the report of results.")
    p.add_argument("results", metavar="FILE.json")
    p.add_argument("--report", default=REPORT, metavar="DIR", help="folder (docs/bench)")
    args = p.parse_args(argv)
    report.write(results.Results.load(args.results), args.report)
    return 0


def with_testpmd(argv):
    return testpmd.main(argv, os.path.join(ROOT, "build"))


COMMANDS = {"compare": compare, "counts": counts.main, "report": report_again,
            "testpmd": with_testpmd}


def main():
    exit_on_signals()
    argv = sys.argv[1:]
    try:
        if argv and argv[0] in COMMANDS:
            return COMMANDS[argv[0]](argv[1:])
        return measure(argv)
    except LabError as err:
        print(f"bench: {err}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 2
