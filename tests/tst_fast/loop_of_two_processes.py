"""A loop with `TST` in each of two processes, for test_tst.py: random seed and images are its own, networks are not."""

import os

import torch
from torch import distributed, nn

from tst_fast import TST


def main() -> None:
    torch.manual_seed(0)
    teacher, student = (nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5)) for _ in range(2))
    torch.manual_seed(1 + int(os.environ["RANK"]))
    tst = TST(teacher, student, learning_rate=0.5, budget=1.0)
    distributed.init_process_group("gloo")
    model = nn.parallel.DistributedDataParallel(student)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(3):
        images, labels = torch.randint(256, (6, 8, 8, 3), dtype=torch.uint8), torch.randint(5, (6,))
        tst.search(images, labels)
        optimizer.zero_grad()
        tst.loss(images, labels, model).backward()
        optimizer.step()
    values = nn.utils.parameters_to_vector([*tst.policy.parameters(), *student.parameters()]).detach()
    everywhere = [torch.empty_like(values) for _ in range(2)]
    distributed.all_gather(everywhere, values)
    assert torch.equal(*everywhere)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
