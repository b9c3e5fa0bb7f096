"""A run's student as a folder for Hugging Face's Hub: weights, what made them, and a card that says what they are."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tst_fast import __version__
from tst_fast.errors import UserError
from tst_fast.run.prediction import Predictor

PAPER = "https://arxiv.org/abs/2212.05422"
COPIED = ("student.safetensors", "result.json", "policy.json")
SHOWN_CLASSES = 50


def write_hub_folder(run: Path, folder: Path, student: Predictor) -> None:
    """Write README.md, the model card, and what `tst-fast predict` needs; of this machine's folders, names alone.

    Args:
        run: the folder of a run that has ended.
        folder: where to; made, and empty if it is there.
        student: of the run.

    Raises:
        UserError: the run has not ended, or the folder is not empty.
    """
    missing = [name for name in COPIED if not (run / name).is_file()]
    if missing:
        raise UserError(f"{run} holds no {missing[0]}: it is not the folder of a run that has ended")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise UserError(f"--output {folder} is not empty, and nothing in it is to be overwritten: name another")
    for name in COPIED:
        shutil.copyfile(run / name, folder / name)
    settings = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    (folder / "config.yaml").write_text(yaml.safe_dump(without_folders(settings), sort_keys=False), encoding="utf-8")
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    (folder / "README.md").write_text(model_card(student, result), encoding="utf-8")


def without_folders(settings: Any) -> Any:
    """Nested settings with the last part alone of what names a place on this machine."""
    if isinstance(settings, dict):
        return {key: without_folders(value) for key, value in settings.items()}
    if isinstance(settings, list):
        return [without_folders(value) for value in settings]
    is_place = isinstance(settings, str) and ("/" in settings) and Path(settings).expanduser().is_absolute()
    return Path(settings).name or "." if is_place else settings


def model_card(student: Predictor, result: dict[str, Any]) -> str:
    """The text of the card: a YAML header as the Hub reads it, what the student is, its scores, and how to use it.

    Args:
        student: of the run.
        result: what result.json holds.
    """
    from huggingface_hub import EvalResult, ModelCardData

    config, task = student.config, student.task
    titles = {metric.name: metric.title for metric in task.metrics}
    scores = {name: value for name, value in (result["student"] or {}).items() if name in titles}
    data = config.data.name
    header = ModelCardData(
        model_name=config.name,
        library_name="tst-fast",
        pipeline_tag=task.hub_name,
        tags=["knowledge-distillation", "data-augmentation", "tst"],
        metrics=list(scores),
        eval_results=[
            EvalResult(task.hub_name, data, data, metric_type=name, metric_value=value, metric_name=titles[name])
            for name, value in scores.items()
        ],
    )
    return f"---\n{header.to_yaml()}\n---\n\n{_body(student, result, titles)}"


def _body(student: Predictor, result: dict[str, Any], titles: dict[str, str]) -> str:
    config, classes = student.config, student.classes
    teacher = f"a {config.teacher.name}" if config.distillation.teacher else "labels alone"
    named = ", ".join(classes[:SHOWN_CLASSES]) + (", ..." if len(classes) > SHOWN_CLASSES else "")
    rows = "\n".join(
        f"| {role} | {title} | {100 * result[role][name]:.2f} % |"
        for role in ("student", "teacher")
        for name, title in titles.items()
        if name in (result[role] or ())
    )
    return f"""# {config.name}

A {config.student.name} that learned from {teacher} on {config.data.name}, by [TST]({PAPER}).
Made with tst-fast {__version__}.

| network | score on {result["test_images"]:,} test images | |
| --- | --- | ---: |
{rows}

Scores are of the last epoch. {len(classes):,} classes: {named}.

## Use

```
tst-fast predict THIS_FOLDER IMAGES --output ANSWERS
```

`student.safetensors` is the network's state dict, `config.yaml` how it was made and how images are prepared for it,
`policy.json` the augmentation that was learned with it, `result.json` what was measured.
"""


def upload(folder: Path, repository: str, private: bool) -> str:
    """Put a folder into a repository of the Hub, which is made if there is none; its address.

    Args:
        folder: as `write_hub_folder` leaves it.
        repository: USER/NAME.
        private: whether a new one is.

    Raises:
        UserError: nobody is logged in, or the Hub refuses, or is out of reach.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    with _asking_for(repository):
        address = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="A student of TST-Fast")
    return str(address)


def require_access(repository: str) -> None:
    """Refuse, before the work, a name that no repository can have, and an upload as nobody.

    Raises:
        UserError: as `upload`.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import validate_repo_id

    with _asking_for(repository):
        validate_repo_id(repository)
        HfApi().whoami()


@contextmanager
def _asking_for(repository: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # what huggingface_hub and its HTTP client raise is of any kind
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"--repository {repository}: {why}") from None
