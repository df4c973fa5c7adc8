# SPDX-License-Identifier: BSD-3-Clause
"""Results as a folder: README.md with tables, plots as SVG, results.json, and what was written by
hand in notes.json: {"name of a target": "why it is missed"}."""
import dataclasses
import json
import os

from ..proc import LabError
from . import svg
from .cases import FIGURES, GROUPS, SUBJECTS
from .results import number, shown, some
from .targets import TARGETS

NOTES, RESULTS = "notes.json", "results.json"


@dataclasses.dataclass(frozen=True)
class Plot:
    group: str
    file: str
    title: str
    panels: tuple  # of (title, x label, key, ((label, case), ...))
    lines: bool = False
    same_scale: bool = False


def _cases(pattern, items):
    return tuple((f"{item:,}" if isinstance(item, int) else item, pattern.format(item))
                 for item in items)


_LINKS = (("1500", "1500"), ("1500,\u00a0no\u00a0TSO", "1500-plain"), ("9000", "9000"),
          ("65520", "65520"))

PLOTS = (
    Plot("tcp-bulk", "tcp-mtu.svg", "TCP, 16 connections, by MTU", tuple(
        (title, "MTU, bytes", "gbit_per_s",
         tuple((label, f"tcp-bulk/{way}-{link}-16") for label, link in _LINKS))
        for way, title in (("out", "guest to host"), ("in", "host to guest"))), same_scale=True),
    Plot("tcp-bulk", "tcp-connections.svg", "TCP at MTU 1500 (with TSO), by connections", tuple(
        (title, "connections", "gbit_per_s", _cases(f"tcp-bulk/{way}-1500-{{}}", (1, 4, 16, 256)))
        for way, title in (("out", "guest to host"), ("in", "host to guest"))), same_scale=True),
    Plot("udp", "udp.svg", "UDP, datagrams of 64 B, by flows", tuple(
        (title, "flows", "datagrams_per_s", _cases(f"udp/{name}", (1, 64, 1024)))
        for name, title in (("out-64-{}", "guest to host"), ("in-64-{}", "host to guest, single"),
                            ("in-64-{}-train", "host to guest, in trains of 16")))),
    Plot("requests", "requests.svg", "Requests, so many at once", tuple(
        (title, "at once", "transactions_per_s", _cases(f"requests/{case}-{{}}", (1, 32, 1024)))
        for case, title in (("tcp-rr", "TCP request and response"),
                            ("tcp-crr", "TCP connect to close"),
                            ("udp-rr", "UDP request and response")))),
    Plot("guest-to-guest", "guest-to-guest.svg", "Guest to guest, frames of 64 B", (
        ("one core forwards", "flows", "frames_per_s", _cases("guest-to-guest/{}", (1, 64))),)),
    Plot("idle-flows", "idle-flows.svg", "TCP request and response beside idle flows", tuple(
        (title, "idle flows", key, _cases("idle-flows/{}", (0, 1000, 8000, 100000, 1000000)))
        for key, title in (("transactions_per_s", "rate"), ("p50_us", "median time"))),
         lines=True),
    Plot("idle-flows", "idle-flows-east-west.svg",
         "TCP request and response beside idle flows between guests", tuple(
             (title, "idle flows between guests", key,
              (("0", "idle-flows/0"),
               *_cases("idle-flows/east-west-{}", (1000, 100000, 1000000))))
             for key, title in (("transactions_per_s", "rate"), ("p50_us", "median time"))),
         lines=True),
    Plot("vms", "vms.svg", "64 connections over so many VMs, one core", tuple(
        (title, "VMs", key, _cases(f"vms/{case}-{{}}", (1, 4, 16, 64)))
        for case, title, key in (("tcp-out", "TCP, guests to host", "gbit_per_s"),
                                 ("tcp-in", "TCP, host to guests", "gbit_per_s"),
                                 ("tcp-rr", "request and response", "transactions_per_s"))),
         lines=True),
)


def _table(head, rows):
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"


def _network(machine):
    """Results of older versions do not say it."""
    where = "a namespace of its own" if machine["network"] == "own" else "the host's"
    return f"{where}, TCP congestion control: {machine['congestion']}"


def _about(found):
    about, machine, versions = found.document, found.document["machine"], found.document["versions"]
    options = about["options"]
    virtual = " in a virtual machine" if machine["hypervisor"] else ""
    rounds, each = options["rounds"], f"{options['seconds']:g} s in turns"
    yield f"Measured on {about['date']}, " + (
        f"one round of {each}." if rounds == 1 else
        f"medians of {rounds} rounds of {each}; in parentheses the least and the greatest.")
    yield ""
    yield from _table(("", ""), [
        ("machine", f"{machine['cpus']} CPUs, {machine['cpu']}{virtual}, "
         f"{machine['memory_gib']} GiB, huge pages: {machine['hugepages']}"),
        ("system", f"{machine['system']}, Linux {machine['kernel']}"),
        *([("network", _network(machine))] if "network" in machine else []),
        ("weir", f"{versions['weir']} ({versions['commit']}), DPDK {versions['dpdk']}, "
         f"{versions['compiler']}, poll = {options['poll']}"
         + (", the guest wants an interrupt for each frame" if options["interrupts"] else "")),
        *([("passt", versions["passt"])] if versions.get("passt") else []),
        ("command", f"`{about['command']}`"),
        ("figures", f"[{RESULTS}]({RESULTS})"),
    ])


