"""A machine that reaches nobody: a broken name server or uplink must not become shards of dead urls."""

from yarl import URL

from configs import UserError
from storage.pairs import Outcome

FURTHER = 200  # pairs after them, of which one answer ends it: tables of dead urls have living ones among them
NOT_REACHED = ("dns", "connect")
SAYS_NOTHING = ("bad_url", "bad_scheme", "private_address")
NAMED = 3  # hosts in the error


class Uplink:
    """Looks at the outcomes of a shard in planned order, until the first that shows a network.

    hosts: if none of the first so many can be reached, there is doubt; 0: never.
    """

    def __init__(self, hosts: int) -> None:
        self._hosts = hosts
        self._not_reached: dict[str, str] = {}  # host -> reason
        self._works = hosts == 0

    def note(self, outcome: Outcome) -> None:
        """Take the next outcome."""
        if outcome.http_status is not None or outcome.status not in (*NOT_REACHED, *SAYS_NOTHING):
            self._works = True
        elif outcome.status in NOT_REACHED and not self._works:
            self._not_reached.setdefault(URL(outcome.final_url or "").raw_host or "", outcome.status)

    @property
    def is_in_doubt(self) -> bool:
        """Tell whether the first hosts all had no address or no connection."""
        return not self._works and len(self._not_reached) >= self._hosts

    def decide(self, *, anybody_answered: bool) -> None:
        """End the doubt. Raises UserError where none of those that came after them answered either."""
        if not anybody_answered:
            reasons, names = list(self._not_reached.values()), ", ".join([*self._not_reached][:NAMED])
            raise UserError(
                f"none of the first {self._hosts} hosts could be reached ({names}, ...: "
                f"{reasons.count('dns')} have no address, {reasons.count('connect')} no connection), nor any after "
                "them; check the name server, proxy and network of this machine, then run the same command again (if "
                "they are all gone indeed: download.stop_after_hosts=0)",
                exit_code=1,
            )
        self._works = True
