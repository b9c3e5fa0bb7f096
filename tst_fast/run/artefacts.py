"""What a run leaves behind: result.json, the student, and what the policy learned."""

import importlib.metadata
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from tst_fast.config import reading
from tst_fast.models import save_weights
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
    headline, scores, clock = session.task.metrics[0].name, progress.student_scores, progress.clock
    best = max(scores, key=lambda one: one[headline], default=None)
    return {
        "task": session.task.name,
        "metric": headline,
        "teacher": progress.teacher_scores,
        "student": None if not scores else {k: v for k, v in scores[-1].items() if k != "epoch"},
        "student_best": best,
        "test_images": len(session.splits.test),
        "held_out_gaps": progress.gaps,
        "images_per_second": clock.images_per_second,
        "search_share": clock.search_share,
        "wall_seconds": clock.total,
        "seed": session.config.seed,
        "processes": session.accelerator.num_processes,
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    """Of the libraries that decide what a run computes, those that are installed."""
    found = {}
    for name in LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def write_artefacts(session: Session, progress: Progress, result: dict[str, Any], folder: Path) -> None:
    """Write what a finished run leaves in its folder."""
    learned = PolicyFile.of_run(
        session.config,
        progress.history,
        session.policy.learned(),
        session.splits.train.fingerprint,
        result,
        session.task.composes_warps,
    )
    learned.write(folder / "policy.json")
    student = session.learners.student.evaluated
    save_weights(student, folder / "student.safetensors", session.config.student.name, session.splits.train.classes)
    write_text_whole(folder / "result.json", json.dumps(result, indent=2) + "\n")
    if len(progress.history) > 1:
        plot_policy(progress.history, folder / "policy.png")
    if not session.dry:
        draw_answers(session, fixed_images(session), folder)