def _targets(found, notes):
    rows = []
    for target in TARGETS:
        value = target.value(found)
        verdict = target.verdict(value)
        if verdict.startswith("missed"):
            verdict = f"**{verdict}**"
        rows.append((target.title, target.wanted(), number(value), verdict))
    yield from _table(("figure", "target", "measured", ""), rows)
    missed = [t for t in TARGETS if t.verdict(t.value(found)) != "met"]
    said = [(t, notes[t.name]) for t in missed if t.name in notes]
    if said:
        yield ""
        yield "Why some are missed, or were not measured:"
        yield ""
        yield from (f"- *{target.title}*: {text}" for target, text in said)


def _group(found, group):
    """A row for each case, the main figure of all subjects, then weir's others."""
    measured = [case for case in group.cases if case.name in found.by_name]
    subjects = [s for s in SUBJECTS if any(
        found.figure(c.name, s, c.figures[0]) for c in measured)]
    # Cases of one unit share a table.
    for main in dict.fromkeys(c.figures for c in measured):
        cases = [c for c in measured if c.figures == main]
        key, others = main[0], [k for k in main[1:] if any(
            found.figure(c.name, s, k) for c in cases for s in subjects)]
        head = [f"{FIGURES[key].title} {FIGURES[key].unit}".strip()]
        for subject in subjects:
            head += [SUBJECTS[subject]] + ([] if subject == "weir" else ["ratio"])
        head += [" ".join(filter(None, (FIGURES[k].title, FIGURES[k].unit))) for k in others]
        yield from _table(head, [_row(found, c, key, others, subjects) for c in cases])
        if others and len(subjects) > 1:
            yield ""
            yield "The last columns: " + " / ".join(SUBJECTS[s] for s in subjects) + "."
        yield ""


def _row(found, case, key, others, subjects):
    row = [case.title]
    for subject in subjects:
        row.append(shown(found.figure(case.name, subject, key), key))
        if subject != "weir":
            row.append(number(found.ratio((case.name, "weir", key), (case.name, subject, key))))
    for other in others:
        values = [found.median(case.name, s, other) for s in subjects]
        row.append(" / ".join(number(v and v / FIGURES[other].scale) for v in values)
                   if any(v is not None for v in values) else "-")
    return row


def _plot(found, plot):
    """Text of the SVG, or None where nothing of it was measured."""
    panels = []
    for title, x_label, key, points in plot.panels:
        scale, series = FIGURES[key].scale, {}
        points = [point for point in points if point[1] in found.by_name]
        for subject, label in SUBJECTS.items():
            figures = [found.figure(case, subject, key) for _, case in points]
            series[label] = [f and (f["median"] / scale, f["min"] / scale, f["max"] / scale)
                             for f in figures]
        if any(any(values) for values in series.values()):
            panels.append(svg.Panel(title, x_label, FIGURES[key].unit,
                                    [label for label, _ in points], series))
    return svg.chart(plot.title, panels, plot.lines, plot.same_scale) if panels else None


def _page(found, notes, plots):
    yield "# weir: benchmark report"
    yield ""
    yield ("Written by `scripts/bench`; how it measures is in [bench.md](../bench.md). "
           "*Ratio* is weir's figure over that of the column before it, the median of what "
           "it was in each round.")
    yield ""
    yield from _about(found)
    yield ""
    yield "## Targets"
    yield ""
    yield from _targets(found, notes)
    yield ""
    for group in GROUPS:
        if not any(case.name in found.by_name for case in group.cases):
            continue
        yield f"## {group.title}"
        yield ""
        yield group.text
        yield ""
        for plot in plots:
            if plot.group == group.name:
                yield f"![{plot.title}]({plot.file})"
                yield ""
        yield from _group(found, group)
    if found.missing():
        yield "## What could not be measured"
        yield ""
        yield from (f"- {why}: {some(names)}" for why, names in found.missing().items())
        yield ""
    errors = found.errors()
    if errors:
        yield "## What failed"
        yield ""
        yield from (f"- {name}, {SUBJECTS[subject]}: {text.splitlines()[0]}"
                    for name, subject, text in errors)


def read_notes(folder):
    try:
        with open(os.path.join(folder, NOTES), encoding="utf-8") as file:
            notes = json.load(file)
    except FileNotFoundError:
        return {}
    except ValueError as err:
        raise LabError(f"{folder}/{NOTES}: {err}") from err
    unknown = set(notes) - {target.name for target in TARGETS}
    if unknown:
        raise LabError(f"{folder}/{NOTES}: no target is called {', '.join(sorted(unknown))}")
    return notes


def write(found, folder):
    """README.md, plots and results.json in the folder; plots of what was not measured go."""
    os.makedirs(folder, exist_ok=True)
    notes, plots = read_notes(folder), []
    for plot in PLOTS:
        text, path = _plot(found, plot), os.path.join(folder, plot.file)
        if text:
            plots.append(plot)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        elif os.path.exists(path):
            os.unlink(path)
    found.save(os.path.join(folder, RESULTS))
    lines = [line.rstrip() for line in _page(found, notes, plots)]
    with open(os.path.join(folder, "README.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines).rstrip() + "\n")
