"""The commands of the command line, one module a family. Each adds its own to the parser."""
