#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/bench makes of figures: medians, verdicts, reports, comparisons; and the network
that it measures in."""
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest
from unittest import mock
from xml.etree import ElementTree

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts")
sys.path.insert(0, SCRIPTS)
sys.dont_write_bytecode = True

from lab.bench import cases, main, network, pcap, report, results, run, svg, targets  # noqa: E402
from lab.proc import LabError  # noqa: E402

ABOUT = {"date": "today", "command": "scripts/bench",
         "machine": {"cpus": 2, "cpu": "a CPU", "hypervisor": False, "memory_gib": 1,
                     "hugepages": "none", "system": "a system", "kernel": "1"},
         "versions": {"weir": "1", "commit": "c", "dpdk": "d", "compiler": "gcc"},
         "options": {"rounds": 3, "seconds": 1, "poll": "busy", "interrupts": False}}
CASES = {case.name: case for group in cases.GROUPS for case in group.cases}


def results_of(figures):
    """{(case, subject): {key: [a value for each round]}}"""
    found = results.Results.new(ABOUT)
    for (name, subject), of in figures.items():
        for values in zip(*of.values()):
            found.add(CASES[name], subject, dict(zip(of, values)))
    return found


def bench(*arguments):
    return subprocess.run([os.path.join(SCRIPTS, "bench"), *arguments], text=True,
                          capture_output=True, check=False)


class Data(unittest.TestCase):
    def test_names_are_unique_and_figures_known(self):
        self.assertEqual(len(CASES), sum(len(group.cases) for group in cases.GROUPS))
        for case in CASES.values():
            self.assertLessEqual(set(case.figures), set(cases.FIGURES), case.name)
            self.assertLessEqual(set(case.subjects), set(run.STARTS), case.name)
            self.assertIn(case.kind, run.KINDS)

    def test_targets_and_plots_name_what_is_measured(self):
        self.assertEqual(len({t.name for t in targets.TARGETS}), len(targets.TARGETS))
        named = [of for t in targets.TARGETS for of in (t.over, t.under) if of]
        for name, subject, key in named:
            self.assertIn(subject, CASES[name].subjects, name)
            self.assertIn(key, CASES[name].figures, name)
        for plot in report.PLOTS:
            for _title, _label, key, points in plot.panels:
                for _, name in points:
                    self.assertIn(key, CASES[name].figures)

    def test_groups_and_cases_are_picked_by_name_and_pattern(self):
        def picked(*patterns):
            return [c.name for g in cases.select(patterns, False) for c in g.cases]
        self.assertEqual(picked("start"), ["start/one-vm"])
        self.assertEqual(picked("idle-flows/?000"), ["idle-flows/1000", "idle-flows/8000"])
        self.assertEqual(picked("none"), [])


class Figures(unittest.TestCase):
    def test_keeps_rounds_and_shows_median_and_spread(self):
        found = results_of({("requests/tcp-rr-1", "weir"): {"transactions_per_s": [3e3, 1e3, 9e3]}})
        figure = found.figure("requests/tcp-rr-1", "weir", "transactions_per_s")
        self.assertEqual(figure["rounds"], [3e3, 1e3, 9e3])
        self.assertEqual(results.shown(figure, "transactions_per_s"), "3.00 (1.00 to 9.00)")

    def test_a_file_of_something_else_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "file")
            for text in ("", "[]", '{"format": 0}'):
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
                self.assertRaises(LabError, results.Results.load, path)

    def test_verdict_says_by_how_much(self):
        at_least = targets.Target("a", "g", "t", ("c", "weir", "k"), at_least=2)
        at_most = targets.Target("a", "g", "t", ("c", "weir", "k"), at_most=80)
        self.assertEqual(at_least.verdict(2), "met")
        self.assertEqual(at_least.verdict(1.5), "missed by 25.0 %")
        self.assertEqual(at_most.verdict(80), "met")
        self.assertEqual(at_most.verdict(88), "missed by 10.0 %")
        self.assertEqual(at_most.verdict(None), "not measured")

    def test_target_is_a_ratio_of_two_cases(self):
        found = results_of({("tcp-bulk/out-1500-1-whole", "weir"): {"gbit_per_s": [30]},
                            ("tcp-bulk/out-65520-1", "passt"): {"gbit_per_s": [20]}})
        values = {t.name: t.value(found) for t in targets.TARGETS}
        self.assertEqual(values["tcp-out-1-passt-65520"], 1.5)
        self.assertIsNone(values["tcp-out-16-kernel"])

    def test_ratio_is_the_median_of_what_it_was_in_each_round(self):
        over = ("requests/tcp-rr-1", "weir", "p50_us")
        under = ("requests/tcp-rr-1", "limit", "p50_us")
        found = results_of({over[:2]: {"p50_us": [10, 40, 20]},
                            under[:2]: {"p50_us": [10, 20, 8]}})
        self.assertEqual(found.ratio(over, under), 2)
        # A round is missing, nobody knows which: of the medians, then.
        found = results_of({over[:2]: {"p50_us": [10, 40, 20]}, under[:2]: {"p50_us": [10, 20]}})
        self.assertAlmostEqual(found.ratio(over, under), 20 / 15)
        found = results_of({over[:2]: {"p50_us": [10]}, under[:2]: {"p50_us": [0]}})
        self.assertIsNone(found.ratio(over, under))
        self.assertIsNone(found.ratio(over, ("start/one-vm", "weir", "ready_ms")))

    def test_passts_guest_alone_must_lay_each_frame_in_one_piece(self):
        def options(case):
            with mock.patch.object(run, "passt_argv", return_value=[]), \
                    mock.patch.object(run, "_wait"), mock.patch.object(run.os, "chmod"):
                return run.start_passt(mock.Mock(), run.Rig("", 1), CASES[case])[1]

        self.assertIs(CASES["tcp-bulk/out-1500-16"].load["whole"], False)
        self.assertEqual(options("tcp-bulk/out-1500-16"), ["--whole"])
        # Said once, where all have it.
        self.assertIs(CASES["requests/tcp-rr-1"].load["whole"], True)
        self.assertEqual(options("requests/tcp-rr-1"), [])

    def test_a_turn_that_fails_is_kept_as_an_error(self):
        found = results.Results.new(ABOUT)
        group = cases.select(["start"], False)[0]
        with mock.patch.object(run, "turn", side_effect=LabError("why")), \
                mock.patch.object(main, "print", create=True):
            main.measure_group(run.Rig("", 1), group, 2, [], found)
        self.assertEqual(found.errors(), [("start/one-vm", "weir", "why")] * 2)


    def test_what_cannot_be_measured_is_no_error(self):
        found = results.Results.new(ABOUT)
        group = cases.select(["idle-flows/1000000"], False)[0]
        with mock.patch.object(run.resource, "getrlimit", return_value=(20000, 20000)):
            main.measure_group(run.Rig("", 1), group, 2, [], found)
        self.assertEqual(found.errors(), [])
        self.assertEqual(list(found.missing().values()), [["idle-flows/1000000 weir"]])

    def test_idle_flows_between_guests_take_no_files(self):
        case = CASES["idle-flows/east-west-1000000"]
        with mock.patch.object(run.resource, "getrlimit", return_value=(20000, 20000)):
            self.assertEqual(run.Rig("", 1).missing(case, "weir"), "")
            self.assertNotEqual(run.Rig("", 1).missing(CASES["idle-flows/100000"], "weir"), "")

    def test_idle_flows_to_the_host_and_between_guests_have_a_target_each(self):
        found = results_of({("idle-flows/east-west-1000", "weir"): {"transactions_per_s": [10]},
                            ("idle-flows/east-west-100000", "weir"): {"transactions_per_s": [9]}})
        verdicts = {t.name: t.verdict(t.value(found)) for t in targets.TARGETS}
        self.assertEqual(verdicts["tcp-rr-idle-100000"], "not measured")
        self.assertEqual(verdicts["tcp-rr-idle-east-west-100000"], "missed by 5.26 %")
        self.assertEqual(verdicts["tcp-rr-idle-east-west-1000000"], "not measured")


class Compare(unittest.TestCase):
    def status(self, old, new, *options):
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for name, found in (("old", old), ("new", new)):
                paths.append(os.path.join(folder, name))
                results_of(found).save(paths[-1])
            return bench("compare", *paths, *options).returncode

    def test_fails_where_a_figure_is_worse_than_the_tolerance(self):
        def requests(rate, p99):
            return {("requests/tcp-rr-1", "weir"): {"transactions_per_s": [rate], "p99_us": [p99]}}
        base = requests(100, 10)
        self.assertEqual(self.status(base, base), 0)
        self.assertEqual(self.status(base, requests(81, 11.9)), 0)
        self.assertEqual(self.status(base, requests(500, 1)), 0)
        self.assertEqual(self.status(base, requests(79, 10)), 1)
        self.assertEqual(self.status(base, requests(100, 12.1)), 1)
        self.assertEqual(self.status(base, requests(79, 10), "--tolerance", "30"), 0)

    def test_nothing_in_common_is_an_error(self):
        self.assertEqual(self.status({}, {}), 2)


class Report(unittest.TestCase):
    FOUND = {("tcp-bulk/out-1500-16", "weir"): {"gbit_per_s": [50, 60, 70]},
             ("tcp-bulk/out-1500-16", "limit"): {"gbit_per_s": [80, 80, 80]},
             ("tcp-bulk/out-1500-16", "passt"): {"gbit_per_s": [6, 6, 6]},
             ("tcp-bulk/out-1500-16-whole", "weir"): {"gbit_per_s": [54, 54, 54]}}

    def written(self, folder):
        report.write(results_of(self.FOUND), folder)
        with open(os.path.join(folder, "README.md"), encoding="utf-8") as file:
            return file.read()

    def test_has_tables_verdicts_notes_and_plots(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, report.NOTES), "w", encoding="utf-8") as file:
                json.dump({"tcp-out-16-kernel": "because"}, file)
            page = self.written(folder)
            self.assertIn("| 60.0 (50.0 to 70.0) | 80.0 (80.0 to 80.0) | 0.750 |", page)
            self.assertIn("**missed by 21.1 %**", page)
            self.assertIn("of the kernel's own*: because", page)
            self.assertIn("| >= 5 | 9.00 | met |", page)
            self.assertIn("(tcp-mtu.svg)", page)
            self.assertNotIn("(vms.svg)", page)
            tree = ElementTree.parse(os.path.join(folder, "tcp-mtu.svg"))
            self.assertEqual(tree.getroot().attrib["width"], "400")
            again = results.Results.load(os.path.join(folder, report.RESULTS))
            self.assertEqual(again.median("tcp-bulk/out-1500-16", "weir", "gbit_per_s"), 60)

    def test_a_note_on_no_target_is_an_error(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, report.NOTES), "w", encoding="utf-8") as file:
                json.dump({"tcp-sideways": "because"}, file)
            self.assertRaises(LabError, self.written, folder)

    def test_says_in_which_network_where_the_results_do(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertNotIn("| network |", self.written(folder))
            for used, text in (("own", "a namespace of its own"), ("host", "the host's")):
                machine = {**ABOUT["machine"], "network": used, "congestion": "reno"}
                with mock.patch.dict(ABOUT, machine=machine):
                    self.assertIn(f"| network | {text}, TCP congestion control: reno |",
                                  self.written(folder))

    def test_the_axis_reaches_beyond_the_greatest_value(self):
        for most in (0.003, 1, 7.3, 30, 99.9, 1234):
            ticks = svg._ticks(most)
            self.assertEqual(ticks[0], 0)
            self.assertGreaterEqual(ticks[-1], most)
            self.assertLess(ticks[-2], most)
            self.assertLessEqual(len(ticks), 7)


ALLOWED = "/proc/sys/net/ipv4/tcp_allowed_congestion_control"

# Enters a network, and prints what was used and what its own child finds there. A process of its
# own: there is no way back.
ENTER = """
import json, socket, subprocess, sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
from lab.bench import network
from lab.proc import LabError
try:
    used = network.enter(sys.argv[2])
