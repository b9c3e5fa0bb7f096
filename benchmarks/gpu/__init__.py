"""One command for the day with a GPU: `python -m benchmarks.gpu` (or `make bench-gpu`), which ends within 8 minutes.

Each part runs in a process of its own and in a time box of its own, most important first, and adds its rows to the JSON
file one by one: a crash, a hang or a missing package costs a row or a part, not the rest.
"""
