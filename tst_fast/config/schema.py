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
        name: one for small images (convnet, resnet8x4, wrn_40_2, vgg8, ...), else torchvision's, else timm's of this
            name; cifar/, torchvision/ or timm/ before it takes it from there alone. Or my.module:Net of your own.
        arguments: what its constructor takes, for instance {channels: [4, 8, 16]} for convnet.
        checkpoint: weights to start from: .safetensors, or .pt or .pth holding a state dict, alone or in a published
            checkpoint; or a run's folder, or a checkpoint in it. A teacher with one is not trained.
        sha256: of the checkpoint, in hexadecimal: another file is refused.
        pretrained: start from the weights that torchvision or timm publish; needs internet. Where they are for other
            classes than the data's, the last layer is drawn anew. A teacher with them is not trained.
        fine_tune: of the teacher: train it first although it has weights, with teacher_training; needed where its last
            layer is new.
        mean: of each channel in RGB, 0..1, of the images that it was trained on; null: as its published weights say,
            else data.mean. Images are normalised by data.mean and data.std, and for each network as it was trained.
        std: of each channel, likewise.
        bgr: whether it was trained on images whose blue comes first.
        expected_score: the task's first metric as `tst-fast doctor` expects it of these weights, 0..1; null: nothing in
            particular.
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
    """What steps a network, with a rate that is a function of the step.

    Args:
        name: sgd, adamw, rmsprop (timm's, with TensorFlow's epsilon, as image recipes mean it), or lamb (NVIDIA apex's
            FusedLAMB; apex is installed from its source and needs a GPU).
        learning_rate: the highest rate.
        momentum: of SGD and RMSprop.
        betas: of AdamW and LAMB.
        epsilon: of all but SGD; null is the optimizer's own default.
        weight_decay: of each.
        decay_norm_and_bias: whether weight decay reaches biases, norms and what a timm model exempts.
        nesterov: whether SGD's momentum is Nesterov's.
        schedule: one_cycle (up in the first quarter, then down to nothing, both along a cosine), multi_step, cosine
            (down along a half cosine), or poly (down as a power of the share of steps that are left).
        milestones: for multi_step: the epochs from which the rate is `decay_factor` times what it was.
        decay_factor: for multi_step.
        power: for poly.
        final_learning_rate: for cosine and poly: what the rate goes down to.
        warmup_epochs: for all but one_cycle: epochs in which the rate first rises, linearly with each step.
        warmup_learning_rate: the rate of the first step of the warm-up.
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
        optimizer: what steps it.
        mixup: strength of mixup (Zhang et al., 2018), the alpha of its beta distribution; 0 is none.
        cutmix: strength of cutmix (Yun et al., 2019), likewise; with both, each batch gets one of them at random.
        label_smoothing: share of each label that is spread over all classes.
        clip_norm: the gradient's norm is cut to this; null leaves it.
        accumulate: parts in which each batch is taken, one after the other, to save memory; steps and rates stay.
        ema_decay: decay, at each step, of a moving average of the weights, which is then what is evaluated and saved;
            null is none.
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
        teacher: whether there is a teacher at all; without, the student learns from the labels alone.
        augment: whether each step holds the policy's augmented images beside the plain ones.
        second_crop: without augment: each step holds a second batch of plain images, with an order and crops of its
            own: as many images in a step, and in an epoch, as with augment.
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
    """A layer of the student that imitates one of the teacher.

    Args:
        student: path of a module of the student, such as layer3 or block2.layer.0.
        teacher: path of a module of the teacher.
        weight: of their distance.
    """

    student: str
    teacher: str
    weight: NonNegative = 1.0


@dataclass
class LossConfig:
    """What the student minimises: cross-entropy, a distillation term and, on request, features.

    Args:
        name: of the term: kd (Hinton et al., 2015), dkd (Zhao et al., 2022) or dist (Huang et al., 2022); or
            my.module:function of your own.
        alpha: weight of the term.
        tau: temperature of the term.
        cross_entropy_weight: weight of the cross-entropy with the labels.
        standardise: give the term logits of mean 0 and standard deviation 1 (Sun et al., 2024).
        target_weight: for dkd: of the target class against the rest (the paper's alpha).
        non_target_weight: for dkd: of the classes other than the target (the paper's beta, from 1 to 8 by pair).
        inter_weight: for dist: of the correlation over classes (the paper's beta).
        intra_weight: for dist: of the correlation over images (the paper's gamma).
        features: layers of the student that imitate layers of the teacher: [{student: layer3, teacher: layer3}].
        feature_loss: what is compared of them: mse (their values; FitNets, Romero et al., 2015), pkd (the correlation
            of each channel; Cao et al., 2022), or cwd (where each channel is high; Shu et al., 2021).
        pixel_weights: with label maps: what counts the same in an image: its pixels (images), or its classes, whatever
            their areas (classes).
        cwd_weight: with label maps: of channel-wise distillation (Shu et al., 2021), besides the term.
        cwd_tau: temperature of channel-wise distillation.
        box_weight: with boxes: of the distance between the student's and the teacher's boxes, besides the term.
        auxiliary_weight: of the cross-entropy of an auxiliary head, in the teacher's training too.
        auxiliary_alpha: of the term between the auxiliary heads of student and teacher.
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
        name: what the run's folder is called, and what it is.
        task: classification (recognition), segmentation (a class for each pixel) or detection (objects in boxes).
        output: where runs are kept; the run's folder is made inside.
        seed: of everything random: the same seed gives the same run.
        data: the images.
        teacher: the network that teaches.
        teacher_training: how the teacher is trained when it has no checkpoint.
        student: the network that learns.
        student_training: how the student is trained.
        distillation: what the student learns from.
        loss: what the student minimises.
        policy: the augmentation.
        channels_last: keep the networks' weights in the order of memory in which convolutions are fastest.
        sync_batch_norm: compute batch norm's statistics over the batches of all processes, on GPUs.
        compile_networks: run both networks through torch.compile: slow at first, then faster on GPUs.
        timeout: seconds that a process waits for the others, at most; then the run ends with an error.
        evaluate_every: student epochs between two evaluations; the last epoch is always evaluated.
        log_every: steps between two lines of metrics.jsonl.
        checkpoint_every: steps between two checkpoints, besides the one at the end of each pass over the images.
        track: where metrics and pictures go besides the run's folder: tensorboard, wandb, trackio, mlflow, comet_ml,
            aim, clearml, dvclive or swanlab, by Accelerate; one, or a list. Each is a package of its own.
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
