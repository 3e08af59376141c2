"""An endpoint that speaks SQL Server's protocol, for Microsoft's own driver. The rule here: what goes over the wire is what a server would send.

Framing, TLS within TDS, login and tokens are pysqlbridge's; rows, bulk loads, transactions and attention are ours; the statements are run by
`warehouse`, which says what it is not. Run as a program: `tds.py PORT DATABASE USER PASSWORD [ACCOUNT=URL …]`.
Formats: [MS-TDS], Tabular Data Stream Protocol.
"""

import datetime
import decimal
import select
import socket
import socketserver
import struct
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pysqlbridge.certificate import Certificate, self_signed
from pysqlbridge.tds.batch import parse_sql_batch, skip_all_headers
from pysqlbridge.tds.connection import Connection, ConnectionState
from pysqlbridge.tds.packet import HEADER_SIZE, PacketStatus, PacketType, build_packet, parse_header
from pysqlbridge.tds.result import DEFAULT_COLLATION
from pysqlbridge.tds.rpc import ProcId, parse_rpc
from pysqlbridge.tds.token import DoneStatus, EnvChangeType, done, env_change, error, error_response
from pysqlbridge.tds.transaction import TransactionRequestType, parse_transaction_request

sys.path.insert(0, str(Path(__file__).parent))
from warehouse import Answer, Refused, Session, Warehouse

_PACKET = 4096
_SQL_DAY = datetime.date(1, 1, 1).toordinal()
_PLP_NULL = b"\xff" * 8
_MAX = 0xFFFF


class Logins:
    configured = True

    def __init__(self, user: str, password: str) -> None:
        self._pair = (user, password)

    def admits(self, user: str, password: str) -> bool:
        return (user, password) == self._pair


class Greeting(Connection):
    """pysqlbridge's, up to the login; a database that is not there is refused as a server does it."""

    def _finish_login(self, responses: list[bytes]) -> None:
        wanted = self._login.database if self._login else ""
        if wanted.lower() in ("", self._database.lower()):
            super()._finish_login(responses)
            return
        said = f'Cannot open database "{wanted}" requested by the login. The login failed.'
        self._send(responses, error_response(4060, said, server=self._server_name, severity=11, tds_version=self._tds_version))
        self._state = ConnectionState.FAILED


