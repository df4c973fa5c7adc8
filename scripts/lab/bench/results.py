# SPDX-License-Identifier: BSD-3-Clause
"""Figures of all turns, the file that holds them, and what is computed from them.

    {"format": 1, "date": ..., "command": ..., "machine": {...}, "versions": {...},
     "options": {...}, "missing": {why: ["CASE SUBJECT" ...]}, "cases": [
        {"name": ..., "group": ..., "title": ..., "figures": [key, ...], "load": {...},
         "subjects": {subject: {"figures": {key: {"median", "min", "max", "rounds": [...]}},
                                "errors": [...]}}}]}
"""
import json
import os
import statistics

from ..proc import LabError
from .cases import FIGURES

FORMAT = 1


class Results:
    def __init__(self, document):
        self.document = document
        self.by_name = {case["name"]: case for case in document["cases"]}

    @classmethod
    def new(cls, about):
        return cls({"format": FORMAT, **about, "missing": {}, "cases": []})

    @classmethod
    def load(cls, path):
        try:
            with open(path, encoding="utf-8") as file:
                document = json.load(file)
        except (OSError, ValueError) as err:
            raise LabError(f"{path}: {err}") from err
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise LabError(f"{path}: no results of this scripts/bench")
        return cls(document)

    def save(self, path):
        """At once or not at all: a run that is interrupted leaves the file whole."""
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(self.document, file, indent=1)
            file.write("\n")
        os.replace(f"{path}.new", path)

    def _subject(self, case, subject):
        if case.name not in self.by_name:
            entry = {"name": case.name, "group": case.group, "title": case.title,
                     "figures": list(case.figures), "load": case.load, "subjects": {}}
            self.by_name[case.name] = entry
            self.document["cases"].append(entry)
        return self.by_name[case.name]["subjects"].setdefault(
            subject, {"figures": {}, "errors": []})

    def add(self, case, subject, figures):
        """One turn."""
        known = self._subject(case, subject)["figures"]
        for key, value in figures.items():
            rounds = known.get(key, {"rounds": []})["rounds"] + [value]
            known[key] = {"median": statistics.median(rounds), "min": min(rounds),
                          "max": max(rounds), "rounds": rounds}

    def add_error(self, case, subject, text):
        self._subject(case, subject)["errors"].append(text)

    def add_missing(self, case, subject, why):
        """What cannot be measured here is no error, and is said."""
        self.document["missing"].setdefault(why, []).append(f"{case.name} {subject}")

    def missing(self):
        return self.document["missing"]

    def figure(self, name, subject, key):
        """{"median", "min", "max", "rounds"}, or None."""
        case = self.by_name.get(name)
        return case and case["subjects"].get(subject, {"figures": {}})["figures"].get(key)

    def median(self, name, subject, key):
        figure = self.figure(name, subject, key)
        return figure and figure["median"]

    def ratio(self, over, under):
        """Of two figures, each (case, subject, key): the median of what it was in each round. A
        machine is fast in one and slow in another, for both alike."""
        figures = [self.figure(*of) for of in (over, under)]
        if None in figures:
            return None
        rounds = [figure["rounds"] for figure in figures]
        if len(rounds[0]) == len(rounds[1]) and all(rounds[1]):
            return statistics.median(a / b for a, b in zip(*rounds))
        return ratio(*(figure["median"] for figure in figures))

    def errors(self):
        return [(case["name"], subject, error) for case in self.document["cases"]
                for subject, measured in case["subjects"].items() for error in measured["errors"]]


def number(value):
    """Three digits, or what stands before the point."""
    if value is None:
        return "-"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3}f}"


def shown(figure, key):
    """A figure with its spread, in the unit that it is shown in."""
    if figure is None:
        return "-"
    scale = FIGURES[key].scale
    text = number(figure["median"] / scale)
    if len(figure["rounds"]) > 1:
        text += f" ({number(figure['min'] / scale)} to {number(figure['max'] / scale)})"
    return text


def some(names, most=6):
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if names[most:] else "")


def ratio(value, base):
    return value / base if value is not None and base else None


def compare(old, new, tolerance):
    """Rows (case, key, old, new, ratio, the kernel's ratio or None, whether it is worse) of all
    figures that both have of weir."""
    for name, case in new.by_name.items():
        for key in case["figures"]:
            before, after = (r.median(name, "weir", key) for r in (old, new))
            if before is None or after is None or not FIGURES[key].compared:
                continue
            limits = [r.median(name, "limit", key) for r in (new, old)]
            change = ratio(after, before)
            # Ratios of nothing say nothing: half a unit is as good as none.
            if change is None:
                worse = FIGURES[key].less_is_better and after > 0.5
            elif FIGURES[key].less_is_better:
                worse = change > 1 + tolerance
            else:
                worse = change < 1 - tolerance
            yield name, key, before, after, change, ratio(*limits), worse
