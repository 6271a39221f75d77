"""The command line: `perception COMMAND ...`. Each command lives in its own file of perception.commands.

Exit status: 0 done; 1 the run failed; 2 the request was wrong; 130 stopped by the user.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence

from perception import __version__
from perception.errors import PerceptionError, RequestError

COMMANDS = {
    "run": "find and follow what is on the road; write an overlay video and a record",
    "bench": "measure how many frames a second this machine reaches, and what limits it",
    "build": "compile an engine with TensorRT for this machine",
    "engines": "list the installed engines",
    "classify": "say what pictures of signs or lights show",
    "track": "follow the detections of a MOTChallenge text file",
    "eval": "measure results against truth",
    "doctor": "say what works on this machine, what does not and what to do",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Only the command that was asked for is imported: the others' needs would cost start-up time.
    chosen = next((word for word in words if word in COMMANDS), None)
    parser = _parser(chosen)
    options = parser.parse_args(words)
    logging.basicConfig(
        level=logging.DEBUG if options.debug else logging.WARNING,
        format="%(levelname)s %(message)s",
    )
    if not hasattr(options, "call"):
        parser.print_help()
        return 2
    try:
        status: int = options.call(options)
        sys.stdout.flush()
        return status
    except PerceptionError as error:
        if options.debug:
            traceback.print_exc()
        print(f"perception: {error}", file=sys.stderr)
        return 2 if isinstance(error, RequestError) else 1
    except KeyboardInterrupt:
        print("perception: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing to say, and nowhere to say it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show tracebacks and debug messages")
    parser = argparse.ArgumentParser(
        prog="perception",
        description="Real-time video perception for driving footage.",
        epilog="`perception COMMAND --help` explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"perception {__version__}")
    parser.set_defaults(debug=False)
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=summary, parents=[common])
        if name == chosen:
            module = importlib.import_module(f"perception.commands.{name}")
            module.configure(sub)
            sub.set_defaults(call=module.call)
    return parser


if __name__ == "__main__":
    sys.exit(main())
