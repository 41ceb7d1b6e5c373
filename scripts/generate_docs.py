"""Write the pages of `docs/` that are made from the code, or check that they say what the code says.

    python -m scripts.generate_docs [--check]

Every reason, method and setting is on its page, or this script refuses: what has no words in the code (a
comment in a `.proto` file, an `Args` entry of a settings class) is listed, and nothing is written.

Exit code 0: written, or no difference. 1: `--check` found a difference, which is listed. 2: something has no
words, or protoc refused.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run by path: its neighbours are imported by the name that `-m` gives them
    sys.path.insert(0, str(ROOT))

from scripts.documents import api_page, reasons_page, settings_page  # noqa: E402 - needs the path above
from scripts.documents.contract import read_contract  # noqa: E402 - as above
from scripts.documents.markdown import UndocumentedError  # noqa: E402 - as above
from scripts.generate_api import ProtocRefusedError  # noqa: E402 - as above
from tanqiao.protocol.tables import render_document  # noqa: E402 - as above

DOCS_FOLDER = ROOT / "docs"


def render() -> dict[str, str]:
    """Give every generated page: name of the file in `docs/` to its text.

    Raises:
        UndocumentedError: something that a page must explain has no words.
        ProtocRefusedError: the `.proto` files cannot be read.
    """
    return {
        "api.md": api_page.render_page(read_contract()),
        "protocol-states.md": render_document(),
        "reasons.csv": reasons_page.render_data(),
        "reasons.md": reasons_page.render_page(),
        "settings.md": settings_page.render_page(),
    }


def differing(pages: dict[str, str], folder: Path) -> list[str]:
    """Give the names of the pages whose file is missing or says something else."""
    return [
        name
        for name, text in pages.items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str] | None = None) -> int:
    """Render everything, then compare or write."""
    parser = argparse.ArgumentParser(description="Generate the pages of docs/ that are made from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing, report differences")
    parser.add_argument("--output", type=Path, default=DOCS_FOLDER, help="folder of the pages")
    options = parser.parse_args(arguments)
    try:
        pages = render()
    except UndocumentedError as found:
        print("Not documented:")
        print("\n".join(f"  {item}" for item in found.items))
        return 2
    except ProtocRefusedError as refusal:
        print(refusal)
        return 2
    changed = differing(pages, options.output)
    if options.check:
        if changed:
            print("These pages do not say what the code says; run `make docs` and commit:")
            print("\n".join(f"  docs/{name}" for name in changed))
        return 1 if changed else 0
    for name in changed:
        (options.output / name).write_text(pages[name], encoding="utf-8")
    print(f"{len(changed)} page(s) changed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
