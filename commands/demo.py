"""The page where visitors click words: from a vocabulary to a signed site."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from configs import printable

from .app import Overrides, Rank, WorldSize, app, share_of, tell

demo = typer.Typer(
    name="demo",
    help="A page where visitors click words of prepared sentences. In the order of its making.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(demo)

VocabularyFile = Annotated[Path, typer.Argument(help="YAML of sentences and words, e.g. configs/demo/emoji.yaml")]
DemoFolder = Annotated[Path, typer.Argument(help="Folder of a compiled demo")]
Site = Annotated[Path, typer.Argument(help="Folder of a bundle")]
PublicKey = Annotated[str | None, typer.Option(help="Who must have signed it: 64 hex digits, or a file of them.")]


@demo.command()
def lint(vocab: VocabularyFile, overrides: Overrides = None) -> None:
    """Count every sentence, and look at each: persons, hate, blocked words, doubles. Exit code 3 where one fails."""
    from configs import load
    from demo.lint import lint as look
    from demo.vocabulary import Vocabulary

    result = look(load(Vocabulary, vocab, overrides or []))
    for problem in result.problems:
        print(f"{vocab}: {printable(problem)}", file=sys.stderr)
    print(f"{vocab}: {result.words} words, {result.sentences:,} sentences, {len(result.problems)} problems")
    if result.problems:
        raise typer.Exit(3)


@demo.command("compile")
def compile_(
    vocab: VocabularyFile,
    stages: Annotated[list[Path], typer.Argument(help="Run folders of the trained stages")],
    out: Annotated[Path, typer.Option(help="Folder of the demo; the same command goes on where it stopped.")],
    pictures: Annotated[int, typer.Option(min=1, max=100, help="Of each sentence.")] = 1,
    seed: Annotated[int, typer.Option(help="Another one draws other pictures.")] = 0,
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    batch: Annotated[int, typer.Option(min=1, help="Pictures drawn at once.")] = 16,
    rank: Rank = None,
    world_size: WorldSize = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes here.")] = 1,
) -> None:
    """Draw every sentence, screen and hash every picture. Resumes, and splits over machines like any shard step."""
    from configs import UserError, load
    from demo.compile import compile_demo
    from demo.vocabulary import Vocabulary

    if precision not in ("fp32", "bf16"):
        raise UserError(f"precision {precision!r} is neither fp32 nor bf16")
    share = share_of("demo compile", rank, world_size)
    outcome = compile_demo(
        load(Vocabulary, vocab),
        stages,
        out=out,
        pictures=pictures,
        seed=seed,
        precision=precision,  # type: ignore[arg-type]  # checked above
        batch=batch,
        rank=share.rank,
        world_size=share.world_size,
        workers=workers,
    )
    tell("demo compile", outcome)


@demo.command()
def review(
    folder: DemoFolder,
    reviewer: Annotated[str, typer.Option(help="Who looks; it stands in the log beside every decision.")],
    port: Annotated[int, typer.Option(help="On loopback.")] = 8766,
) -> None:
    """Look at every picture on a local page: approve, reject, have it drawn anew. Nothing unseen is published."""
    from demo.review_page import review as look_through

    look_through(folder, reviewer=reviewer, port=port)


@demo.command()
def bundle(
    folder: DemoFolder,
    out: Annotated[Path, typer.Option(help="Folder of the site; any web server can serve it.")],
    key: Annotated[Path, typer.Option(help="Private ed25519 key as PEM; made where there is none. Keep it.")],
    is_draft: Annotated[bool, typer.Option("--draft", help="With what nobody has looked at; never served.")] = False,
) -> None:
    """Write the static site of what was approved, every file named by its content, and sign it."""
    from demo.bundle import bundle as write
    from storage.signed import load_key, public_hex

    private = load_key(key)
    made = write(folder, out=out, key=private, is_draft=is_draft)
    left_out = "  ".join(f"{state} {count:,}" for state, count in sorted(made.left_out.items()))
    print(f"{out}: {made.shown:,} of {made.sentences:,} sentences have a picture  {left_out}".rstrip())
    print(f"public key {public_hex(private)}")


@demo.command()
def verify(site: Site, public_key: PublicKey = None) -> None:
    """Read every file of a bundle, and name what was changed. Exit code 1 where something was."""
    from storage.signed import read_public_key, read_signed

    signed = read_signed(site, public_key=None if public_key is None else read_public_key(public_key))
    by = "as asked" if public_key else "give --public-key to say who must have signed it"
    print(f"{site}: {len(signed.files)} files are as {signed.public_key} signed them ({by})")


@demo.command()
def serve(
    site: Site,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option()] = 8080,
    public_key: PublicKey = None,
    per_second: Annotated[float, typer.Option(min=0, help="Requests of one client in the long run; 0: any.")] = 100.0,
    burst: Annotated[int, typer.Option(min=1, help="Requests of one client at once.")] = 1000,
    connections: Annotated[int, typer.Option(min=0, help="Of one client at once; 0: any number.")] = 64,
    log: Annotated[bool, typer.Option("--log/--no-log", help="A line a request, without addresses.")] = True,
) -> None:
    """Verify a bundle, then serve it. Only GET and HEAD of what the manifest names."""
    from demo.serve import site_of
    from report.web import run
    from storage.signed import read_public_key

    known = None if public_key is None else read_public_key(public_key)
    say = (lambda line: print(line, flush=True)) if log else None
    app, signed = site_of(site, public_key=known, per_second=per_second, burst=burst, log=say)
    print(f"{len(signed.files)} files, signed by {signed.public_key}; http://{host}:{port}/", flush=True)
    run(app, host=host, port=port, connections=connections)
