"""TST in a plain PyTorch loop: a small network learns scikit-learn's digits from a larger one.

python examples/plain_loop.py
"""

import torch
from torch.nn.functional import cross_entropy

from tst_fast import TST
from tst_fast.models.build import build_model
from tst_pipelines import CachedLoader, PadAndCrop, Share, digits

train, test = digits()
images = CachedLoader(train, PadAndCrop(32, 2, flip=0.0), 64, Share(training=True, seed=0))
teacher, student = (build_model("convnet", 10, {"channels": [w, 2 * w, 4 * w]}) for w in (24, 4))
tst = TST(teacher, student, mean=(0.305,) * 3, std=(0.376,) * 3, learning_rate=0.05)


def learn(model: torch.nn.Module, epochs: int, loss) -> None:
    optimizer = torch.optim.SGD(model.train().parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, epochs * images.steps_per_epoch)
    for epoch in range(epochs):
        for batch in images:
            if model is student and epoch in (5, 15):
                tst.search(batch.images, batch.labels)
            optimizer.zero_grad()
            loss(batch.images, batch.labels).backward()
            optimizer.step()
            schedule.step()
    model.eval()


learn(teacher, 30, lambda x, y: cross_entropy(teacher(tst.normalise(x)), y))
learn(student, 30, tst.loss)
held_out = next(iter(CachedLoader(test, PadAndCrop(32, 0, flip=0.0), 1000, Share(training=True, seed=0))))
for name, model in (("teacher", teacher), ("student", student)):
    right = model(tst.normalise(held_out.images)).argmax(1) == held_out.labels
    print(f"{name}: {100 * right.float().mean():.1f} % of {len(held_out)} test images")
print({row.operation: round(row.probability, 2) for row in tst.policy.learned()})
