# SPDX-License-Identifier: Apache-2.0
"""Runs pytest: the tests that `--only` names as the JUnit report does, or all. Threads that are left are not waited for."""

import os
import sys

import pytest
from _pytest.junitxml import bin_xml_escape, mangle_test_address


class Only:
    def pytest_addoption(self, parser):
        parser.addoption("--only", action="append", default=[])

    def pytest_collection_modifyitems(self, config, items):
        names = set(config.getoption("only"))
        if names:
            items[:] = [item for item in items if self.reported(item) in names]

    def reported(self, item):
        *of, name = mangle_test_address(item.nodeid)
        return ".".join([*of, bin_xml_escape(name)])


ended = pytest.ExitCode.INTERNAL_ERROR
try:
    ended = pytest.main(sys.argv[1:], plugins=[Only()])
finally:
    if ended not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and os.path.exists(sys.argv[-1]):
        # What has not been run to its end is no report.
        os.unlink(sys.argv[-1])
os._exit(ended)
