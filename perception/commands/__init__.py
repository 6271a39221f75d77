"""One file per command of the command line: arguments in, calls to the package, text out."""
