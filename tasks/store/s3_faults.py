"""What went wrong with a call of S3 -> whether it can pass, and one line for people that quotes no key."""

import re
from typing import TypeAlias

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
)
from botocore.exceptions import ConnectionError as UnreachableError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from lorp.errors import OutageError, StoreError

Fault: TypeAlias = BotoCoreError | ClientError | ResponseParserError | HTTPError
#: The same, to be caught. botocore lets through what happens while it reads an error's body or parses a cut answer.
FAULTS = (BotoCoreError, ClientError, ResponseParserError, HTTPError)

#: Connections, and damage on the way.
_CAN_PASS_FAULTS = (
    UnreachableError, HTTPClientError, IncompleteReadError, FlexibleChecksumError, ResponseParserError, HTTPError,
)  # fmt: skip
_CAN_PASS_CODES = frozenset({"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "BadDigest"})
_CONFLICT, _TOO_MANY, _SERVER_FAULT, _NOT_IMPLEMENTED = 409, 429, 500, 501

_MISSING = frozenset({"404", "NoSuchKey", "NoSuchUpload", "NotFound"})
_TAKEN = frozenset({"412", "PreconditionFailed"})
_BAD_CREDENTIALS = frozenset({
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "TokenRefreshRequired",
})  # fmt: skip
_FORBIDDEN = frozenset({"403", "AccessDenied", "AllAccessDisabled", "UnauthorizedAccess"})


class Missing(Exception):
    """There is no such object or upload."""


class Taken(Exception):
    """There is an object already."""


def can_pass(fault: Fault) -> bool:
    """Whether the same call may succeed a little later."""
    if isinstance(fault, ClientError):
        status = fault.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        again = status in (_CONFLICT, _TOO_MANY) or status >= _SERVER_FAULT
        return (again and status != _NOT_IMPLEMENTED) or _code(fault) in _CAN_PASS_CODES
    return isinstance(fault, _CAN_PASS_FAULTS) and not isinstance(fault, SSLError)


def refusal(fault: Fault, bucket: str, endpoint: str) -> Missing | Taken | StoreError:
    """What a fault that cannot pass means."""
    code = _code(fault)
    if code in _MISSING:
        return Missing(code)
    if code in _TAKEN:
        return Taken(code)
    if code == "NoSuchBucket":
        return StoreError(f"there is no bucket {bucket} at {endpoint}", "Make it, or give another address")
    denied = _denial(fault, code)
    if denied:
        return StoreError(
            f"{endpoint} {denied} for the bucket {bucket}",
            "Look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and at the bucket's policy",
        )
    return StoreError(
        f"{endpoint} refuses {_operation(fault)} for the bucket {bucket}: {code}: {_message(fault)}",
        "Look at the AWS settings, such as AWS_ENDPOINT_URL and AWS_DEFAULT_REGION",
    )


def outage(fault: Fault, bucket: str, endpoint: str, seconds: float) -> OutageError:
    """What a fault that could have passed, but did not in so many seconds, means."""
    return OutageError(
        f"{endpoint} does not serve the bucket {bucket} (for {seconds:g} s: {_code(fault)})",
        "Look at AWS_ENDPOINT_URL and the network, or allow more seconds with LORP_S3_DEADLINE",
    )


def without_password(text: str) -> str:
    """Addresses in a text without user and password."""
    return re.sub(r"//[^/@\s]*@", "//", text)


def _denial(fault: Fault, code: str) -> str | None:
    if isinstance(fault, NoCredentialsError | PartialCredentialsError):
        return "wants credentials, which are not set,"
    if code in _BAD_CREDENTIALS:
        return f"does not accept these credentials ({code})"
    return f"forbids {_operation(fault)} ({code})" if code in _FORBIDDEN else None


def _code(fault: Fault) -> str:
    return str(fault.response.get("Error", {}).get("Code")) if isinstance(fault, ClientError) else type(fault).__name__


def _message(fault: Fault) -> str:
    said = fault.response.get("Error", {}).get("Message", "") if isinstance(fault, ClientError) else fault
    return without_password(str(said))[:300]


def _operation(fault: Fault) -> str:
    return str(getattr(fault, "operation_name", "a call"))
