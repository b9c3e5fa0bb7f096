"""Runs of one length that differ in when the policy learns, and in how networks are trained."""

SCHEDULES = {
    "listed": (),
    "a search that waits": (
        "--policy.search_at=auto",
        "--policy.search_confidences=[0.05, 0.99]",  # any student's after an epoch, and no student's of these runs
        "--policy.gates=relaxed",
        "--policy.shared_draw=true",
    ),
    "second crops": ("--distillation.augment=false", "--distillation.second_crop=true"),
    "half epochs": ("--policy.search_fraction=0.5", "--policy.accumulate=2", "--policy.clip_norm=0.1"),
    "interleaved, and every option": (
        "--policy.search=interleaved",
        "--policy.search_every=3",
        "--policy.search_steps=2",
        "--policy.search_window=3",
        "--student_training.mixup=0.8",
        "--student_training.cutmix=1.0",
        "--student_training.label_smoothing=0.1",
        "--student_training.ema_decay=0.9",
        "--student_training.accumulate=3",
        "--student_training.clip_norm=1.0",
        "--student_training.optimizer.name=adamw",
        "--student_training.optimizer.schedule=cosine",
        "--student_training.optimizer.warmup_epochs=1",
        "--teacher_training.ema_decay=0.5",
    ),
}
