"""What the user can put right: shown as one message, without a traceback."""


class UserError(Exception):
    """Something outside the program is wrong: the message names it and the remedy."""
