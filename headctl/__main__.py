"""``python -m headctl``, which is also how ``torchrun -m headctl`` starts it."""

from headctl.cli import main

if __name__ == "__main__":
    main(prog_name="headctl")
