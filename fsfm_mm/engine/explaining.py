"""What an error says about the settings of a run, in one sentence."""

from __future__ import annotations


def error_message(error: BaseException) -> str:
    """What an error says, on one line; the file's name with it where the system names one."""
    if isinstance(error, OSError) and error.strerror:
        return f'{error.strerror}: {error.filename}'
    return ' '.join(str(error.args[0] if error.args else type(error).__name__).split())


def explain_setting(error: Exception) -> str | None:
    """One sentence where an error means a wrong setting, and comes of building what the config names; else None.

    Args:
        error: From before the first iteration: later, the same classes of errors mean something else.
    """
    message = error_message(error)
    if isinstance(error, ValueError) or (isinstance(error, OSError) and error.strerror):
        return message
    if isinstance(error, AssertionError) and error.args:  # mmengine's way to check arguments
        return message
    if isinstance(error, KeyError) and ' registry' in message:
        return f'a type in the config is not known: {message.split(". ")[0]}'
    if isinstance(error, TypeError) and (
        'unexpected keyword argument' in message or 'required positional' in message
    ):
        return f'a setting does not fit: {message}'
    return None
