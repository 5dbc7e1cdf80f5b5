"""Runs a command line client as often as it is asked to, without starting Python each time.

forks.py COMMAND: a line of standard input is {"call": a command of the client, "arguments": [text, ...]}; a line of standard output is
{"exit": code, "printed": text, "complained": text}. Each run is a process of its own.
"""

import json
import os
import sys
from importlib.metadata import entry_points


def entry(name):
    """The function that the script of that name calls."""
    found = entry_points()
    scripts = found.select(group="console_scripts") if hasattr(found, "select") else found["console_scripts"]
    return next(script.load() for script in scripts if script.name == name)


def run(main, command, arguments):
    """Never returns: this is the child."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = [command, *arguments]
    code = 1
    try:
        code = main()
    except SystemExit as left:
        code = left.code
    except BaseException:
        sys.excepthook(*sys.exc_info())  # the client may have one of its own
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)


def text(file):
    os.lseek(file, 0, os.SEEK_SET)
    with os.fdopen(file, "rb") as opened:
        return opened.read().decode()


def main():
    command = sys.argv[1]
    called = entry(command)
    for line in sys.stdin:
        call = json.loads(line)
        printed, complained = os.memfd_create("printed"), os.memfd_create("complained")
        child = os.fork()
        if child == 0:
            os.dup2(printed, 1)
            os.dup2(complained, 2)
            run(called, command, [call["call"], *call["arguments"]])
        _, status = os.waitpid(child, 0)
        outcome = {"exit": os.waitstatus_to_exitcode(status), "printed": text(printed), "complained": text(complained)}
        print(json.dumps(outcome), flush=True)


main()
