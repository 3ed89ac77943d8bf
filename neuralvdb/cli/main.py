"""Entry point of `nvdb`: parses, runs a command, prints its results, gives the exit code."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import ClassVar

import neuralvdb
from neuralvdb import errors
from neuralvdb.cli import output
from neuralvdb.cli.interrupts import interruptible
from neuralvdb.cli.jobs import Command, Failure, internal_error
from neuralvdb.cli.progress import view_of
from neuralvdb.cli.report import Reporter, Style
from neuralvdb.new_folder import without_empty_folders


class _Commands(Mapping[str, Command]):
    """The commands by name, each loaded when it is asked for."""

    _names = ("compress", "decompress", "pack", "unpack", "mount", "unmount", "cache", "info", "verify", "diff", "view")
    _modules: ClassVar = {name: name for name in _names} | {"report": "page", "train": "train"}

    def __getitem__(self, name: str) -> Command:
        command: Command = import_module(f"neuralvdb.cli.{self._modules[name]}")
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


COMMANDS = _Commands()
_SIGNED = ("--bbox", "--frames")  # options whose values may begin with a minus
_EPILOG = """exit codes:
  0  done                               7  output cannot be written (no space, no right)
  1  a bug or a crash: report it        8  decoded data is not what was promised
  2  wrong arguments                    9  out of memory
  3  input cannot be read              10  verify, diff: there are differences
  4  input is damaged                  11  no such grid
  5  needs a newer version or library  12  priors are missing; give --priors
  6  output exists already             13  no such device
                                      130  interrupted, by a signal or ulimit -t"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `nvdb` with these arguments (default: the process's) and gives its exit code."""
    report = Reporter(Style(quiet=True))
    try:
        with interruptible(main.__code__) as end_interrupts:
            try:
                _open_standard_streams()
                words = sys.argv[1:] if argv is None else list(argv)
                args = _parser(words).parse_args(_joined(words))
                report = reporter_of(args)
                with without_empty_folders():
                    _run(COMMANDS[args.command], args, report)
            except KeyboardInterrupt:
                end_interrupts()
                report.stop()
                report.finish()
                return errors.INTERRUPTED
    except (BrokenPipeError, KeyboardInterrupt):  # nobody reads on, as where `head` has seen enough; or all is done
        return errors.INTERRUPTED
    return report.exit_code


def reporter_of(args: argparse.Namespace) -> Reporter:
    """The Reporter that the options ask for."""
    style = Style(
        command=args.command,
        as_json=args.json,
        json_lines=args.json_lines,
        quiet=args.quiet,
        verbose=args.verbose,
    )
    as_json = args.json or args.json_lines
    return Reporter(style, view_of(args.progress, _label(args), quiet=args.quiet or as_json))


def _label(args: argparse.Namespace) -> str:
    """What the bar of a single file is called."""
    inputs = getattr(args, "inputs", None) or [""]
    return output.printable(os.path.basename(inputs[0]))


def _run(command: Command, args: argparse.Namespace, report: Reporter) -> None:
    try:
        if args.progress == "openjd" and (args.json or args.json_lines):
            raise errors.UsageError("--progress openjd and JSON are both for stdout; leave one out")
        command.run(args, report)
    except errors.NeuralVdbError as error:
        report.failure(Failure("", error))
    except BrokenPipeError:  # of stdout
        raise
    except Exception as error:
        report.failure(Failure("", internal_error(error)))
    report.finish()


def _parser(words: list[str]) -> argparse.ArgumentParser:
    """A parser of these words, which knows no other command than the one that they begin with."""
    parser = argparse.ArgumentParser(
        prog="nvdb",
        description="A neural compressor for OpenVDB volumes.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"nvdb {neuralvdb.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in words[:1] if words and words[0] in COMMANDS else COMMANDS:
        command = COMMANDS[name]
        command.add_arguments(commands.add_parser(name, help=command.HELP, description=command.HELP))
    return parser


def _joined(argv: list[str]) -> list[str]:
    """`--bbox -1,...` as one word: argparse takes a number that begins with a minus for an option."""
    words = iter(argv)
    return [f"{word}={next(words, '')}" if word in _SIGNED else word for word in words]


def _open_standard_streams() -> None:
    """Gives input, output and errors that are closed, as daemons have them, a place where nothing is.

    stdout escapes what its encoding lacks, since names of files need not be UTF-8.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - takes the lowest free number, its own
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
