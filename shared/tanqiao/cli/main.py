"""`tanqiao`: the command line of a federation."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

import click

from tanqiao.cli.output import EXIT_CODES, EXIT_INTERRUPTED, EXIT_USAGE

_FEDERATION: Final = "tanqiao.cli.verbs.federation"
_ACCOUNTS: Final = "tanqiao.cli.verbs.accounts"
_REGISTERS: Final = "tanqiao.cli.verbs.registers"
_UNITS: Final = "tanqiao.cli.verbs.units"
_BRIDGE: Final = "tanqiao.cli.verbs.bridge"
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "up": (_FEDERATION, "up"),
    "demo": ("tanqiao.cli.demo.command", "demo"),
    "status": (_FEDERATION, "status"),
    "down": (_FEDERATION, "down"),
    "logs": (_FEDERATION, "logs"),
    "regions": (_BRIDGE, "regions"),
    "accounts": (_ACCOUNTS, "accounts"),
    "methodology": (_REGISTERS, "methodology"),
    "dossier": ("tanqiao.cli.verbs.dossiers", "dossier"),
    "expert": ("tanqiao.cli.verbs.dossiers", "expert"),
    "scene": ("tanqiao.cli.verbs.scenes", "scene"),
    "experience": ("tanqiao.cli.verbs.scenes", "experience"),
    "project": (_REGISTERS, "project"),
    "activity": (_REGISTERS, "activity"),
    "issue": (_REGISTERS, "issue"),
    "local": (_UNITS, "local"),
    "recognition": (_BRIDGE, "recognition"),
    "freeze": ("tanqiao.cli.verbs.orders", "freeze"),
    "correction": ("tanqiao.cli.verbs.orders", "correction"),
    "approve": ("tanqiao.cli.verbs.orders", "approve"),
    "decision": ("tanqiao.cli.verbs.decisions", "decision"),
    "transfer": (_UNITS, "transfer"),
    "retire": (_UNITS, "retire"),
    "cancel": (_UNITS, "cancel"),
    "disclosure": ("tanqiao.cli.verbs.disclosure", "disclosure"),
    "parameter": ("tanqiao.cli.verbs.parameters", "parameter"),
    "encumbrance": ("tanqiao.cli.verbs.encumbrances", "encumbrance"),
    "trading-mandate": ("tanqiao.cli.verbs.mandates", "trading_mandate"),
    "clawback": ("tanqiao.cli.verbs.clawbacks", "clawback"),
    "consent": ("tanqiao.cli.verbs.consents", "consent"),
    "certificate": ("tanqiao.cli.verbs.certificates", "certificate"),
    "retirement": (_UNITS, "retirement"),
    "journal": (_UNITS, "journal"),
    "trace": (_BRIDGE, "trace"),
    "log": (_BRIDGE, "log"),
    "keys": ("tanqiao.cli.verbs.keys", "keys"),
    "prove": ("tanqiao.cli.verbs.proving", "prove"),
    "verify": ("tanqiao.cli.verbs.verifying", "verify_command"),
    "witnesses": ("tanqiao.cli.verbs.witnesses", "witnesses"),
    "witness": ("tanqiao.cli.witness", "witness_command"),
    "mirror": ("tanqiao.cli.witness", "mirror_command"),
    "claims": ("tanqiao.cli.verbs.claims", "claims"),
    "cases": ("tanqiao.cli.verbs.cases", "cases"),
    "tokens": ("tanqiao.cli.verbs.tokens", "tokens"),
    "import": ("tanqiao.cli.verbs.gateways", "import_list"),
    "lists": ("tanqiao.cli.verbs.lists", "lists"),
    "coordination": ("tanqiao.cli.verbs.coordination", "coordination"),
    "reserve": ("tanqiao.cli.verbs.reserve", "reserve"),
    "conformance": ("tanqiao.cli.verbs.conformance", "conformance"),
    "clock": (_BRIDGE, "clock"),
    "conservation": (_BRIDGE, "conservation"),
    "reconcile": ("tanqiao.cli.verbs.reconcile", "reconcile"),
    "fsck": (_BRIDGE, "fsck"),
    "simulate": ("tanqiao.cli.verbs.simulate", "simulate"),
}
"""Command → (module, attribute); a module is loaded when its command is used."""


class Commands(click.Group):
    """The commands, each loaded when it is asked for, so that `--help` answers at once."""

    def main(self, *args: Any, **extra: Any) -> Any:  # noqa: ANN401 - click's own parameters
        """Run a command; Ctrl-C ends with its own code wherever it comes, also before a command has begun."""
        run: Callable[..., Any] = super().main
        if not extra.pop("standalone_mode", True):
            return run(*args, standalone_mode=False, **extra)
        try:
            code = run(*args, standalone_mode=False, **extra)
        except click.ClickException as error:
            error.show()
            code = error.exit_code
        except click.Abort as abort:
            # A question that nobody answers, because there is no terminal, is a matter of usage.
            unanswered = isinstance(abort.__context__, EOFError)
            click.echo("没有输入 / nothing to read" if unanswered else "已停止 / stopped", err=True)
            code = EXIT_USAGE if unanswered else EXIT_INTERRUPTED
        sys.exit(code if isinstance(code, int) else 0)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the commands in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        del ctx
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        command = getattr(import_module(place[0]), place[1])
        return command if isinstance(command, click.Command) else None


HELP: Final = """Tanqiao 碳桥: regional carbon-inclusion registries that act as one.

\b
Start here / 从这里开始:
  tanqiao up        start a federation on this machine 在本机启动一个联邦
  tanqiao demo      walk through its main story 走一遍主要流程
  tanqiao status    see the nodes 查看各节点
  tanqiao down      stop it 停止
"""


@click.group(
    cls=Commands, help=HELP, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="tanqiao", prog_name="tanqiao")
def main() -> None:
    """Run the command line."""


if __name__ == "__main__":
    main()
