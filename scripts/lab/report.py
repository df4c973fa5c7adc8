# SPDX-License-Identifier: BSD-3-Clause
"""Counting test cases, not programs: what cmocka, TAP or unittest printed, as meson recorded it."""
import json
import re

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
_CMOCKA = re.compile(r"^\[\s*(RUN|OK|FAILED|ERROR|SKIPPED|TIMEOUT)\s*\] (.*)$")
_TAP = re.compile(
    r"^\s*(not ok|ok)\b\s*\d*\s*-?\s*([^#]*?)\s*(?:#\s*((?i:SKIP|TODO))?\b\s*(.*))?$")
_UNITTEST = re.compile(r"^(\w+) \([\w.]+\) \.\.\. (ok|FAIL|ERROR|skipped)(?: '(.*)')?$")
_SKIP_ALL = re.compile(r"^1\.\.0\s*#\s*SKIP\s*(.*)$", re.I | re.M)


def cmocka_cases(text):
    """[(name, outcome, why)] of cmocka's plain output. A test that never ended has failed.

    The reason of a skip is what the test said last: skip() itself takes none.
    """
    cases, running, said = [], None, ""
    for line in text.splitlines():
        match = _CMOCKA.match(line)
        if not match:
            said = line.strip() or said
            continue
        word, name = match.group(1), match.group(2).split(" ")[0]
        if word == "RUN":
            if running:
                cases.append((running, FAILED, "did not end"))
            running, said = name, ""
        elif running == name and word in ("OK", "FAILED", "SKIPPED"):
            outcome = {"OK": PASSED, "FAILED": FAILED, "SKIPPED": SKIPPED}[word]
            why = said.removeprefix("skipped: ") if outcome == SKIPPED else ""
            cases.append((name, outcome, why))
            running = None
    if running:
        cases.append((running, FAILED, "did not end"))
    return cases


def tap_cases(text):
    """The same of TAP."""
    cases = []
    for line in text.splitlines():
        match = _TAP.match(line)
        if match:
            word, name, directive, why = match.groups()
            skipped = (directive or "").upper() == "SKIP"
            outcome = SKIPPED if skipped else PASSED if word == "ok" else FAILED
            cases.append((name, outcome, why or ""))
    return cases


def unittest_cases(text):
    """The same of Python's unittest, verbose."""
    outcomes = {"ok": PASSED, "skipped": SKIPPED}
    matches = (_UNITTEST.match(line) for line in text.splitlines())
    return [(m.group(1), outcomes.get(m.group(2), FAILED), m.group(3) or "")
            for m in matches if m]


def program_cases(entry):
    """Cases of one record of meson's testlog.json."""
    text = (entry.get("stdout") or "") + "\n" + (entry.get("stderr") or "")
    cases = cmocka_cases(text) or unittest_cases(text) or tap_cases(text)
    name, result = entry["name"], entry["result"]
    if result == "SKIP" and not cases:
        lines = [line for line in text.splitlines() if line.strip()]
        why = _SKIP_ALL.search(text)
        return [(name, SKIPPED, why.group(1) if why else lines[-1] if lines else "")]
    good = result in ("OK", "EXPECTEDFAIL", "SKIP")
    if not cases:
        return [(name, PASSED if good else FAILED, "" if good else result)]
    if not good and not any(outcome == FAILED for _, outcome, _ in cases):
        # All cases passed, and the program failed all the same: a crash, a leak, a time-out.
        cases.append((name, FAILED, f"{result}, exit status {entry.get('returncode')}"))
    return cases


def read_testlog(path):
    """[(program, suites, [case...], output)] of a testlog.json."""
    programs = []
    with open(path, encoding="utf-8") as log:
        for line in log:
            if line.strip():
                entry = json.loads(line)
                output = (entry.get("stdout") or "") + (entry.get("stderr") or "")
                programs.append((entry["name"], program_cases(entry), output))
    return programs


def print_failures(program, cases, output, lines=40):
    for name, outcome, why in cases:
        if outcome == FAILED:
            print(f"FAILED  {program}: {name}{f' ({why})' if why else ''}")
    if any(outcome == FAILED for _, outcome, _ in cases):
        print("\n".join("    " + line for line in _interesting(output)[-lines:]))


def _interesting(output):
    """A program's output without the cases that passed."""
    return [line for line in output.splitlines()
            if not re.match(r"^(\[ RUN|\[ +OK|ok \d)", line)]


def self_test():
    """None, or what is wrong."""
    text = ("[==========] Running 4 test(s).\n[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n"
            "[  ERROR   ] --- 1 != 2\n[  FAILED  ] b\n[ RUN      ] c\nskipped: no such thing\n"
            "[  SKIPPED ] c\n"
            "[ RUN      ] d\n[  PASSED  ] 1 test(s).\n[  FAILED  ] tests: 1 test(s), listed:\n"
            "[  FAILED  ] b\n")
    found = [case[1:] for case in cmocka_cases(text)]
    if found != [(PASSED, ""), (FAILED, ""), (SKIPPED, "no such thing"),
                 (FAILED, "did not end")]:
        return f"cmocka: {found}"
    text = "ok 1 - a # 1.0 s\nnot ok 2 - b\n# why\nok 3 - c # SKIP no such thing\n1..3\n"
    if tap_cases(text) != [("a", PASSED, "1.0 s"), ("b", FAILED, ""),
                           ("c", SKIPPED, "no such thing")]:
        return f"tap: {tap_cases(text)}"
    text = ("test_a (__main__.T.test_a) ... ok\ntest_b (__main__.T.test_b) ... FAIL\n"
            "test_c (__main__.T.test_c) ... skipped 'no such thing'\n")
    if unittest_cases(text) != [("test_a", PASSED, ""), ("test_b", FAILED, ""),
                                ("test_c", SKIPPED, "no such thing")]:
        return f"unittest: {unittest_cases(text)}"
    for result, output, want in (
            ("OK", "", PASSED), ("FAIL", "", FAILED), ("TIMEOUT", "[ RUN      ] a\n", FAILED),
            ("ERROR", "[ RUN      ] a\n[       OK ] a\n", FAILED),
            ("SKIP", "1..0 # SKIP no QEMU\n", SKIPPED)):
        cases = program_cases({"name": "n", "result": result, "stdout": output, "returncode": 1})
        if cases[-1][1] != want:
            return f"{result}: {cases}"
    return None
