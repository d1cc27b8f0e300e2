"""Damaged files of every format that rgz reads: each must be refused with a message, or read correctly.

python -m tests.fuzz --count 10000        each format in a process of its own, as long as it takes
"""
