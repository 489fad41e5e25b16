"""`corgi init FOLDER --from ...`: look at what is there, and write the configs of the whole way from it to pictures.

All paths in what is written are absolute, so every command answers the same from anywhere.
"""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from configs import UserError
from storage.atomic import commit_text
from storage.samples import EVALUATE

from . import reasons
from .calibrate import quicker_precision, steps_for
from .check import problems_of
from .files import project_of
from .look import Sight, absolute, look, shares
from .policy import held_out_of, is_of_the_web, languages_of, rules_of
from .presets import (
    PRESETS,
    Machine,
    Name,
    largest_px,
    loaded,
    named,
    stage_names,
    stage_values,
    suited,
    this_machine,
    with_steps,
)
from .yaml_text import Off, yaml_text

PIPELINE, CHAIN = "pipeline.yaml", "chain.yaml"
SHARDS_A_WORKER = 4  # at least, so that workers end about together
MOST_PAIRS_OF_A_SHARD = 10_000


def init(
    folder: Path,
    given: str,
    *,
    url: str | None = None,
    caption: str | None = None,
    preset: str | None = None,
    minutes: float | None = None,
    steps: int | None = None,
) -> Iterator[str]:
    """Write the configs and yield what was seen and what to type next, a line each.

    minutes: of training, turned into steps by measuring; steps: of each stage. Raises UserError where a file is there
    already: none is ever overwritten.
    """
    run = absolute(folder)
    if "://" not in given and run.resolve().is_relative_to(Path(given).resolve()):
        raise UserError(
            f"{folder} lies in {given}, and what is made would be taken for what is there; give another folder"
        )
    sight, machine = look(given, url=url, caption=caption), this_machine()
    yield from told(sight)
    name = named(preset) if preset else suited(machine, sight.pairs)
    yield f"machine    {machine}"
    yield f"preset     {name}{'' if preset else ', as suits machine and pairs; --preset takes tiny, small or paper'}"
    refuse_overwriting(folder, [PIPELINE, *(f"{stage}.yaml" for stage in stage_names(name, sight)), EVALUATE, CHAIN])
    stages = _stages(name, run, sight, machine, minutes=minutes, steps=steps)
    for file, text in _texts(run, sight, machine, name, stages).items():
        commit_text(run / file, text)
    for stage in stages:
        of, precision = stage["batch"], stage["precision"]
        yield f"stage      {stage['stage']['name']}, {stage['steps']:,} steps of {of} samples in {precision}"
    for problem in problems_of(project_of(run)):
        yield f"first mend {problem}"
    typed = shlex.quote(str(folder))
    yield f"\nwritten    {', '.join(sorted(file.name for file in run.glob('*.yaml')))} in {folder}"
    yield f"next       corgi run {typed}            the whole way to pictures; the same again goes on after a stop"
    yield f"           corgi check {typed}          after an edit; corgi submit {typed}/{CHAIN} on a cluster"


def refuse_overwriting(run: Path, names: list[str]) -> None:
    """Raise UserError where one of the files is there already."""
    if there := [name for name in names if (run / name).exists()]:
        raise UserError(
            f"{run} holds {', '.join(there)} already; nothing is overwritten: give another folder, or remove"
        )


