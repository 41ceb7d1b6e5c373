"""What every command has: `--home`, `--json`, a session, exit codes, and refusals shown the same way."""

from __future__ import annotations

import errno
import os
import traceback
from pathlib import Path
from typing import Any, Final

import click

from tanqiao.cli.output import EXIT_CODES, EXIT_FAULT, EXIT_INTERRUPTED, Output, exit_code
from tanqiao.kernel.errors import DomainError

TRACEBACK_VARIABLE: Final = "TANQIAO_TRACEBACK"
INTEGER_MAX: Final = 2**63 - 1
"""The wire's whole numbers have 64 bits."""
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class Verb(click.Command):
    """A command that runs in a session; its callback gets the session first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - click's own parameters
        super().__init__(*args, **kwargs)
        self.params += [
            click.Option(
                ["--home"],
                type=click.Path(path_type=Path, file_okay=False),
                envvar="TANQIAO_HOME",
                help="Directory of the federation. [default: ./.tanqiao]",
            ),
            click.Option(
                ["--field"],
                metavar="PATH",
                help="Print one value of the JSON document, for a shell variable: account_id, nodes.0.pid.",
            ),
            click.Option(
                ["--json", "as_json"], is_flag=True, help="Print one JSON document instead of tables."
            ),
        ]
        self.epilog = EXIT_CODES

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; what no message can carry is a usage error before anything is asked."""
        rest = super().parse_args(ctx, args)
        for parameter in self.params:
            given = ctx.params.get(parameter.name or "")
            for value in given if isinstance(given, tuple) else (given,):
                if isinstance(value, int) and abs(value) > INTEGER_MAX:
                    raise click.BadParameter(f"{value}: at most {INTEGER_MAX}.", ctx, parameter)
                if isinstance(value, str) and not _is_text(value):
                    raise click.BadParameter(f"{value!a} is not UTF-8.", ctx, parameter)
        return rest

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - as click's
        """Run the callback in a session and turn what it raises into a line and an exit code."""
        from tanqiao.cli.session import Session, choose_home

        output = Output(as_json=bool(ctx.params.pop("as_json", False)), field=ctx.params.pop("field", None))
        home: Path | None = ctx.params.pop("home", None)
        try:
            with Session(choose_home(home), output, home_named=home is not None) as session:
                ctx.obj = session
                return super().invoke(ctx)
        except DomainError as refusal:
            output.refused(refusal)
            code = exit_code(refusal)
        except KeyboardInterrupt:
            output.step("已停止 / stopped")
            code = EXIT_INTERRUPTED
        except (click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError):
            raise
        except OSError as error:
            at_fault = _file_refusal(error, home or Path.cwd())
            if at_fault is None:
                code = _fault(output, error)
            else:
                output.refused(at_fault)
                code = exit_code(at_fault)
        except Exception as error:  # noqa: BLE001 - the last line of defence: one line, not a page
            code = _fault(output, error)
        raise click.exceptions.Exit(code)


def _fault(output: Output, error: Exception) -> int:
    if os.environ.get(TRACEBACK_VARIABLE):
        traceback.print_exc()
    output.fault(f"{type(error).__name__}: {error} (set {TRACEBACK_VARIABLE}=1 to see where)")
    return EXIT_FAULT


def _file_refusal(error: OSError, home: Path) -> DomainError | None:
    """Give what is wrong with a file or its disk; None where no file is concerned.

    Args:
        error: what the system said; a write that finds no room names no file.
        home: directory of the federation, where most is written.
    """
    file = None if error.filename is None else os.fsdecode(error.filename)
    if error.errno in _NO_ROOM:
        return DomainError("DISK_FULL", directory=str(home if file is None else Path(file).parent))
    if file is None:
        return None
    return DomainError("FIELD_INVALID", field="file", detail=f"{file}: {error.strerror or error}")


def _is_text(value: str) -> bool:
    """Say whether the bytes of an argument were UTF-8; Python marks others with lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
