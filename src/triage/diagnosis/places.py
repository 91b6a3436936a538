"""Which services there are, where they listen, and which of them a text names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from triage.diagnosis.metrics import INIT, unit_of
from triage.diagnosis.nodes import Node
from triage.summary import Summary

_HOST = re.compile(
    r"""(?:https?|postgres(?:ql)?|redis|mysql|amqp|mongodb|grpc|tcp)://(?:[^@/\s"']*@)?([A-Za-z0-9_.\-]+)(?::(\d+))?  # a URL
      | \bhost\s*[=:]\s*["']?([A-Za-z0-9_.\-]+)["']?(?:[,;\s]+port\s*[=:]\s*["']?(\d+))?                               # host=… port=…
      | \bserver\ at\ "([^"]+)"(?:\ \([^)]*\))?,\ port\ (\d+)                                                          # libpq
      | \b([A-Za-z0-9_.\-]+\.[A-Za-z0-9_.\-]+|localhost|[A-Za-z][A-Za-z0-9_\-]{2,}):(\d{2,5})\b                        # host:port
    """,
    re.VERBOSE,
)
_SERVERS = {  # what listens at a port by custom, in names that services have
    "5432": ("postgres",),
    "3306": ("mysql", "mariadb"),
    "6379": ("redis", "valkey"),
    "27017": ("mongo",),
    "5672": ("rabbitmq",),
    "9092": ("kafka",),
    "9200": ("elasticsearch", "opensearch"),
}
_FASTCGI = "9000"  # the port by custom, and where a socket stands for it
_PROGRAMS = {_FASTCGI: ("fpm", "php")}  # the same of programs that answer for a proxy
SYSTEM = {"kernel", "systemd", "kubelet", "docker", "containerd"}  # they speak of the processes of every service
_NODE_AGENT = "kubelet"
_CONTAINER = re.compile(
    r'\bcontainerName="([^"]+)"|\bfailed container=([\w.-]+)|\bContainer ([\w.-]+) failed (?:liveness|startup) probe'
)
_LOCAL = {"localhost", "127.0.0.1", "0.0.0.0", "::1", "::", "*"}


# other words for it
_CLIENTS = {
    "rabbitmq": ("amqp", "pika", "bunny"),
    "postgres": ("psycopg", "pgx", "sqlstate"),
    "mysql": ("mariadb",),
}
_TELLING = 4  # letters of a service's name that may begin that of its unit
_KINDS = {kind for kinds in _SERVERS.values() for kind in kinds}
_DATA_SERVERS = _KINDS | {"database", "db", "nats", "mosquitto", "emqx", "etcd", "pulsar", "activemq"}


def is_data_server(service: str) -> bool:
    """Whether a service is a server that keeps or carries data for others, by its name."""
    words = re.split(r"[\W_]+", service.lower())
    return any(word == kind or (word.startswith(kind) and kind in _KINDS) for word in words for kind in _DATA_SERVERS)


def are_data_servers(node: Node) -> bool:
    """Whether all services of a failure are such servers."""
    return bool(node.services) and all(is_data_server(service) for service in node.services)


def speaks_of(service: str | None, text: str) -> str | None:
    """The service whose process a line is about: that of the line, but of systemd's and kubelet's the unit or container that it names."""
    if service == _NODE_AGENT:
        found = _CONTAINER.search(text)
        return next(filter(None, found.groups()), service) if found is not None else service
    return (unit_of(text) or service) if service == INIT else service


def is_client_of(text: str, service: str) -> bool:
    """Whether a text has the name of the kind of data server that the service is, by its name."""
    kinds = [kind for kind in _KINDS if kind in service.lower()]
    return any(word in text.lower() for kind in kinds for word in (kind, *_CLIENTS.get(kind, ())))


def addresses(text: str) -> tuple[tuple[str, str | None], ...]:
    """Hosts and ports that a text names."""
    found = []
    for match in _HOST.finditer(text):
        host, port = next(((match[i], match[i + 1]) for i in (1, 3, 5, 7) if match[i]), (None, None))
        if host:
            found.append((host.lower().rstrip("."), port))
    return tuple(dict.fromkeys(found))


class Places(Struct, frozen=True):
    """Which services there are, and at which addresses they said that they listen."""

    services: frozenset[str]
    listening: Mapping[tuple[str, str | None], frozenset[str]]

    @staticmethod
    def of(summary: Summary) -> Places:
        """From the failures' services and the addresses of the listeners."""
        services = set(summary["volume"]["service"].drop_nulls().unique()) | set(
            summary["listens"]["service"].drop_nulls()
        )
        listening: dict[tuple[str, str | None], set[str]] = {}
        for service, address in summary["listens"].select("service", "address").drop_nulls().iter_rows():
            host, _, port = address.rpartition(":")
            for known in {host.lower().strip("[]"), ""}:
                listening.setdefault((known, port), set()).add(service)
        return Places(frozenset(services), {k: frozenset(v) for k, v in listening.items()})

    def named(self, node: Node) -> frozenset[str]:
        """Other services that the failure's text names: by host name, by the address that they listen at, as what was called, or as the unit of
        systemd of which it tells."""
        found = self._of_unit(node)
        for host, port in addresses(node.message):
            name = host.split(".")[0]
            found |= {s for s in self.services if s.lower() in (name, host) or s.lower().replace("_", "-") == name}
            if port is not None:
                found |= self.listening.get((host, port)) or (
                    self.listening.get(("", port), frozenset()) if host in _LOCAL else frozenset()
                )
        if not found:
            found = {s for _, port in addresses(node.message) for s in self._customary(port)}
        if not found and "fastcgi://" in node.message:
            found = set(self._customary(_FASTCGI))
        if not found and node.rule is not None and node.rule.category == "dependency":
            found = {s for s in self.services if re.search(rf"(?<![\w./-]){re.escape(s)}(?![\w/-])", node.message)}
        if not found and node.role == "proxy" and node.services and addresses(node.message):
            found = self._behind(node)
        return frozenset(found - set(node.services))

    def _of_unit(self, node: Node) -> set[str]:
        """The service that writes by the name of the unit, or by one that begins it (postgres, postgresql.service)."""
        told = {unit for s in node.services if (unit := speaks_of(s, node.message)) not in (s, None)}
        found = {s for unit in told for s in self.services if unit and s.lower() == unit.lower()}
        begins = {
            s
            for unit in told
            for s in self.services
            if unit and len(s) >= _TELLING and unit.lower().startswith(s.lower())
        }
        return found or (begins if len(begins) == 1 else set())

    def _behind(self, proxy: Node) -> set[str]:
        """The one program that can stand behind a proxy, where only one other is in the log; none where there are several."""
        kinds = _KINDS | SYSTEM
        others = {s for s in self.services - set(proxy.services) if not any(kind in s.lower() for kind in kinds)}
        return others if len(others) == 1 else set()

    def _customary(self, port: str | None) -> list[str]:
        """The one service of the kind that listens at that port by custom; none where there are several."""
        kinds = _SERVERS.get(port or "", ()) or _PROGRAMS.get(port or "", ())
        fit = [s for s in self.services if any(k in s.lower() for k in kinds)]
        return fit if len(fit) == 1 else []
