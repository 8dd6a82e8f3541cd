"""Put adapters, presets and templates into text-generation-webui, check what lies there, or take them out again."""

from pathlib import Path
from typing import Annotated

import typer

from leylora import console
from leylora.errors import LeyloraError, UsageError
from leylora.project import LORA

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Adapters, presets, templates. Default: all.")
    ] = None,
    webui: Annotated[Path | None, typer.Option(metavar="PATH", help="The folder with server.py, or user_data.")] = None,
    check: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Only say what of an installation would load, and why not.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take an earlier export out again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")] = False,
    extension: Annotated[
        bool, typer.Option("--extension", help="Also the extension that answers from articles of law.")
    ] = False,
    laws: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Parsed laws for the extension. Default: data/build/laws.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace your files of the same name.")] = False,
    lora_root: Annotated[Path, typer.Option(metavar="PATH", help="Where the adapters lie.")] = LORA,
) -> None:
    """Copy adapters with their presets and templates into text-generation-webui, so that they load there.

    An adapter brings its template and its preset. Your own files and entries are kept; --remove undoes an export.
    """
    from leylora.webui import export as exports
    from leylora.webui import guide

    if sum(option is not None for option in (webui, check)) != 1:
        raise UsageError("Say where to: --webui PATH, or --check PATH.")
    if (remove and webui is None) or (remove and names):
        raise UsageError("--remove goes with --webui PATH alone; it takes out the whole export.")
    if (extension and (remove or check)) or (laws and not extension):
        raise UsageError("--laws goes with --extension, and --extension with --webui.")
    if check is not None:
        from leylora.webui.check import check_install

        verdicts = check_install(check)
        console.out.print(guide.verdicts(verdicts))
        if faulty := [verdict for verdict in verdicts if verdict.faults]:
            raise LeyloraError(f"{len(faulty)} of {len(verdicts)} would not work; the table says why.")
        return
    made = None
    if extension:
        from leylora.webui.extension.artifact import extension_artifact

        made = extension_artifact(laws)
    if webui is not None and remove:
        console.out.print(guide.report(exports.remove(webui, dry_run)))
    elif webui is not None:
        console.out.print(guide.report(exports.export(webui, names or (), lora_root, dry_run, overwrite, made)))


if __name__ == "__main__":
    console.run(app)
