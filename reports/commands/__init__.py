"""One module a subcommand of `python -m reports`: HELP, `add(parser)` and `run(options)`, its exit status."""
