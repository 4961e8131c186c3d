"""What can go wrong with the bytes of an artifact.

    Exception
    └── ArtifactError
        ├── StorageError             ours or the machine's: the store cannot do its work
        │   ├── StorageFullError     no space, quota used up, or the file size limit reached
        │   └── ArtifactMissingError no content of that digest is kept
        └── UploadError              the caller's: what was sent cannot be taken
            ├── TooLargeError        more bytes than allowed
            ├── FieldsError          a form with too many fields, or one that is too long
            ├── TruncatedError       the body ended before its end was announced
            └── MalformedError       not the form that it should have
                └── NotAFormError    not multipart/form-data, or without a boundary

An edge answers an ``UploadError`` in the words of its protocol and logs a ``StorageError``. After
any of them nothing of the upload is left behind.
"""

import errno

# EFBIG is the limit of the process or of the file system on the size of one file.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ArtifactError(Exception):
    """Anything that goes wrong in this room."""


class StorageError(ArtifactError):
    """The store cannot do its work."""


class StorageFullError(StorageError):
    """There is no room for the content."""


class ArtifactMissingError(StorageError):
    """No content of that digest is kept."""

    def __init__(self, sha256: str) -> None:
        super().__init__(f"no artifact with SHA-256 {sha256} in the store")
        self.sha256 = sha256


class UploadError(ArtifactError):
    """What was sent cannot be taken."""


class TooLargeError(UploadError):
    """The content has more bytes than allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the file exceeds {limit} bytes")
        self.limit = limit


class FieldsError(UploadError):
    """A form has too many fields, or one that is too long."""


class TruncatedError(UploadError):
    """The body ended too early."""


class MalformedError(UploadError):
    """The body is not what it should be."""


class NotAFormError(MalformedError):
    """The body is no multipart/form-data, or its boundary is not told."""


def from_os(error: OSError) -> StorageError:
    """Name an error of the operating system by what it means for a store."""
    if error.errno in _FULL:
        return StorageFullError(f"no space left in the artifact store ({error.strerror})")
    return StorageError(f"the artifact store failed: {error}")
