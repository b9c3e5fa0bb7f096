"""The files of a finished run: result.json, the student's weights, and what the policy learned."""

import csv
import importlib.metadata
import io
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tst_fast.config import reading
from tst_fast.models import save_weights
from tst_fast.models.weights import saved_epoch
from tst_fast.policy.file import PolicyFile
from tst_fast.report.plots import plot_policy, write_alignment
from tst_fast.run.pictures import draw_answers, fixed_images
from tst_fast.run.progress import Progress
from tst_fast.run.session import Session
from tst_pipelines.writing import write_text_whole

LIBRARIES = ("torch", "torchvision", "triton", "accelerate", "timm", "nvidia-dali-cuda120", "nvidia-dali-cuda130")


def open_folder(session: Session, folder: Path) -> None:
    """Put the configuration, and how well encoders follow, into a run's folder; a configuration that is there stays."""
    if not (folder / "config.yaml").exists():
        reading.save(session.config, folder / "config.yaml")
    if session.fits:
        write_alignment(session.fits, folder)


def make_result(session: Session, progress: Progress) -> dict[str, Any]:
    """What `result.json` holds: the scores of both networks by metric, and what they cost."""
    scores, clock = progress.student_scores, progress.clock
    return {
        "task": session.task.name,
        "metric": session.task.metrics[0].name,
        "teacher": progress.teacher_scores,
        "student": None if not scores else {k: v for k, v in scores[-1].items() if k != "epoch"},
        "student_best": best_scores(session, progress) if scores else None,
        "by_class": {role: found["by_class"] for role, found in progress.evaluations.items()},
        "test_images": len(session.splits.test),
        "held_out_gaps": progress.gaps,
        "images_per_second": clock.images_per_second,
        "search_share": clock.search_share,
        "wall_seconds": clock.total,
        "seed": session.config.seed,
        "processes": session.accelerator.num_processes,
        "versions": _versions(),
    }


def best_scores(session: Session, progress: Progress) -> dict[str, float]:
    """The student's scores, with their `epoch`, where its headline score was highest, and first so high."""
    headline = session.task.metrics[0].name
    return max(progress.student_scores, key=lambda one: one[headline])


def _versions() -> dict[str, str]:
    """Of the libraries that decide what a run computes, those that are installed."""
    found = {}
    for name in LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _provenance(session: Session, result: dict[str, Any]) -> dict[str, Any]:
    """What a policy was learned with, for `policy.json`."""
    config, data = session.config, session.config.data
    size = list(data.crop_size) if data.crop in ("scale", "fit") else data.image_size
    networks = {role: {"name": getattr(config, role).name, "scores": result[role]} for role in ("teacher", "student")}
    return {
        "config": config.name,
        "seed": config.seed,
        "prior": config.policy.prior,
        "task": config.task,
        "data": {"name": data.name, "fingerprint": session.splits.train.fingerprint, "image_size": size},
        **networks,
    }


def _drop_stale(file: Path, best: dict[str, float] | None) -> None:
    """Remove weights of an epoch that is not the best: of a run that went on otherwise from a checkpoint before it."""
    if file.exists() and (best is None or saved_epoch(file) != best["epoch"]):
        file.unlink()


def write_confusion(file: Path, counts: Sequence[Sequence[int]], classes: Sequence[str]) -> None:
    """Write a confusion matrix as a table: a row for each true class, a column for each answer."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["true class", *classes])
    table.writerows([name, *row] for name, row in zip(classes, counts, strict=True))
    write_text_whole(file, text.getvalue())


def write_artefacts(session: Session, progress: Progress, result: dict[str, Any], folder: Path) -> None:
    """Write what a finished run leaves in its folder."""
    config, warps = session.config, session.task.composes_warps
    learned = PolicyFile.of(config.policy, config.data.mean, progress.history, warps, _provenance(session, result))
    learned.write(folder / "policy.json")
    student = session.learners.student.evaluated
    save_weights(student, folder / "student.safetensors", config.student.name, session.splits.train.classes)
    _drop_stale(folder / "student_best.safetensors", result["student_best"])
    write_text_whole(folder / "result.json", json.dumps(result, indent=2) + "\n")
    for role, found in progress.evaluations.items():
        if found["confusion"] is not None:
            write_confusion(folder / f"confusion_{role}.csv", found["confusion"], session.splits.test.classes)
    if len(progress.history) > 1:
        plot_policy(progress.history, folder / "policy.png")
    if not session.dry:
        draw_answers(session, fixed_images(session), folder)
