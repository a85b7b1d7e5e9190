"""Environments that ship with headctl. They import nothing of headctl and work with any PettingZoo trainer."""
