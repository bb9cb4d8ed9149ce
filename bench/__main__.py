"""`make bench`, or `python -m bench` in the project's folder: runs the named parts of the benchmark, or all."""

import sys
from pathlib import Path

import click

from bench import part, report
from bench.language import language
from bench.measure import Options
from bench.server import servers
from router.errors import RouterError

PARTS = ("intake", "e2e", "relay", "flat", "backlog", "memory", "console", "control", "chat", "cluster", "language")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("parts", nargs=-1, type=click.Choice((*PARTS, "all")), metavar=f"[{'|'.join(PARTS)}|all]…")
@click.option("--rounds", type=click.IntRange(1), default=5, help="Number of rounds. [5]")
@click.option("--seconds", type=click.FloatRange(0.01), default=4.0, help="Seconds of each measurement. [4]")
@click.option("--connections", type=click.IntRange(2, 500), default=64, help="Half of them are in use at a time. [64]")
@click.option("--workers", type=click.IntRange(1), default=1, help="Processes of each candidate. [1]")
@click.option(
    "--flows",
    type=click.IntRange(11, 1_000_000),
    default=100_000,
    help="Flows in a full store; control also has ten times as many. [100000]",
)
@click.option("--queued", type=click.IntRange(1), default=100_000, help="Messages in a full store. [100000]")
@click.option("--streams", type=click.IntRange(1, 2500), default=1000, help="Open web chats. [1000]")
@click.option("--repeats", type=click.IntRange(0), default=2, help="Repetitions of a disturbed measurement. [2]")
@click.option(
    "--data-dir", type=click.Path(path_type=Path), default=Path("var"), help="A folder on the disk to measure. [var]"
)
@click.option(
    "--store",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, resolve_path=True),
    help="A valkey-server or redis-server to measure with; not for cluster. [that of the embedded store]",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="For language: a folder of labelled texts such as language-models of github.com/pemistahl/lingua-rs.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")
def bench(  # noqa: PLR0913 - one for each option
    *,
    parts: tuple[str, ...],
    rounds: int,
    seconds: float,
    connections: int,
    workers: int,
    flows: int,
    queued: int,
    streams: int,
    repeats: int,
    data_dir: Path,
    store: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Measure the router, and compare it with simple alternatives.

    Everything runs on the loopback interface of this machine and is removed afterwards: a Valkey that syncs every
    write to disk, a fast target, and the candidates, which have the same number of processes and are measured in turn.
    Figures are medians over the rounds. docs/bench.md explains them.

    \b
      make bench                                      everything except language; about twenty minutes
      make bench PART=intake OPTIONS="--rounds 3"     one part
      make bench PART=language OPTIONS="--data lingua-rs/language-models"
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if sys.platform != "linux":
        raise RouterError("the benchmark reads /proc and waits with epoll, so it needs Linux")
    if "language" in parts and data is None:
        raise RouterError(
            "the part language needs labelled texts. Get them with `git clone --depth 1 "
            "https://github.com/pemistahl/lingua-rs`, and pass --data lingua-rs/language-models"
        )
    wanted = PARTS if not parts or "all" in parts else tuple(dict.fromkeys(parts))
    options = Options(rounds, seconds, connections, workers, flows, queued, repeats, streams)
    figures: list[report.Figure] = []
    left_out: list[str] = []
    machine = report.machine()
    if timed := [name for name in wanted if name != "language"]:
        with servers(data_dir, store) as started:
            scene = part.Scene(started, options)
            machine["store"] = scene.stock.version()
            for name in timed:
                click.echo(name, err=True)
                figures += part.PARTS[name](scene)
        if part.without_express():
            left_out.append("Express: node is missing, or the packages that `npm ci` in tests/node installs")
    if "language" in wanted and data is None:
        left_out.append("language: no --data")
    elif "language" in wanted and data is not None:
        click.echo("language", err=True)
        figures += language(data)
    if as_json:
        report.print_json(figures, machine, left_out)
        return
    click.echo(", ".join(f"{name}: {value}" for name, value in machine.items()))
    for reason in left_out:
        click.echo(f"left out: {reason}")
    click.echo()
    report.print_table(figures)


if __name__ == "__main__":
    try:
        bench()
    except RouterError as error:
        sys.exit(f"bench: {error}")
