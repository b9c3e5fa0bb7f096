"""Whatever is wrong with the newest checkpoint, the one before it is used, and the user is told what that costs."""

import os
import pickle

import pytest
import torch

from tst_fast.errors import UserError
from tst_fast.run import checkpoint


def _state(step):
    torch.manual_seed(step)
    return {"step": step, "weights": {"layer": torch.rand(300), "counts": torch.arange(20)}, "notes": ["a", 1.5, None]}


@pytest.fixture
def folder(tmp_path):
    for step in (20, 40, 60):
        checkpoint.save(tmp_path, step, _state(step))
    return tmp_path


def _flip(share):
    """One bit of the byte at a share of the file."""

    def damage(file):
        content = bytearray(file.read_bytes())
        content[min(int(share * len(content)), len(content) - 1)] ^= 0x10
        file.write_bytes(content)

    return damage


def _truncate(share):
    return lambda file: os.truncate(file, int(share * file.stat().st_size))


def _replace(write):
    def damage(file):
        with file.open("wb") as opened:
            write(opened)

    return damage


def _unreadable(file):
    file.unlink()
    file.mkdir()


class _Code:
    def __reduce__(self):
        return print, ("this ran",)


DAMAGES = {
    "empty": _truncate(0),
    "a byte short": lambda file: os.truncate(file, file.stat().st_size - 1),
    "without its checksum": lambda file: os.truncate(file, file.stat().st_size - len(checkpoint.MARK) - 32),
    **{f"{share:.0%} of it": _truncate(share) for share in (0.01, 0.25, 0.5, 0.75, 0.99)},
    **{f"a bit flipped at {share:.0%}": _flip(share) for share in (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)},
    "something after it": lambda file: file.write_bytes(file.read_bytes() + b"\0"),
    "twice itself": lambda file: file.write_bytes(2 * file.read_bytes()),
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "text": _replace(lambda file: file.write(b"no checkpoint\n" * 100)),
    "a list": _replace(lambda file: torch.save([1, 2], file)),
    "a state dict": _replace(lambda file: torch.save({"weight": torch.zeros(2)}, file)),
    "another version": _replace(lambda file: torch.save({"version": 7}, file)),
    "a pickle with code": _replace(lambda file: pickle.dump(_Code(), file)),
    "torch's file with code": _replace(lambda file: torch.save({"version": 3, "x": _Code()}, file)),
    "a folder": _unreadable,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_falls_back_to_the_one_before(folder, damage, capfd):
    newest, before = folder / "000000060.pt", folder / "000000040.pt"
    DAMAGES[damage](newest)
    found = checkpoint.load_newest(folder)
    assert found.file == before
    expected = {"version": checkpoint.VERSION, **_state(40)}
    torch.testing.assert_close(found.state.pop("weights"), expected.pop("weights"), atol=0, rtol=0)
    assert found.state == expected
    (notice,) = found.notices
    assert notice.startswith(f"checkpoint {newest} ") and "20 steps are lost" in notice
    found.set_aside()
    assert not newest.exists() and (folder / "000000060.pt.damaged").exists()
    assert checkpoint.load_newest(folder).damaged == {}
    assert "this ran" not in capfd.readouterr().out


def test_a_good_one_is_used_in_silence(folder):
    found = checkpoint.load_newest(folder)
    assert (found.file.name, found.notices) == ("000000060.pt", [])
    assert sorted(file.name for file in folder.iterdir()) == ["000000040.pt", "000000060.pt"]


def test_torch_reads_it_too(folder):
    assert torch.load(folder / "000000060.pt", weights_only=True)["step"] == 60


def test_nothing_good_is_an_error_that_names_them(folder, tmp_path):
    for file in folder.iterdir():
        _truncate(0.5)(file)
    with pytest.raises(UserError, match=r"000000060.pt is damaged.*; nor can 000000040.pt be used"):
        checkpoint.load_newest(folder)
    with pytest.raises(UserError, match="holds no checkpoint"):
        checkpoint.load_newest(tmp_path / "nothing")


def test_the_name_is_on_the_disk_before_the_next_is_dropped(tmp_path, monkeypatch):
    """Content, new name and only then the oldest's removal: the order that survives a power failure."""
    done = []
    synchronise, replace, unlink = os.fsync, os.replace, type(tmp_path).unlink
    kinds = {True: "folder", False: "file"}
    monkeypatch.setattr(
        os,
        "fsync",
        lambda handle: done.append(kinds[os.path.isdir(f"/proc/self/fd/{handle}")]) or synchronise(handle),
    )
    monkeypatch.setattr(os, "replace", lambda *names: done.append("rename") or replace(*names))
    monkeypatch.setattr(type(tmp_path), "unlink", lambda *names, **how: done.append("unlink") or unlink(*names, **how))
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, {})
    assert done[-4:] == ["file", "rename", "folder", "unlink"]


def test_resumption_tells_what_is_lost_and_gives_the_same_bits(whole_run, make_run, stop_run, capsys):
    folder = stop_run(whole_run.config, 19)
    newest = max((folder / "checkpoints").iterdir())
    _flip(0.6)(newest)
    resumed = make_run(whole_run.config)
    resumed.resume()
    assert "2 steps are lost" in " ".join(capsys.readouterr().out.split())
    resumed.run()
    for name in ("student.safetensors", "policy.json"):
        assert (folder / name).read_bytes() == (whole_run.folder / name).read_bytes()


def test_weights_that_are_not_finite_are_never_saved(tiny_config, make_run):
    """A NaN gradient leaves the loss of its own step as it was."""
    run = make_run(tiny_config("--log_every=1000", "--checkpoint_every=2"))
    update = run.learners.teacher
    step = update.step

    def poisoned(batch):
        scalars = step(batch)
        if update.step_count == 4:
            next(update.model.parameters()).data[0, 0, 0, 0] = float("nan")
        return scalars

    update.step = poisoned
    with pytest.raises(UserError, match="the weights are not finite after step 4 of the run"):
        run.run()
    assert checkpoint.load_newest(run.folder / "checkpoints").file.name == "000000002.pt"