except LabError as err:
    sys.exit(str(err))
if used["network"] == "own":
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        server = socket.create_server((address, 0), family=family)
        socket.create_connection(server.getsockname()[:2], timeout=5)
found = subprocess.run(["cat", network.CONGESTION, network.PING_GROUPS], text=True, check=True,
                       stdout=subprocess.PIPE).stdout.splitlines()
print(json.dumps([used, *found]))
"""


def entered(name):
    """(process that has ended, [what was used, congestion control, groups for ping sockets])"""
    done = subprocess.run([sys.executable, "-c", ENTER, SCRIPTS, name], text=True,
                          capture_output=True, check=False)
    return done, json.loads(done.stdout) if done.returncode == 0 else None


class Network(unittest.TestCase):
    def setUp(self):
        self.before = network._read(network.CONGESTION)

    def tearDown(self):
        self.assertEqual(network._read(network.CONGESTION), self.before)

    def test_all_that_is_started_has_the_congestion_control_that_was_asked_for(self):
        for name in network._read(ALLOWED).split():
            done, found = entered(name)
            self.assertEqual(done.returncode, 0, done.stderr)
            if found[0]["network"] == "host":
                self.skipTest("no network namespace is permitted (CAP_SYS_ADMIN)")
            self.assertEqual(found, [{"network": "own", "congestion": name}, name,
                                     network._read(network.PING_GROUPS)])

    def test_host_leaves_all_as_it_is(self):
        done, found = entered("host")
        self.assertEqual(done.stderr, "")
        self.assertEqual(found[:2], [{"network": "host", "congestion": self.before}, self.before])

    def test_an_unknown_name_is_refused_with_those_that_are_there(self):
        done, _ = entered("sideways")
        self.assertEqual(done.returncode, 1)
        self.assertIn("sideways", done.stderr)
        self.assertIn(", ".join(network._read(network.AVAILABLE).split()), done.stderr)

    def test_where_no_namespace_is_permitted_the_host_s_is_used_and_that_is_said(self):
        said = io.StringIO()
        with mock.patch.object(network, "_unshare", side_effect=PermissionError(1, "why")), \
                contextlib.redirect_stderr(said):
            self.assertEqual(network.enter(network._read(network.AVAILABLE).split()[0]),
                             {"network": "host", "congestion": self.before})
            self.assertRaises(LabError, network.enter, "sideways")
        self.assertIn("(why)", said.getvalue())
        self.assertIn(self.before, said.getvalue())


class Frames(unittest.TestCase):
    def test_what_is_written_is_read(self):
        frames = [pcap.arp_request("02:00:00:00:00:01", "10.0.2.15", "10.0.2.2"),
                  pcap.udp_frame("02:00:00:00:00:02", "02:00:00:00:00:01", "10.0.2.15",
                                 "10.0.2.16", (1, 2), 64)]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "file")
            pcap.write(path, frames)
            self.assertEqual(pcap.read(path), frames)
            with open(path, "r+b") as file:
                file.truncate(os.path.getsize(path) - 1)
            self.assertEqual(pcap.read(path), frames[:1])
        self.assertEqual([len(frame) for frame in frames], [60, 64])
        self.assertEqual(pcap._checksum(frames[1][14:34]), 0)

    def test_finds_who_answers(self):
        request = pcap.arp_request("02:00:00:00:00:01", "10.0.2.2", "10.0.2.15")
        answer = request[:20] + b"\0\2" + request[22:]
        self.assertIsNone(pcap.arp_answer([request], "10.0.2.2"))
        self.assertEqual(pcap.arp_answer([request, answer], "10.0.2.2"), "02:00:00:00:00:01")
        self.assertIsNone(pcap.arp_answer([answer], "10.0.2.3"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
