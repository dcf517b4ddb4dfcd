#!/usr/bin/env python
"""The commands of the contract and Django's own."""

import json
import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        _run()
    except SystemExit as end:
        # What stops a command before it begins, such as another TIME_ZONE than the stored one;
        # Python writes the sentence to standard error and ends with 1.
        if isinstance(end.code, str) and "--json" in sys.argv:
            json.dump({"code": "cannot_start", "message": end.code, "details": []}, sys.stdout)
        raise


def _run() -> None:
    from config.entry import prepare

    prepare(sys.argv)
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
