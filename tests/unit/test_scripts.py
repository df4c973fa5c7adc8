#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/ does when it is used wrongly or ended early."""
import collections
import os
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts")
sys.path.insert(0, SCRIPTS)
sys.dont_write_bytecode = True

from lab import counts, report, show  # noqa: E402


def interrupted(_args, _show, _lab):
    raise KeyboardInterrupt


def stayed_until_interrupted(_args, what, _lab):
    what.staying = True
    raise KeyboardInterrupt


def status_of_demo(run, *options):
    argv = ["show", "--build", "b", "--image", "i", *options]
    with mock.patch.object(show, "run", run), mock.patch.object(sys, "argv", argv), \
            mock.patch.object(show, "print", lambda *_, **__: None, create=True):
        return show.main()


def bench(*arguments):
    return subprocess.run([os.path.join(SCRIPTS, "bench"), *arguments], text=True,
                          capture_output=True, check=False)


class Demo(unittest.TestCase):
    def test_ctrl_c_in_the_middle_is_a_failure(self):
        self.assertNotEqual(status_of_demo(interrupted, "--once"), 0)
        self.assertNotEqual(status_of_demo(interrupted), 0)

    def test_ctrl_c_after_the_show_is_its_end(self):
        self.assertEqual(status_of_demo(stayed_until_interrupted), 0)


class Bench(unittest.TestCase):
    def test_unknown_case_is_an_error(self):
        done = bench("--only", "tcp-sideways")
        self.assertEqual(done.returncode, 2)
        self.assertIn("tcp-sideways", done.stderr)

    def test_what_is_not_built_is_named(self):
        with tempfile.TemporaryDirectory() as build:
            done = bench("--build", build)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("no app/weir", done.stderr)
            os.mkdir(os.path.join(build, "app"))
            os.symlink("/bin/true", os.path.join(build, "app", "weir"))
            done = bench("--build", build)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("no tests/bench/weir-gen", done.stderr)


def figure(instructions, calls, unit="datagram"):
    return counts.Figure(unit, collections.Counter(f=instructions),
                         collections.Counter(sendmsg=calls))


BASELINE = {"a": {"instructions": 1000, "calls": 2},
            "a, 64 guests": {"instructions": 1000, "calls": 2}}
ALONE = counts.Run("", [], ["a"], False, 1)
WITH_GUESTS = counts.Run("64 guests", [], ["a"], True, 1)


class Counts(unittest.TestCase):
    def problems(self, alone, guests=None, other=()):
        figures = {"a": alone, **({"a, 64 guests": guests} if guests else {})}
        runs = [ALONE, WITH_GUESTS] if guests else [ALONE]
        return counts.compare(figures, runs, BASELINE, other)

    def test_what_is_within_the_tolerance_passes(self):
        self.assertEqual(self.problems(figure(1099, 2.07), figure(1099, 2.07)),
                         {"a": [], "a, 64 guests": []})

    def test_what_has_grown_is_named(self):
        [text] = self.problems(figure(1101, 2))["a"]
        self.assertIn("instructions for one datagram: 1,101, was 1,000: +10.1%", text)
        [text] = self.problems(figure(1000, 3))["a"]
        self.assertIn("system calls for one datagram: 3, was 2: +50.0%", text)

    def test_what_is_not_in_the_baseline_fails(self):
        [text] = counts.compare({"b": figure(1, 1)}, [], BASELINE, ())["b"]
        self.assertIn("no baseline", text)

    def test_what_costs_more_with_guests_than_alone_fails(self):
        [text] = self.problems(figure(900, 2), figure(1040, 2))["a, 64 guests"]
        self.assertIn("instructions with 64 guests, and alone: 1,040, was 900", text)

    def test_another_compiler_makes_instructions_incomparable_but_not_system_calls(self):
        self.assertEqual(self.problems(figure(5000, 2), other=["compiler"])["a"], [])
        self.assertEqual(len(self.problems(figure(5000, 3), other=["compiler"])["a"]), 1)

    def test_another_kernel_may_cut_bulk_transfers_differently(self):
        self.assertEqual(self.problems(figure(1000, 3, counts.BULK), other=["linux"])["a"], [])
        self.assertEqual(len(self.problems(figure(1000, 3), other=["linux"])["a"]), 1)

    def test_reads_instructions_of_functions_without_those_they_call(self):
        text = ("desc: Trigger: Client Request: a\nfn=(1) f\n+3 10\ncfn=(2) g\ncalls=1 0\n"
                "* 100\n4 5\nfn=(2)\n1 100\n")
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            self.assertEqual(counts.read_dump(file.name), ("a", {"f": 15, "g": 100}))

    def test_reads_system_calls_of_iterations_in_the_first_thread(self):
        mark = "SYSCALL[7,1](1) sys_write ( %u, 0x1, 1 ) --> [pre-fail] Failure(0x9)\n"
        call = "SYSCALL[7,%u]( 46) sys_sendmsg ( 3, 0x1, 0 ) --> [async] ...\n"
        between, iteration, case = (mark % (2 ** 32 + n) for n in (-2, -1, -3))
        text = (call % 1 + case + iteration + call % 1 + call % 2 + between + call % 1 + case +
                iteration + between)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            self.assertEqual(counts.read_trace(file.name), [{"sendmsg": 1}, {}])


class Report(unittest.TestCase):
    def test_counts_cases(self):
        self.assertIsNone(report.self_test())


if __name__ == "__main__":
    unittest.main(verbosity=2)
