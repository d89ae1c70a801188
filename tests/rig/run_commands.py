"""Run the command lines on stdin, a JSON list, one after the other in this process."""

import io
import json
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout

from asd_monitor.cli import main


def run(arguments: list[str]) -> dict[str, object]:
    """Return exit code, stdout and stderr of one command; code -1 for an unexpected error."""
    sys.argv[:] = ["asd-monitor", *arguments]
    code: object = 0
    with redirect_stdout(io.StringIO()) as stdout, redirect_stderr(io.StringIO()) as stderr:
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            code = -1
            traceback.print_exc()
    return {"code": code, "stdout": stdout.getvalue(), "stderr": stderr.getvalue()}


if __name__ == "__main__":
    json.dump([run(arguments) for arguments in json.load(sys.stdin)], sys.stdout)
