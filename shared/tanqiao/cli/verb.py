"""What every command has: `--home`, `--json`, a session, exit codes, and refusals shown the same way."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any, Final

import click

from tanqiao.cli.output import EXIT_CODES, EXIT_FAULT, EXIT_INTERRUPTED, Output, exit_code
from tanqiao.kernel.errors import DomainError

TRACEBACK_VARIABLE: Final = "TANQIAO_TRACEBACK"


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
                help="Print one value of that document, for a shell variable: account_id, nodes.0.address.",
            ),
            click.Option(
                ["--json", "as_json"], is_flag=True, help="Print one JSON document instead of tables."
            ),
        ]
        self.epilog = EXIT_CODES

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
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except Exception as error:  # noqa: BLE001 - the last line of defence: one line, not a page
            if os.environ.get(TRACEBACK_VARIABLE):
                traceback.print_exc()
            output.fault(f"{type(error).__name__}: {error} (set {TRACEBACK_VARIABLE}=1 to see where)")
            code = EXIT_FAULT
        raise click.exceptions.Exit(code)
