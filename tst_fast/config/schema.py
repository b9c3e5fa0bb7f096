"""Everything a run can be told, as typed values; `reading` reads them, `checks` refuses what cannot work."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tst_fast.config.data import DataConfig
from tst_fast.config.policy import PolicyConfig
from tst_fast.config.ranges import (
    BelowOne,
    BetweenZeroAndOne,
    Channel,
    Count,
    Deviation,
    Epochs,
    NonNegative,
    Positive,
    Range,
    Seed,
    Share,
)


@dataclass
class ModelConfig:
    """A network.

    Args:
        name: a network for small images (convnet, resnet8x4, wrn_40_2, vgg8, ...), else torchvision's, else timm's of
            this name; prefix cifar/, torchvision/ or timm/ to choose. Or your own, as my.module:Net.
        arguments: arguments of its constructor, such as {channels: [4, 8, 16]} for convnet.
        checkpoint: initial weights: .safetensors, or .pt or .pth with a state dict, alone or in a published checkpoint;
            or a run's folder, or a checkpoint in it. A teacher with a checkpoint is not trained.
        sha256: hexadecimal SHA-256 of the checkpoint; any other file is refused.
        pretrained: start from the weights published by torchvision or timm; needs internet. If they are for other
            classes than the data's, the last layer is initialised at random. A pretrained teacher is not trained.
        fine_tune: for the teacher: train it first although it has weights, by teacher_training; required if its last
            layer is new.
        mean: mean of each RGB channel, 0..1, in the network's own training; null: that of its published weights, else
            data.mean. Each network gets images normalised as in its own training.
        std: standard deviation of each RGB channel, likewise.
        bgr: whether the network was trained on BGR images.
        expected_score: first metric of the task that `tst-fast doctor` expects of these weights, 0..1; null: no
            expectation.
    """

    name: str = "resnet18"
    arguments: dict[str, Any] = field(default_factory=dict)
    checkpoint: Path | None = None
    sha256: str | None = None
    pretrained: bool = False
    fine_tune: bool = False
    mean: tuple[Channel, Channel, Channel] | None = None
    std: tuple[Deviation, Deviation, Deviation] | None = None
    bgr: bool = False
    expected_score: Share | None = None

    @property
    def trained(self) -> bool:
        """Whether it comes with weights that stay: of a teacher, that it is not trained."""
        return (self.checkpoint is not None or self.pretrained) and not self.fine_tune

    def takes_new_head(self, role: str) -> bool:
        """Whether it is trained in this role, so that its last layer may be new."""
        return role == "student" or self.fine_tune


@dataclass
class OptimizerConfig:
    """An optimizer and its learning-rate schedule, which is stepped every iteration.

    Args:
        name: sgd, adamw, rmsprop (timm's, with TensorFlow's epsilon, as image recipes mean it), or lamb (NVIDIA apex's
            FusedLAMB; apex must be built from source and needs a GPU).
        learning_rate: maximum learning rate.
        momentum: momentum of SGD and RMSprop.
        betas: betas of AdamW and LAMB.
        epsilon: epsilon of all but SGD; null: the optimizer's default.
        weight_decay: weight decay of any of them.
        decay_norm_and_bias: whether to decay biases, norm layers and parameters that a timm model exempts.
        nesterov: whether SGD uses Nesterov momentum.
        schedule: one_cycle (up in the first quarter, then down to almost 0, both along a cosine), multi_step, cosine
            (down along half a cosine), or poly (down as a power of the share of steps left).
        milestones: for multi_step: epochs at which the rate is multiplied by `decay_factor`.
        decay_factor: for multi_step: the factor.
        power: for poly: the power.
        final_learning_rate: for cosine and poly: the rate at the end.
        warmup_epochs: for all but one_cycle: epochs of linear warm-up, in which the rate rises with each step.
        warmup_learning_rate: learning rate of the first warm-up step.
    """

    name: Literal["sgd", "adamw", "rmsprop", "lamb"] = "sgd"
    learning_rate: NonNegative = 0.1
    momentum: BelowOne = 0.9
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    epsilon: NonNegative | None = None
    weight_decay: NonNegative = 1e-4
    decay_norm_and_bias: bool = True
    nesterov: bool = True
    schedule: Literal["one_cycle", "multi_step", "cosine", "poly"] = "one_cycle"
    milestones: list[Epochs] = field(default_factory=list)
    decay_factor: NonNegative = 0.1
    power: Positive = 0.9
    final_learning_rate: NonNegative = 0.0
    warmup_epochs: Epochs = 0
    warmup_learning_rate: NonNegative = 1e-6


@dataclass
class TrainingConfig:
    """How one network is trained.

    Args:
        epochs: passes over the training images.
        optimizer: the optimizer.
        mixup: alpha of mixup (Zhang et al., 2018); 0: none.
        cutmix: alpha of CutMix (Yun et al., 2019); 0: none. With both, each batch gets one of them at random.
        label_smoothing: share of each label that is spread over all classes.
        clip_norm: maximum gradient norm; null: no clipping.
        accumulate: number of parts that each batch is split into, to save memory; steps and learning rates do not
            change.
        ema_decay: decay per step of an exponential moving average of the weights, which is then evaluated and saved;
            null: none.
    """

    epochs: Epochs = 100
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    mixup: Annotated[float, Range(0, 1000)] = 0.0
    cutmix: Annotated[float, Range(0, 1000)] = 0.0
    label_smoothing: BelowOne = 0.0
    clip_norm: Positive | None = None
    accumulate: Count = 1
    ema_decay: BetweenZeroAndOne | None = None


@dataclass
class DistillationConfig:
    """What the student learns from (TST, section 3).

    Args:
        teacher: whether to use a teacher; without one, the student learns from labels only.
        augment: whether each step contains images augmented by the policy, besides the original ones.
        second_crop: without augment: each step contains a second batch of original images, in another order and with
            other crops: as many images per step and epoch as with augment.
    """

    teacher: bool = True
    augment: bool = True
    second_crop: bool = False

    @property
    def has_policy(self) -> bool:
        """Whether a policy augments: only images that the teacher explains to the student."""
        return self.teacher and self.augment

    @property
    def views(self) -> int:
        """How many images a step has of each training image: itself, and one that is augmented or cropped anew."""
        return 2 if self.has_policy or self.second_crop else 1


@dataclass
class FeatureConfig:
    """A layer of the student that imitates a layer of the teacher.

    Args:
        student: path of a module of the student, such as layer3 or block2.layer.0.
        teacher: path of a module of the teacher.
        weight: weight of the distance between them.
    """

    student: str
    teacher: str
    weight: NonNegative = 1.0


@dataclass
class LossConfig:
    """What the student minimises: cross-entropy, a distillation term and, optionally, a feature loss.

    Args:
        name: distillation term: kd (Hinton et al., 2015), dkd (Zhao et al., 2022) or dist (Huang et al., 2022); or your
            own, as my.module:function.
        alpha: weight of the distillation term.
        tau: temperature of the distillation term.
        cross_entropy_weight: weight of the cross-entropy with the labels.
        standardise: standardise the logits of each image before the distillation term (Sun et al., 2024).
        target_weight: for dkd: weight of the target class against the rest (the paper's alpha).
        non_target_weight: for dkd: weight of the other classes (the paper's beta, from 1 to 8 depending on the pair).
        inter_weight: for dist: weight of the correlation over classes (the paper's beta).
        intra_weight: for dist: weight of the correlation over images (the paper's gamma).
        features: layers of the student that imitate layers of the teacher, such as [{student: layer3, teacher:
            layer3}].
        feature_loss: distance of the features: mse (FitNets, Romero et al., 2015), pkd (correlation of each channel;
            Cao et al., 2022) or cwd (channel-wise distillation; Shu et al., 2021).
        pixel_weights: with label maps: weight the pixels of an image equally (images), or its classes, whatever their
            areas (classes).
        cwd_weight: with label maps: weight of channel-wise distillation of the logits (Shu et al., 2021), besides the
            term.
        cwd_tau: with label maps: temperature of channel-wise distillation.
        box_weight: with boxes: weight of the distance between the student's and the teacher's boxes, besides the term.
        auxiliary_weight: weight of the cross-entropy of an auxiliary head, also when the teacher is trained.
        auxiliary_alpha: weight of the distillation term between the auxiliary heads of student and teacher.
    """

    name: str = "kd"
    alpha: NonNegative = 1.0
    tau: Positive = 4.0
    cross_entropy_weight: NonNegative = 1.0
    standardise: bool = False
    target_weight: NonNegative = 1.0
    non_target_weight: NonNegative = 8.0
    inter_weight: NonNegative = 2.0
    intra_weight: NonNegative = 2.0
    features: list[FeatureConfig] = field(default_factory=list)
    feature_loss: Literal["mse", "pkd", "cwd"] = "mse"
    pixel_weights: Literal["images", "classes"] = "images"
    cwd_weight: NonNegative = 0.0
    cwd_tau: Positive = 4.0
    box_weight: NonNegative = 1.0
    auxiliary_weight: NonNegative = 0.4
    auxiliary_alpha: NonNegative = 0.0


@dataclass
class Config:
    """A run.

    Args:
        name: name of the run; its folder's name begins with it.
        task: classification, segmentation (a class for each pixel) or detection (objects in boxes).
        output: folder for runs; each run creates its own folder in it.
        seed: random seed; the same seed gives the same run.
        data: the images.
        teacher: the teacher network.
        teacher_training: how the teacher is trained if it has no weights.
        student: the student network.
        student_training: how the student is trained.
        distillation: what the student learns from.
        loss: what the student minimises.
        policy: the augmentation.
        channels_last: keep the networks' weights in the channels_last memory format, in which convolutions are fastest.
        sync_batch_norm: compute batch-norm statistics over the batches of all processes; on GPUs.
        compile_networks: run both networks through torch.compile: slow at first, then faster on GPUs.
        timeout: seconds after which a process that waits for the others ends with an error.
        evaluate_every: student epochs between two evaluations; the last epoch is always evaluated.
        log_every: steps between two lines of metrics.jsonl.
        checkpoint_every: steps between two checkpoints, besides one at the end of each pass over the images.
        track: trackers that get metrics and pictures, besides the run's folder: tensorboard, wandb, trackio, mlflow,
            comet_ml, aim, clearml, dvclive or swanlab, through Accelerate; one, or a list. Install each tracker's
            package yourself.
    """

    name: str = "run"
    task: Literal["classification", "segmentation", "detection"] = "classification"
    output: Path = Path("runs")
    seed: Seed = 0
    data: DataConfig = field(default_factory=DataConfig)
    teacher: ModelConfig = field(default_factory=ModelConfig)
    teacher_training: TrainingConfig = field(default_factory=TrainingConfig)
    student: ModelConfig = field(default_factory=ModelConfig)
    student_training: TrainingConfig = field(default_factory=TrainingConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    channels_last: bool = True
    sync_batch_norm: bool = False
    compile_networks: bool = False
    timeout: Annotated[float, Range(1, 10**6)] = 1800.0
    evaluate_every: Count = 1
    log_every: Count = 10
    checkpoint_every: Count = 1000
    track: list[str] | str = field(default_factory=list)

    def __post_init__(self) -> None:
        if isinstance(self.track, str):
            self.track = [self.track]


def replace(config: Config, **changes: Any) -> Config:
    """A copy with some values changed; `__` in a name stands for the dot of its flag."""
    for name, value in changes.items():
        head, _, rest = name.partition("__")
        inner = replace(getattr(config, head), **{rest: value}) if rest else value
        config = dataclasses.replace(config, **{head: inner})
    return config