class Wire:
    """One connection's packets in and out, once it is logged in."""

    def __init__(self, connection: socket.socket, greeting: Greeting) -> None:
        self._socket = connection
        self._tunnel = greeting._tunnel if greeting.session_encrypted else None
        self._in = bytearray(greeting._plaintext)
        self._out = bytearray()
        self._packets = 0

    def message(self) -> tuple[PacketType, bytes] | None:
        """The next whole message; None when the client has gone."""
        payload = bytearray()
        while True:
            while (packet := self._packet()) is None:
                if not self._fill():
                    return None
            header, content = packet
            if header.status & PacketStatus.IGNORE and header.is_end_of_message:
                payload.clear()
                continue
            payload += content
            if header.is_end_of_message:
                return header.type, bytes(payload)

    def has_attention(self) -> bool:
        """Whether the client wants no more of an answer; the message itself is taken."""
        if not select.select([self._socket], [], [], 0)[0]:
            return False
        if not self._fill():
            raise ConnectionError
        if (packet := self._packet()) is None:
            return False
        assert packet[0].type is PacketType.ATTENTION, packet[0]
        return True

    @contextmanager
    def watched(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Whatever the client sends meanwhile can only be its attention, or that it has gone."""
        ours, theirs = socket.socketpair()

        def watch() -> None:
            if self._socket in select.select([self._socket, theirs], [], [])[0]:
                interrupt()

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            ours.close()
            watcher.join()
            theirs.close()

    def write(self, content: bytes) -> None:
        self._out += content
        size = _PACKET - HEADER_SIZE
        if len(self._out) > 16 * size:
            whole = (len(self._out) - 1) // size * size
            self._send([bytes(self._out[start : start + size]) for start in range(0, whole, size)], PacketStatus.NORMAL)
            del self._out[:whole]

    def end(self) -> None:
        """The end of a message."""
        size = _PACKET - HEADER_SIZE
        pieces = [bytes(self._out[start : start + size]) for start in range(0, len(self._out), size)] or [b""]
        self._out.clear()
        self._send(pieces[:-1], PacketStatus.NORMAL)
        self._send(pieces[-1:], PacketStatus.END_OF_MESSAGE)
        self._packets = 0

    def _send(self, pieces: Sequence[bytes], status: PacketStatus) -> None:
        packets = bytearray()
        for piece in pieces:
            self._packets += 1
            packets += build_packet(PacketType.TABULAR_RESULT, piece, status=status, spid=51, packet_id=self._packets % 256)
        self._socket.sendall(self._tunnel.wrap(bytes(packets)) if self._tunnel else packets)

    def _fill(self) -> bool:
        data = self._socket.recv(1 << 16)
        self._in += self._tunnel.unwrap(data) if self._tunnel and data else data
        return bool(data)

    def _packet(self) -> tuple[Any, bytes] | None:
        if len(self._in) < HEADER_SIZE:
            return None
        header = parse_header(bytes(self._in[:HEADER_SIZE]))
        if len(self._in) < header.length:
            return None
        content = bytes(self._in[HEADER_SIZE : header.length])
        del self._in[: header.length]
        return header, content


class Conversation:
    """What is asked on one connection, and answered."""

    def __init__(self, wire: Wire, session: Session) -> None:
        self._wire = wire
        self._session = session
        self._bulk: str | None = None  # the table that a bulk load was announced for
        self._prepared: dict[int, str] = {}
        self._transactions = 0

    def run(self) -> None:
        while (message := self._wire.message()) is not None:
            kind, payload = message
            try:
                self._answer(kind, payload)
            except Refused as refused:
                self._wire.write(error(refused.number, str(refused), server="warehouse") + done(status=DoneStatus.ERROR))
                self._wire.end()

    def _answer(self, kind: PacketType, payload: bytes) -> None:
        match kind:
            case PacketType.SQL_BATCH:
                self._batch(parse_sql_batch(payload), {})
            case PacketType.RPC:
                self._call(payload)
            case PacketType.BULK_LOAD:
                table, self._bulk = self._bulk, None
                assert table
                count = self._session.load(table, bulk_rows(payload))
                self._wire.write(done(status=DoneStatus.COUNT, row_count=count))
                self._wire.end()
            case PacketType.TRANSACTION_MANAGER:
                self._transaction(payload)
            case PacketType.ATTENTION:
                self._wire.write(done(status=DoneStatus.ATTENTION))
                self._wire.end()
            case _:
                raise ConnectionError(f"{kind} is not expected")

    def _batch(self, sql: str, values: dict[str, object]) -> None:
        if sql.lstrip().upper().startswith("INSERT BULK"):
            self._bulk = sql.split(None, 2)[2].partition("(")[0].strip()
            self._wire.write(done())
            self._wire.end()
            return
        is_stopped = self._answers(self._session.run(sql, values), done)
        self._wire.end()
        if is_stopped:
            self._wire.write(done(status=DoneStatus.ATTENTION))
            self._wire.end()

    def _answers(self, answers: Iterator[Answer], closing: Callable[..., bytes]) -> bool:
        """Whether the client has stopped them."""
        with self._wire.watched(self._session.duck.interrupt):
            try:
                waiting = list(answers)
            except Refused:
                if self._wire.has_attention():
                    return True
                raise
        for place, answer in enumerate(waiting):
            more = DoneStatus.MORE if place + 1 < len(waiting) else DoneStatus.FINAL
            if answer.transaction:
                self._wire.write(self._transacted(answer.transaction))
            if answer.names:
                rows = 0
                encoders = columns(answer)
                self._wire.write(metadata(answer.names, encoders))
                for batch in answer.batches:
                    self._wire.write(encoded(batch, encoders))
                    rows += batch.num_rows
                    if self._wire.has_attention():
                        return True
                self._wire.write(closing(status=more | DoneStatus.COUNT, row_count=rows, current_command=0xC1))
            elif answer.count is not None:
                self._wire.write(closing(status=more | DoneStatus.COUNT, row_count=answer.count, current_command=0xC3))
            else:
                self._wire.write(closing(status=more))
        if not waiting:
            self._wire.write(closing())
        return False

    def _call(self, payload: bytes) -> None:
        call = parse_rpc(payload)
        named = {parameter.name.lstrip("@"): parameter.value for parameter in call.parameters if parameter.name}
        unnamed = [parameter.value for parameter in call.parameters if not parameter.name]
        match call.proc_id:
            case ProcId.EXECUTE_SQL:
                sql, values = str(unnamed[0]), _numbered(unnamed[2:]) | named
            case ProcId.PREP_EXEC:
                sql, values = str(unnamed[2]), _numbered(unnamed[3:]) | named
                self._prepared[len(self._prepared) + 1] = sql
            case ProcId.EXECUTE:
                sql, values = self._prepared[int(str(unnamed[0]))], _numbered(unnamed[1:]) | named
            case ProcId.UNPREPARE:
                sql, values = "", {}
            case _:
                raise Refused(2812, f"Could not find stored procedure '{call.procedure}'.")
        is_stopped = self._answers(self._session.run(sql, values), in_procedure)
        if not is_stopped:
            self._wire.write(b"\x79" + struct.pack("<i", 0))  # RETURNSTATUS
            if call.proc_id is ProcId.PREP_EXEC:
                self._wire.write(_return_value(len(self._prepared)))
            self._wire.write(b"\xfe" + done()[1:])  # DONEPROC
        self._wire.end()
        if is_stopped:
            self._wire.write(done(status=DoneStatus.ATTENTION))
            self._wire.end()

    def _transaction(self, payload: bytes) -> None:
        request = parse_transaction_request(payload)
        words = {
            TransactionRequestType.BEGIN_XACT: "BEGIN TRANSACTION",
            TransactionRequestType.COMMIT_XACT: "COMMIT",
            TransactionRequestType.ROLLBACK_XACT: "ROLLBACK",
        }
        assert skip_all_headers(payload)
        self._answers(self._session.run(words[request.kind]), done)
        self._wire.end()

    def _transacted(self, what: str) -> bytes:
        if what == "begin":
            self._transactions += 1
        here = struct.pack("<Q", self._transactions)
        match what:
            case "begin":
                return env_change(EnvChangeType.BEGIN_TRAN, here, b"")
            case "commit":
                return env_change(EnvChangeType.COMMIT_TRAN, b"", here)
            case _:
                return env_change(EnvChangeType.ROLLBACK_TRAN, b"", here)


def _numbered(values: Sequence[object]) -> dict[str, object]:
    return {f"P{number}": value for number, value in enumerate(values, 1)}


def in_procedure(status: DoneStatus = DoneStatus.FINAL, **more: Any) -> bytes:
    return b"\xff" + done(status=status | DoneStatus.MORE, **more)[1:]  # DONEINPROC


def _return_value(number: int) -> bytes:
    return b"\xac" + struct.pack("<HB", 0, 0) + b"\x01" + struct.pack("<IH", 0, 0) + b"\x26\x04\x04" + struct.pack("<i", number)


# Rows that are sent


class Encoder(NamedTuple):
    type_info: bytes
    encode: Callable[[Any], bytes]
    null: bytes
    fixed: str = ""  # numpy's name of a value of fixed width, which goes behind a byte of length


def columns(answer: Answer) -> list[Encoder]:
    """One for each; text is as wide as the first rows need it."""
    encoders = []
    first = next(answer.batches, None)
    for place, type in enumerate(answer.types):
        if type.startswith("DECIMAL"):
            precision, scale = map(int, type[8:-1].split(","))
            encoders.append(_decimal(precision, scale))
        elif type in ("VARCHAR", '"NULL"', "NULL"):
            longest = max((len(value or "") for value in first.column(place).to_pylist()), default=0) if first else 0
            encoders.append(_TEXT if longest <= 2000 else _LONG_TEXT)
        else:
            encoders.append(_ENCODERS[type])
    if first is not None:
        rest = answer.batches
        answer.batches = (batch for some in ((first,), rest) for batch in some)
    return encoders


def metadata(names: Sequence[str], encoders: Sequence[Encoder]) -> bytes:
    parts = [b"\x81" + struct.pack("<H", len(names))]
    for name, encoder in zip(names, encoders, strict=True):
        # Flags: may be null, may be written. Computed columns are left out of bulk loads.
        parts.append(struct.pack("<IH", 0, 0x0009) + encoder.type_info + bytes([len(name)]) + name.encode("utf-16-le"))
    return b"".join(parts)


def encoded(batch: pa.RecordBatch, encoders: Sequence[Encoder]) -> bytes:
    if all(encoder.fixed for encoder in encoders) and not any(column.null_count for column in batch.columns):
        return _fixed(batch, encoders)
    cells = []
    for column, (_, encode, null, _) in zip(batch.columns, encoders, strict=True):
        cells.append([null if value is None else encode(value) for value in column.to_pylist()])
    return b"".join(b"\xd1" + b"".join(row) for row in zip(*cells, strict=True))


def _row_type(kinds: Sequence[str]) -> np.dtype[Any]:
    return np.dtype([("token", "u1"), *(part for place, kind in enumerate(kinds) for part in ((f"l{place}", "u1"), (f"v{place}", kind)))])


def _fixed(batch: pa.RecordBatch, encoders: Sequence[Encoder]) -> bytes:
    rows = np.empty(batch.num_rows, _row_type([encoder.fixed for encoder in encoders]))
    rows["token"] = 0xD1
    for place, (column, encoder) in enumerate(zip(batch.columns, encoders, strict=True)):
        rows[f"l{place}"] = np.dtype(encoder.fixed).itemsize
        rows[f"v{place}"] = column.to_numpy(zero_copy_only=False)
    return rows.tobytes()


def _number(type_info: bytes, kind: str) -> Encoder:
    form = struct.Struct({"u1": "<BB", "<i2": "<Bh", "<i4": "<Bi", "<i8": "<Bq", "<f4": "<Bf", "<f8": "<Bd", "?": "<B?"}[kind])
    size = np.dtype(kind).itemsize
    return Encoder(type_info, lambda value: form.pack(size, value), b"\0", kind)


def _decimal(precision: int, scale: int) -> Encoder:
    def encode(value: decimal.Decimal) -> bytes:
        whole = int(value.scaleb(scale, decimal.Context(60)))
        return struct.pack("<BB", 17, whole >= 0) + abs(whole).to_bytes(16, "little")

    return Encoder(bytes([0x6C, 17, precision, scale]), encode, b"\0")


def _short_text(value: str) -> bytes:
    content = str(value).encode("utf-16-le", "surrogatepass")
    if len(content) > 8000:
        raise Refused(50000, "This small server wants the longest texts among the first rows.")
    return struct.pack("<H", len(content)) + content


def _chunked(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + (struct.pack("<I", len(content)) + content if content else b"") + bytes(4)


def _days(value: datetime.date) -> bytes:
    return (value.toordinal() - _SQL_DAY).to_bytes(3, "little")


def _ticks(value: datetime.time | datetime.datetime) -> bytes:
    micros = ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
    return (micros * 10).to_bytes(5, "little")


def _offset(value: datetime.datetime) -> bytes:
    there = value.astimezone(datetime.UTC)
    return b"\x0a" + _ticks(there) + _days(there.date()) + struct.pack("<h", 0)


_TEXT = Encoder(b"\xe7" + struct.pack("<H", 8000) + DEFAULT_COLLATION, _short_text, b"\xff\xff")
_LONG_TEXT = Encoder(b"\xe7" + struct.pack("<H", _MAX) + DEFAULT_COLLATION, lambda value: _chunked(str(value).encode("utf-16-le")), _PLP_NULL)
_ENCODERS = {
    "BOOLEAN": _number(b"\x68\x01", "?"),
    "UTINYINT": _number(b"\x26\x01", "u1"),
    "SMALLINT": _number(b"\x26\x02", "<i2"),
    "INTEGER": _number(b"\x26\x04", "<i4"),
    "BIGINT": _number(b"\x26\x08", "<i8"),
    "FLOAT": _number(b"\x6d\x04", "<f4"),
    "DOUBLE": _number(b"\x6d\x08", "<f8"),
    "HUGEINT": _decimal(38, 0),
    "DATE": Encoder(b"\x28", lambda value: b"\x03" + _days(value), b"\0"),
    "TIME": Encoder(b"\x29\x07", lambda value: b"\x05" + _ticks(value), b"\0"),
    "TIMESTAMP": Encoder(b"\x2a\x07", lambda value: b"\x08" + _ticks(value) + _days(value.date()), b"\0"),
    "TIMESTAMP_NS": Encoder(b"\x2a\x07", lambda value: b"\x08" + _ticks(value) + _days(value.date()), b"\0"),
    "TIMESTAMP WITH TIME ZONE": Encoder(b"\x2b\x07", _offset, b"\0"),
    "UUID": Encoder(b"\x24\x10", lambda value: b"\x10" + uuid.UUID(str(value)).bytes_le, b"\0"),
    "BLOB": Encoder(b"\xa5" + struct.pack("<H", _MAX), _chunked, _PLP_NULL),
}


# Rows of a bulk load


class Decoder(NamedTuple):
    kind: pa.DataType
    length: int  # bytes that say how long a value is: 0 for a fixed one, 8 for one in chunks
    decode: Callable[[bytes], Any]
    size: int = 0  # of a fixed one
    fixed: str = ""


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    def take(self, size: int) -> bytes:
        self.at += size
        return self.content[self.at - size : self.at]

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self.content, self.at)
        self.at += struct.calcsize(form)
        return int(value)


def bulk_rows(payload: bytes) -> pa.Table:
    reader = _Reader(payload)
    assert reader.number("<B") == 0x81
    names, decoders = [], []
    for _ in range(reader.number("<H")):
        reader.take(6)  # user type, flags
        decoders.append(_decoder(reader))
        names.append(reader.take(2 * reader.number("<B")).decode("utf-16-le"))
    schema = pa.schema([(name, decoder.kind) for name, decoder in zip(names, decoders, strict=True)])
    if (rows := _fixed_rows(payload, reader.at, decoders)) is not None:
        return pa.Table.from_arrays([pa.array(rows[f"v{place}"]).cast(decoder.kind) for place, decoder in enumerate(decoders)], schema=schema)
    values: list[list[Any]] = [[] for _ in decoders]
    while (token := reader.number("<B")) in (0xD1, 0xD2):
        nulls = reader.take((len(decoders) + 7) // 8) if token == 0xD2 else b""
        for place, decoder in enumerate(decoders):
            is_null = nulls and nulls[place // 8] >> place % 8 & 1
            values[place].append(None if is_null else _value(reader, decoder))
    assert token == 0xFD, token
    return pa.Table.from_arrays([pa.array(column, decoder.kind) for column, decoder in zip(values, decoders, strict=True)], schema=schema)


def _fixed_rows(payload: bytes, start: int, decoders: Sequence[Decoder]) -> np.ndarray[Any, Any] | None:
    """The rows, if every one has a value of fixed width in every column; that is most of what numbers need, and fast."""
    if not all(decoder.fixed for decoder in decoders):
        return None
    form = _row_type([decoder.fixed for decoder in decoders])
    count, rest = divmod(len(payload) - start, form.itemsize)
    if rest not in (0, 13):  # a DONE token, if there is one
        return None
    rows = np.frombuffer(payload, form, count, start)
    lengths = (rows[f"l{place}"] == np.dtype(decoder.fixed).itemsize for place, decoder in enumerate(decoders))
    return rows if (rows["token"] == 0xD1).all() and all(are.all() for are in lengths) else None


def _value(reader: _Reader, decoder: Decoder) -> Any:
    match decoder.length:
        case 0:
            return decoder.decode(reader.take(decoder.size))
        case 1:
            size = reader.number("<B")
            return decoder.decode(reader.take(size)) if size else None
        case 2:
            size = reader.number("<H")
            return None if size == _MAX else decoder.decode(reader.take(size))
    if reader.number("<Q") == 0xFFFFFFFFFFFFFFFF:
        return None
    chunks = bytearray()
    while size := reader.number("<I"):
        chunks += reader.take(size)
    return decoder.decode(bytes(chunks))


_INTS = {1: pa.uint8(), 2: pa.int16(), 4: pa.int32(), 8: pa.int64()}
_FLOATS = {4: pa.float32(), 8: pa.float64()}


def _integer(content: bytes) -> int:
    return int.from_bytes(content, "little", signed=len(content) > 1)


def _float(content: bytes) -> float:
    return float(struct.unpack("<d" if len(content) == 8 else "<f", content)[0])


def _moment(content: bytes, scale: int) -> datetime.datetime:
    ticks = int.from_bytes(content[:-3], "little") * 10 ** (7 - scale)
    day = datetime.datetime.fromordinal(int.from_bytes(content[-3:], "little") + _SQL_DAY)
    return day + datetime.timedelta(microseconds=ticks // 10)


def _decoder(reader: _Reader) -> Decoder:
    """Of a TYPE_INFO."""
    match reader.number("<B"):
        case 0x26:
            size = reader.number("<B")
            return Decoder(_INTS[size], 1, _integer, fixed="u1" if size == 1 else f"<i{size}")
        case 0x6D:
            size = reader.number("<B")
            return Decoder(_FLOATS[size], 1, _float, fixed=f"<f{size}")
        case 0x68:
            reader.take(1)
            return Decoder(pa.bool_(), 1, lambda content: content != b"\0", fixed="u1")
        case 0x32:
            return Decoder(pa.bool_(), 0, lambda content: content != b"\0", 1)
        case 0x30 | 0x34 | 0x38 | 0x7F as code:
            size = {0x30: 1, 0x34: 2, 0x38: 4, 0x7F: 8}[code]
            return Decoder(_INTS[size], 0, _integer, size)
        case 0x3B | 0x3E as code:
            size = 4 if code == 0x3B else 8
            return Decoder(_FLOATS[size], 0, _float, size)
        case 0x6A | 0x6C:
            _, precision, scale = reader.take(3)

            def number(content: bytes) -> decimal.Decimal:
                whole = int.from_bytes(content[1:], "little")
                return decimal.Decimal(whole if content[0] else -whole).scaleb(-scale, decimal.Context(60))

            return Decoder(pa.decimal128(precision, scale), 1, number)
        case 0x24:
            reader.take(1)
            return Decoder(pa.string(), 1, lambda content: str(uuid.UUID(bytes_le=content)))
        case 0x28:
            return Decoder(pa.date32(), 1, lambda content: datetime.date.fromordinal(int.from_bytes(content, "little") + _SQL_DAY))
        case 0x29:
            scale = reader.number("<B")
            return Decoder(pa.time64("us"), 1, lambda content: _moment(content + bytes(3), scale).time())
        case 0x2A:
            scale = reader.number("<B")
            return Decoder(pa.timestamp("us"), 1, lambda content: _moment(content, scale))
        case 0x2B:
            scale = reader.number("<B")
            return Decoder(pa.timestamp("us", "UTC"), 1, lambda content: _moment(content[:-2], scale).replace(tzinfo=datetime.UTC))
        case 0xE7 | 0xEF:
            size = reader.number("<H")
            reader.take(5)
            return Decoder(pa.string(), 8 if size == _MAX else 2, lambda content: content.decode("utf-16-le"))
        case 0xA7 | 0xAF:
            size = reader.number("<H")
            reader.take(5)
            return Decoder(pa.string(), 8 if size == _MAX else 2, lambda content: content.decode("latin-1"))
        case 0xA5 | 0xAD:
            return Decoder(pa.binary(), 8 if reader.number("<H") == _MAX else 2, bytes)
        case code:
            raise Refused(50000, f"This small server knows no type {code:#x}.")


# The program


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, warehouse: Warehouse, logins: Logins, certificate: Certificate) -> None:
        self.warehouse, self.logins, self.certificate = warehouse, logins, certificate
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        greeting = Greeting(self.server.certificate, database=self.server.warehouse.database, logins=self.server.logins, server_name="warehouse")
        while greeting.state is not ConnectionState.READY:
            if not (data := self.request.recv(1 << 16)):
                return
            for response in greeting.receive(data):
                self.request.sendall(response)
            if greeting.state is ConnectionState.FAILED:
                return
        session = self.server.warehouse.session()
        try:
            Conversation(Wire(self.request, greeting), session).run()
        except ConnectionError:
            pass  # the client has gone
        finally:
            session.close()


def main(port: str, database: str, user: str, password: str, *accounts: str) -> None:
    warehouse = Warehouse(database, dict(account.split("=", 1) for account in accounts))
    with _Server(int(port), warehouse, Logins(user, password), self_signed("warehouse")) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
