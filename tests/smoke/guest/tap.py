# SPDX-License-Identifier: BSD-3-Clause
"""Test Anything Protocol, as far as it is needed here."""
import time
import traceback

from lab.proc import LabError


class Skip(Exception):
    """This machine lacks an ability; the text names it."""


class Tap:
    def __init__(self):
        self.number = 0
        self.failed = 0
        self.prefix = ""

    def scenario(self, name, function, rig):
        """One scenario: function(rig, check). What it raises outside of a check fails it, too."""
        self.prefix = name
        try:
            function(rig, self.check)
        except (LabError, OSError, AssertionError) as err:
            self._report("set_up", err, 0)
            for line in rig.logs():
                print(f"# {line}")

    def check(self, name, function, *args, **kwargs):
        """Call function; an exception is a failure. True if it passed."""
        start = time.monotonic()
        error = None
        try:
            function(*args, **kwargs)
        except (LabError, OSError, AssertionError, ValueError, KeyError, IndexError, Skip) as err:
            error = err
        self._report(name, error, time.monotonic() - start)
        return error is None

    def end(self):
        print(f"1..{self.number}", flush=True)
        return 1 if self.failed else 0

    def _report(self, name, error, seconds):
        self.number += 1
        if error is None:
            print(f"ok {self.number} - {self.prefix}.{name} # {seconds:.1f} s", flush=True)
        elif isinstance(error, Skip):
            print(f"ok {self.number} - {self.prefix}.{name} # SKIP {error}", flush=True)
        else:
            self.failed += 1
            print(f"not ok {self.number} - {self.prefix}.{name}")
            where = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
            for line in (str(error) or type(error).__name__).splitlines():
                print(f"# {line}")
            if where:
                print(f"# at {where.filename.rsplit('/', 1)[-1]}:{where.lineno}", flush=True)