def told(sight: Sight) -> Iterator[str]:
    """Yield what was seen, a line each."""
    count = len(sight.captions)
    seen = f"the first {count:,}" if count < sight.pairs else f"{count:,}"
    yield f"found      {sight.kind}, {'' if sight.is_counted else 'about '}{sight.pairs:,} pairs: {sight.source}"
    if sight.taken:
        yield f"columns    {sight.taken}"
    if sight.columns:
        yield f"           further, for rules: {', '.join(sight.columns[:12])}{' ...' * (len(sight.columns) > 12)}"
    distinct, words = len(set(sight.captions)), sorted(len(caption.split()) for caption in sight.captions)
    yield f"captions   {distinct:,} different of {seen}; {words[0]} to {words[-1]} words, median {words[count // 2]}"
    languages = list(languages_of(sight).items())[:3]
    yield f"           language, by guess: {', '.join(f'{code} {share:.0%}' for code, share in languages)}"
    if sight.sizes:
        short = sorted(min(size) for size in sight.sizes)
        middle = short[len(short) // 2]
        yield f"sizes      shorter side of {len(short):,}: {short[0]} to {short[-1]} px, median {middle}"
    if sight.lost:
        yield f"unusable   {shares(sight.lost, [*sight.captions, *sight.lost.elements()])}"
    if sight.links:
        yield f"           {sight.links:,} links to pictures are passed over; `cp -rL` makes files of them"
    if sight.way == "table":
        private = sum(sight.private.values())
        verdict = "let through: a server of your own" if sight.is_own_server else "refused, as in any table"
        yield f"hosts      {sight.hosts:,}; urls to private addresses: {private:,}{f', {verdict}' if private else ''}"


def _stages(
    name: Name, run: Path, sight: Sight, machine: Machine, *, minutes: float | None, steps: int | None
) -> list[dict[str, Any]]:
    """Return the values of each stage's YAML."""
    preset, names = PRESETS[name], stage_names(name, sight)
    precision = "bf16" if machine.gpus_gib else quicker_precision()
    stages = [stage_values(name, stage, run, sight, machine, precision=precision) for stage in names]
    minutes = preset.minutes if minutes is None else minutes
    if steps is not None:
        return [with_steps(values, steps) for values in stages]
    if minutes is None:
        return stages
    whole = sum(preset.shares[stage] for stage in names)
    each = [minutes * preset.shares[stage] / whole for stage in names]
    return [with_steps(v, steps_for(loaded(v), minutes=part)) for v, part in zip(stages, each, strict=True)]


def _texts(run: Path, sight: Sight, machine: Machine, name: Name, stages: list[dict[str, Any]]) -> dict[str, str]:
    """Return the text of each file."""
    values, why = _pipeline(run, sight, machine, name, stages)
    folder = shlex.quote(str(run))  # as it is typed
    head = f"From {sight.kind} to an index of trainable pairs. Written by `corgi init`; yours from here on.\n\n"
    texts = {
        PIPELINE: yaml_text(
            values, why, head=f"{head}Command:   corgi run {folder}, or a step alone: corgi select {folder}/{PIPELINE}"
        )
    }
    for stage in stages:
        file = f"{stage['stage']['name']}.yaml"
        says = f"{stage['stage']['name']} of the preset {name}: " + (
            f"{stage['stage']['low_res_px']} to {stage['stage']['image_px']} px"
            if "low_res_px" in stage["stage"]
            else f"text to {stage['stage']['image_px']} px"
        )
        texts[file] = yaml_text(stage, reasons.TRAIN, head=f"{says}.\n\nCommand:   corgi train {folder}/{file}")
    sets = {"per_group": 10, "held_out": 30, "compared": 1000, "gap_pairs": 100, "enlarged": 16}
    evaluate = {**sets, "sample": {"precision": stages[0]["precision"]}}
    texts[EVALUATE] = yaml_text(
        evaluate, reasons.EVALUATE, head=f"What is drawn and measured.\n\nCommand:   corgi evaluate {folder}"
    )
    texts[CHAIN] = yaml_text(
        _chain(run, sight, machine, stages),
        reasons.CHAIN,
        head=f"The same as SLURM jobs.\n\nCommand:   corgi submit {folder}/{CHAIN} --dry-run",
    )
    return texts


def _pipeline(
    run: Path, sight: Sight, machine: Machine, name: Name, stages: list[dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values of the pipeline's YAML, and the reasons of its keys."""
    why, px = dict(reasons.PIPELINE), largest_px(stages)
    shard = max(1, min(MOST_PAIRS_OF_A_SHARD, max(64, sight.pairs // (SHARDS_A_WORKER * machine.cores))))
    columns = {key: value for key, value in (("url", sight.url), ("caption", sight.caption)) if value}
    values: dict[str, Any] = {"run": str(run)}
    if sight.way == "shards":
        values |= {"adopt": {"source": sight.source, **columns, "shard_size": shard}, "workers": machine.cores}
    else:
        values |= {"table": sight.source, "workers": machine.cores, "plan": {**columns, "shard_size": shard}}
        values["download"] = _download(sight, px)
    if not is_of_the_web(sight):
        values["score"] = {"nsfw": None, "hate": None}
    rules = {}
    for rule in rules_of(sight):
        rules[rule.name] = rule.sql if rule.is_on else Off(rule.sql)
        why[f"select.rules.{rule.name}"] = rule.why
    held_out, why["select.held_out"] = held_out_of(sight)
    values["select"] = {"rules": rules, "held_out": held_out}
    large = {}
    for stage in stages:
        side = stage["stage"]["image_px"]
        if column := stage["data"].get("column"):
            large[column] = {"large_enough": f"stored_width >= {side} and stored_height >= {side}"}
            why[f"select.stages.{column}"] = "trains on these alone"
            why[f"select.stages.{column}.large_enough"] = "smaller ones would teach it to blur"
    if large:
        values["select"]["stages"] = large
    values["embed"] = {"text": stages[0]["text"]["encoder"]}
    return values, why


def _download(sight: Sight, px: int) -> dict[str, Any]:
    values: dict[str, Any] = {"size_px": max(px, 256), "resize": "keep_ratio", "min_side_px": 32}
    if not sight.is_own_server:
        return {"user_agent": "corgi/0.1 (+https://example.org/who-to-ask)", **values}
    return {**values, "allow_addresses": sorted(sight.private), "host_connections": 16, "host_interval_s": 0.0}


def _chain(run: Path, sight: Sight, machine: Machine, stages: list[dict[str, Any]]) -> dict[str, Any]:
    shard_steps = ("adopt",) if sight.way == "shards" else ("download",)
    tasks = {step: {"tasks": 2} for step in (*shard_steps, "score", "select", "embed")}
    train: dict[str, Any] = {"nodes": 1}
    if machine.gpus_gib:
        train["gpus_per_node"] = stages[0].get("processes", 1)
    slurm = {"cpus": machine.cores, "mem_gb": 4 * machine.cores, "time_min": 240, **tasks}
    files = [str(run / f"{stage['stage']['name']}.yaml") for stage in stages]
    return {
        "pipeline": str(run / PIPELINE),
        "train": files,
        "run": str(run),
        "slurm": {**slurm, "train": {**train, "time_min": 1440}},
    }
