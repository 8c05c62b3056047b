"""What a command does, without the command line: a service does the same.

Nothing here knows options, terminals or words for people. Documents come in, documents and results go out; what is
wrong is an error of ``formats.errors``, what is dangerous a ``Caution`` (``warnings.warn``).
"""
