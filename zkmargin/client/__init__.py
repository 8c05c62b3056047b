"""What a venue's service and its callers say to each other, and the typed client.

``documents`` and ``orders`` have the formats, ``venue`` the client over HTTP (extra ``client``), ``answers`` what it
returns, ``tokens`` how a caller makes a token. The API is fixed in docs/decisions/0011-the-venue-service.md.
"""

from zkmargin.client.documents import Coverage, CoveragePayload, Event, EventPayload, Submission, Terms
from zkmargin.client.orders import (
    Change,
    ChangePayload,
    CloseAccount,
    IssueToken,
    RegisterAccount,
    RemoveWebhook,
    RevokeToken,
    SetWebhook,
    WithdrawPart,
)

__all__ = [
    "Change",
    "ChangePayload",
    "CloseAccount",
    "Coverage",
    "CoveragePayload",
    "Event",
    "EventPayload",
    "IssueToken",
    "RegisterAccount",
    "RemoveWebhook",
    "RevokeToken",
    "SetWebhook",
    "Submission",
    "Terms",
    "WithdrawPart",
]
