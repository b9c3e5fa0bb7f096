"""Completion as a shell does it: bash is given the script, and asked."""

import re
import subprocess
import sys

import pytest

from tests.tst_fast.processes import ROOT
from tst_fast.cli import COMMANDS, main
from tst_fast.commands.completion import CONFIGURED, OTHERS
from tst_fast.commands.export import TARGETS


def _completions(script, line):
    """What bash offers for the last word of a line."""
    program = f"""
        {script}
        COMP_WORDS=({line}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
        cd {ROOT}
        [[ "{line}" == *" " ]] && COMP_WORDS+=("") && COMP_CWORD=$(( COMP_CWORD + 1 ))
        $(complete -p tst-fast | sed -E 's/.*-F ([^ ]+).*/\\1/')
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    ended = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False, timeout=60)
    return ended.stdout.split()


def test_bash_completes_commands_settings_and_values(capsys):
    main(["completion", "bash"])
    script = capsys.readouterr().out
    assert set(COMMANDS) <= set(_completions(script, "tst-fast "))
    assert _completions(script, "tst-fast train --policy.learn") == ["--policy.learning_rate"]
    assert "classification/digits" in _completions(script, "tst-fast train --config ")
    assert _completions(script, "tst-fast doctor --policy.gates r") == ["relaxed"]
    assert "segmentation" in _completions(script, "tst-fast train --task ")
    assert _completions(script, "tst-fast compare --jo") == ["--jobs"]
    assert _completions(script, "tst-fast table cit") == ["cityscapes"]
    assert "classification/digits" in _completions(script, "tst-fast doctor cl")
    assert set(_completions(script, "tst-fast export --to ")) == set(TARGETS)
    assert _completions(script, "tst-fast report pypro") == ["pyproject.toml"]


@pytest.mark.parametrize("command", [name for name, flags in {**CONFIGURED, **OTHERS}.items() if flags])
def test_a_commands_own_flags_are_those_of_its_help(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = set(re.findall(r"--[a-z_-]+", capsys.readouterr().out))
    assert set({**CONFIGURED, **OTHERS}[command]) <= shown


def test_every_command_is_completed():
    assert {*CONFIGURED, *OTHERS} == set(COMMANDS)


def test_without_shtab_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(SystemExit, match=r"completion needs shtab: pip install 'tst-fast\[completion\]'"):
        main(["completion", "zsh"])
