#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/ does when it is used wrongly or ended early."""
import os
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts")
sys.path.insert(0, SCRIPTS)
sys.dont_write_bytecode = True

from lab import report, show  # noqa: E402


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


class Report(unittest.TestCase):
    def test_counts_cases(self):
        self.assertIsNone(report.self_test())


if __name__ == "__main__":
    unittest.main(verbosity=2)
