"""Operations of v2 that an older text names under v3: cancellation lists and configuration files (API 11, row 7).

They are v2's own, at a second address: the same bodies and answers, and what is scheduled here is a
campaign of v2.
"""

from overair.api.routing import Routes
from overair.api.v2 import campaigns, files, licenses
from overair.api.v3.shapes import PREFIX
from overair.core.errors import Refusal

routes = Routes(PREFIX, tag="v3 cancellation lists and files")

routes.add("GET", "/licenses/{acc}/cancel", errors=(Refusal.INDEX, Refusal.INDEX_TOO_HIGH))(
    licenses.list_cancellation_candidates
)
routes.add(
    "POST",
    "/licenses/{acc}/cancel",
    errors=(Refusal.CHANGE_TYPE, Refusal.DEVICE_LIST_TOO_LONG),
)(licenses.put_cancellation_candidates)
routes.add("DELETE", "/licenses/{acc}/cancel")(licenses.drop_cancellation_candidates)
routes.add("GET", "/files/{acc}", errors=(Refusal.DISTRIBUTION_TYPE,))(files.list_files)
routes.add(
    "POST",
    "/files/{acc}",
    errors=(Refusal.FILE_PART, Refusal.FILE_TOO_LARGE, Refusal.FILE_EXISTS),
)(files.upload_file)
routes.add(
    "PUT",
    "/files/{acc}",
    errors=(
        Refusal.FILE_PART,
        Refusal.FILE_TOO_LARGE,
        Refusal.FILE_NOT_FOUND,
        Refusal.FILE_IN_USE,
    ),
)(files.replace_file)
routes.add(
    "POST",
    "/campaigns/files/{acc}",
    errors=(
        Refusal.NOT_SUBSCRIBED,
        Refusal.FILE_NOT_FOUND,
        Refusal.DISTRIBUTION_TYPE,
        *campaigns.DATE_ERRORS,
        *campaigns.LIST_ERRORS,
    ),
)(campaigns.schedule_file)
