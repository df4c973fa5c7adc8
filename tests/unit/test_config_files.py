#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The files of config/ are right: test_config_files.py WEIR CONFIG-DIRECTORY SERVICE APPARMOR"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

WEIR, CONFIG, SERVICE, APPARMOR = (os.path.abspath(path) for path in sys.argv[1:5])


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def run(*argv):
    done = subprocess.run(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    return done.returncode, done.stdout


class Files(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.TemporaryDirectory(prefix="weir-test-config-")
        self.addCleanup(self.place.cleanup)

    def write(self, name, text):
        path = os.path.join(self.place.name, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_sample_configuration_is_right(self):
        status, said = run(WEIR, "--check", "-c", os.path.join(CONFIG, "weir.conf"))
        self.assertEqual(status, 0, said)

    def test_all_that_the_sample_shows_is_right(self):
        text = re.sub(r"^#(?=\[|[a-z0-9-]+ = )", "", read(os.path.join(CONFIG, "weir.conf")),
                      flags=re.M)
        self.assertIn("\n[vm.test]\n", text)
        self.assertIn("\nworkers = 2,3\n", text)
        status, said = run(WEIR, "--check", "-c", self.write("weir.conf", text))
        self.assertEqual(status, 0, said)

    def test_unit_is_right(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd-analyze is not there")
        # It need not be installed to be verified.
        text = re.sub(r"^ExecStart=\S+", f"ExecStart={WEIR}", read(SERVICE), flags=re.M)
        status, said = run("systemd-analyze", "verify", "--man=no",
                           self.write("weir.service", text))
        self.assertEqual(status, 0, said)
        self.assertNotIn("weir.service", said)

    def test_unit_has_time_to_stop(self):
        waits = read(os.path.join(CONFIG, "..", "app", "waits.h"))
        stop_ms = int(re.search(r"WAIT_STOP_MS (\d+)", waits).group(1))
        stop_s = int(re.search(r"^TimeoutStopSec=(\d+)", read(SERVICE), re.M).group(1))
        self.assertEqual(stop_s * 1000, stop_ms)

    def test_profile_and_unit_name_the_same_program(self):
        program = re.search(r"^ExecStart=(\S+)", read(SERVICE), re.M).group(1)
        self.assertIn(f"\nprofile weir {program} {{\n", read(APPARMOR))
        if shutil.which("apparmor_parser"):
            status, said = run("apparmor_parser", "--skip-kernel-load", "--skip-cache", APPARMOR)
            self.assertEqual(status, 0, said)

    def test_libvirt_example_is_xml(self):
        xml.etree.ElementTree.parse(os.path.join(CONFIG, "libvirt-interface.xml"))

    def test_qemu_example_is_a_shell_script(self):
        status, said = run("sh", "-n", os.path.join(CONFIG, "qemu-example"))
        self.assertEqual(status, 0, said)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
