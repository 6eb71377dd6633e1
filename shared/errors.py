"""The errors both programs raise on purpose; every other exception is a defect."""


class SpoolwatchError(Exception):
    """Root of all deliberate errors; its message tells a person what happened, where and what to do."""


class SettingsError(SpoolwatchError):
    """The settings are wrong; each line of the message names one of them."""


class BundleError(SpoolwatchError):
    """A model bundle is missing, damaged or does not do what its manifest says."""


class RowError(SpoolwatchError):
    """A sensor row cannot be used; it is set aside with this reason."""


class TopicError(SpoolwatchError):
    """A topic or one of its levels breaks the topic rules."""


class MessageError(SpoolwatchError):
    """A message on the wire breaks the contract."""


class SourceError(SpoolwatchError):
    """The engine hardware cannot be read at the moment."""
