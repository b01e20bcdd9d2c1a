"""`python -m llm_logging` is the command line; `python -m llm_logging run app.py` logs a program's calls of models."""

import sys


def main() -> int:
    """Run the command line, or a program; the latter needs no package of the command line's."""
    if sys.argv[1:2] == ["run"]:
        from .integrations.run import main as run

        return run(sys.argv[2:])
    from .cli.app import main as command_line

    return command_line()


if __name__ == "__main__":
    sys.exit(main())
