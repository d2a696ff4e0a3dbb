"""Runs the test_* functions of one module inside MicroPython and tells how each went.

Started by run_micropython.py: `device_runner.py wire.test_codec [name]`. Speaks in lines that
start with PASS, FAIL or END; everything else is the tests' own output.
"""

import gc
import sys


def run(module_name: str, wanted: str) -> int:
    """How many tests of the module failed."""
    __import__(module_name)
    module = sys.modules[module_name]
    passed = failed = 0
    for name in sorted(dir(module)):  # MicroPython keeps no order of definition
        test = getattr(module, name)
        if not name.startswith("test_") or not callable(test) or wanted not in name:
            continue
        gc.collect()
        try:
            test()
        except Exception as fault:  # a runner reports whatever a test raises
            failed += 1
            print("FAIL", name)
            sys.print_exception(fault)
        else:
            passed += 1
            print("PASS", name)
    print("END", passed, failed)
    return failed


sys.exit(1 if run(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "") else 0)
