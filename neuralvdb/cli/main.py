"""Entry point of `nvdb`: parses, runs a command, prints its results, gives the exit code."""

from __future__ import annotations

import argparse
import io
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

import neuralvdb
from neuralvdb import errors
from neuralvdb.cli import compress, decompress, diff, info, output, train, verify
from neuralvdb.cli.jobs import Command, Failure, Outcome

COMMANDS: dict[str, Command] = {
    "compress": compress,
    "decompress": decompress,
    "info": info,
    "verify": verify,
    "diff": diff,
    "train": train,
}
_EPILOG = """exit codes:
  0  done                          7  output cannot be written (disk full, no permission)
  1  a bug or a crash: report it   8  decoded data is not what was promised
  2  wrong arguments               9  out of memory
  3  input cannot be read         10  verify, diff: there are differences
  4  input is damaged             11  no such grid
  5  input needs a newer version  12  priors are missing; give them with --priors
  6  output exists already        13  no such device
                                 130  interrupted"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `nvdb` with these arguments (default: the process's) and gives its exit code."""
    args = _parser().parse_args(_joined(sys.argv[1:] if argv is None else list(argv)))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be UTF-8
    signal.signal(signal.SIGTERM, _terminated)
    try:
        return _run(COMMANDS[args.command], args)
    except errors.NeuralVdbError as error:
        if args.json:
            output.print_json(Outcome([], [Failure("", error)]))
        output.print_error(error)
        return error.exit_code
    except (KeyboardInterrupt, BrokenPipeError):
        output.print_note("interrupted; nothing half-written was left")
        return errors.INTERRUPTED
    except Exception as error:
        if args.verbose:
            raise
        output.print_note(f"internal error, please report it with the output of -v: {type(error).__name__}: {error}")
        return errors.NeuralVdbError.exit_code


def _run(command: Command, args: argparse.Namespace) -> int:
    outcome = command.run(args)
    if args.json:
        output.print_json(outcome)
    elif not args.quiet:
        for result in outcome.results:
            print(result.text)
    for failure in outcome.failures:
        output.print_error(failure.error)
    if outcome.failures:
        return outcome.failures[0].error.exit_code
    return errors.DIFFERENT if any(result.different for result in outcome.results) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nvdb",
        description="A neural compressor for OpenVDB volumes.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"nvdb {neuralvdb.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        command.add_arguments(commands.add_parser(name, help=command.HELP, description=command.HELP))
    return parser


def _joined(argv: list[str]) -> list[str]:
    """`--bbox -1,...` as one word: argparse takes a number that begins with a minus for an option."""
    if "--bbox" in argv[:-1]:
        at = argv.index("--bbox")
        return [*argv[:at], f"--bbox={argv[at + 1]}", *argv[at + 2 :]]
    return argv


def _terminated(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
