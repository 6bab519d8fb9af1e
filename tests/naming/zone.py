"""A DNS of tests: what is said to each question, and which questions were asked."""

from p2psip.naming.questions import Answer, Naptr, Outcome, Question, Srv

NOTHING = Answer("no such name")


class Zone:
    """Records by name and kind; what is not there does not exist."""

    def __init__(self) -> None:
        self.answers: dict[Question, Answer] = {}
        self.asked: list[Question] = []

    def naptr(self, name: str, *rules: tuple[int, int, str, str, str, str]) -> None:
        """Rules of a name."""
        self.answers[Question(name, "NAPTR")] = Answer("found", naptrs=tuple([Naptr(*rule) for rule in rules]))

    def srv(self, name: str, *records: tuple[int, int, int, str]) -> None:
        """Servers of a service."""
        self.answers[Question(name, "SRV")] = Answer("found", srvs=tuple([Srv(*record) for record in records]))

    def address(self, name: str, *addresses: str) -> None:
        """Addresses of a host, of both families."""
        for kind, of_family in (
            ("A", [each for each in addresses if ":" not in each]),
            ("AAAA", [each for each in addresses if ":" in each]),
        ):
            found = Answer("found", addresses=tuple(of_family)) if of_family else Answer("no data")
            self.answers[Question(name, kind)] = found  # type: ignore[arg-type]

    def fail(self, name: str, kind: str, outcome: Outcome) -> None:
        """A question that goes wrong."""
        self.answers[Question(name, kind)] = Answer(outcome)  # type: ignore[arg-type]

    def ask(self, question: Question) -> Answer:
        """What is there."""
        self.asked.append(question)
        return self.answers.get(question, NOTHING)
